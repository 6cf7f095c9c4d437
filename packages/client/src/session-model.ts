/**
 * What a session shows: its view, the older pages, what is unsent, how the connection stands.
 *
 * M1. The view is the fold of the log and of nothing else. An entry is folded once, in order; a snapshot replaces the view
 *     only where it is ahead, or where the server says that the log itself went back (`resync`), and shares everything in it
 *     that did not change (E4, E7, R59).
 * M2. View and cursor change in one step (R54): whoever follows again goes on from exactly what is shown.
 * M3. Where the server has lost a run, its end is shown on top of the view (`interrupted`); the first real news replaces it.
 * M4. Readers are told once a frame; of the end of a turn and of prompts at once.
 * M5. The end of a turn is announced once, by its seq (R73): a replay, a resync or a recovery announces nothing again.
 * M6. It is not ready before what is unsent is known: a view that came first would show a message too few.
 */
import type { Entry } from '@holdfast/protocol/entry';
import type { SessionId, TurnId } from '@holdfast/protocol/ids';
import type { SnapshotFrame } from '@holdfast/protocol/sse';
import { EMPTY_VIEW, type View } from '@holdfast/protocol/view';

import type { ConnectionState, EarlierState, SessionState, SessionStatus, TurnEndNotice } from './api.ts';
import { Cell } from './cell.ts';
import type { Frames } from './frames.ts';
import { advance, edgeOf, NO_HISTORY, type History } from './history.ts';
import { live } from './live-part.ts';
import type { Outbox } from './outbox.ts';
import type { Place } from './places.ts';
import { share, shareView } from './share.ts';

export interface SessionModelOptions {
  readonly id: SessionId;
  readonly frames: Frames;
  readonly outbox: Pick<Outbox, 'items' | 'restored' | 'seen'>;
  readonly onTurnEnd: (end: TurnEndNotice) => void;
  readonly onError: (error: unknown) => void;
  readonly watched: (readers: number) => void;
}

const URGENT: ReadonlySet<string> = new Set(['turn-end', 'prompt-open', 'prompt-close', 'turn-park']);

export class SessionModel {
  readonly id: SessionId;
  readonly cell: Cell<SessionState>;
  readonly #options: SessionModelOptions;
  #folded: View = EMPTY_VIEW;
  /** M3. */
  #interrupted: View | undefined;
  #status: SessionStatus = 'loading';
  #history: History = NO_HISTORY;
  #earlier: Pick<EarlierState, 'busy' | 'fault'> = { busy: false, fault: null };
  #connection: ConnectionState = { kind: 'idle' };
  #announcedSeq = 0;
  #waiting: (() => void)[] = [];
  /** The older pages in the last state. */
  #builtFrom: History['turns'] | undefined;
  /** Entries after it are wanted. */
  place: Place = null;

  constructor(options: SessionModelOptions) {
    this.id = options.id;
    this.#options = options;
    this.cell = new Cell({
      frames: options.frames,
      build: (last) => this.#build(last),
      onError: options.onError,
      watched: options.watched,
    });
  }

  get view(): View {
    return this.#interrupted ?? this.#folded;
  }

  /** M6. */
  get status(): SessionStatus {
    return this.#status === 'ready' && !this.#options.outbox.restored ? 'loading' : this.#status;
  }

  get history(): History {
    return this.#history;
  }

  get connection(): ConnectionState {
    return this.#connection;
  }

  /** Whether a message was accepted that is not in the view yet. */
  get awaitsAccepted(): boolean {
    return this.#options.outbox.items(this.id).some(({ state }) => state === 'accepted');
  }

