/** `openByteStream` as it is exported: over a connection of the caller's, or over one of its own. */
import { openByteStream as openOver, type ByteStreamRequest, type ByteStreamResponse } from './byte-stream.ts';
import { fetchTransport } from './fetch-wire.ts';
import type { Connection, Transport } from './transport.ts';

/**
 * Resolves when headers arrive, whatever the status. The body is to be read or cancelled.
 *
 * Without a connection the request has one of its own, over the platform's default transport, which closes with the body.
 *
 * @throws FaultError `cancelled` when the connection or the signal ended it, `disconnected` when the network did, `invalid-request`
 *   when an option is not acceptable.
 * @example
 *   const { status, body } = await openByteStream({ url: 'http://127.0.0.1:7420/v1/health' });
 *   for await (const line of body.lines()) console.log(line);
 */
export interface OpenByteStream {
  (request: ByteStreamRequest): Promise<ByteStreamResponse>;
  (connection: Connection, request: ByteStreamRequest): Promise<ByteStreamResponse>;
}

export const openByteStreamOver =
  (makeTransport: () => Transport): OpenByteStream =>
  (first: Connection | ByteStreamRequest, request?: ByteStreamRequest): Promise<ByteStreamResponse> =>
    request === undefined
      ? openOver(ownConnection(makeTransport), first as ByteStreamRequest)
      : openOver(first as Connection, request);

export const openByteStream: OpenByteStream = /* @__PURE__ */ openByteStreamOver(fetchTransport);

/** For one request: everything that ends the exchange closes it. */
function ownConnection(makeTransport: () => Transport): Connection {
  return {
    closed: false,
    // Nothing else can close it.
    onClose: () => () => undefined,
    send(request, sink) {
      const transport = makeTransport();
      const connection = transport.open();
      const close = (): void => {
        connection.close();
        transport.close();
      };
      const exchange = connection.send(request, {
        head: (status, headers) => sink.head(status, headers),
        chunk: (bytes) => sink.chunk(bytes),
        end() {
          close();
          sink.end();
        },
        fail(reason) {
          close();
          sink.fail(reason);
        },
      });
      return {
        hold: () => exchange.hold(),
        flow: () => exchange.flow(),
        cancel() {
          exchange.cancel();
          close();
        },
      };
    },
  };
}
