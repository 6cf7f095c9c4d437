/**
 * A node of a run: a gateway process that opens a session service on the shared store, crashes, is paused, drains, and is
 * started again as a new process.
 */
import { openMemoryLog, type MemoryLog } from '@holdfast/log/memory';
import { fault, FaultError, type Fault } from '@holdfast/protocol';
import { openSessionService, type SessionService } from '@holdfast/session';
import type { Log } from '@holdfast/log';
import { agentsOf, SCRIPTED, type Oracle } from './agents.ts';
import { clockOf } from './clock.ts';
import type { Fault as PlannedFault, Plan, StoreOp } from './plan.ts';
import { newProcess, type Process, type Scheduler } from './scheduler.ts';
import type { WatchedStore } from './store.ts';

const REFUSED: Fault = fault('storage-unavailable', 'The store is away.');
const RESTART_MS = 500;
const POLL_MS = 500;
/** So long after it asked for a lease a process may count on it: three quarters of what the store counts. */
const LEASE_COUNTED_MS = 7_500;
/** Faults that do not keep a process that lives from its store. */
const SWIFT: ReadonlySet<PlannedFault['kind']> = new Set(['crash', 'drain', 'network', 'ambush']);

/** What requests of one kind meet with, so many times. */
export interface Trouble {
  readonly op: string;
  left: number;
  readonly slowMs: number;
  readonly refuses: boolean;
}

export interface NodeWorld {
  readonly plan: Plan;
  readonly scheduler: Scheduler;
  readonly store: WatchedStore;
  readonly oracle: Oracle;
  /** Steps of the world itself: restarts, clients, readers. */
  readonly outside: Process;
  refusalShare: number;
  readonly troubles: Set<Trouble>;
  /** The next request of this kind stops its process, or kills it. */
  stall: { readonly op: StoreOp; readonly forMs: number; readonly dies: boolean } | undefined;
  newId(prefix: string): string;
  onError(error: unknown): void;
  violate(law: string, detail: string): void;
}

export interface Incarnation {
  readonly process: Process;
  readonly service: SessionService;
  readonly log: Log;
}

export class SimNode {
  /** Undefined while it is down or starting. */
  up: Incarnation | undefined;
  readonly #name: string;
  readonly #world: NodeWorld;
  readonly #skewMs: number;
  #process: Process;
  /** The names under which its process has had leases. */
  #holders: readonly string[] = [];
  #renewalSentAtMs = 0;
  /** What its process knows to be its own, and until when. */
  #lease = { id: '', untilMs: 0 };
  /** Until when, and how, it is cut off from the store. */
  #cutOff: { readonly untilMs: number; readonly hangs: boolean } | undefined;

  constructor(name: string, world: NodeWorld) {
    this.#name = name;
    this.#world = world;
    this.#skewMs = world.scheduler.draw(400) - 200;
    this.#process = newProcess(name);
  }

  start(): void {
    const process = newProcess(this.#name);
    this.#process = process;
    void this.#open(process).then(
      (up) => {
        if (process.state !== 'dead') this.up = up;
      },
      () => this.#startLater(process, RESTART_MS),
    );
  }

