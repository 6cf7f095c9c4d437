/**
 * A stream of sessions' entries that keeps its place whatever breaks (B1–B7).
 *
 * Who needs it holds an `EventStream`; `EventStreamClient` is one over the network, `SharedStream` one that the tabs of a
 * browser share. Both tell the same handlers the same things.
 */
import type { Entry } from '@holdfast/protocol/entry';
import type { Fault } from '@holdfast/protocol/fault';
import type { SessionId } from '@holdfast/protocol/ids';
import type { Hello, SnapshotFrame } from '@holdfast/protocol/sse';

import type { Credentials } from './credentials.ts';
import type { Ports } from './ports.ts';
import type { Transport } from './transport.ts';

export type StreamState =
  /** Not running. `fault`: why it stopped by itself (retrying cannot help); absent after `stop`. */
  | { readonly kind: 'idle'; readonly fault?: Fault }
  | { readonly kind: 'connecting' }
  | { readonly kind: 'reading' }
  /** Between two attempts. `fault`: what ended the last one. */
  | { readonly kind: 'waiting'; readonly delayMs: number; readonly fault: Fault }
  | { readonly kind: 'closed' };

/** Entries after it are wanted; null: a snapshot first. */
export type Place = string | null;

export interface EventStream {
  readonly state: StreamState;
  /** No-op while running. */
  start(): void;
  /** Ends what runs; places are kept. No-op when nothing does. */
  stop(): void;
  /** Another attempt in place of the running one. */
  restart(): void;
  /** The person is there (sent something, came back): do not sit out a pause. */
  nudge(): void;
  /** Follow a session from `place`. Following one already does nothing. */
  add(sessionId: SessionId, place: Place): void;
  remove(sessionId: SessionId): void;
  /** Final. Resolves when every task, timer and socket of it is gone. */
  close(): Promise<void>;
}

export interface EventStreamHandlers {
  /** Swap what is shown for `frame.view` and go on from it; with `reason` it answers a cursor that was not served. */
  snapshot(frame: SnapshotFrame): void;
  /** In order, without gap or repetition, per session. `cursor` is its place: keep it together with what was made of it. */
  entry(sessionId: SessionId, entry: Entry, cursor: string): void;
  /** A frame of the feed and its revision. */
  feed?(data: unknown, revision: number): void;
  hello?(hello: Hello): void;
  /** This session is followed no more: deleted, not there, not allowed. */
  gone?(sessionId: SessionId, reason: Fault): void;
  state?(state: StreamState): void;
  /** Another handler threw. The stream goes on (R16). Default: reported to the platform as an uncaught error would be. */
  error?(error: unknown): void;
}

export interface EventStreamOptions {
  readonly transport: Transport;
  /** Without a slash at its end. */
  readonly baseUrl: string;
  readonly credentials?: Credentials;
  /** `session`: one, by GET. `sessions`: any number and the feed, multiplexed on one socket (R50). */
  readonly target:
    | { readonly kind: 'session'; readonly sessionId: SessionId; readonly place: Place }
    | {
        readonly kind: 'sessions';
        readonly places?: Readonly<Record<SessionId, Place>>;
        /** The feed from this revision; null: from its present state; absent: no feed. */
        readonly feed?: number | null;
      };
  readonly handlers: EventStreamHandlers;
  readonly ports?: Partial<Ports>;
}

export declare class EventStreamClient implements EventStream {
  constructor(options: EventStreamOptions);
  readonly state: StreamState;
  start(): void;
  stop(): void;
  restart(): void;
  nudge(): void;
  add(sessionId: SessionId, place: Place): void;
  remove(sessionId: SessionId): void;
  close(): Promise<void>;
}
