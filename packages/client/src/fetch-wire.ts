/**
 * The wire over `fetch`: browsers, workers, React Native, and a `fetch` of the caller's. The platform pools the sockets, so a
 * connection is only a scope: closing it aborts what runs in it, and that is all there is to close. Node, Bun and Deno have a
 * wire of their own (`node/http-wire.ts`).
 *
 * F1. One loop reads the body. Not reading is the pause: the platform's own buffer fills (a few MiB) and TCP slows the peer.
 * F2. After `cancel` every rejection that the platform still makes is taken here and told nobody.
 * F3. An abort closes the socket at once. (Measured, Chromium 153: one that meets its response in the very millisecond of its
 *     arrival, about 1 in 100 of those, leaves the socket to the next collection, some 5 s. A bare `fetch` does the same.)
 */
import { fault, type Fault } from '@holdfast/protocol/fault';

import { createTransport, type Transport } from './transport.ts';
import type { WireConnection, WireExchange, WireRequest, WireSink } from './wire.ts';

export interface FetchOptions {
  readonly fetch?: typeof fetch;
  /** Whether cookies go along. `same-origin` by default, as the platform has it. */
  readonly credentials?: NonNullable<RequestInit['credentials']>;
}

/**
 * What the end of a body without a length says. In Node and Bun it may be a reset as well, which their `fetch` does not tell apart.
 */
export type LengthlessEnd = 'complete' | 'disconnected';

/** Over `fetch`. In Node and Bun it is `nodeTransport()` unless a `fetch` is given. */
export const fetchTransport = (options: FetchOptions = {}): Transport => fetchTransportWith(options, 'complete');

export function fetchTransportWith(options: FetchOptions, lengthlessEnd: LengthlessEnd): Transport {
  const { fetch = globalThis.fetch, credentials = 'same-origin' } = options;
  const scope: WireConnection = {
    send(request, sink) {
      const exchange = new FetchExchange(sink, lengthlessEnd);
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
  readonly #lengthlessEnd: LengthlessEnd;
  #held = false;
  #over = false;
  #wake: (() => void) | undefined;

  constructor(sink: WireSink, lengthlessEnd: LengthlessEnd) {
    this.#sink = sink;
    this.#lengthlessEnd = lengthlessEnd;
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
    credentials: RequestCredentials,
  ): Promise<void> {
    // The platform's types want to know that the bytes are not shared memory.
    const init: RequestInit = {
      method,
      headers,
      credentials,
      body: (body as BodyInit | undefined) ?? null,
      cache: 'no-store',
      redirect: 'manual',
      signal: this.#abort.signal,
    };
    try {
      await Promise.resolve(); // W1
      if (this.#over) return;
      const response = await fetch.call(globalThis, url, init);
      if (this.#over) return;
      this.#sink.head(response.status, response.headers);
      if (response.body !== null) await this.#read(response.body.getReader());
      if (!this.#finish()) return;
      if (this.#lengthlessEnd === 'disconnected' && endsWithItsSocket(response)) this.#sink.fail(CUT_OR_ENDED);
      else this.#sink.end();
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

/** A response that a program made (in process, in a test) has no address, and no socket. */
const endsWithItsSocket = ({ url, body, headers }: Response): boolean =>
  url !== '' && body !== null && headers.get('content-length') === null && headers.get('transfer-encoding') === null;

const CUT_OR_ENDED = fault(
  'disconnected',
  'The body has no length and its connection ended. The fetch of this platform does not tell that from a reset; ' +
    'leave out `fetch`, and the default transport does.',
);

/** The platform gives one `TypeError` to a lost network and to a request that cannot be: only building it again tells. */
function faultOf(error: unknown, url: string, init: RequestInit): Fault {
  try {
    void new Request(url, init);
  } catch {
    return fault('invalid-request', `The request could not be made: ${String(error)}`);
  }
  // Node's own text is "fetch failed", and what failed is in its cause.
  const { cause } = error as { readonly cause?: { readonly code?: string } };
  return fault('disconnected', `The connection was lost: ${String(cause?.code ?? error)}`);
}
