/**
 * A session as one holds it: its model, its lane of the stream, its recovery, its commands (`api.ts`, `Session`).
 *
 * S1. It is followed while it is retained (a subscriber, a turn that is read, a `ready` that waits) and `lingerMs` afterwards.
 *     Following again goes on from what is shown.
 * S2. When its stream ends in mid-turn a recovery runs beside the reconnect (E1); whichever is first wins, and the token
 *     decides (E6). Nothing is cleared or replaced by the end itself.
 * S3. All that is known about it is in its model. There is no flag here that could be left set (R74).
 */
import type { Answer } from '@holdfast/protocol/entry';
import { fault, FaultError, type Fault } from '@holdfast/protocol/fault';
import type { ClientId, MessageId, PromptId, SessionId, ToolId, TurnId } from '@holdfast/protocol/ids';
import type { View } from '@holdfast/protocol/view';

import type {
  AnswerResult,
  ChangeResult,
  ConnectionState,
  DoneResult,
  PageResult,
  Readable,
  RegenerateResult,
  ReorderResult,
  SendOptions,
  Session,
  SessionState,
  SetOptions,
  SteerResult,
  StopOptions,
  StopResult,
  SwitchResult,
  ToolResultResult,
  Turn,
  TurnEndNotice,
} from './api.ts';
import type { Attachment, Attachments } from './attachment.ts';
import { Commands } from './commands.ts';
import type { StreamState } from './event-stream.ts';
import type { Frames } from './frames.ts';
import { edgeOf, jumpTo, NO_HISTORY, prepend, type HistoryTurn } from './history.ts';
import type { Outbox } from './outbox.ts';
import type { Ports, Timer } from './ports.ts';
import { startRecovery, type Recovery, type SettlePort } from './recovery.ts';
import type { Requests } from './requests.ts';
import { SessionModel } from './session-model.ts';
import type { Lane, Streams } from './streams.ts';
import { TurnReader, type TurnHost, type TurnKey } from './turn.ts';

/** What all sessions of a client share. */
export interface SessionContext {
  readonly requests: Requests;
  readonly streams: Streams;
  readonly outbox: Outbox;
  readonly attachments: Attachments;
  readonly ports: Ports;
  readonly frames: Frames;
  readonly lingerMs: number;
  connectionOf(state: StreamState): ConnectionState;
  onTurnEnd(end: TurnEndNotice): void;
  onError(error: unknown): void;
  /** It is held by its readers from now on, or by nobody. */
  onFollowed(session: LiveSession, followed: boolean): void;
  onLinger(session: LiveSession): void;
  /** Why everything is over, once the client was closed. */
  closed(): Fault | undefined;
}

const PAGE_TURNS = 20;

type Following =
  | { readonly kind: 'no' }
  | { readonly kind: 'yes'; readonly end: () => void }
  | { readonly kind: 'lingering'; readonly end: () => void; readonly timer: Timer };

interface Snapshot {
  readonly view: View;
  readonly cursor: string;
}

export class LiveSession implements Session, TurnHost {
  readonly id: SessionId;
  readonly model: SessionModel;
  readonly store: Readable<SessionState>;
  readonly #context: SessionContext;
  readonly #commands: Commands;
  #following: Following = { kind: 'no' };
  #retained = 0;
  #releaseReaders: (() => void) | undefined;
  #recovery: Recovery | undefined;
  #token: Attachment;

  constructor(id: SessionId, context: SessionContext) {
    this.id = id;
    this.#context = context;
    this.#commands = new Commands(context.requests, id);
    this.#token = context.attachments.attach(id, null);
    this.model = new SessionModel({
      id,
      frames: context.frames,
      outbox: () => context.outbox.items(id),
      onTurnEnd: (end) => context.onTurnEnd(end),
      onError: (error) => context.onError(error),
      watched: (readers) => this.#watched(readers),
    });
    this.store = this.model.cell;
  }

  get closed(): Fault | undefined {
    return this.#context.closed();
  }

  get isFollowed(): boolean {
    return this.#following.kind !== 'no';
  }

  get isLingering(): boolean {
    return this.#following.kind === 'lingering';
  }

  get recoveryState(): string {
    return this.#recovery?.state.kind ?? 'none';
  }

  async ready(): Promise<SessionState> {
    const release = this.retain();
    try {
      while (this.model.status === 'loading' && this.closed === undefined) await this.model.changed();
      if (this.model.status === 'loading') throw new FaultError(this.closed ?? CLOSED);
      this.model.cell.flush();
      return this.store.getSnapshot();
    } finally {
      release();
    }
  }

