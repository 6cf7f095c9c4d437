/**
 * One run: a plan is carried out in a world of nodes, clients and readers over one store, then judged.
 *
 * Stages:
 *  1. Work and faults, until every client has its receipts and every fault has come and gone.
 *  2. Rest: no more faults; all that can go on by itself does. What still waits, waits for a person.
 *  3. People answer what is open, until nothing is. Then readers catch up, views are made anew from rows, and all is judged.
 *
 * R1  A run takes nothing from outside but its plan: the same plan, the same trace hash.
 */
import { FaultError, type Entry, type SessionId, type View } from '@holdfast/protocol';
import type { SessionService } from '@holdfast/session';
import { seeded } from '../power/seeded.ts';
import type { Call, Oracle } from './agents.ts';
import { SimClient, type ClientWorld, type Receipted, type Request } from './client.ts';
import { examine, untilQuiet, type ExamWorld } from './exam.ts';
import { judgeHeard } from './heard.ts';
import { judgeFinished } from './laws.ts';
import type { Violate } from './ledger.ts';
import { SimNode, type Incarnation, type NodeWorld } from './node.ts';
import type { Fault, Plan } from './plan.ts';
import { judgeShown } from './shown.ts';
import { SimReader, type ReaderWorld } from './reader.ts';
import { newProcess, Scheduler, type Driven, type Pace, type Process } from './scheduler.ts';
import { WatchedStore, type Ambush } from './store.ts';

const SCHEDULE_SALT = 0x5c_4e_d0_1e;
const ORDER_SALT = 0x0d_e2_0d_e2;
const STEPS_MAX = 60_000;
/** Virtual time in which a world without faults comes to rest. */
const REST_MS = 240_000;
const VIOLATIONS_MAX = 20;
/** In a second of virtual time, of one process. */
const TIMERS_MAX = 300;
const PACE: Pace = { slowShare: 0.15, slowMs: 20 };
const AGENTS = ['patient', 'patient', 'plain'] as const;

export interface Violation {
  readonly law: string;
  readonly detail: string;
  readonly step: number;
}

export interface Outcome {
  readonly plan: Plan;
  readonly steps: number;
  readonly hash: number;
  readonly violations: readonly Violation[];
  /** How many times there was a next step to be chosen. */
  readonly picks: number;
  readonly trace: readonly string[];
  /** What was in the log of each session. */
  readonly logs: ReadonlyMap<string, readonly Entry[]>;
}

export async function simulate(plan: Plan, options: { readonly trace?: boolean } = {}): Promise<Outcome> {
  const world = new World(plan, options.trace === true);
  await world.live();
  const { scheduler, violations } = world;
  return {
    plan,
    steps: scheduler.steps,
    hash: scheduler.hash,
    picks: scheduler.picks,
    violations,
    trace: scheduler.trace ?? [],
    logs: new Map([...world.store.truths].map(([id, { entries }]) => [id, entries])),
  };
}

class World implements NodeWorld, ClientWorld, ReaderWorld {
  readonly plan: Plan;
  readonly scheduler: Scheduler;
  readonly store: WatchedStore;
  readonly oracle: Oracle;
  readonly outside = newProcess('o');
  readonly nodes: readonly SimNode[];
  readonly receipts: Receipted[] = [];
  readonly violations: Violation[] = [];
  refusalShare = 0;
  stall: NodeWorld['stall'];
  readonly troubles: NodeWorld['troubles'] = new Set();
  networkShare = 0;
  readonly requests: Set<Request> = new Set();
  readonly #sessions: readonly SessionId[];
  readonly #liveCalls = new Map<string, Set<Call>>();
  #faults: readonly Fault[];
  /** How many faults are going on. */
  #underWay = 0;
  #drawn = 0;
  readonly #timers = new Map<Process, { readonly second: number; readonly count: number }>();

