/**
 * The wire of streams in Node: a socket for each connection, and the response read from it by ourselves.
 *
 * `node:http` would do: its parser and its two streams, one on the other, are more than a third of what an event costs. A response is one
 * thing here, read where its bytes come.
 *
 * 1. A socket has one exchange at a time. A complete exchange whose response allows it leaves the socket to the next one; whatever else
 *    ends it destroys the socket.
 * 2. `error` always has a listener: a late one after `cancel` is told nobody.
 * 3. What came in one piece with the chunk after which the sink held waits here: no more than one read.
 * 4. A response may come before the request has gone out whole, and over an idle socket nothing may come: it is destroyed then.
 */
import { validateHeaderName, validateHeaderValue } from 'node:http';
import { connect as connectPlain, isIP, type OnReadOpts, type Socket } from 'node:net';
import { connect as connectSecure, type ConnectionOptions } from 'node:tls';

import { fault, type Fault } from '@holdfast/protocol/fault';

import type { WireConnection, WireExchange, WireRequest, WireSink } from '../wire.ts';
import { ResponseError, ResponseReader, type ResponseListener } from './response-reader.ts';

export class SocketConnection implements WireConnection {
  readonly #tls: ConnectionOptions;
  /** Free for the next exchange. */
  #idle: Link | undefined;
  readonly #links = new Set<Link>();

  constructor(tls: ConnectionOptions) {
    this.#tls = tls;
  }

  send(request: WireRequest, sink: WireSink): WireExchange {
    const exchange = new SocketExchange(sink);
    try {
      const url = new URL(request.url);
      const head = headOf(url, request);
      exchange.begin(this.#linkTo(url), head, request.body);
    } catch (error) {
      const failure = fault('invalid-request', `The request could not be made: ${String(error)}`);
      queueMicrotask(() => exchange.fail(failure)); // W1
    }
    return exchange;
  }

  close(): void {
    for (const link of this.#links) link.destroy();
  }

  #linkTo(url: URL): Link {
    const idle = this.#idle;
    this.#idle = undefined;
    if (idle?.origin === url.origin && idle.isUsable) return idle;
    idle?.destroy();
    const link = new Link(url.origin, (onread) => this.#open(url, onread), {
      free: () => {
        this.#idle?.destroy();
        this.#idle = link;
      },
      gone: () => this.#links.delete(link),
    });
    this.#links.add(link);
    return link;
  }

  #open(url: URL, onread: OnReadOpts): Socket {
    const host = url.hostname.replace(/^\[(.*)\]$/, '$1');
    if (url.protocol === 'http:') return connectPlain({ host, port: Number(url.port || 80), noDelay: true, onread });
    if (url.protocol !== 'https:') throw new TypeError(`no address of a server: ${url.protocol}`);
    const secure = connectSecure({
      servername: isIP(host) === 0 ? host : '',
      ALPNProtocols: ['http/1.1'],
      ...this.#tls,
      host,
      port: Number(url.port || 443),
    });
    return secure.setNoDelay(true);
  }
}

/** Of all sockets: what was read is taken out before anything else is. */
const READ_BUFFER = new Uint8Array(65_536);

/** A socket, for one exchange after the other (rule 1). */
class Link {
  readonly origin: string;
  readonly #socket: Socket;
  readonly #owner: { readonly free: () => void; readonly gone: () => void };
  #exchange: SocketExchange | undefined;

