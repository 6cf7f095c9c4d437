/**
 * One tenure: a process owns a session, does what the machine decides, and lets it go.
 *
 *  1. Acquire (the store raises the fence), then read the log to its head (R7): nothing known before counts.
 *  2. Fold → decide → perform one effect → fold again. What the owner writes it reads back from the log like everybody.
 *  3. The lists are true before the owner waits and when it releases (`rows.ts`).
 *  4. It ends in one way of three: `released` (nothing left at that head, or a turn that waits for a slot on whatever node),
 *     `left` (draining), `lost` (fenced off, lease over, session deleted). However it ends, its run is cut off and its pen put
 *     down; what it has not dealt with is pending for the next owner (R11).
 */
import {
  fault,
  FaultError,
  type Part,
  type PromptId,
  type RunEvent,
  type SessionId,
  type Subject,
  type TurnId,
  type View,
} from '@holdfast/protocol';
import type { AcquireVerdict, Log, StreamName } from '@holdfast/log';
import type { Agent } from './agent.ts';
import type { Blobs } from './blobs.ts';
import type { Clock } from './clock.ts';
import type { Grants } from './grants.ts';
import type { LiveSession } from './live.ts';
import { decide, TITLE_WAIT_MS, type Effect, type Hand, type Titling } from './machine.ts';
import { isListStale, rowsFor, streamOf, type RowState } from './rows.ts';
import { answerOf, promptStates, Run } from './run.ts';
import { Past, type Told } from './told.ts';
import { Writer } from './writer.ts';

export interface OwnerPorts {
  readonly log: Log;
  readonly clock: Clock;
  readonly agents: ReadonlyMap<string, Agent>;
  readonly defaultAgent: string;
  readonly grants: Grants;
  readonly blobs: Blobs;
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
    this.#live.catchUp();
    if (this.#writer.signal.aborted || this.#live.ended !== undefined) return 'lost';
    if (this.#ports.isInDoubt()) return this.#nudged();
    const { view } = this.#live;
    const { clock, drain, defaultAgent } = this.#ports;
    const asksTitle = this.#agent(view)?.title !== undefined;
    const effect = decide({
      view,
      hand: this.#hand,
      titling: this.#titling,
      agent: defaultAgent,
      asksTitle,
      drain: drain(),
      previousOwner: this.#acquired.previous,
      nowMs: clock.now(),
      monotonicMs: clock.monotonicMs(),
    });
    return this.#perform(effect, view);
  }

  async #perform(effect: Effect, view: View): Promise<TenureEnd | undefined> {
    switch (effect.kind) {
      case 'append':
        return this.#append(effect);
      case 'run':
        return this.#start(effect, view);
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
        return this.#askTitle(effect.turnId, view);
      case 'wait':
        return this.#wait(effect.forMs);
      case 'release':
        return this.#release(effect.wakeAt);
      case 'leave':
        return 'left';
    }
  }

