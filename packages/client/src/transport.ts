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
import { fault } from '@holdfast/protocol/fault';

import type { Wire, WireConnection, WireExchange, WireRequest, WireSink } from './wire.ts';

/** Where a request can be made: an owned connection, or the shared pool of short ones. */
export interface Connection {
  readonly closed: boolean;
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
  /** The requests under way, each with its sink: closing tells them. */
  readonly #running = new Map<WireExchange, WireSink>();
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
    const exchange = this.#wire.send(request, {
      head: (status, headers) => sink.head(status, headers),
      chunk: (bytes) => sink.chunk(bytes),
      end: () => {
        this.#running.delete(exchange);
        sink.end();
      },
      fail: (reason) => {
        this.#running.delete(exchange);
        sink.fail(reason);
      },
    });
    this.#running.set(exchange, sink);
    return {
      hold: () => exchange.hold(),
      flow: () => exchange.flow(),
      cancel: () => {
        this.#running.delete(exchange);
        exchange.cancel();
      },
    };
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    for (const [exchange, sink] of this.#running) {
      exchange.cancel();
      sink.fail(CLOSED);
    }
    this.#running.clear();
    this.#wire.close();
  }

  /** Where the platform has no such symbol the method has another name and does no harm. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.close();
  }
}

const CLOSED = fault('cancelled', 'The connection was closed by its owner.');