  constructor(
    origin: string,
    open: (onread: OnReadOpts) => Socket,
    owner: { readonly free: () => void; readonly gone: () => void },
  ) {
    this.origin = origin;
    this.#owner = owner;
    // Past the socket's own stream, which is a tenth of what an event costs; where the platform has no such way, and over TLS, through it.
    const socket = open({
      buffer: READ_BUFFER,
      callback: (length, buffer) => this.#take(Buffer.from(buffer.subarray(0, length))),
    });
    this.#socket = socket;
    socket.on('data', (bytes: Buffer) => void this.#take(bytes));
    socket.on('end', () => (this.#exchange === undefined ? socket.destroy() : this.#exchange.finish()));
    socket.on('error', (error) => this.#exchange?.fail(lost(error))); // Rule 2.
    socket.on('close', () => {
      owner.gone();
      this.#exchange?.close();
    });
  }

  /** @returns whether more is to be read */
  #take(bytes: Buffer): boolean {
    if (this.#exchange === undefined) this.#socket.destroy(); // Rule 4.
    else this.#exchange.take(bytes);
    return this.#exchange?.isHolding !== true;
  }

  get isUsable(): boolean {
    return !this.#socket.destroyed && this.#socket.writable;
  }

  begin(exchange: SocketExchange, head: string, body: string | Uint8Array | undefined): void {
    this.#exchange = exchange;
    this.#socket.ref();
    this.#socket.cork();
    this.#socket.write(head, 'latin1');
    if (body !== undefined) this.#socket.write(body);
    this.#socket.uncork();
  }

  hold(): void {
    this.#socket.pause();
  }

  flow(): void {
    this.#socket.resume();
  }

  /** The exchange is over: the response was read to its end and allows another. */
  release(): void {
    this.#exchange = undefined;
    if (this.#socket.writableLength > 0) return this.destroy();
    // The exchange may have held at its last piece.
    this.#socket.resume();
    // While it waits it keeps no process alive.
    this.#socket.unref();
    this.#owner.free();
  }

  destroy(): void {
    this.#exchange = undefined;
    this.#socket.destroy();
  }

  /** More came than was asked for: whoever has it by now has nothing to trust. */
  spoil(): void {
    this.#exchange?.fail(lost('bytes that nobody asked for'));
    this.destroy();
  }
}

class SocketExchange implements WireExchange, ResponseListener {
  readonly #sink: WireSink;
  readonly #reader: ResponseReader;
  #link: Link | undefined;
  /** Rule 3. */
  #rest: Uint8Array | undefined;
  #ended = false;
  #over = false;
  isHolding = false;

  constructor(sink: WireSink) {
    this.#sink = sink;
    this.#reader = new ResponseReader(this);
  }

  begin(link: Link, head: string, body: string | Uint8Array | undefined): void {
    this.#link = link;
    link.begin(this, head, body);
  }

  hold(): void {
    this.isHolding = true;
    this.#link?.hold();
  }

  flow(): void {
    if (!this.isHolding) return;
    this.isHolding = false;
    // W1: nothing is called from within.
    if (this.#rest !== undefined || this.#ended) queueMicrotask(() => this.#goOn());
    else this.#link?.flow();
  }

  cancel(): void {
    this.#over = true;
    // Nothing more is read of what is being read.
    this.isHolding = true;
    this.#link?.destroy();
  }

  // ── of the socket ─────────────────────────────────────────────────────────────────────────────────────────────────────

  take(bytes: Uint8Array): void {
    // A socket that was told to pause gives what it had read.
    if (this.isHolding) this.#rest = this.#rest === undefined ? bytes : Buffer.concat([this.#rest, bytes]);
    else this.#read(bytes);
  }

  finish(): void {
    this.#ended = true;
    if (!this.isHolding) this.#goOn();
  }

  /** After its end there may be something left to read. */
  close(): void {
    if (!this.#ended) this.fail(lost('closed in mid-response'));
  }

  fail(failure: Fault): void {
    if (this.#over) return;
    this.#over = true;
    this.#link?.destroy();
    this.#sink.fail(failure);
  }

  #goOn(): void {
    if (this.isHolding || this.#over) return;
    const rest = this.#rest;
    this.#rest = undefined;
    if (rest !== undefined) this.#read(rest);
    if (this.isHolding || this.#over) return;
    if (!this.#ended) return this.#link?.flow();
    this.#try(() => this.#reader.finish());
  }

  #read(bytes: Uint8Array): void {
    this.#try(() => {
      const link = this.#link;
      const rest = this.#reader.read(bytes);
      if (rest === undefined) return;
      if (this.#reader.isOver) link?.spoil(); // Rule 4.
      else this.#rest = rest;
    });
  }

  #try(read: () => void): void {
    try {
      read();
    } catch (error) {
      if (!(error instanceof ResponseError)) throw error;
      this.fail(lost(error.message));
    }
  }

  // ── of the response ───────────────────────────────────────────────────────────────────────────────────────────────────

  head(status: number, headers: ReadonlyMap<string, string>): void {
    if (!this.#over) this.#sink.head(status, { get: (name) => headers.get(name.toLowerCase()) ?? null });
  }

  chunk(bytes: Uint8Array): void {
    if (!this.#over) this.#sink.chunk(bytes);
  }

  end(): void {
    if (this.#over) return;
    this.#over = true;
    const link = this.#link;
    // From here on it is somebody else's.
    this.#link = undefined;
    if (this.#reader.keepsAlive && !this.#ended) link?.release();
    else link?.destroy();
    this.#sink.end();
  }
}

function headOf(url: URL, { method, headers, body }: WireRequest): string {
  const lines = [`${method} ${url.pathname}${url.search} HTTP/1.1`, `host: ${url.host}`];
  for (const [name, value] of Object.entries(headers)) {
    validateHeaderName(name);
    validateHeaderValue(name, value);
    lines.push(`${name}: ${value}`);
  }
  if (body !== undefined || method !== 'GET') lines.push(`content-length: ${Buffer.byteLength(body ?? '')}`);
  return `${lines.join('\r\n')}\r\n\r\n`;
}

const lost = (why: unknown): Fault => fault('disconnected', `The connection was lost: ${String(why)}`);