  async #append({ entries, clears }: Extract<Effect, { kind: 'append' }>): Promise<TenureEnd | undefined> {
    const before = this.#live.view;
    await this.#grantAlways(entries);
    if (entries.length > 0 && (await this.#writer.write(entries)) === 'lost') return 'lost';
    await this.#grantOvertaken(before);
    this.#tellRun();
    if (clears === 'titling') this.#titling = { kind: 'none' };
    if (clears !== 'hand') return undefined;
    this.#hand = { kind: 'empty' };
    this.#run = undefined;
    this.#giveSlotBack();
    return undefined;
  }

  // ── the run ─────────────────────────────────────────────────────────────────────────────────────────────────────────

  async #start({ turnId, entries }: Extract<Effect, { kind: 'run' }>, view: View): Promise<TenureEnd | undefined> {
    // Whichever node has a slot first takes it up: it is pending from now on.
    if (!this.#takeSlot()) return this.#release(AT_ONCE);
    const agent = this.#agent(view);
    const told = await this.#untilAnswered(() => this.#tell(view, entries));
    if (told === undefined) return 'lost';
    const [granted, written] = await Promise.all([
      this.#granted(view),
      this.#writer.write(told.entries, this.#takeRows()),
    ]);
    // The lease may have ended while the grants were read, with the start durable long before.
    if (written === 'lost' || !(await this.#isStillOwner())) return 'lost';
    if (this.#live.view.turn?.turnId !== turnId) return undefined;
    if (agent === undefined) return this.#refuse(turnId, view.agent ?? this.#ports.defaultAgent);
    const run = new Run(agent, this.#live.view, told, {
      sessionId: this.#live.sessionId,
      writer: this.#writer,
      clock: this.#ports.clock,
      isGranted: (tool) => granted.has(tool) || this.#live.view.grants.includes(tool),
      takeSteers: () => this.#takeSteers(turnId),
      openBlob: (mediaType) => this.#ports.blobs.sink(mediaType),
      readBlob: (hash) => this.#untilAnswered(() => this.#ports.blobs.bytes(hash)),
      onError: this.#ports.onError,
    });
    this.#run = run;
    this.#hand = { kind: 'running', turnId };
    this.#ranTurn = true;
    void run.ended.then((result) => this.#runEnded(run, result));
    return undefined;
  }

  /** What the turn is told of, and its start with what that has to say of it. */
  async #tell(view: View, entries: readonly RunEvent[]): Promise<Told & { readonly entries: readonly RunEvent[] }> {
    const past = new Past(this.#ports.log, this.#live.sessionId, view);
    const [first] = entries;
    const parent =
      first?.type === 'turn-start'
        ? first.parent
        : view.turns.find(({ turnId }) => turnId === view.turn?.turnId)?.parent;
    const told = await past.toldTo(parent ?? null);
    return { ...told, entries: await Promise.all(entries.map((entry) => past.withQuestion(entry))) };
  }

  /** Compare-and-set on the run: the end of a run that is no longer in hand changes nothing (R12). */
  #runEnded(run: Run, { end, usage, prompted }: Awaited<Run['ended']>): void {
    if (this.#run !== run || this.#hand.kind === 'empty') return;
    const why = this.#hand.kind === 'cancelling' ? this.#hand.why : 'itself';
    this.#hand = { kind: 'ended', turnId: run.turnId, end, usage, prompted, why };
    this.wake();
  }

  async #refuse(turnId: TurnId, name: string): Promise<TenureEnd | undefined> {
    const { detail } = fault('agent-not-found', `There is no agent "${name}" here. Choose another for this session.`);
    const end: RunEvent = { type: 'turn-end', turnId, outcome: 'failed', fault: 'agent-not-found', reason: detail };
    return (await this.#writer.write([end])) === 'lost' ? 'lost' : undefined;
  }

  #agent(view: View): Agent | undefined {
    return this.#ports.agents.get(view.turn?.agent ?? view.agent ?? this.#ports.defaultAgent);
  }

  async #granted({ owner }: View): Promise<ReadonlySet<string>> {
    const always = owner === null ? [] : await this.#untilAnswered(() => this.#ports.grants.list(owner));
    return new Set(always?.map((grant) => grant.tool));
  }

  async #takeSteers(turnId: TurnId): Promise<readonly { readonly author: string; readonly text: string }[]> {
    this.#live.catchUp();
    const steers = this.#live.view.turn?.turnId === turnId ? this.#live.view.turn.steers : [];
    if (steers.length === 0) return [];
    const ends = steers.map(
      (steer) => ({ type: 'steer-end', turnId, messageId: steer.messageId, outcome: 'injected' }) as const,
    );
    return (await this.#writer.write(ends)) === 'lost' ? [] : steers.map(({ author, text }) => ({ author, text }));
  }

  /** What was allowed for ever is granted before its prompt is closed. */
  async #grantAlways(entries: readonly RunEvent[]): Promise<void> {
    for (const entry of entries)
      if (entry.type === 'prompt-close' && entry.answer === 'always')
        await this.#grant(this.#live.view, entry.promptId, entry.by);
  }

  /** An answer may have come in before the close that was meant to do without one, and then it stands (R30), shown or not. */
  async #grantOvertaken(before: View): Promise<void> {
    for (const { command, verdict } of this.#live.judgedAfter(before.seq))
      if (command.type === 'prompt-answer' && verdict.kind === 'answered' && command.answer === 'always')
        await this.#grant(before, command.promptId, command.author);
  }

  /** @param view one that shows the prompt: a stop may have discarded it since */
  async #grant(view: View, promptId: PromptId, by: Subject | undefined): Promise<void> {
    const { owner } = view;
    const tool = toolOf(view, promptId);
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

  async #askTitle(turnId: TurnId, view: View): Promise<TenureEnd | undefined> {
    const { clock } = this.#ports;
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
