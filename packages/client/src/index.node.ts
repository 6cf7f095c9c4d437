/**
 * The entry for Node, Bun and Deno, by the export conditions of package.json. It differs from `index.ts` in one thing: the default
 * transport is the wire over `node:http` (decision 23).
 *
 * Bundlers for pages, workers and React Native get `index.ts`, and no code of Node with it.
 */
import type { ClientOptions, HoldfastClient } from './api.ts';
import { BtwClient as PortableBtwClient, type BtwClientOptions } from './btw.ts';
import { createClient as createPortableClient } from './client.ts';
import { fetchTransport as portableFetchTransport, type FetchOptions } from './fetch-wire.ts';
import { nodeTransport } from './node/http-wire.ts';
import { openByteStreamOver, type OpenByteStream } from './open-byte-stream.ts';
import type { Transport } from './transport.ts';

// A name that is exported below takes the place of the same name there.
export * from './index.ts';

export const createClient = (options: ClientOptions): HoldfastClient => createPortableClient(options, nodeTransport);

export class BtwClient extends PortableBtwClient {
  constructor(options: BtwClientOptions) {
    super({ ...options, transport: options.transport ?? nodeTransport() });
  }
}

export const openByteStream: OpenByteStream = /* @__PURE__ */ openByteStreamOver(nodeTransport);

/**
 * Node's own `fetch` can end the process, and neither it nor Bun's can tell a reset of a body without a length from its end: without a
 * `fetch` of the caller's this is the wire over `node:http`, and with one the end of such a body is `disconnected`.
 */
export function fetchTransport(options: FetchOptions = {}): Transport {
  const { fetch } = options;
  if ('Deno' in globalThis) return portableFetchTransport(options);
  return fetch === undefined ? nodeTransport() : portableFetchTransport({ ...options, fetch: doubtEnds(fetch) });
}

/** The end of a body without a length is an error. */
function doubtEnds(own: typeof fetch): typeof fetch {
  const flush = (): never => {
    throw new TypeError(
      'The body has no length and its connection ended. The fetch of this platform does not tell that from a reset. ' +
        'Leave out the option fetch: the default transport does.',
    );
  };
  return async (...request) => {
    const response = await own(...request).catch(explain);
    if (response.body === null || !endsWithItsSocket(response)) return response;
    return new Response(response.body.pipeThrough(new TransformStream({ flush })), response);
  };
}

/** The text of Node's own error is "fetch failed", and what failed is in its cause. */
function explain(error: unknown): never {
  const code = (error as { readonly cause?: { readonly code?: string } }).cause?.code;
  throw code === undefined ? error : Object.assign(new Error(code), { name: '' });
}

/** A response that a program made (in process, in a test) has no address, and no socket. */
const endsWithItsSocket = ({ url, headers }: Response): boolean =>
  url !== '' && headers.get('content-length') === null && headers.get('transfer-encoding') === null;
