/// <reference lib="esnext.disposable" preserve="true" />
/**
 * Connections that have an owner (B1).
 *
 *   const connection = transport.open();
 *   try {
 *     const { status, body } = await openByteStream(connection, { url });
 *     for await (const bytes of body) …
 *   } finally {
 *     connection.close();
 *   }
 *
 * T1. A connection is made in the task that reads it and closed by that task. Nothing else can reach it, so nothing
 *     can race on it. `await using connection = transport.open()` says the same where the syntax exists.
 * T2. Closing ends everything that runs on it, at once: opens reject and bodies end with `cancelled`.
 * T3. Streams never share a pool; short requests share one, which closes with the transport.
 */
import { fault, type Fault } from '@holdfast/protocol/fault';

import type { ResponseHeaders, Wire, WireConnection, WireExchange, WireRequest, WireSink } from './wire.ts';

/** Where a request can be made: an owned connection, or the shared pool of short ones. */
export interface Connection {
  readonly closed: boolean;
  /** Calls back once when it is closed. @returns the end of listening. */
  onClose(callback: () => void): () => void;
  /** For `openByteStream`, which is what one calls. On a closed connection the sink hears `cancelled`. */
  send(request: WireRequest, sink: WireSink): WireExchange;
}

export interface OwnedConnection extends Connection {
  /** Idempotent, immediate. */
  close(): void;
  [Symbol.asyncDispose](): Promise<void>;
}

export interface Transport {
  open(): OwnedConnection;
  /** For requests whose whole answer is read at once. */
  readonly short: Connection;
  /** Ends the short requests and their pool. Owned connections are their owners' to close. */
  close(): void;
}

export function createTransport(wire: Wire): Transport {
  const short = new ScopedConnection(wire.short);
  return { open: () => new ScopedConnection(wire.open()), short, close: () => short.close() };
}

class ScopedConnection implements OwnedConnection {
  readonly #wire: WireConnection;
  /** The requests under way: closing tells them. */
  readonly #running = new Set<Running>();
  readonly #listeners = new Set<() => void>();
  #closed = false;

  constructor(wire: WireConnection) {
    this.#wire = wire;
  }

  get closed(): boolean {
    return this.#closed;
  }

  send(request: WireRequest, sink: WireSink): WireExchange {
    if (this.#closed) {
      queueMicrotask(() => sink.fail(CLOSED));
      return { hold() {}, flow() {}, cancel() {} };
    }
    const running = new Running(sink, this.#running);
    running.exchange = this.#wire.send(request, running);
    return running;
  }

  onClose(callback: () => void): () => void {
    this.#listeners.add(callback);
    return () => this.#listeners.delete(callback);
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    for (const callback of this.#listeners) callback();
    for (const running of this.#running) {
      running.cancel();
      running.fail(CLOSED);
    }
    this.#wire.close();
  }

  /** Where the platform has no such symbol the method has another name and does no harm. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.close();
  }
}

/** A request under way: the wire's sink and its caller's exchange in one, as every chunk goes through it. */
class Running implements WireSink, WireExchange {
  readonly #sink: WireSink;
  readonly #all: Set<Running>;
  /** Set before the wire calls (W1). */
  exchange: WireExchange | undefined;

  constructor(sink: WireSink, all: Set<Running>) {
    this.#sink = sink;
    this.#all = all;
    all.add(this);
  }

  head(status: number, headers: ResponseHeaders): void {
    this.#sink.head(status, headers);
  }

  chunk(bytes: Uint8Array): void {
    this.#sink.chunk(bytes);
  }

  end(): void {
    this.#all.delete(this);
    this.#sink.end();
  }

  fail(reason: Fault): void {
    this.#all.delete(this);
    this.#sink.fail(reason);
  }

  hold(): void {
    this.exchange?.hold();
  }

  flow(): void {
    this.exchange?.flow();
  }

  cancel(): void {
    this.#all.delete(this);
    this.exchange?.cancel();
  }
}

const CLOSED = fault('cancelled', 'The connection was closed.');
