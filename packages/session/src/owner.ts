/**
 * One tenure: a process owns a session, does what the machine decides, and lets it go.
 *
 *  1. Acquire (the store raises the fence), then read the log to its head (R7): nothing known before counts.
 *  2. Fold → decide → perform one effect → fold again. What the owner writes it reads back from the log like everybody.
 *  3. What it appends, it has decided at the head that it appends at (R77): if a command came in between, it decides again.
 *  4. The lists are true before the owner waits and when it releases (`rows.ts`).
 *  5. It ends in one way of three: `released` (nothing left at that head, or a turn that waits for a slot on whatever node),
 *     `left` (draining), `lost` (fenced off, lease over, session deleted). However it ends, its run is cut off and its pen put
 *     down; what it has not dealt with is pending for the next owner (R11).
 */
import {
  FaultError,
  type MessageId,
  type ApprovalRight,
  type Part,
  type PromptId,
  type QueuedMessage,
  type RunEvent,
  type RunningTurn,
  type SessionId,
  type Subject,
  type TurnId,
  type View,
} from '@holdfast/protocol';
import type { AcquireVerdict, Log, StreamName } from '@holdfast/log';
import type { Agent } from './agent.ts';
import type { BlobReferences } from './blob-references.ts';
import type { Blobs } from './blobs.ts';
import type { Clock } from './clock.ts';
import type { Grants } from './grants.ts';
import type { LiveSession } from './live.ts';
import { decide, TITLE_WAIT_MS, type Effect, type Hand, type Titling } from './machine.ts';
import { isListStale, rowsFor, streamOf, type RowState } from './rows.ts';
import { answerOf, promptStates, Run } from './run.ts';
import { Past, type Told } from './told.ts';
import { Writer, type Decided } from './writer.ts';

export interface OwnerPorts {
  readonly log: Log;
  readonly clock: Clock;
  readonly agents: ReadonlyMap<string, Agent>;
  readonly defaultAgent: string;
  readonly grants: Grants;
  /** Whether a subject may allow at this moment what needs this right. */
  readonly mayApprove: (subject: Subject, needs: ApprovalRight) => boolean;
  readonly blobs: Blobs;
  readonly references: BlobReferences;
  readonly drain: () => 'no' | 'finishing' | 'now';
  /** Takes a slot for a turn, or says that there is none, or that others go first: then a slot brings the next tenure. */
  readonly takeSlot: (sessionId: SessionId, hadTurn: boolean) => boolean;
  readonly freeSlot: () => void;
  readonly onError: (error: unknown) => void;
  /** The process stood still and does not know yet whether it still owns what it holds: nothing is decided meanwhile. */
  readonly isInDoubt: () => boolean;
}

type Acquired = Extract<AcquireVerdict, { kind: 'acquired' }>;

export type TenureEnd = 'released' | 'left' | 'lost';

const STORE_RETRY_MS = 100;
/** A wake-up time that has passed by any clock. */
const AT_ONCE = 0;

export class Tenure {
  readonly #ports: OwnerPorts;
  readonly #live: LiveSession;
  readonly #acquired: Acquired;
  readonly #writer: Writer;
  #hand: Hand = { kind: 'empty' };
  #run: Run | undefined;
  #titling: Titling = { kind: 'none' };
  readonly #titleSignal = new AbortController();
  #rows: RowState;
  #hasSlot = false;
  #ranTurn = false;
  #nudge = Promise.withResolvers<void>();

