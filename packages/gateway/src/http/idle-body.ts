/**
 * A body of which no byte arrives for `BODY_IDLE_MS` is cut off, so that a client that left without a word holds nothing. A slow one that
 * moves is never cut off, however long it takes, and a body that waits for this gateway is not idle.
 */
import type { IncomingMessage } from 'node:http';
import type { Clock } from '@holdfast/session';

export const BODY_IDLE_MS = 30_000;

/** @returns stop */
export function cutIdleBody(incoming: IncomingMessage, clock: Clock): () => void {
  if (incoming.complete) return () => undefined;
  const { socket } = incoming;
  let timer = watch(socket.bytesRead);
  function watch(bytesBefore: number): ReturnType<Clock['after']> {
    return clock.after(BODY_IDLE_MS, () => {
      if (incoming.complete || incoming.destroyed) return;
      const isOurs = incoming.readableLength >= incoming.readableHighWaterMark;
      if (socket.bytesRead === bytesBefore && !isOurs) incoming.destroy();
      else timer = watch(socket.bytesRead);
    });
  }
  return () => timer.cancel();
}
