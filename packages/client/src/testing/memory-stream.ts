/** One exchange of the gateway in memory, and an event stream over it. */
import type { Entry } from '@holdfast/protocol/entry';
import { fault } from '@holdfast/protocol/fault';
import { encodeFrame } from '@holdfast/protocol/sse';

import type { WireExchange, WireSink } from '../wire.ts';
import type { MemoryLog } from './memory-log.ts';

const encoder = new TextEncoder();

export class Exchange implements WireExchange {
  readonly #sink: WireSink;
  readonly #ended: () => void;
  over = false;
  #onEnd: (() => void) | undefined;

  constructor(sink: WireSink, ended: () => void) {
    this.#sink = sink;
    this.#ended = ended;
  }

  hold(): void {}
  flow(): void {}

  cancel(): void {
    this.#finish();
  }

  lose(): void {
    if (this.#finish()) this.#sink.fail(fault('disconnected', 'The test lost the connection.'));
  }

  begin(): void {
    this.#sink.head(200, { get: (name) => (name === 'content-type' ? 'text/event-stream' : null) });
  }

  write(text: string): void {
    if (!this.over) this.#sink.chunk(encoder.encode(text));
  }

  answer(status: number, body: unknown): void {
    this.#sink.head(status, { get: (name) => (name === 'content-type' ? 'application/json' : null) });
    if (body !== undefined) this.write(JSON.stringify(body));
    if (this.#finish()) this.#sink.end();
  }

  /** All is said. */
  complete(): void {
    if (this.#finish()) this.#sink.end();
  }

  onEnd(callback: () => void): void {
    this.#onEnd = callback;
  }

  #finish(): boolean {
    if (this.over) return false;
    this.over = true;
    this.#ended();
    this.#onEnd?.();
    return true;
  }
}

let streamCount = 0;

export class Stream {
  readonly id: string = `e_${++streamCount}`;
  readonly #exchange: Exchange;
  readonly #lanes = new Map<string, () => void>();
  readonly #ends: (() => void)[] = [];

  constructor(exchange: Exchange, ended: () => void) {
    this.#exchange = exchange;
    exchange.onEnd(() => {
      for (const end of [...this.#lanes.values(), ...this.#ends, ended]) end();
    });
  }

  frame(event: string, data: unknown, id?: string): void {
    this.#exchange.write(encodeFrame({ event, data: JSON.stringify(data), ...(id === undefined ? {} : { id }) }));
  }

  complete(): void {
    this.#exchange.complete();
  }

  ended(callback: () => void): void {
    this.#ends.push(callback);
  }

  follow(log: MemoryLog, after: string | null, prefix: string): void {
    this.end(log.sessionId);
    const missed = after === null ? undefined : log.after(after);
    const entry = (it: Entry): void => this.frame(it.type, it, prefix + log.cursorAt(it.seq));
    this.#lanes.set(log.sessionId, log.subscribe(entry));
    if (missed !== undefined) return missed.forEach(entry);
    const { sessionId, cursor, view } = log;
    if (after === null) this.frame('snapshot', { sessionId, cursor, view });
    else this.frame('resync', { sessionId, cursor, view, reason: 'cursor-unknown' });
  }

  end(sessionId: string): void {
    this.#lanes.get(sessionId)?.();
    this.#lanes.delete(sessionId);
  }

  /** The session is no more. */
  drop(sessionId: string): void {
    if (!this.#lanes.has(sessionId)) return;
    this.end(sessionId);
    this.refuse(sessionId, 'session-deleted');
  }

  refuse(sessionId: string, kind: 'session-not-found' | 'session-deleted'): void {
    const reason = kind === 'session-deleted' ? kind : 'session-refused';
    this.frame('goodbye', { reason, sessionId, fault: kind });
  }
}
