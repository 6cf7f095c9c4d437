/**
 * Server-sent events (WHATWG HTML §9.2): encoding here, decoding in `sse-decode.ts`.
 *
 * 1. A frame is `id`, `event`, one-line JSON `data`; a frame without an id does not move the reader's cursor.
 * 2. Control frames (`hello`, `snapshot`, `resync`, `goodbye`, the heartbeat comment) never enter a log.
 *
 * One session: `GET /v1/sessions/{id}/events?after=CURSOR`.
 * 3. `hello` first. Then, without `after`, a `snapshot`; with one that is served, the entries after it; with one that is
 *    not, a `resync`: a snapshot with the reason. From there on the entries, for ever.
 * 4. An entry's frame: `id` its cursor, `event` its type, `data` its JSON with `seq` and `at`.
 *
 * Many: `POST /v1/events {cursors: {SESSION: CURSOR|null}, feed?: REV|null}`, null asking for a snapshot.
 * 5. The same frames, an entry's `id` being `SESSION/CURSOR`; `snapshot` and `resync` name their session in the data.
 * 6. `hello` carries the `streamId`: `POST /v1/events/{streamId} {add: {SESSION: CURSOR|null}, remove: [SESSION],
 *    feed: REV|null}` changes what is followed. A stream that is on another node, or gone, is a 404: open a new one from the cursors.
 *    Removing comes before adding; adding what is followed already starts it anew, from the given cursor.
 * 7. `goodbye` with a `sessionId` ends that session's part alone (deleted, not there, not allowed), without one the stream.
 * 8. The feed: `event: feed`, `id: feed/REV`.
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
  | 'session-refused'
  | 'store-unavailable'
  | 'superseded'
  | 'reader-limit'
  | 'rebalance';

/** The first frame of every stream. */
export interface Hello {
  readonly protocol: number;
  readonly build: string;
  readonly heartbeatMs: number;
  /** Of a multiplexed stream: the name to change it by. */
  readonly streamId?: string;
}
/** The `snapshot` frame, and what a `resync` carries: swap, then go on from `cursor`. */
export interface SnapshotFrame {
  readonly sessionId: SessionId;
  readonly cursor: string;
  readonly view: View;
  /** With `resync`: why the asked cursor was not served. */
  readonly reason?: 'cursor-unknown' | 'cursor-too-old' | 'cursor-ahead';
}
/** The body of `POST /v1/events`. */
export interface OpenStream {
  readonly cursors: Readonly<Record<SessionId, string | null>>;
  readonly feed?: number | null;
}
/** The body of `POST /v1/events/{streamId}`. */
export interface ChangeStream {
  readonly add?: Readonly<Record<SessionId, string | null>>;
  readonly remove?: readonly SessionId[];
  /** The feed too, or anew, from this revision; null: as it is, then its changes. */
  readonly feed?: number | null;
}
/** Before every intended end of a stream (R51), or of a session's part of it. */
export interface Goodbye {
  readonly reason: GoodbyeReason;
  /** On a multiplexed stream: only this session's part ends. */
  readonly sessionId?: SessionId;
  readonly retryAfterMs?: number;
  readonly fault?: FaultKind;
}
