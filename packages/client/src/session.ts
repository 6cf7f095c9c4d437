/**
 * A session as one holds it (`api.ts`, `Session`): its model, who follows it, its commands, its older pages.
 *
 * 1. All that is known about it is in its model. There is no flag here that could be left set (R74).
 */
import { FaultError, type Fault } from '@holdfast/protocol/fault';
import type { ClientId, MessageId, SessionId, TurnId } from '@holdfast/protocol/ids';

import type {
  DoneResult,
  PageResult,
  Readable,
  RegenerateResult,
  SendOptions,
  Session,
  SessionState,
  SteerResult,
  StopOptions,
  StopResult,
  Turn,
  TurnEndNotice,
} from './api.ts';
import { Commands, type SteerOptions } from './commands.ts';
import type { Frames } from './frames.ts';
import { held } from './held.ts';
import { edgeOf, jumpTo, NO_HISTORY, prepend, type HistoryTurn } from './history.ts';
import type { Outbox } from './outbox.ts';
import { CLOSED, type Requests } from './requests.ts';
import { Follower, type FollowerContext } from './session-follower.ts';
import { SessionModel } from './session-model.ts';
import { TurnReader, type TurnHost, type TurnKey } from './turn.ts';

const PAGE_TURNS = 20;

/** What all sessions of a client share. */
export interface SessionContext extends FollowerContext {
  readonly requests: Requests;
  readonly frames: Frames;
  readonly outbox: Outbox;
  onTurnEnd(end: TurnEndNotice): void;
  onError(error: unknown): void;
  /** It is held by its readers from now on, or by nobody. */
  onFollowed(session: LiveSession, followed: boolean): void;
  onLinger(session: LiveSession): void;
}

export class LiveSession extends Commands implements Session, TurnHost {
  readonly model: SessionModel;
  readonly store: Readable<SessionState>;
  readonly follower: Follower;
  readonly #context: SessionContext;

  constructor(id: SessionId, context: SessionContext) {
    super(context.requests, id);
    this.#context = context;
    this.model = new SessionModel({
      id,
      frames: context.frames,
      outbox: context.outbox,
      onTurnEnd: (end) => context.onTurnEnd(end),
      onError: (error) => context.onError(error),
      watched: (readers) => this.follower.watched(readers),
    });
    this.store = this.model.cell;
    this.follower = new Follower(this.model, context, {
      followed: (followed) => context.onFollowed(this, followed),
      lingers: () => context.onLinger(this),
    });
  }

  get closed(): Fault | undefined {
    return this.#context.closed();
  }

  async ready(): Promise<SessionState> {
    const release = this.retain();
    try {
      while (this.model.status === 'loading' && this.closed === undefined) await held(this, this.model.changed());
      if (this.model.status === 'loading') throw new FaultError(this.closed ?? CLOSED);
      this.model.cell.flush();
      return this.store.getSnapshot();
    } finally {
      release();
    }
  }

  retain(): () => void {
    return this.follower.retain();
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
    const page = await this.#page(`around=${messageId}`, 1);
    if (page.kind === 'ok') return page.turns[0];
    return page.fault.kind === 'message-not-found' || page.fault.kind === 'turn-not-found' ? undefined : page.fault;
  }

  // ── commands ──────────────────────────────────────────────────────────────────────────────────────────────────────

  override async stop(options: StopOptions = {}): Promise<StopResult> {
    return super.stop({ ...options, ...(await this.#turnOf(options)) });
  }

  override async steer(text: string, options: SteerOptions = {}): Promise<SteerResult> {
    return super.steer(text, await this.#turnOf(options));
  }

  /** The one that is named, or the running one as far as this client knows; it looks first where it knows nothing. */
  async #turnOf({ turnId }: SteerOptions): Promise<SteerOptions> {
    if (turnId !== undefined) return { turnId };
    if (this.model.status === 'loading') await this.ready();
    const { turn } = this.model.view;
    return turn === null ? {} : { turnId: turn.turnId };
  }

  override async regenerate(messageId: MessageId): Promise<RegenerateResult> {
    const result = await super.regenerate(messageId);
    if (result.kind !== 'accepted') return result;
    const { receipt } = result;
    const admission = Promise.resolve({ ...receipt, kind: 'accepted' } as const);
    const clientId = receipt.messageId as string as ClientId;
    return { kind: 'accepted', receipt, turn: this.#read({ kind: 'message', clientId, admission }) };
  }

  rename(title: string): Promise<DoneResult> {
    return this.set({ title });
  }

  override async delete(): Promise<DoneResult> {
    const result = await super.delete();
    if (result.kind === 'done') {
      this.follower.end();
      this.model.gone('deleted');
    }
    return result;
  }

  // ── older pages ───────────────────────────────────────────────────────────────────────────────────────────────────

  async earlier(): Promise<PageResult> {
    const { model } = this;
    const edge = edgeOf(model.history, model.view);
    if (edge === null || model.cell.getSnapshot().earlier.busy) return { kind: 'nothing' };
    model.setHistory(model.history, { busy: true, fault: null });
    // Without `before` the page ends where the window begins, or with the branch's last turn if that has left it.
    const page = await this.#page(edge === model.view.leaf ? '' : `before=${edge}`);
    if (page.kind === 'fault') {
      model.setHistory(model.history, { busy: false, fault: page.fault });
      return page;
    }
    const history = prepend(model.history, model.view, edge, page.turns);
    model.setHistory(history, { busy: false, fault: null });
    return { kind: 'page', turns: page.turns.length, more: edgeOf(history, model.view) !== null };
  }

  async around(messageId: MessageId): Promise<PageResult> {
    const { model } = this;
    if (model.view.messages.some(({ id }) => id === messageId)) return { kind: 'nothing' };
    const page = await this.#page(`around=${messageId}`);
    if (page.kind === 'fault') return page;
    const history = jumpTo(model.view, page.turns);
    model.setHistory(history, { busy: false, fault: null });
    return { kind: 'page', turns: history.turns.length, more: edgeOf(history, model.view) !== null };
  }

  latest(): void {
    if (this.model.history !== NO_HISTORY) this.model.setHistory(NO_HISTORY, { busy: false, fault: null });
  }

  async #page(
    query: string,
    limit: number = PAGE_TURNS,
  ): Promise<
    { readonly kind: 'ok'; readonly turns: readonly HistoryTurn[] } | { readonly kind: 'fault'; readonly fault: Fault }
  > {
    const answer = await this.#context.requests.get(`/v1/sessions/${this.id}/messages?limit=${limit}&${query}`);
    return answer.kind === 'fault' ? answer : { kind: 'ok', ...(answer.body as { turns: readonly HistoryTurn[] }) };
  }
}
