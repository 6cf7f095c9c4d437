/**
 * A session as one holds it (`api.ts`, `Session`): its model, who follows it, its commands, its older pages.
 *
 * 1. All that is known about it is in its model. There is no flag here that could be left set (R74).
 */
import { FaultError, type Fault } from '@holdfast/protocol/fault';
import type { ClientId, MessageId, SessionId, ToolId, TurnId } from '@holdfast/protocol/ids';

import type * as Actions from './actions.ts';
import type {
  Admission,
  CallOptions,
  ChangeResult,
  DoneResult,
  PageResult,
  Readable,
  Refusal,
  RegenerateResult,
  ReorderResult,
  SendOptions,
  Session,
  SessionState,
  SetOptions,
  SteerOptions,
  SteerResult,
  StopOptions,
  StopResult,
  SwitchResult,
  ToolOutput,
  ToolResultResult,
  Turn,
  TurnEndNotice,
} from './api.ts';
import { CANCELLED, onAbort } from './authorize.ts';
import { Commands } from './commands.ts';
import type { Frames } from './frames.ts';
import { held } from './held.ts';
import { NO_HISTORY } from './history.ts';
import { loadActions } from './live-part.ts';
import type { Outbox } from './outbox.ts';
import type { Requests } from './requests.ts';
import { Follower, type FollowerContext } from './session-follower.ts';
import { SessionModel } from './session-model.ts';
import { TurnReader, type Sight, type TurnHost, type TurnKey } from './turn.ts';

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
    const { connection } = this.model;
    return this.#context.closed() ?? (connection.kind === 'closed' ? connection.fault : undefined);
  }

  async ready({ signal }: CallOptions = {}): Promise<SessionState> {
    const release = this.retain();
    const unlisten = signal && onAbort(signal, () => this.model.touch());
    try {
      while (this.model.status === 'loading') {
        const why = signal?.aborted ? CANCELLED : this.closed;
        if (why !== undefined) throw new FaultError(why);
        await held(this, this.model.changed());
      }
      this.model.cell.flush();
      return this.store.getSnapshot();
    } finally {
      unlisten?.();
      release();
    }
  }

  get refusal(): Fault | undefined {
    return this.#context.outbox.refusal(this.id);
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

  findOld(key: TurnKey, admission: Admission): Promise<Sight | Refusal> {
    return this.#act((it) => it.findOld(this.#context.requests, this.id, key, admission));
  }

  // ── commands ──────────────────────────────────────────────────────────────────────────────────────────────────────

  override async stop(options: StopOptions = {}): Promise<StopResult> {
    return super.stop({ ...options, ...(await this.#turnOf(options)) });
  }

  async steer(text: string, options: SteerOptions = {}): Promise<SteerResult> {
    const { turnId } = await this.#turnOf(options);
    return this.#act((it) => it.steer(this.command, turnId, text, options));
  }

  /** The one that is named, or the running one as far as this client knows; it looks first where it knows nothing. */
  async #turnOf({ turnId, signal }: SteerOptions): Promise<SteerOptions> {
    if (turnId !== undefined) return { turnId };
    if (this.model.status === 'loading') await this.ready({ signal });
    const { turn } = this.model.view;
    return turn === null ? {} : { turnId: turn.turnId };
  }

  // ── now and then (`actions.ts`) ───────────────────────────────────────────────────────────────────────────────────

  toolResult(toolId: ToolId, result: ToolOutput, options: CallOptions = {}): Promise<ToolResultResult> {
    return this.#act((it) => it.toolResult(this.command, toolId, result, options));
  }

  edit(messageId: MessageId, text: string, options: CallOptions = {}): Promise<ChangeResult<'edited'>> {
    return this.#act((it) => it.edit(this.command, messageId, text, options));
  }

  withdraw(messageId: MessageId, options: CallOptions = {}): Promise<ChangeResult<'withdrawn'>> {
    return this.#act((it) => it.withdraw(this.command, messageId, options));
  }

  reorder(messageIds: readonly MessageId[], options: CallOptions = {}): Promise<ReorderResult> {
    return this.#act((it) => it.reorder(this.command, messageIds, options));
  }

  switchBranch(turnId: TurnId, options: CallOptions = {}): Promise<SwitchResult> {
    return this.#act((it) => it.switchBranch(this.command, turnId, options));
  }

  regenerate(messageId: MessageId, options: CallOptions = {}): Promise<RegenerateResult> {
    return this.#act((it) => it.regenerate(this.command, messageId, options, (key) => this.#read(key)));
  }

  rename(title: string, options?: CallOptions): Promise<DoneResult> {
    return this.set({ title }, options);
  }

  set(changes: SetOptions, options: CallOptions = {}): Promise<DoneResult> {
    return this.#act((it) => it.set(this.command, changes, options));
  }

  markUnread(readSeq?: number, options: CallOptions = {}): Promise<DoneResult> {
    return this.#act((it) => it.markUnread(this.command, readSeq, options));
  }

  async delete(options: CallOptions = {}): Promise<DoneResult> {
    const result = await this.#act((it) => it.remove(this.command, options));
    if (result.kind === 'done') this.follower.gone('deleted');
    return result;
  }

  earlier(options: CallOptions = {}): Promise<PageResult> {
    return this.#act((it) => it.earlier(this.#context.requests, this.model, options));
  }

  around(messageId: MessageId, options: CallOptions = {}): Promise<PageResult> {
    return this.#act((it) => it.around(this.#context.requests, this.model, messageId, options));
  }

  latest(): void {
    if (this.model.history !== NO_HISTORY) this.model.setHistory(NO_HISTORY, { busy: false, fault: null });
  }

  async #act<T>(use: (actions: typeof Actions) => Promise<T>): Promise<T | Refusal> {
    try {
      return await use(await loadActions());
    } catch (error) {
      if (error instanceof FaultError) return { kind: 'fault', fault: error.fault };
      throw error;
    }
  }
}
