/** A transport whose streams can be broken while plain requests pass: a proxy that does not let streams through. */
import { fault } from '@holdfast/protocol/fault';

import type { Transport } from '../src/transport.ts';
import type { ResponseHeaders, WireExchange, WireRequest, WireSink } from '../src/wire.ts';
import { HELLO } from './fakes.ts';

type Block = (sink: WireSink) => void;

const headers = (type: string, more: Readonly<Record<string, string>> = {}): ResponseHeaders => ({
  get: (name: string): string | null => ({ 'content-type': type, ...more })[name] ?? null,
});
const stream = headers('text/event-stream');
const LOST = fault('disconnected', 'The test lost the connection.');

export type BlockName =
  | 'a 503'
  | 'a 503 with Retry-After'
  | 'a 200 that dies'
  | 'a 200 that greets and dies'
  | 'a 200 that hangs'
  | 'a connection that hangs'
  | 'a connection that is refused';

/** Every way in which a stream does not come through. */
export const BLOCKS: Readonly<Record<BlockName, Block>> = {
  'a 503': (sink) => {
    sink.head(503, headers('text/html'));
    sink.end();
  },
  'a 503 with Retry-After': (sink) => {
    sink.head(503, headers('text/html', { 'retry-after': '20' }));
    sink.end();
  },
  'a 200 that dies': (sink) => {
    sink.head(200, stream);
    sink.fail(LOST);
  },
  'a 200 that greets and dies': (sink) => {
    sink.head(200, stream);
    sink.chunk(new TextEncoder().encode(HELLO));
    sink.fail(LOST);
  },
  'a 200 that hangs': (sink) => sink.head(200, stream),
  'a connection that hangs'() {},
  'a connection that is refused': (sink) => sink.fail(LOST),
};

export interface BlockedTransport extends Transport {
  /** What becomes of streams that are opened from now on; undefined: they pass. */
  streams: BlockName | undefined;
  /** Plain requests so far, as `METHOD path`, with those that were lost. */
  readonly asked: string[];
  /** What becomes of plain requests; undefined: they pass. */
  plain: ((sink: WireSink) => void) | undefined;
}

export function blockedTransport(inner: Transport): BlockedTransport {
  const blocked: BlockedTransport = {
    streams: undefined,
    plain: undefined,
    asked: [],
    close: () => inner.close(),
    short: {
      closed: false,
      onClose: (callback) => inner.short.onClose(callback),
      send: (request, sink) => {
        blocked.asked.push(`${request.method} ${new URL(request.url).pathname}`);
        return later(blocked.plain, sink) ?? inner.short.send(request, sink);
      },
    },
    open() {
      const connection = inner.open();
      const send = (request: WireRequest, sink: WireSink): WireExchange =>
        later(blocked.streams === undefined ? undefined : BLOCKS[blocked.streams], sink) ??
        connection.send(request, sink);
      return {
        send,
        get closed() {
          return connection.closed;
        },
        onClose: (callback) => connection.onClose(callback),
        close: () => connection.close(),
        [Symbol.asyncDispose]: () => connection[Symbol.asyncDispose](),
      };
    },
  };
  return blocked;
}

/** Wire rule W1: nothing is called from within `send`. */
function later(block: Block | undefined, sink: WireSink): WireExchange | undefined {
  if (block === undefined) return undefined;
  let isOver = false;
  queueMicrotask(() => {
    if (!isOver) block(sink);
  });
  return { hold() {}, flow() {}, cancel: () => (isOver = true) };
}