  /** Resolves at the next change. Awaited as `held`: the model alone would not be kept by who waits. */
  changed(): Promise<void> {
    return new Promise((resolve) => this.#waiting.push(resolve));
  }

  // ── from the log ──────────────────────────────────────────────────────────────────────────────────────────────────

  entry(entry: Entry, cursor: string): void {
    if (entry.seq <= this.#folded.seq) return; // M1: a recovery was faster than the stream.
    this.#show(live().fold(this.#folded, entry), cursor);
    if (entry.type === 'turn-end') this.#announce();
    this.touch(URGENT.has(entry.type));
  }

  /** @returns whether it was taken. */
  snapshot({ view, cursor, reason }: Pick<SnapshotFrame, 'view' | 'cursor' | 'reason'>): boolean {
    const wentBack = reason !== undefined;
    const first = this.#status !== 'ready';
    if (!wentBack && !first && view.seq < this.#folded.seq) return false;
    if (wentBack && view.seq < this.#folded.seq) this.#announcedSeq = Math.min(this.#announcedSeq, view.seq);
    // What ended before one came is no news.
    if (first) this.#announcedSeq = Math.max(this.#announcedSeq, view.seq);
    this.#status = 'ready';
    this.#show(shareView(this.#folded, view), cursor);
    this.#announce();
    this.touch(true);
    return true;
  }

  gone(status: 'missing' | 'deleted'): void {
    if (this.#status === status) return;
    this.#status = status;
    this.#folded = EMPTY_VIEW;
    this.#interrupted = undefined;
    this.#history = NO_HISTORY;
    this.place = null;
    this.touch(true);
  }

  /** It may be there now: created, or shown to somebody else. */
  expect(): void {
    if (this.#status !== 'missing') return;
    this.#status = 'loading';
    this.touch();
  }

  /** M3. */
  interrupt(turnId: TurnId): void {
    const { turn } = this.#folded;
    if (turn?.turnId !== turnId) return;
    this.#interrupted = live().interrupted(this.#folded, turn);
    this.touch(true);
  }

  #show(view: View, cursor: Place): void {
    this.#history = advance(this.#history, this.#folded, view);
    this.#folded = view; // M2
    this.#interrupted = undefined;
    this.place = cursor;
    // Before readers are told: what is shown is not unsent any more.
    this.#options.outbox.seen(this.id, view);
  }

  /** M5. */
  #announce(): void {
    const ended = this.#folded.turns.filter((node) => node.outcome !== null && node.revision > this.#announcedSeq);
    for (const { turnId, outcome, revision: seq } of ended) {
      this.#announcedSeq = Math.max(this.#announcedSeq, seq);
      if (outcome !== null) this.#options.onTurnEnd({ sessionId: this.id, turnId, outcome, seq });
    }
  }

  /** M6. */
  outboxRestored(): void {
    this.#options.outbox.seen(this.id, this.view);
    this.touch(true);
  }

  // ── from elsewhere ────────────────────────────────────────────────────────────────────────────────────────────────

  setConnection(connection: ConnectionState): void {
    const former = this.#connection;
    this.#connection = share(former, connection);
    if (this.#connection !== former) this.touch();
  }

  setHistory(history: History, earlier: Pick<EarlierState, 'busy' | 'fault'>): void {
    this.#history = history;
    this.#earlier = earlier;
    this.touch();
  }

  touch(urgent: boolean = false): void {
    this.cell.touch(urgent);
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const resolve of waiting) resolve();
  }

  #build(last: SessionState | undefined): SessionState {
    const { view } = this;
    const { turns, gap } = this.#history;
    const sameMessages = last?.view.messages === view.messages && this.#builtFrom === turns;
    const messages = sameMessages
      ? last.messages
      : turns.length === 0
        ? view.messages
        : [...turns.flatMap((turn) => turn.messages), ...view.messages];
    this.#builtFrom = turns;
    const earlier = { ...this.#earlier, gap, more: edgeOf(this.#history, view) !== null };
    const outbox = this.#options.outbox.items(this.id);
    return {
      sessionId: this.id,
      status: this.status,
      view,
      messages,
      earlier: share(last?.earlier, earlier),
      outbox: share(last?.outbox, outbox),
      connection: this.#connection,
    };
  }
}
