/**
 * The wire over `fetch`: browsers, workers, React Native, and a `fetch` of the caller's. The platform pools the sockets, so a
 * connection is only a scope: closing it aborts what runs in it, and that is all there is to close. Node, Bun and Deno have a
 * wire of their own (`node/http-wire.ts`).
 *
 * F1. One loop reads the body. Not reading is the pause: the platform's own buffer fills (a few MiB) and TCP slows the peer.
 * F2. After `cancel` every rejection that the platform still makes is taken here and told nobody.
 * F3. An abort closes the socket at once. (Measured, Chromium 153: one that meets its response in the very millisecond of its
 *     arrival, about 1 in 100 of those, leaves the socket to the next collection, some 5 s. A bare `fetch` does the same.)
 * F4. React Native's own `fetch` has no `response.body`: a body comes whole, or never, if it is a stream. A client asks for
 *     sessions in place of streams there (`late-streams.ts`), unless it is given a transport over a `fetch` that streams.
 */
import { fault, type Fault } from '@holdfast/protocol/fault';

import { createTransport, type Transport } from './transport.ts';
import type { WireConnection, WireExchange, WireRequest, WireSink } from './wire.ts';

export interface FetchOptions {
  readonly fetch?: typeof fetch;
  /** Whether cookies go along. `same-origin` by default, as the platform has it. */
  readonly credentials?: NonNullable<RequestInit['credentials']>;
}

/** Over `fetch`. In Node and Bun it is `nodeTransport()` unless a `fetch` is given. */
export function fetchTransport(options: FetchOptions = {}): Transport {
  const { fetch = globalThis.fetch, credentials } = options;
  const scope: WireConnection = {
    send(request, sink) {
      const exchange = new FetchExchange(sink);
      void exchange.run(request, fetch, credentials);
      return exchange;
    },
    close() {},
  };
  return createTransport({ open: () => scope, short: scope });
}

class FetchExchange implements WireExchange {
  readonly #abort = new AbortController();
  readonly #sink: WireSink;
  #held = false;
  #over = false;
  #wake: (() => void) | undefined;

  constructor(sink: WireSink) {
    this.#sink = sink;
  }

  hold(): void {
    this.#held = true;
  }

  flow(): void {
    this.#held = false;
    this.#wake?.();
  }

  cancel(): void {
    this.#over = true;
    this.#abort.abort();
    this.#wake?.();
  }

  async run(
    { url, method, headers, body }: WireRequest,
    fetch: typeof globalThis.fetch,
    credentials: RequestCredentials | undefined,
  ): Promise<void> {
    // The platform's types refuse what it takes: an option that is undefined, bytes that may be shared memory.
    const init = {
      method,
      headers,
      credentials,
      body,
      cache: 'no-store',
      redirect: 'manual',
      signal: this.#abort.signal,
    } as RequestInit;
    try {
      // W1. A request that was cancelled before it is sent is refused by its signal.
      await Promise.resolve();
      const response = await fetch.call(globalThis, url, init);
      if (this.#over) return;
      this.#sink.head(response.status, response.headers);
      if (response.body) await this.#read(response.body.getReader());
      else this.#sink.chunk(new Uint8Array(await response.arrayBuffer())); // F4
      if (this.#finish()) this.#sink.end();
    } catch (error) {
      if (this.#finish()) this.#sink.fail(faultOf(error, url, init)); // F2
    }
  }

  async #read(reader: ReadableStreamDefaultReader<Uint8Array>): Promise<void> {
    for (;;) {
      if (this.#held) await this.#flowing();
      if (this.#over) return;
      const { done, value } = await reader.read(); // F1
      if (done || this.#over) return;
      this.#sink.chunk(value);
    }
  }

  #flowing(): Promise<void> {
    return new Promise((resolve) => {
      this.#wake = () => {
        this.#wake = undefined;
        resolve();
      };
    });
  }

  /** @returns whether it was still under way. */
  #finish(): boolean {
    const first = !this.#over;
    this.#over = true;
    return first;
  }
}

/** The platform gives one `TypeError` to a lost network and to a request that cannot be: only building it again tells. */
function faultOf(error: unknown, url: string, init: RequestInit): Fault {
  try {
    void new Request(url, init);
  } catch {
    return fault('invalid-request', `Invalid request: ${String(error)}`);
  }
  return fault('disconnected', `The connection was lost: ${String(error)}`);
}