  constructor(ports: OwnerPorts, live: LiveSession, acquired: Acquired, rows: RowState) {
    this.#ports = ports;
    this.#live = live;
    this.#acquired = acquired;
    this.#rows = rows;
    this.#writer = new Writer({
      log: ports.log,
      stream: streamOf(live.sessionId),
      epoch: acquired.epoch,
      clock: ports.clock,
      onAppended: (last) => live.reached(last),
      holdCommands: () => live.holdCommands(),
    });
  }

  get stream(): StreamName {
    return streamOf(this.#live.sessionId);
  }

  get epoch(): number {
    return this.#acquired.epoch;
  }

  /**
   * Ends the tenure from outside: the lease is over, or the process stops. The run is cut here and now (D2): the tenure
   * itself may be waiting for a store that does not answer.
   */
  cut(): void {
    this.#writer.put();
    this.#run?.abandon();
    this.wake();
  }

  /** Something that the machine may want to see has changed. */
  wake(): void {
    this.#nudge.resolve();
  }

  async hold(): Promise<TenureEnd> {
    const stop = this.#live.onCall(() => this.wake());
    try {
      for (;;) {
        const end = await this.#step();
        if (end !== undefined) return end;
      }
    } finally {
      stop();
      this.#run?.abandon();
      this.#titleSignal.abort();
      this.#writer.put();
      this.#giveSlotBack();
    }
  }

  async #step(): Promise<TenureEnd | undefined> {
    this.#nudge = Promise.withResolvers<void>();
    const effect = this.#decide();
    if (effect !== undefined) return this.#perform(effect);
    return this.#isOver() ? 'lost' : this.#nudged();
  }

  #isOver(): boolean {
    return this.#writer.signal.aborted || this.#live.ended !== undefined;
  }

  /** @returns undefined if the tenure is over, or in doubt */
  #decide(): Effect | undefined {
    this.#live.catchUp();
    if (this.#isOver() || this.#ports.isInDoubt()) return undefined;
    const { view } = this.#live;
    const { clock, drain, defaultAgent } = this.#ports;
    return decide({
      view,
      hand: this.#hand,
      titling: this.#titling,
      agent: defaultAgent,
      asksTitle: this.#agent(view)?.title !== undefined,
      drain: drain(),
      previousOwner: this.#acquired.previous,
      nowMs: clock.now(),
      monotonicMs: clock.monotonicMs(),
    });
  }

  async #perform(effect: Effect): Promise<TenureEnd | undefined> {
    switch (effect.kind) {
      case 'append':
        return this.#append();
      case 'run':
        return this.#start();
      case 'cancel':
        if (this.#hand.kind !== 'running') return undefined;
        this.#hand = {
          kind: 'cancelling',
          turnId: this.#hand.turnId,
          sinceMs: this.#ports.clock.monotonicMs(),
          why: effect.why,
        };
        this.#run?.cancel();
        return undefined;
      case 'abandon':
        this.#run?.abandon();
        await this.#run?.ended;
        return undefined;
      case 'ask-title':
        return this.#askTitle(effect.turnId);
      case 'wait':
        return this.#wait(effect.forMs);
      case 'release':
        return this.#release(effect.wakeAt);
      case 'leave':
        return 'left';
    }
  }

  /** Rule 3. */
  async #append(): Promise<TenureEnd | undefined> {
    let clears: Extract<Effect, { kind: 'append' }>['clears'];
    const written = await this.#writer.decide(async () => {
      const effect = this.#decide();
      if (effect?.kind !== 'append') return undefined;
      const { view } = this.#live;
      await this.#grantAlways(effect.entries);
      const entries = await this.#untilAnswered(() => this.#withQuestions(view, effect.entries));
      clears = effect.clears;
      return entries && { entries, head: view.seq };
    });
    if (written !== 'durable') return written === 'lost' ? 'lost' : undefined;
    this.#tellRun();
    if (clears === 'titling') this.#titling = { kind: 'none' };
    if (clears !== 'hand') return undefined;
    this.#hand = { kind: 'empty' };
    this.#run = undefined;
    this.#giveSlotBack();
    return undefined;
  }

  // ── the run ─────────────────────────────────────────────────────────────────────────────────────────────────────────

  async #start(): Promise<TenureEnd | undefined> {
    // Whichever node has a slot first takes it up: it is pending from now on.
    if (!this.#takeSlot()) return this.#release(AT_ONCE);
    const [granted, started] = await Promise.all([this.#granted(this.#live.view), this.#appendStart()]);
    // The lease may have ended while the grants were read, with the start durable long before.
    if (started === 'lost' || !(await this.#isStillOwner())) return 'lost';
    const { turn } = this.#live.view;
    if (started === 'void' || turn === null) return undefined;
    const agent = this.#agent(this.#live.view);
    this.#ranTurn = true;
    if (agent === undefined) this.#hand = withoutAgent(turn);
    else this.#begin(agent, turn.turnId, started, granted);
    return undefined;
  }

  /** Rule 3. */
  async #appendStart(): Promise<Told | Exclude<Decided, 'durable'>> {
    let rows = this.#rows;
    let told: Told | undefined;
    const written = await this.#writer.decide(async () => {
      const effect = this.#decide();
      if (effect?.kind !== 'run') return undefined;
      const { view, tag } = this.#live;
      const start = await this.#untilAnswered(() => this.#tell(view, effect.entries));
      const due = rowsFor(this.#live.sessionId, view, tag, this.#rows);
      rows = due.state;
      told = start;
      return start && { entries: start.entries, rows: due.rows, head: view.seq };
    });
    if (written !== 'durable') return written;
    this.#rows = rows;
    return told ?? 'void';
  }

  #begin(agent: Agent, turnId: TurnId, told: Told, granted: ReadonlyMap<string, Subject>): void {
    const run = new Run(agent, this.#live.view, told, {
      sessionId: this.#live.sessionId,
      writer: this.#writer,
      clock: this.#ports.clock,
      onError: this.#ports.onError,
      isGranted: (tool, needs = 'tools') => this.#isGranted(tool, needs, granted.get(tool)),
      takeSteers: () => this.#takeSteers(turnId),
      openBlob: (mediaType) =>
        this.#ports.blobs.sink(mediaType, (hash) => this.#ports.references.hold(this.#live.sessionId, hash)),
      readBlob: (hash) => this.#untilAnswered(() => this.#ports.blobs.bytes(hash)),
    });
    this.#run = run;
    this.#hand = { kind: 'running', turnId };
    void run.ended.then((result) => this.#runEnded(run, result));
  }

  /** What the turn is told of, and its start with what that has to say of it. */
  async #tell(view: View, entries: readonly RunEvent[]): Promise<Told & { readonly entries: readonly RunEvent[] }> {
    const [first] = entries;
    const parent =
      first?.type === 'turn-start'
        ? first.parent
        : view.turns.find(({ turnId }) => turnId === view.turn?.turnId)?.parent;
    const told = await new Past(this.#ports.log, this.#live.sessionId, view).toldTo(parent ?? null);
    return { ...told, entries: await this.#withQuestions(view, entries) };
  }

  #withQuestions(view: View, entries: readonly RunEvent[]): Promise<readonly RunEvent[]> {
    const past = new Past(this.#ports.log, this.#live.sessionId, view);
    return Promise.all(entries.map((entry) => past.withQuestion(entry)));
  }

  /** Compare-and-set on the run: the end of a run that is no longer in hand changes nothing (R12). */
  #runEnded(run: Run, { end, usage, prompted, held }: Awaited<Run['ended']>): void {
    if (this.#run !== run || this.#hand.kind === 'empty') return;
    const why = this.#hand.kind === 'cancelling' ? this.#hand.why : 'itself';
    this.#hand = { kind: 'ended', turnId: run.turnId, end, usage, prompted, held, why };
    this.wake();
  }

  #agent(view: View): Agent | undefined {
    return this.#ports.agents.get(view.turn?.agent ?? view.agent ?? this.#ports.defaultAgent);
  }

  /** R90: a grant counts only as long as its giver may allow the tool. */
  #isGranted(tool: string, needs: ApprovalRight, always: Subject | undefined): boolean {
    const { grants, grantedBy, owner } = this.#live.view;
    const forSession = grants.includes(tool) ? (grantedBy?.[tool] ?? owner ?? undefined) : undefined;
    return [always, forSession].some((giver) => giver !== undefined && this.#ports.mayApprove(giver, needs));
  }

  /** @returns which subject allowed each tool for ever */
  async #granted({ owner }: View): Promise<ReadonlyMap<string, Subject>> {
    const always = owner === null ? [] : await this.#untilAnswered(() => this.#ports.grants.list(owner));
    return new Map(always?.map(({ tool, by }) => [tool, by]));
  }

  /** Rule 3: a steer that was withdrawn, or whose turn was stopped, in the same moment is not injected. */
  async #takeSteers(turnId: TurnId): Promise<readonly { readonly author: string; readonly text: string }[]> {
    let steers: readonly QueuedMessage[] = [];
    const written = await this.#writer.decide(async () => {
      this.#live.catchUp();
      const { turn, seq } = this.#live.view;
      steers = turn?.turnId === turnId && turn.stopping === null ? turn.steers : [];
      if (steers.length === 0) return undefined;
      return { head: seq, entries: steers.map(({ messageId }) => injected(turnId, messageId)) };
    });
    return written === 'durable' ? steers.map(({ author, text }) => ({ author, text })) : [];
  }

  /** What was allowed for ever is granted before its prompt is closed. */
  async #grantAlways(entries: readonly RunEvent[]): Promise<void> {
    for (const entry of entries)
      if (entry.type === 'prompt-close' && entry.answer === 'always') await this.#grant(entry.promptId, entry.by);
  }

  async #grant(promptId: PromptId, by: Subject | undefined): Promise<void> {
    const { owner } = this.#live.view;
    const tool = toolOf(this.#live.view, promptId);
    if (owner === null || tool === undefined) return;
    // The prompt's id makes it one grant, however often it is added.
    await this.#untilAnswered(() => this.#ports.grants.add(owner, tool.name, by ?? owner, promptId));
  }

  /** A store that is away is asked again, as for all that the owner writes. @returns undefined where the tenure is over */
  async #untilAnswered<T>(ask: () => Promise<T>): Promise<T | undefined> {
    while (!this.#writer.signal.aborted) {
      try {
        return await ask();
      } catch (error) {
        if (!(error instanceof FaultError)) throw error;
      }
      await this.#ports.clock.sleep(STORE_RETRY_MS, this.#writer.signal);
    }
    return undefined;
  }

  /** An agent that awaits its prompt in this process hears of its end. */
  #tellRun(): void {
    if (this.#run === undefined) return;
    const answer = answerOf(this.#live.view);
    for (const state of promptStates(answer?.parts ?? [])) if (state.outcome !== null) this.#run.promptClosed(state);
  }

  #takeSlot(): boolean {
    this.#hasSlot ||= this.#ports.takeSlot(this.#live.sessionId, this.#ranTurn);
    return this.#hasSlot;
  }

  #giveSlotBack(): void {
    if (this.#hasSlot) this.#ports.freeSlot();
    this.#hasSlot = false;
  }

  // ── titles, lists, waiting, letting go ──────────────────────────────────────────────────────────────────────────────

  async #askTitle(turnId: TurnId): Promise<TenureEnd | undefined> {
    const { clock } = this.#ports;
    const { view } = this.#live;
    const messages = view.messages.filter((message) => message.turnId === turnId);
    this.#titling = { kind: 'asking', untilMs: clock.monotonicMs() + TITLE_WAIT_MS };
    const asking =
      this.#agent(view)?.title?.({ messages, signal: this.#titleSignal.signal }) ?? Promise.resolve(undefined);
    void asking.then(
      (title) => this.#titleFound(title),
      () => this.#titleFound(undefined),
    );
    return undefined;
  }

  #titleFound(title: string | undefined): void {
    this.#titling = { kind: 'found', title };
    this.wake();
  }

  #takeRows(): ReturnType<typeof rowsFor>['rows'] {
    const { rows, state } = rowsFor(this.#live.sessionId, this.#live.view, this.#live.tag, this.#rows);
    this.#rows = state;
    return rows;
  }

  async #wait(forMs: number | undefined): Promise<TenureEnd | undefined> {
    // One that was taken for a start that was not wanted any more.
    if (this.#hand.kind === 'empty') this.#giveSlotBack();
    if (
      isListStale(this.#live.sessionId, this.#live.view, this.#rows) &&
      (await this.#writer.write([], this.#takeRows())) === 'lost'
    )
      return 'lost';
    return this.#nudged(forMs);
  }

  /** Waits until a lease in doubt is certain again, or lost. */
  async #isStillOwner(): Promise<boolean> {
    while (this.#ports.isInDoubt() && !this.#writer.signal.aborted) {
      this.#nudge = Promise.withResolvers<void>();
      await this.#nudged();
    }
    return !this.#writer.signal.aborted;
  }

  async #nudged(forMs?: number): Promise<undefined> {
    const nudge = this.#nudge;
    const timer = forMs === undefined ? undefined : this.#ports.clock.after(forMs, nudge.resolve);
    await nudge.promise;
    timer?.cancel();
  }

  async #release(wakeAt: number | undefined): Promise<TenureEnd | undefined> {
    const before = this.#rows;
    const upTo = this.#live.view.seq;
    const rows = this.#takeRows();
    const released = await this.#ports.log.consumers.release(streamOf(this.#live.sessionId), 'run', {
      epoch: this.#acquired.epoch,
      upTo,
      rows,
      ...(wakeAt === undefined ? {} : { wakeAt }),
    });
    if (released.kind === 'released') return 'released';
    this.#rows = before;
    if (released.kind === 'behind') await this.#live.reached(released.head);
    if (released.kind === 'unavailable') await this.#ports.clock.sleep(STORE_RETRY_MS, this.#writer.signal);
    return released.kind === 'behind' || released.kind === 'unavailable' ? undefined : 'lost';
  }
}

/** A turn of an agent that is not here has ended before it began. */
function withoutAgent({ turnId, agent }: RunningTurn): Hand {
  const reason = `There is no agent "${agent}" here. Choose another for this session.`;
  const end = { outcome: 'failed', fault: 'agent-not-found', reason } as const;
  return { kind: 'ended', turnId, end, usage: undefined, prompted: false, held: [], why: 'itself' };
}

const injected = (turnId: TurnId, messageId: MessageId): RunEvent => ({
  type: 'steer-end',
  turnId,
  messageId,
  outcome: 'injected',
});

/** The tool that a prompt asks for. */
function toolOf({ messages, offPath }: View, promptId: PromptId): Extract<Part, { type: 'tool' }> | undefined {
  for (const { parts } of [...messages.toReversed(), ...offPath]) {
    const prompt = parts.find((part) => part.type === 'prompt' && part.promptId === promptId);
    const tool = parts.find(
      (part) => part.type === 'tool' && prompt?.type === 'prompt' && part.toolId === prompt.toolId,
    );
    if (tool?.type === 'tool') return tool;
  }
  return undefined;
}
