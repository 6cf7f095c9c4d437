/**
 * Server-sent events (WHATWG HTML §9.2): encoding here, decoding in `sse-decode.ts`.
 *
 * 1. A frame is `id`, `event`, one-line JSON `data`; a frame without an id does not move the reader's cursor.
 * 2. Control frames (`hello`, `snapshot`, `resync`, `goodbye`, the heartbeat comment) never enter a log.
 */
import type { FaultKind } from './fault.ts';
import type { SessionId } from './ids.ts';
import type { View } from './view.ts';

export interface Frame {
  readonly id?: string;
  readonly event: string;
  /** JSON text: it has no line feed, so it is one `data` line. */
  readonly data: string;
}

export function encodeFrame({ id, event, data }: Frame): string {
  return id === undefined ? `event: ${event}\ndata: ${data}\n\n` : `id: ${id}\nevent: ${event}\ndata: ${data}\n\n`;
}

export const HEARTBEAT: string = ': heartbeat\n\n';
/** How often a quiet stream sends one. A reader calls a stream dead after twice this and a little. */
export const HEARTBEAT_MS = 15_000;

export const PROTOCOL_VERSION = 1;

export type GoodbyeReason =
  | 'shutdown'
  | 'too-slow'
  | 'auth-expired'
  | 'session-deleted'
  | 'store-unavailable'
  | 'superseded'
  | 'reader-limit'
  | 'rebalance';

/** The first frame of every stream. */
export interface Hello {
  readonly protocol: number;
  readonly build: string;
  readonly heartbeatMs: number;
}
/** The `snapshot` frame, and what a `resync` carries: swap, then go on from `cursor`. */
export interface SnapshotFrame {
  readonly sessionId: SessionId;
  readonly cursor: string;
  readonly view: View;
  /** With `resync`: why the asked cursor was not served. */
  readonly reason?: 'cursor-unknown' | 'cursor-too-old' | 'cursor-ahead';
}
/** Before every intended end of a stream (R51). */
export interface Goodbye {
  readonly reason: GoodbyeReason;
  readonly retryAfterMs?: number;
  readonly fault?: FaultKind;
}