  crash(forMs: number): void {
    if (this.#process.state === 'dead') return;
    this.up = undefined;
    this.#world.scheduler.kill(this.#process);
    this.#startLater(this.#process, forMs);
  }

  pause(forMs: number): void {
    const process = this.#process;
    const { scheduler, outside } = this.#world;
    scheduler.pause(process);
    scheduler.after(outside, forMs, () => scheduler.resume(process), 'resume');
  }

  cutOff(forMs: number, hangs: boolean): void {
    this.#cutOff = { untilMs: this.#world.scheduler.nowMs + forMs, hangs };
  }

  /** As on SIGTERM: no new turns, a budget for the running ones, then the end of the process. */
  drain(budgetMs: number): void {
    const { up } = this;
    if (up === undefined) return;
    this.up = undefined;
    const process = this.#process;
    const holders = this.#holders;
    const ended = up.service.drain(budgetMs).then(() => up.service.close());
    const restart = (): void => {
      if (this.#process !== process || process.state === 'dead') return;
      this.#world.scheduler.kill(process);
      this.#startLater(process, RESTART_MS);
    };
    void ended.then(() => {
      // Where the store was slow to answer, it may have been given up before.
      const last = holders.at(-1) ?? '';
      const isSure = process.state === 'running' && this.#world.plan.faults.every(({ kind }) => SWIFT.has(kind));
      if (isSure && this.#world.store.hasLease(last, this.#world.scheduler.nowMs))
        this.#world.violate('L10', `${this.#name} has closed, and keeps the lease of ${last}.`);
      restart();
    }, restart);
    // Whoever stops a process waits so long and no longer.
    this.#world.scheduler.after(this.#world.outside, budgetMs + 10_000, restart, 'kill');
  }

  #startLater(process: Process, ms: number): void {
    const again = (): void => {
      if (this.#process === process) this.start();
    };
    this.#world.scheduler.after(this.#world.outside, ms, again, 'start');
  }

  async #open(process: Process): Promise<Incarnation> {
    const { plan, scheduler, store, oracle } = this.#world;
    const log = openMemoryLog({
      clock: { now: () => scheduler.nowMs },
      store,
      step: (label) => (label.startsWith('renew') ? this.#renewalStep(process, label) : this.#step(process, label)),
    });
    const holders: string[] = [];
    this.#holders = holders;
    this.#lease = { id: '', untilMs: 0 };
    const service = await openSessionService({
      log,
      agents: agentsOf({
        process,
        oracle,
        seed: plan.seed,
        chatter: plan.chatter,
        newCallId: () => this.#world.newId('k'),
        sleep: (ms) => scheduler.sleep(process, ms, 'agent'),
      }),
      clock: clockOf(scheduler, process, this.#skewMs),
      randomId: () => this.#newHolder(holders),
      turnsMax: plan.turnsMax,
      queueMax: plan.queueMax,
      // The scripted agents err on purpose.
      onError: (error) => {
        if (((error as Error).cause as Error | undefined)?.message !== SCRIPTED) this.#world.onError(error);
      },
    });
    if (plan.hintLoss > 0) void this.#poll(process, log);
    return { process, service, log };
  }

  /** What hints do not tell, a node asks for; a process that is dead does not get any further. */
  async #poll(process: Process, log: MemoryLog): Promise<void> {
    for (;;) {
      await this.#world.scheduler.sleep(process, POLL_MS, 'timer');
      await log.poll().catch((error: unknown) => this.#world.onError(error));
    }
  }

  /** A new name is the end of the lease under the last one. */
  #newHolder(holders: string[]): string {
    if (this.#world.scheduler.nowMs < this.#lease.untilMs)
      this.#world.violate(
        'D2',
        `${this.#lease.id} is given up, ${this.#lease.untilMs - this.#world.scheduler.nowMs} ms early.`,
      );
    const id = this.#world.newId(this.#name);
    holders.push(id);
    return id;
  }

  #trouble(label: string): Trouble | undefined {
    const trouble = [...this.#world.troubles].find(({ op, left }) => left > 0 && label.startsWith(op));
    if (trouble === undefined || this.#world.scheduler.random() < 0.3) return undefined;
    trouble.left -= 1;
    return trouble;
  }

  #stall(process: Process): void {
    const { stall } = this.#world;
    if (stall === undefined || process !== this.#process || process.state !== 'running') return;
    this.#world.stall = undefined;
    if (stall.dies) this.crash(stall.forMs / 10);
    else this.pause(stall.forMs);
  }

  /** What its process may count on: a renewal counts where the lease before had not run out when its answer came. */
  async #renewalStep(process: Process, label: string): Promise<void> {
    const { scheduler, store } = this.#world;
    const [, id = '', done] = label.split(' ');
    if (done === undefined) this.#renewalSentAtMs = scheduler.nowMs;
    await this.#step(process, label);
    if (done === undefined || process !== this.#process || !store.hasLease(id, scheduler.nowMs)) return;
    if (this.#lease.id !== id || scheduler.nowMs < this.#lease.untilMs)
      this.#lease = { id, untilMs: this.#renewalSentAtMs + LEASE_COUNTED_MS };
  }

  #step(process: Process, label: string): Promise<void> {
    const { plan, scheduler, refusalShare } = this.#world;
    if (label.startsWith('hint') && plan.hintLoss > 0 && scheduler.random() < plan.hintLoss)
      return Promise.reject(new FaultError(REFUSED));
    if (label === 'pause') return scheduler.sleep(process, 50, label);
    const cutOffMs = (this.#cutOff?.untilMs ?? 0) - scheduler.nowMs;
    if (cutOffMs > 0 && this.#cutOff?.hangs === true) return scheduler.sleep(process, cutOffMs, label);
    if (cutOffMs > 0 && !label.startsWith('hint')) return scheduler.step(process, label, REFUSED);
    if (this.#world.stall !== undefined && label.startsWith(this.#world.stall.op)) this.#stall(process);
    const trouble = this.#trouble(label);
    if (trouble !== undefined)
      return scheduler.step(process, label, trouble.refuses ? REFUSED : undefined, trouble.slowMs);
    const isRefused = refusalShare > 0 && !label.startsWith('hint') && scheduler.random() < refusalShare;
    return scheduler.step(process, label, isRefused ? REFUSED : undefined);
  }
}