  constructor(plan: Plan, trace: boolean) {
    this.plan = plan;
    const { scheduleSeed, preempts } = plan;
    this.scheduler = new Scheduler(
      seeded(scheduleSeed ^ SCHEDULE_SALT),
      seeded(scheduleSeed ^ ORDER_SALT),
      (pick) => preempts === 'all' || preempts.some(([from, to]) => pick >= from && pick < to),
    );
    this.scheduler.trace = trace ? [] : undefined;
    this.scheduler.onStep = (process, label) => {
      this.#inflict();
      if (label === 'timer') this.#watchTimers(process);
    };
    this.store = new WatchedStore((law, detail) => this.violate(law, detail));
    if (trace)
      this.store.onEntry = (sessionId, { seq, at: _at, type, ...rest }) =>
        this.scheduler.trace?.push(`         → ${sessionId} ${seq} ${type} ${JSON.stringify(rest)}`);
    this.oracle = {
      calls: [],
      effectsByTool: new Map(),
      steers: [],
      headOf: (sessionId) => this.store.truthOf(sessionId).head,
      onAct: (call) => this.#watch(call),
    };
    this.nodes = Array.from({ length: plan.nodes }, (_, index) => new SimNode(`n${index}`, this));
    this.#sessions = Array.from({ length: plan.sessions }, (_, index) => `s${index}` as SessionId);
    this.#faults = plan.faults.toSorted((a, b) => a.atStep - b.atStep);
  }

  newId(prefix: string): string {
    this.#drawn += 1;
    return `${prefix}_${this.#drawn}`;
  }

  violate(law: string, detail: string): void {
    if (this.violations.length < VIOLATIONS_MAX) this.violations.push({ law, detail, step: this.scheduler.steps });
    this.scheduler.trace?.push(`       *** ${law}: ${detail}`);
  }

  onError(error: unknown): void {
    // A store that is away is no bug; everything else is.
    if (!(error instanceof FaultError))
      this.violate('bug', error instanceof Error ? (error.stack ?? error.message) : String(error));
  }

  async live(): Promise<void> {
    const clients = this.plan.clients.map((_, index) => new SimClient(`u${index}`, this));
    const readers = this.plan.readers.map((index) => new SimReader(this.#sessions[index] ?? ('s0' as SessionId), this));
    for (const node of this.nodes) node.start();
    const [first] = clients;
    if (first === undefined) throw new Error('A plan has clients.');
    const opening = this.#sessions.map((id, at) => first.create(id, AGENTS[(this.plan.seed + at) % 3] ?? 'plain'));
    let isOpen = false;
    void Promise.all(opening).then(() => (isOpen = true));
    for (const [index, client] of clients.entries()) void client.work(this.plan.clients[index] ?? [], this.#sessions);
    for (const reader of readers) void reader.read();
    const worked = (): boolean =>
      isOpen &&
      this.#faults.length === 0 &&
      this.#underWay === 0 &&
      [...this.requests].every(({ process }) => process.state === 'dead') &&
      clients.every((client) => client.isDone && client.open === 0);
    await this.#stage('work', worked);
    await this.#stage('rest', () => this.#isAtRest());
    await this.#stage('answers', this.#answerAll());
    await this.#stage('readers', () =>
      readers.every((reader) => reader.view.seq === this.store.truthOf(reader.sessionId).view.seq),
    );
    for (const reader of readers) reader.stop();
    const loaded = new Map<string, View>();
    await this.#stage('rows', this.#loadAll(loaded));
    if (this.violations.length > 0) return;
    const { store, oracle, receipts } = this;
    store.audit(this.scheduler.nowMs);
    for (const [id, truth] of store.truths) judgeShown(truth, (law, detail) => this.violate(law, `${id}: ${detail}`));
    judgeHeard(store.truths, oracle, (law, detail) => this.violate(law, detail));
    judgeFinished({ store, oracle, receipts, readers, loaded, violate: (law, detail) => this.violate(law, detail) });
    await this.#stage('exam', this.#examine());
  }

  /** Goes on until the stage is done; a world that does not get there breaks the law of liveness. */
  async #stage(name: string, isDone: () => boolean): Promise<void> {
    if (this.violations.length > 0) return;
    const { scheduler } = this;
    const isOver = (): boolean => this.violations.length > 0 || isDone();
    const driven: Driven = await scheduler.drive(isOver, { stepsMax: STEPS_MAX, untilMs: scheduler.nowMs + REST_MS });
    if (driven !== 'done') this.violate('liveness', `The stage "${name}" is ${driven}: ${this.#state()}`);
  }

  #state(): string {
    return [...this.store.truths]
      .map(([id, { view }]) => {
        const turn =
          view.turn === null ? 'no turn' : `${view.turn.turnId} ${view.turn.state} after ${view.turn.lastEvent}`;
        return `${id} at ${view.seq}: ${turn}, ${view.queue.length} queued, ${view.prompts.length} prompts, closing ${view.closing}, ${this.store.isHeld(id, this.scheduler.nowMs) ? 'held' : 'free'}`;
      })
      .join('; ');
  }

