/**
 * One open response: chunks out, and word of when they could not go.
 *
 * 1. The head is sent before `openWire` returns; from then on the response is this wire's alone.
 * 2. `write` says whether more may come; after `false` the owner waits for `onDrain`. Nothing is dropped here.
 * 3. `onClose` is called once, however the response ends: by us, by the peer, by an error.
 * 4. `end` ends the response cleanly, which a peer takes for "this is all"; `destroy` breaks it, which it does not.
 * 5. Chunks bring their frame along and go to the socket as they are, past the response, which would frame them again. The
 *    response still writes the head and the last chunk; nothing is left in it in between. Where it is not chunked (HTTP/1.0) or waits
 *    for its turn on the connection (pipelining), the payload goes through it.
 */
import type { ServerResponse } from 'node:http';
import { payloadOf } from './chunk.ts';

export interface Wire {
  write(chunk: Buffer): boolean;
  end(): void;
  destroy(): void;
}

export interface WireEvents {
  onDrain(): void;
  onClose(): void;
}

export function openWire(outgoing: ServerResponse, events: WireEvents): Wire {
  const { socket } = outgoing;
  outgoing.flushHeaders();
  outgoing.once('close', () => events.onClose());
  // A write on a connection that the peer has reset: `close` follows.
  outgoing.on('error', () => undefined);
  const end = (): void => void outgoing.end();
  const destroy = (): void => void outgoing.destroy();
  // Rule 5.
  if (socket === null || !outgoing.chunkedEncoding) {
    outgoing.on('drain', () => events.onDrain());
    return { write: (chunk) => outgoing.write(payloadOf(chunk)), end, destroy };
  }
  const onDrain = (): void => events.onDrain();
  socket.on('drain', onDrain);
  outgoing.once('close', () => socket.off('drain', onDrain));
  return { write: (chunk) => !socket.writable || socket.write(chunk), end, destroy };
}
