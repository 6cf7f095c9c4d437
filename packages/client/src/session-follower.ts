/**
 * Whether a session is followed, and what comes of the stream's end.
 *
 * S1. It is followed while it is retained (a subscriber, a turn that is read, a `ready` that waits) and `lingerMs` afterwards.
 *     Following again goes on from what is shown.
 * S2. While no stream reads, recovery runs beside the reconnect (E1, `session-recovery.ts`); whichever is first wins. Nothing is
 *     cleared or replaced by the end of a stream itself.
 */
import type { Fault } from '@holdfast/protocol/fault';

import type { ConnectionState } from './api.ts';
import type { StreamState } from './event-stream.ts';
import type { Ports, Timer } from './ports.ts';
import type { SessionModel } from './session-model.ts';
import type { SessionRecovery } from './session-recovery.ts';
import type { Lane, Streams } from './streams.ts';

export interface FollowerContext {
  readonly streams: Streams;
  readonly ports: Ports;
  readonly lingerMs: number;
  connectionOf(state: StreamState): ConnectionState;
  /** undefined as long as the part that streams is not there. */
  recoveryOf(model: SessionModel): SessionRecovery | undefined;
  /** Why everything is over, once the client was closed. */
  closed(): Fault | undefined;
}

export interface FollowerEvents {
  /** It has to be held from now on, or need not be any more. */
  followed(followed: boolean): void;
  lingers(): void;
}

type Following =
  | { readonly kind: 'no' }
  | { readonly kind: 'yes'; readonly end: () => void }
  | { readonly kind: 'lingering'; readonly end: () => void; readonly timer: Timer };

export class Follower {
  readonly #model: SessionModel;
  readonly #context: FollowerContext;
  readonly #events: FollowerEvents;
  #following: Following = { kind: 'no' };
  #retained = 0;
  #releaseReaders: (() => void) | undefined;
  #recovery: SessionRecovery | undefined;

  constructor(model: SessionModel, context: FollowerContext, events: FollowerEvents) {
    this.#model = model;
    this.#context = context;
    this.#events = events;
  }

  get state(): Following['kind'] {
    return this.#following.kind;
  }

  get recoveryState(): string {
    return this.#recovery?.state ?? 'none';
  }

  retain(): () => void {
    this.#retained++;
    this.#follow();
    let released = false;
    return () => {
      if (released) return;
      released = true;
      if (--this.#retained === 0) this.#linger();
    };
  }

  /** Ends the lingering, or everything where the client closes. */
  end(): void {
    if (this.#following.kind === 'no') return;
    if (this.#following.kind === 'lingering') this.#following.timer.cancel();
    this.#following.end();
    this.#following = { kind: 'no' };
    this.#recovery?.reads();
    this.#model.setConnection({ kind: 'idle' });
    this.#events.followed(false);
  }

  /** R99: the one way by which a session goes, told by its stream, by an answer or by this client's own hand. */
  gone(status: 'missing' | 'deleted'): void {
    this.end();
    this.#model.gone(status);
  }

  /** It may exist now. */
  expect(): void {
    this.#model.expect();
    if (this.#retained > 0) this.#follow();
  }

  hint(): void {
    this.#recovery?.hint();
  }

  /** What is unsent has changed: a message that was accepted has to be shown, stream or not. */
  look(): void {
    this.#recovery?.look();
  }

  watched(readers: number): void {
    if (readers > 0) this.#releaseReaders ??= this.retain();
    else {
      this.#releaseReaders?.();
      this.#releaseReaders = undefined;
    }
  }

  #follow(): void {
    const following = this.#following;
    if (following.kind === 'lingering') {
      following.timer.cancel();
      this.#following = { kind: 'yes', end: following.end };
    }
    if (following.kind !== 'no' || this.#context.closed() !== undefined || this.#model.status === 'deleted') return;
    if (this.#model.status === 'missing') this.#model.expect();
    // The lane may be told of an end before `follow` has returned it.
    let end: (() => void) | undefined;
    this.#following = { kind: 'yes', end: () => end?.() };
    this.#events.followed(true);
    end = this.#context.streams.follow(this.#model.id, this.#model.place, this.#lane());
    if (this.state === 'no') end(); // R99
  }

  #linger(): void {
    if (this.#following.kind !== 'yes') return;
    const { end } = this.#following;
    const timer = this.#context.ports.clock.after(this.#context.lingerMs, () => this.end());
    this.#following = { kind: 'lingering', end, timer };
    this.#events.lingers();
  }

  #lane(): Lane {
    return {
      snapshot: (frame) => {
        if (this.#model.snapshot(frame)) this.#recovery?.reads();
      },
      entry: (entry, cursor) => {
        this.#model.entry(entry, cursor);
        this.#recovery?.reads();
      },
      gone: ({ kind }) => this.gone(kind === 'session-deleted' ? 'deleted' : 'missing'),
      reads: () => this.#recovery?.reads(),
      state: (state) => this.#streamState(state),
    };
  }

  // ── from live to settled (S2) ─────────────────────────────────────────────────────────────────────────────────────

  #streamState(state: StreamState): void {
    this.#model.setConnection(this.#context.connectionOf(state));
    // Without the part that streams there was no stream to recover from.
    this.#recovery ??= this.#context.recoveryOf(this.#model);
    this.#recovery?.streamState(state);
  }
}