  // ── following (S1) ────────────────────────────────────────────────────────────────────────────────────────────────

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
  unfollow(): void {
    if (this.#following.kind === 'no') return;
    if (this.#following.kind === 'lingering') this.#following.timer.cancel();
    this.#following.end();
    this.#following = { kind: 'no' };
    this.#endRecovery();
    this.#context.attachments.detach(this.id);
    this.model.setConnection({ kind: 'idle' });
    this.#context.onFollowed(this, false);
  }

  /** It may exist now. */
  expect(): void {
    this.model.expect();
    if (this.#retained > 0) this.#follow();
  }

  hint(): void {
    this.#recovery?.hint();
  }

  #watched(readers: number): void {
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
    if (following.kind !== 'no' || this.closed !== undefined || this.model.status === 'deleted') return;
    if (this.model.status === 'missing') this.model.expect();
    // The lane may be told of an end before `follow` has returned it.
    let end: (() => void) | undefined;
    this.#following = { kind: 'yes', end: () => end?.() };
    this.#context.onFollowed(this, true);
    end = this.#context.streams.follow(this.id, this.model.place, this.#lane());
  }

  #linger(): void {
    if (this.#following.kind !== 'yes') return;
    const { end } = this.#following;
    const timer = this.#context.ports.clock.after(this.#context.lingerMs, () => this.unfollow());
    this.#following = { kind: 'lingering', end, timer };
    this.#context.onLinger(this);
  }

  #lane(): Lane {
    return {
      snapshot: (frame) => {
        if (!this.model.snapshot(frame)) return;
        this.#live();
      },
      entry: (entry, cursor) => {
        this.model.entry(entry, cursor);
        this.#live();
      },
      gone: (reason) => {
        this.unfollow();
        this.model.gone(reason.kind === 'session-deleted' ? 'deleted' : 'missing');
      },
      state: (state) => this.#streamState(state),
    };
  }

  // ── from live to settled (S2) ─────────────────────────────────────────────────────────────────────────────────────

  /** News came from the stream: it owns the view, and what recovers is done. */
  #live(): void {
    this.#endRecovery();
    const runId = this.model.view.turn?.turnId ?? null;
    if (!this.#token.isCurrent || this.#token.runId !== runId)
      this.#token = this.#context.attachments.attach(this.id, runId);
    this.#context.outbox.seen(this.id, this.model.view);
  }

  #streamState(state: StreamState): void {
    this.model.setConnection(this.#context.connectionOf(state));
    const ended = state.kind === 'waiting' || (state.kind === 'idle' && state.fault !== undefined);
    if (!ended || this.#recovery !== undefined) return;
    const { turn } = this.model.view;
    if (turn !== null) this.#recover(turn.turnId);
  }

  #recover(turnId: TurnId): void {
    const { ports, attachments } = this.#context;
    const token = attachments.attach(this.id, turnId);
    this.#token = token;
    const recovery = startRecovery<Snapshot>({
      port: this.#settlePort(turnId),
      token,
      clock: ports.clock,
      random: ports.random,
      shown: this.model.view.messages.some((message) => message.turnId === turnId && message.text !== ''),
      seenRevision: () => this.model.view.seq,
      restore: (snapshot) => {
        this.model.snapshot(snapshot);
        this.#context.outbox.seen(this.id, this.model.view);
      },
      interrupt: () => this.model.interrupt(turnId),
    });
    this.#recovery = recovery;
    void recovery.ended.then(() => {
      if (this.#recovery === recovery) this.#recovery = undefined;
    });
  }

  #endRecovery(): void {
    this.#recovery?.terminal();
    this.#recovery = undefined;
  }

  #settlePort(turnId: TurnId): SettlePort<Snapshot> {
    return {
      status: async () => {
        const answer = await this.#context.requests.once('GET', `/v1/sessions/${this.id}/turns/${turnId}`);
        if (answer.kind === 'ok') return (answer.body as { terminal: boolean }).terminal ? 'ended' : 'active';
        if (answer.fault.kind === 'turn-not-found') return 'missing';
        throw new FaultError(answer.fault);
      },
      snapshot: async () => {
        const answer = await this.#context.requests.once('GET', `/v1/sessions/${this.id}`);
        if (answer.kind === 'fault') throw new FaultError(answer.fault);
        const value = answer.body as Snapshot;
        return { revision: value.view.seq, terminal: value.view.turn?.turnId !== turnId, value };
      },
    };
  }

  // ── messages and turns ────────────────────────────────────────────────────────────────────────────────────────────

  async send(text: string, options?: SendOptions): Promise<Turn> {
    this.#context.streams.nudge();
    const { clientId, admission } = await this.#context.outbox.send(this.id, text, options);
    return this.#read({ kind: 'message', clientId, admission });
  }

  turn(turnId: TurnId): Turn {
    return this.#read({ kind: 'turn', turnId });
  }

