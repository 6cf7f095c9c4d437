/**
 * A world for schedules: time that is turned by hand, a wire without sockets, a gateway that speaks the wire byte by byte.
 * Everything that is opened is counted, and `leaks()` says what was not closed.
 */
import { fault } from '@holdfast/protocol/fault';
import { encodeFrame } from '@holdfast/protocol/sse';

import type { Clock, Hint, Lifecycle } from '../src/ports.ts';
import { createTransport, type Transport } from '../src/transport.ts';
import type { Wire, WireConnection, WireExchange, WireRequest, WireSink } from '../src/wire.ts';

export class HandClock implements Clock {
  #now = 1_700_000_000_000;
  readonly #timers = new Set<{ at: number; callback: () => void }>();

  now(): number {
    return this.#now;
  }

  after(delayMs: number, callback: () => void): { cancel(): void } {
    const timer = { at: this.#now + delayMs, callback };
    this.#timers.add(timer);
    return { cancel: () => this.#timers.delete(timer) };
  }

  /** Runs what is due, in order. */
  advance(ms: number): void {
    const until = this.#now + ms;
    for (;;) {
      const due = [...this.#timers].filter(({ at }) => at <= until).toSorted((a, b) => a.at - b.at)[0];
      if (due === undefined) break;
      this.#timers.delete(due);
      this.#now = Math.max(this.#now, due.at);
      due.callback();
    }
    this.#now = until;
  }

  /** The machine sleeps: the wall clock goes on, timers do not run. */
  sleep(ms: number): void {
    this.#now += ms;
  }

  get pending(): number {
    return this.#timers.size;
  }
}

export class HandLifecycle implements Lifecycle {
  readonly #listeners = new Set<(hint: Hint) => void>();

  visible(): boolean {
    return true;
  }

  subscribe(listener: (hint: Hint) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  say(hint: Hint): void {
    for (const listener of this.#listeners) listener(hint);
  }

  get listeners(): number {
    return this.#listeners.size;
  }
}

const encoder = new TextEncoder();

/** One request as its server sees it. Nothing keeps the server from talking after the client has left. */
export class FakeExchange implements WireExchange {
  readonly request: WireRequest;
  readonly connection: object;
  readonly #sink: WireSink;
  /** What the server has still to say. */
  #out = new Uint8Array();
  answered = false;
  over = false;
  cancelled = false;
  held = false;

  constructor(request: WireRequest, sink: WireSink, connection: object) {
    this.request = request;
    this.#sink = sink;
    this.connection = connection;
  }

  onHold: () => unknown = () => {};
  onFlow: () => unknown = () => {};

  hold(): void {
    this.held = true;
    this.onHold();
  }

  flow(): void {
    this.held = false;
    this.onFlow();
  }

  cancel(): void {
    this.cancelled = true;
  }

  /** As `path?query`. */
  get path(): string {
    return this.request.url.replace('http://fake', '');
  }

  head(status: number, type: string = 'text/event-stream', more: Readonly<Record<string, string>> = {}): void {
    this.answered = true;
    const headers: Readonly<Record<string, string>> = { 'content-type': type, ...more };
    this.#sink.head(status, { get: (name) => headers[name] ?? null });
  }

  say(text: string): void {
    const bytes = encoder.encode(text);
    const joined = new Uint8Array(this.#out.length + bytes.length);
    joined.set(this.#out);
    joined.set(bytes, this.#out.length);
    this.#out = joined;
  }

  /** Sends up to so many bytes of what there is to say, as one chunk. */
  send(bytes: number = Infinity): void {
    const chunk = this.#out.slice(0, bytes);
    this.#out = this.#out.slice(chunk.length);
    if (chunk.length > 0) this.#sink.chunk(chunk);
  }

  /** One chunk, at once. */
  tell(bytes: Uint8Array): void {
    this.#sink.chunk(bytes);
  }

  get unsaid(): number {
    return this.#out.length;
  }

  end(): void {
    this.over = true;
    this.#sink.end();
  }

  lose(): void {
    this.over = true;
    this.#sink.fail(fault('disconnected', 'lost by the schedule'));
  }
}

export class FakeWire implements Wire {
  readonly exchanges: FakeExchange[] = [];
  readonly #open = new Set<object>();
  opened = 0;
  readonly short: WireConnection = this.#connection();

  open(): WireConnection {
    this.opened++;
    const connection = this.#connection();
    this.#open.add(connection);
    return connection;
  }

  transport(): Transport {
    return createTransport(this);
  }

  /** Connections that nobody has closed. */
  get connections(): number {
    return this.#open.size;
  }

  /** Streams that a client still listens to. */
  get live(): FakeExchange[] {
    return this.exchanges.filter(({ over, cancelled }) => !over && !cancelled);
  }

  get last(): FakeExchange {
    const last = this.exchanges.at(-1);
    if (last === undefined) throw new Error('nothing was asked');
    return last;
  }

  #connection(): WireConnection {
    const connection: WireConnection = {
      send: (request, sink) => {
        const exchange = new FakeExchange(request, sink, connection);
        this.exchanges.push(exchange);
        return exchange;
      },
      close: () => void this.#open.delete(connection),
    };
    return connection;
  }
}

/** A session's log of text deltas, and its frames. */
export class FakeLog {
  readonly sessionId: string;
  readonly #texts: string[] = [];
  readonly #frames = new Map<string, string>();

  constructor(sessionId: string) {
    this.sessionId = sessionId;
  }

  append(text: string): void {
    this.#texts.push(text);
  }

  get head(): number {
    return this.#texts.length;
  }

  get text(): string {
    return this.#texts.join('');
  }

  cursor(seq: number): string {
    return seq === 0 ? '0' : `${seq}.${(seq * 7919).toString(16).padStart(8, '0')}`;
  }

  entryFrame(seq: number, prefix: string = ''): string {
    const key = prefix + seq;
    let frame = this.#frames.get(key);
    if (frame === undefined) this.#frames.set(key, (frame = this.#encode(seq, prefix)));
    return frame;
  }

  #encode(seq: number, prefix: string): string {
    const data = JSON.stringify({ type: 'text-delta', turnId: 't', text: this.#texts[seq - 1], seq, at: 'now' });
    return encodeFrame({ id: prefix + this.cursor(seq), event: 'text-delta', data });
  }

  snapshotFrame(reason?: string): string {
    const { sessionId, head: seq } = this;
    const frame = { sessionId, cursor: this.cursor(seq), view: { seq, text: this.text }, reason };
    return encodeFrame({ event: reason === undefined ? 'snapshot' : 'resync', data: JSON.stringify(frame) });
  }

  /** Everything that a GET with this path is told, from the greeting to the head. */
  answer(path: string): string {
    const after = /after=(\d+)/.exec(path)?.[1];
    if (after === undefined) return HELLO + this.snapshotFrame();
    const from = Number(after) + 1;
    return (
      HELLO + Array.from({ length: Math.max(0, this.head - from + 1) }, (_, i) => this.entryFrame(from + i)).join('')
    );
  }
}

export const HELLO: string = encodeFrame({
  event: 'hello',
  data: JSON.stringify({ protocol: 1, build: 'test', heartbeatMs: 15_000 }),
});

/** What a reader has on its screen. Throws where an entry is missing, doubled or moved. */
export class FakeReader {
  seq = -1;
  text = '';

  snapshot({ view }: { view: unknown }): void {
    ({ seq: this.seq, text: this.text } = view as { seq: number; text: string });
  }

  entry(entry: { seq: number }): void {
    if (entry.seq !== this.seq + 1) throw new Error(`entry ${entry.seq} after ${this.seq}`);
    this.seq = entry.seq;
    this.text += (entry as unknown as { text: string }).text;
  }
}

/** Lets every promise that can go on do so. */
export const settled = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

export async function microtasks(count: number): Promise<void> {
  for (let i = 0; i < count; i++) await Promise.resolve();
}
