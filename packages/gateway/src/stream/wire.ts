/**
 * One open response: bytes out, and word of when they could not go.
 *
 * 1. The head is sent before `openWire` returns; from then on the response is this wire's alone.
 * 2. `write` says whether more may come; after `false` the owner waits for `onDrain`. Nothing is dropped here.
 * 3. `onClose` is called once, however the response ends: by us, by the peer, by an error.
 * 4. `end` ends the response cleanly, which a peer takes for "this is all"; `destroy` breaks it, which it does not.
 */
import type { ServerResponse } from 'node:http';

export interface Wire {
  write(bytes: Uint8Array): boolean;
  end(): void;
  destroy(): void;
}

export interface WireEvents {
  onDrain(): void;
  onClose(): void;
}

export function openWire(outgoing: ServerResponse, events: WireEvents): Wire {
  const { socket } = outgoing;
  socket?.setNoDelay(true);
  outgoing.flushHeaders();
  outgoing.on('drain', () => events.onDrain());
  outgoing.once('close', () => events.onClose());
  // A write on a connection that the peer has reset: `close` follows.
  outgoing.on('error', () => undefined);
  return {
    write: (bytes) => outgoing.write(bytes),
    end: () => outgoing.end(),
    destroy: () => outgoing.destroy(),
  };
}