  #read(key: TurnKey): Turn {
    return new TurnReader(this, key);
  }

  retry(clientId: ClientId): void {
    this.#context.streams.nudge();
    this.#context.outbox.retry(clientId);
  }

  discard(clientId: ClientId): void {
    this.#context.outbox.discard(clientId);
  }

  async findOld(messageId: MessageId): Promise<HistoryTurn | undefined | Fault> {
    const page = await this.#page(`around=${messageId}&limit=1`);
    if (page.kind === 'ok') return page.turns[0];
    return page.fault.kind === 'message-not-found' || page.fault.kind === 'turn-not-found' ? undefined : page.fault;
  }

  // ── commands ──────────────────────────────────────────────────────────────────────────────────────────────────────

  stop(options: StopOptions = {}): Promise<StopResult> {
    const turnId = options.turnId ?? this.model.view.turn?.turnId;
    return turnId === undefined ? Promise.resolve({ kind: 'not-found' }) : this.#commands.stop(turnId, options);
  }

  steer(text: string, options: { readonly turnId?: TurnId } = {}): Promise<SteerResult> {
    const turnId = options.turnId ?? this.model.view.turn?.turnId;
    return turnId === undefined ? Promise.resolve({ kind: 'not-found' }) : this.#commands.steer(turnId, text);
  }

  answer(promptId: PromptId, answer: Answer): Promise<AnswerResult> {
    return this.#commands.answer(promptId, answer);
  }

  toolResult(toolId: ToolId, result: { readonly ok: boolean; readonly output: string }): Promise<ToolResultResult> {
    return this.#commands.toolResult(toolId, result);
  }

  edit(messageId: MessageId, text: string): Promise<ChangeResult<'edited'>> {
    return this.#commands.edit(messageId, text);
  }

  withdraw(messageId: MessageId): Promise<ChangeResult<'withdrawn'>> {
    return this.#commands.withdraw(messageId);
  }

  reorder(messageIds: readonly MessageId[]): Promise<ReorderResult> {
    return this.#commands.reorder(messageIds);
  }

  async regenerate(messageId: MessageId): Promise<RegenerateResult> {
    const result = await this.#commands.regenerate(messageId);
    if (result.kind !== 'accepted') return result;
    const { receipt } = result;
    const admission = Promise.resolve({ ...receipt, kind: 'accepted' } as const);
    const clientId = receipt.messageId as string as ClientId;
    return { kind: 'accepted', receipt, turn: this.#read({ kind: 'message', clientId, admission }) };
  }

  switchBranch(turnId: TurnId): Promise<SwitchResult> {
    return this.#commands.switchBranch(turnId);
  }

  rename(title: string): Promise<DoneResult> {
    return this.set({ title });
  }

  set(changes: SetOptions): Promise<DoneResult> {
    return this.#commands.set(changes);
  }

  async delete(): Promise<DoneResult> {
    const result = await this.#commands.delete();
    if (result.kind === 'done') {
      this.unfollow();
      this.model.gone('deleted');
    }
    return result;
  }

  // ── older pages ───────────────────────────────────────────────────────────────────────────────────────────────────

  async earlier(): Promise<PageResult> {
    const { model } = this;
    const edge = edgeOf(model.history, model.view);
    if (edge === undefined || model.cell.getSnapshot().earlier.busy) return { kind: 'nothing' };
    model.setHistory(model.history, { busy: true, fault: null });
    const page = await this.#page(`before=${edge}&limit=${PAGE_TURNS}`);
    if (page.kind === 'fault') {
      model.setHistory(model.history, { busy: false, fault: page.fault });
      return page;
    }
    const history = prepend(model.history, model.view, edge, page.turns);
    model.setHistory(history, { busy: false, fault: null });
    return { kind: 'page', turns: page.turns.length, more: edgeOf(history, model.view) !== undefined };
  }

  async around(messageId: MessageId): Promise<PageResult> {
    const { model } = this;
    if (model.view.messages.some(({ id }) => id === messageId)) return { kind: 'nothing' };
    const page = await this.#page(`around=${messageId}&limit=${PAGE_TURNS}`);
    if (page.kind === 'fault') return page;
    const history = jumpTo(model.view, page.turns);
    model.setHistory(history, { busy: false, fault: null });
    return { kind: 'page', turns: history.turns.length, more: edgeOf(history, model.view) !== undefined };
  }

  latest(): void {
    if (this.model.history !== NO_HISTORY) this.model.setHistory(NO_HISTORY, { busy: false, fault: null });
  }

  async #page(
    query: string,
  ): Promise<
    { readonly kind: 'ok'; readonly turns: readonly HistoryTurn[] } | { readonly kind: 'fault'; readonly fault: Fault }
  > {
    const answer = await this.#context.requests.get(`/v1/sessions/${this.id}/messages?${query}`);
    return answer.kind === 'fault' ? answer : { kind: 'ok', ...(answer.body as { turns: readonly HistoryTurn[] }) };
  }
}

const CLOSED = fault('cancelled', 'The client was closed.');