  /** Nothing goes on by itself: every session is free, and has no turn or one that waits for a person. */
  #isAtRest(): boolean {
    const starved = this.#areSlotsAwaited();
    for (const [id, { view }] of this.store.truths) {
      // Its turn wants to run, and the slots are with turns that wait for a person in their process.
      if (starved && view.closing === null && !waits(view)) continue;
      if (view.turn === null ? view.queue.length > 0 || view.closing !== null : !waits(view)) return false;
      // An agent that awaits its answer in the process keeps the session; nothing else does.
      if (this.store.isHeld(id, this.scheduler.nowMs) && view.turn?.state !== 'running') return false;
      if (view.prompts.some((prompt) => prompt.deadlineAt !== null)) return false;
    }
    return (
      this.nodes.every(({ up }) => up?.process.state === 'running') &&
      (starved || this.store.pending('run', 1, '', this.scheduler.nowMs).length === 0)
    );
  }

  /** An agent that is not resumable keeps its slot while it waits for a person; where all of all nodes are so kept, others wait too. */
  #areSlotsAwaited(): boolean {
    const waiting = [...this.store.truths.values()].filter(({ view }) => view.turn?.state === 'running' && waits(view));
    return waiting.length >= this.plan.turnsMax * this.plan.nodes;
  }

  /** A person who answers whatever is asked. */
  #answerAll(): () => boolean {
    const person = new SimClient('p', this);
    let isIdle = false;
    const answer = async (): Promise<void> => {
      for (;;) {
        for (const sessionId of this.#sessions) {
          const { view } = this.store.truthOf(sessionId);
          for (const { promptId } of view.prompts)
            await person.submit(sessionId, {
              type: 'prompt-answer',
              promptId,
              answer: this.scheduler.draw(2) === 0 ? 'always' : 'once',
            });
          const { turn } = this.store.truthOf(sessionId).view;
          for (const toolId of turn?.awaits ?? [])
            await person.submit(sessionId, { type: 'tool-result', toolId, ok: true, output: 'done' });
        }
        isIdle = this.#sessions.every((id) => this.store.truthOf(id).view.turn === null) && this.#isAtRest();
        await this.scheduler.sleep(this.outside, 200, 'person');
      }
    };
    void answer();
    return () => isIdle && this.#isAtRest();
  }

  #loadAll(into: Map<string, View>): () => boolean {
    let isDone = false;
    const load = async (): Promise<void> => {
      await untilQuiet({
        services: () => this.#services(),
        sleep: (ms) => this.scheduler.sleep(this.outside, ms, 'rows'),
      });
      for (const id of this.#sessions) {
        const found = await this.nodes[0]?.up?.service.snapshot(id);
        if (found?.kind === 'ok') into.set(id, found.view);
      }
      isDone = true;
    };
    void load().catch((error: unknown) => this.onError(error));
    return () => isDone;
  }

  #services(): readonly SessionService[] {
    return this.nodes.flatMap(({ up }) => (up === undefined ? [] : [up.service]));
  }

  #examine(): () => boolean {
    let isDone = false;
    const { store, receipts, scheduler } = this;
    const service = (): SessionService => {
      const up = this.nodes.map((node) => node.up).filter((node) => node !== undefined);
      return (up[scheduler.draw(up.length)] as Incarnation).service;
    };
    const violate: Violate = (law, detail) => this.violate(law, detail);
    const draw = (below: number): number => scheduler.draw(below);
    const world: ExamWorld = {
      store,
      receipts,
      service,
      services: () => this.#services(),
      draw,
      violate,
      sessions: this.#sessions,
      calls: this.oracle.calls,
      sleep: (ms) => scheduler.sleep(this.outside, ms, 'exam'),
      nowMs: () => scheduler.nowMs,
      newId: (prefix) => this.newId(prefix),
      mayLag: this.plan.faults.some(({ kind }) => kind === 'lag'),
      hearsMs: this.plan.hintLoss > 0 ? 800 : 200,
      slowMs: Math.max(0, ...this.plan.faults.map((it) => (it.kind === 'slow-store' ? it.slowMs : 0))),
      deny: (op, left) => {
        const trouble = { op, left, slowMs: 0, refuses: true };
        this.troubles.add(trouble);
        return () => void this.troubles.delete(trouble);
      },
    };
    void examine(world).then(
      () => (isDone = true),
      (error: unknown) => this.onError(error),
    );
    return () => isDone;
  }

  // ── faults ──────────────────────────────────────────────────────────────────────────────────────────────────────────

  #inflict(): void {
    for (let [next] = this.#faults; next !== undefined && next.atStep <= this.scheduler.steps; [next] = this.#faults) {
      this.#faults = this.#faults.slice(1);
      this.scheduler.trace?.push(`       !!! ${JSON.stringify(next)}`);
      this.#begin(next);
    }
  }

  #begin(fault: Fault): void {
    const { scheduler } = this;
    const during = (end: () => void): void => {
      this.#underWay += 1;
      const over = (): void => {
        this.#underWay -= 1;
        end();
      };
      scheduler.after(this.outside, fault.forMs, over, `end ${fault.kind}`);
    };
    switch (fault.kind) {
      case 'crash':
        return this.nodes[fault.node]?.crash(fault.forMs);
      case 'pause':
        this.nodes[fault.node]?.pause(fault.forMs);
        return during(() => undefined);
      case 'drain':
        return this.nodes[fault.node]?.drain(fault.forMs);
      case 'cut-off':
        this.nodes[fault.node]?.cutOff(fault.forMs, fault.hangs);
        return during(() => undefined);
      case 'ambush':
        return this.#lieInWait(fault, during);
      case 'deny':
      case 'lag': {
        const { op, times: left, slowMs } = fault;
        const trouble = { op, left, slowMs, refuses: fault.kind === 'deny' };
        this.troubles.add(trouble);
        return during(() => this.troubles.delete(trouble));
      }
      case 'stall':
        this.stall = fault;
        return during(() => (this.stall = undefined));
      case 'slow-store':
        scheduler.pace = { slowShare: 0.5, slowMs: fault.slowMs };
        return during(() => (scheduler.pace = PACE));
      case 'refusals':
        this.refusalShare = fault.share;
        return during(() => (this.refusalShare = 0));
      case 'network':
        this.networkShare = fault.share;
        return during(() => (this.networkShare = 0));
    }
  }

  #lieInWait({ entry, times, downMs }: Extract<Fault, { kind: 'ambush' }>, during: (end: () => void) => void): void {
    let left = times;
    const strike: Ambush = (type, holder) => {
      const node = this.nodes[Number(/^n(\d+)_/.exec(holder ?? '')?.[1])];
      if (type !== entry || left === 0 || node === undefined) return;
      left -= 1;
      node.crash(downMs);
    };
    this.store.ambushes.add(strike);
    during(() => this.store.ambushes.delete(strike));
  }

  // ── one runner ──────────────────────────────────────────────────────────────────────────────────────────────────────

  /** D2: whoever acts is the only one who does; a process that was paused, and may not know it yet, apart. */
  #watch(call: Call): void {
    const calls = this.#liveCalls.get(call.sessionId) ?? new Set();
    this.#liveCalls.set(call.sessionId, calls.add(call));
    for (const other of calls)
      if (other.end !== 'open' || other.signal.aborted || other.process.state === 'dead') calls.delete(other);
    this.#watchSlots(call);
    if (!this.#isAwake(call) || !calls.has(call)) return;
    for (const other of calls)
      if (other !== call && this.#isAwake(other))
        this.violate(
          'D2',
          `${call.id} (${call.turnId}, ${call.process.name}) acts beside ${other.id} (${other.turnId}, ${other.process.name}).`,
        );
  }

  /** D3: no more runs at once in a process than it has slots for. */
  #watchSlots({ process }: Call): void {
    let running = 0;
    for (const calls of this.#liveCalls.values())
      for (const { process: other, end, signal } of calls)
        if (other === process && end === 'open' && !signal.aborted) running += 1;
    if (running > this.plan.turnsMax)
      this.violate('D3', `${running} runs in ${process.name}, which has ${this.plan.turnsMax} slots.`);
  }

  /** D4: nobody goes round in circles while the world waits. */
  #watchTimers(process: Process): void {
    const second = Math.floor(this.scheduler.nowMs / 1_000);
    const seen = this.#timers.get(process);
    const count = seen?.second === second ? seen.count + 1 : 1;
    this.#timers.set(process, { second, count });
    if (count === TIMERS_MAX) this.violate('D4', `${process.name} has ${count} timers in one second.`);
  }

  #isAwake({ process, pausesAtStart }: Call): boolean {
    return (
      process.state === 'running' && process.pauses === pausesAtStart && process.resumedAtMs < this.scheduler.nowMs
    );
  }
}

const waits = (view: View): boolean =>
  view.prompts.length > 0 ||
  view.turn?.awaits.some((toolId) => !view.turn?.results.some((result) => result.toolId === toolId)) === true;
