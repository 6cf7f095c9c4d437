/**
 * The entry for Node, Bun and Deno, by the export conditions of package.json. It differs from `index.ts` in one thing: the default
 * transport is the wire over `node:http` (decision 23).
 *
 * Bundlers for pages, workers and React Native get `index.ts`, and no code of Node with it.
 */
import type { ClientOptions, HoldfastClient } from './api.ts';
import { BtwClient as PortableBtwClient, type BtwClientOptions } from './btw.ts';
import { createClientOver } from './client.ts';
import { fetchTransportWith, type FetchOptions } from './fetch-wire.ts';
import { nodeTransport } from './node/http-wire.ts';
import { openByteStreamOver, type OpenByteStream } from './open-byte-stream.ts';
import type { Transport } from './transport.ts';

// A name that is exported below takes the place of the same name there.
export * from './index.ts';

export const createClient = (options: ClientOptions): HoldfastClient => createClientOver(nodeTransport, options);

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
  if ('Deno' in globalThis) return fetchTransportWith(options, 'complete');
  return options.fetch === undefined ? nodeTransport() : fetchTransportWith(options, 'disconnected');
}
