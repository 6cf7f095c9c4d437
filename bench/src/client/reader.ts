/**
 * A process that reads, in one way, and tells what that cost it: `reader.ts bytes|live KIND ORIGIN SECONDS`.
 * One way a process, so that no other's heap, compiled code or sockets are in the figure.
 */
import http, { type IncomingMessage } from 'node:http';
import { EventStreamClient, fetchTransport, openByteStream, type Transport } from '@holdfast/client';
import { nodeTransport } from '@holdfast/client/node';
import type { SessionId } from '@holdfast/protocol/ids';
import { createParser } from 'eventsource-parser';

export type ReaderKind = 'ours' | 'ours-fetch' | 'http' | 'fetch';
/** Bytes: MiB a second of wall clock. Live: µs of CPU for each event. */
export interface ReaderReport {
  readonly figure: number;
}

const STREAMS = 200;
/** Until the compiler is done: what it takes is no event's. */
const WARM_UP_MS = 5000;

const response = (url: string): Promise<IncomingMessage> =>
  new Promise((resolve, reject) => http.get(url, { agent: false }, resolve).on('error', reject));

// ------------------------------------------------------------------------------------------------------------- bytes

async function readOurs(transport: Transport, url: string): Promise<number> {
  const connection = transport.open();
  let bytes = 0;
  for await (const chunk of (await openByteStream(connection, { url })).body) bytes += chunk.length;
  connection.close();
  return bytes;
}

const BYTES: Readonly<Record<ReaderKind, (url: string) => Promise<number>>> = {
  ours: (url) => readOurs(nodeTransport(), url),
  // Node's own is used when it is given.
  'ours-fetch': (url) => readOurs(fetchTransport({ fetch: (...request) => fetch(...request) }), url),
  async http(url) {
    let bytes = 0;
    for await (const chunk of await response(url)) bytes += (chunk as Buffer).length;
    return bytes;
  },
  async fetch(url) {
    let bytes = 0;
    for await (const chunk of (await fetch(url)).body ?? []) bytes += (chunk as Uint8Array).length;
    return bytes;
  },
};

async function measureBytes(kind: ReaderKind, origin: string, seconds: number): Promise<ReaderReport> {
  const url = `${origin}/bytes?bytes=${64 * 1024 * 1024}`;
  await BYTES[kind](url);
  const startedAt = performance.now();
  let bytes = 0;
  do bytes += await BYTES[kind](url);
  while (performance.now() - startedAt < seconds * 1000);
  return { figure: bytes / 1024 / 1024 / ((performance.now() - startedAt) / 1000) };
}

// -------------------------------------------------------------------------------------------------------------- live

type OnEntry = (entry: unknown) => void;

const LIVE: Readonly<Record<'ours' | 'http' | 'fetch', (origin: string, onEntry: OnEntry) => void>> = {
  ours(origin, onEntry) {
    const stream = new EventStreamClient({
      transport: nodeTransport(),
      baseUrl: origin,
      target: { kind: 'session', sessionId: 's_1' as SessionId, place: '0' },
      handlers: { snapshot() {}, entry: (_id, entry) => onEntry(entry) },
    });
    stream.start();
    // The last reference would close it.
    kept.push(stream);
  },
  /** `on('data')` and a parser by hand: nothing is checked, resumed, bounded or watched. */
  http(origin, onEntry) {
    void response(`${origin}/v1/sessions/s_1/events?after=0`).then((it) => {
      let text = '';
      it.setEncoding('utf8').on('data', (chunk: string) => {
        text += chunk;
        let from = 0;
        for (let end = text.indexOf('\n\n'); end !== -1; end = text.indexOf('\n\n', from)) {
          const data = text.indexOf('data: ', from);
          const hasId = text.startsWith('id: ', from);
          if (hasId && data !== -1 && data < end) onEntry(JSON.parse(text.slice(data + 6, end)));
          from = end + 2;
        }
        text = text.slice(from);
      });
    });
  },
  fetch(origin, onEntry) {
    void fetch(`${origin}/v1/sessions/s_1/events?after=0`).then(async ({ body }) => {
      const parser = createParser({
        onEvent({ id, data }) {
          if (id !== undefined) onEntry(JSON.parse(data));
        },
      });
      const decoder = new TextDecoder();
      for await (const chunk of body ?? []) parser.feed(decoder.decode(chunk, { stream: true }));
    });
  },
};
const kept: unknown[] = [];

async function measureLive(kind: 'ours' | 'http' | 'fetch', origin: string, seconds: number): Promise<ReaderReport> {
  let events = 0;
  for (let i = 0; i < STREAMS; i++) LIVE[kind](origin, () => events++);
  await new Promise((resolve) => setTimeout(resolve, WARM_UP_MS));
  events = 0;
  const before = process.cpuUsage();
  await new Promise((resolve) => setTimeout(resolve, seconds * 1000));
  const { user, system } = process.cpuUsage(before);
  return { figure: (user + system) / events };
}

const [what, kind = 'ours', origin = '', seconds = '1'] = process.argv.slice(2);
const report =
  what === 'bytes'
    ? await measureBytes(kind as ReaderKind, origin, Number(seconds))
    : await measureLive(kind as 'ours' | 'http' | 'fetch', origin, Number(seconds));
process.send?.(report);
process.exit(0);
