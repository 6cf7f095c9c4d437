/**
 * Whether a session is followed, and what comes of the stream's end.
 *
 * S1. It is followed while it is retained (a subscriber, a turn that is read, a `ready` that waits) and `lingerMs` afterwards.
 *     Following again goes on from what is shown.
 * S2. When its stream ends in mid-turn a recovery runs beside the reconnect (E1); whichever is first wins, and the token
 *     decides (E6). Nothing is cleared or replaced by the end itself.
 * S3. News from the stream end the recovery: the stream owns the view again.
 */
import type { Fault } from '@holdfast/protocol/fault';
import type { TurnId } from '@holdfast/protocol/ids';

import type { ConnectionState } from './api.ts';
import type { Attachment, Attachments } from './attachment.ts';
import type { StreamState } from './event-stream.ts';
import { liveIfThere } from './live-part.ts';
import type { Ports, Timer } from './ports.ts';
import type { Recovery } from './recovery.ts';
import type { Requests } from './requests.ts';
import type { SessionModel } from './session-model.ts';
import type { Lane, Streams } from './streams.ts';

export interface FollowerContext {
  readonly requests: Requests;
  readonly streams: Streams;
  readonly attachments: Attachments;
  readonly ports: Ports;
  readonly lingerMs: number;
  connectionOf(state: StreamState): ConnectionState;
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
  #recovery: Recovery | undefined;
  #token: Attachment;

  constructor(model: SessionModel, context: FollowerContext, events: FollowerEvents) {
    this.#model = model;
    this.#context = context;
    this.#events = events;
    this.#token = context.attachments.attach(model.id, null);
  }

  get state(): Following['kind'] {
    return this.#following.kind;
  }

  get recoveryState(): string {
    return this.#recovery?.state.kind ?? 'none';
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
    this.#endRecovery();
    this.#context.attachments.detach(this.#model.id);
    this.#model.setConnection({ kind: 'idle' });
    this.#events.followed(false);
  }

  /** It may exist now. */
  expect(): void {
    this.#model.expect();
    if (this.#retained > 0) this.#follow();
  }

  hint(): void {
    this.#recovery?.hint();
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
        if (this.#model.snapshot(frame)) this.#live();
      },
      entry: (entry, cursor) => {
        this.#model.entry(entry, cursor);
        this.#live();
      },
      gone: (reason) => {
        this.end();
        this.#model.gone(reason.kind === 'session-deleted' ? 'deleted' : 'missing');
      },
      state: (state) => this.#streamState(state),
    };
  }

  // ── from live to settled (S2) ─────────────────────────────────────────────────────────────────────────────────────

  /** News came from the stream: it owns the view, and what recovers is done. */
  #live(): void {
    this.#endRecovery();
    const runId = this.#model.view.turn?.turnId ?? null;
    if (!this.#token.isCurrent || this.#token.runId !== runId)
      this.#token = this.#context.attachments.attach(this.#model.id, runId);
  }

  #streamState(state: StreamState): void {
    this.#model.setConnection(this.#context.connectionOf(state));
    const ended = state.kind === 'waiting' || (state.kind === 'idle' && state.fault !== undefined);
    if (!ended || this.#recovery !== undefined) return;
    const { turn } = this.#model.view;
    if (turn !== null) this.#recover(turn.turnId);
  }

  #recover(turnId: TurnId): void {
    const { attachments, requests, ports } = this.#context;
    // Without the part that streams there was no stream to recover from.
    const part = liveIfThere();
    if (part === undefined) return;
    this.#token = attachments.attach(this.#model.id, turnId);
    const recovery = part.recoverSession({ model: this.#model, turnId, token: this.#token, requests, ports });
    this.#recovery = recovery;
    void recovery.ended.then(() => {
      if (this.#recovery === recovery) this.#recovery = undefined;
    });
  }

  #endRecovery(): void {
    this.#recovery?.terminal();
    this.#recovery = undefined;
  }
}
