/**
 * A gateway's event routes and nothing else, over real sockets: logs that grow, and readers that follow them. Who is in
 * another process or in a page does by `POST /control` what a test does by its methods.
 */
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo, Socket } from 'node:net';

import type { ChangeStream, OpenStream } from '@holdfast/protocol/sse';

import { FakeLog } from './fakes.ts';

export interface WireControl {
  readonly append?: { readonly sessionId: string; readonly texts: readonly string[] };
  /** Streams opened from now on end so: each after so many bytes of it, wherever that is. */
  readonly cuts?: readonly number[];
  readonly say?: string;
  readonly drop?: true;
  readonly token?: string | null;
}

export interface WireFacts {
  readonly opened: number;
  readonly readers: number;
}

interface Reader {
  readonly response: ServerResponse;
  /** Until its socket goes. */
  bytesLeft: number;
  readonly multiplexed: boolean;
  /** How far each session has been told. */
  readonly told: Map<string, number>;
  /** Sessions of which a piece is on its way. */
  readonly telling: Set<string>;
}

export class WireServer {
  readonly #logs = new Map<string, FakeLog>();
  readonly #readers = new Map<string, Reader>();
  readonly #sockets = new Set<Socket>();
  readonly #server = createServer((request, response) => void this.#route(request, response));
  #pages: Readonly<Record<string, string>> = {};
  port = 0;
  /** Streams opened so far. */
  opened = 0;
  /** The most streams that were open at once. */
  readersMax = 0;
  #cuts: number[] = [];
  /** While false, nobody who asks is let in. */
  token: string | undefined;

  static async start(pages: Readonly<Record<string, string>> = {}): Promise<WireServer> {
    const server = new WireServer();
    server.#pages = pages;
    server.#server.on('connection', (socket) => {
      server.#sockets.add(socket);
      socket.on('close', () => server.#sockets.delete(socket));
    });
    await new Promise<void>((resolve) => server.#server.listen(0, '127.0.0.1', resolve));
    server.port = (server.#server.address() as AddressInfo).port;
    return server;
  }

  get origin(): string {
    return `http://127.0.0.1:${this.port}`;
  }

  get sockets(): number {
    return this.#sockets.size;
  }

  get readers(): number {
    return this.#readers.size;
  }

  log(sessionId: string): FakeLog {
    let log = this.#logs.get(sessionId);
    if (log === undefined) this.#logs.set(sessionId, (log = new FakeLog(sessionId)));
    return log;
  }

  append(sessionId: string, text: string): void {
    this.log(sessionId).append(text);
    for (const reader of this.#readers.values()) if (reader.told.has(sessionId)) this.#tell(reader, sessionId);
  }

  /** Says a frame to every reader. */
  say(frame: string): void {
    for (const reader of this.#readers.values()) send(reader, frame);
  }

  /** As another node would: it does not know these streams. */
  forgetStreams(): void {
    const readers = [...this.#readers];
    this.#readers.clear();
    for (const [id, reader] of readers) this.#readers.set(`forgotten-${id}`, reader);
  }

  dropReaders(): void {
    for (const { response } of this.#readers.values()) response.destroy();
  }

  control({ append, cuts = [], say, drop, token }: WireControl): WireFacts {
    for (const text of append?.texts ?? []) this.append(append?.sessionId ?? '', text);
    this.#cuts.push(...cuts);
    if (say !== undefined) this.say(say);
    if (drop === true) this.dropReaders();
    if (token !== undefined) this.token = token ?? undefined;
    return { opened: this.opened, readers: this.readers };
  }

  close(): Promise<void> {
    this.#server.closeAllConnections();
    return new Promise((resolve) => this.#server.close(() => resolve()));
  }

  async #route(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const { pathname, searchParams } = new URL(request.url ?? '/', this.origin);
    const page = this.#pages[pathname];
    if (page !== undefined) {
      response.setHeader('content-type', pathname.endsWith('.js') ? 'text/javascript' : 'text/html').end(page);
      return;
    }
    if (pathname === '/control') {
      const facts = this.control(JSON.parse(await readBody(request)) as WireControl);
      return void response.end(JSON.stringify(facts));
    }
    if (this.token !== undefined && request.headers.authorization !== `Bearer ${this.token}`) {
      response.writeHead(401).end('{}');
      return;
    }
    const session = /^\/v1\/sessions\/([^/]+)\/events$/.exec(pathname)?.[1];
    if (session !== undefined) return this.#open(response, new Map([[session, searchParams.get('after')]]), false);
    const body = JSON.parse((await readBody(request)) || '{}') as OpenStream & ChangeStream;
    if (pathname === '/v1/events') return this.#open(response, new Map(Object.entries(body.cursors)), true);
    const reader = this.#readers.get(pathname.slice('/v1/events/'.length));
    if (reader === undefined) return void response.writeHead(404).end('{"fault":"stream-not-found"}');
    for (const id of body.remove ?? []) reader.told.delete(id);
    for (const [id, cursor] of Object.entries(body.add ?? {})) this.#attach(reader, id, cursor);
    response.writeHead(204).end();
  }

  #open(response: ServerResponse, cursors: ReadonlyMap<string, string | null>, multiplexed: boolean): void {
    const streamId = `stream-${++this.opened}`;
    const reader: Reader = {
      response,
      bytesLeft: this.#cuts.shift() ?? Infinity,
      multiplexed,
      told: new Map(),
      telling: new Set(),
    };
    this.#readers.set(streamId, reader);
    this.readersMax = Math.max(this.readersMax, this.#readers.size);
    response.on('close', () => {
      for (const [id, it] of this.#readers) if (it === reader) this.#readers.delete(id);
    });
    response.on('error', () => {});
    response.writeHead(200, { 'content-type': 'text/event-stream' });
    const hello = { protocol: 1, build: 'test', heartbeatMs: 15_000, ...(multiplexed ? { streamId } : {}) };
    send(reader, `event: hello\ndata: ${JSON.stringify(hello)}\n\n`);
    for (const [id, cursor] of cursors) this.#attach(reader, id, cursor);
  }

  #attach(reader: Reader, sessionId: string, cursor: string | null): void {
    const log = this.log(sessionId);
    if (cursor === null) send(reader, log.snapshotFrame());
    reader.told.set(sessionId, cursor === null ? log.head : Number.parseInt(cursor, 10));
    this.#tell(reader, sessionId);
  }

  /** One piece of at most 16 KiB at a time; the next when the kernel has it. */
  #tell(reader: Reader, sessionId: string): void {
    const { response, told, multiplexed, telling } = reader;
    if (telling.has(sessionId) || response.destroyed) return;
    const log = this.log(sessionId);
    let text = '';
    let seq = told.get(sessionId) ?? log.head;
    while (seq < log.head && text.length < 16_384) text += log.entryFrame(++seq, multiplexed ? `${sessionId}/` : '');
    if (text === '') return;
    told.set(sessionId, seq);
    telling.add(sessionId);
    send(reader, text, () => {
      telling.delete(sessionId);
      setImmediate(() => this.#tell(reader, sessionId));
    });
  }
}

function send(reader: Reader, text: string, sent: () => void = () => {}): void {
  const { response, bytesLeft } = reader;
  const bytes = Buffer.from(text);
  reader.bytesLeft -= bytes.length;
  if (reader.bytesLeft > 0) response.write(bytes, sent);
  else if (bytesLeft >= 0) response.write(bytes.subarray(0, bytesLeft), () => response.destroy());
}

async function readBody(request: IncomingMessage): Promise<string> {
  let body = '';
  for await (const chunk of request) body += String(chunk);
  return body;
}
