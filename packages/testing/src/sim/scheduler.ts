/**
 * One world, one thread, one order: the scheduler decides which step comes next, and nothing else ever decides.
 *
 * A **step** is whatever waits for the outside: a store operation before or after its effect, a timer, a hint, a request on
 * its way. Between two steps only microtasks run, and they run until none is left. So a run is a function of its seed.
 *
 * Stages of a turn of `drive`: pick a step at random, let it go, drain the microtasks, again. Only when nothing can go on at
 * this instant does time jump to the next timer.
 *
 *  S1  A step of a dead process never happens; one of a paused process happens after it is resumed.
 *  S2  The timers of a running process fire at their time: a process is late only while it is paused.
 *  S4  Now and then several steps go in one tick, as when a store answers together what it committed together.
 *  S3  The trace hash covers every choice that was made: equal hashes, equal runs.
 */
import { FaultError, type Fault } from '@holdfast/protocol/fault';
import type { Timer } from '@holdfast/session';

export const START_MS: number = Date.UTC(2030, 0, 1);

/** An incarnation of a process; a restart is a new one. */
export interface Process {
  readonly name: string;
  state: 'running' | 'paused' | 'dead';
  /** How often it was paused. */
  pauses: number;
  /** At this instant it works off what it slept through: it may not know yet what it has lost. */
  resumedAtMs: number;
}

export const newProcess = (name: string): Process => ({ name, state: 'running', pauses: 0, resumedAtMs: 0 });

interface Pending {
  readonly process: Process;
  readonly label: string;
  readonly go: () => void;
}

interface Alarm extends Pending {
  readonly atMs: number;
  isCancelled: boolean;
}

/** How slow steps are, at present. */
export interface Pace {
  /** The share of steps that take time at all. */
  readonly slowShare: number;
  readonly slowMs: number;
}

const BURST_SHARE = 0.2;

export type Driven = 'done' | 'stuck' | 'too-long';

export class Scheduler {
  nowMs: number = START_MS;
  steps = 0;
  hash: number = 0x81_1c_9d_c5;
  pace: Pace = { slowShare: 0.15, slowMs: 20 };
  /** The last labels, for a report; undefined: none are kept. */
  trace: string[] | undefined;
  /** Called before each step. */
  onStep: ((process: Process, label: string) => void) | undefined;
  readonly random: () => number;
  /** How many choices of a next step there were. */
  picks = 0;
  readonly #choose: () => number;
  readonly #mayPreempt: (pick: number) => boolean;
  #ready: Pending[] = [];
  readonly #alarms: Alarm[] = [];
  readonly #frozen: Pending[] = [];

  /**
   * @param random for whoever asks: how slow a step is, what a client does
   * @param choose for the order of steps alone
   * @param mayPreempt whether a choice may differ from first come, first served
   */
  constructor(random: () => number, choose: () => number = random, mayPreempt: (pick: number) => boolean = () => true) {
    this.random = random;
    this.#choose = choose;
    this.#mayPreempt = mayPreempt;
  }

  /** A number from 0 to `below - 1`. */
  draw(below: number): number {
    return Math.floor(this.random() * below);
  }

  /** Resolves when it is this step's turn, and so much later; a refused one rejects then. */
  step(process: Process, label: string, refusal?: Fault, laterMs = 0): Promise<void> {
    return new Promise((resolve, reject) => {
      const go = refusal === undefined ? resolve : (): void => reject(new FaultError(refusal));
      const slow = this.pace.slowShare > 0 && this.random() < this.pace.slowShare;
      if (slow || laterMs > 0) this.after(process, laterMs + (slow ? this.random() * this.pace.slowMs : 0), go, label);
      else this.#enqueue({ process, label, go });
    });
  }

  after(process: Process, ms: number, go: () => void, label: string): Timer {
    const alarm: Alarm = { process, label, go, atMs: this.nowMs + Math.max(0, Math.ceil(ms)), isCancelled: false };
    this.#insert(alarm);
    return { cancel: () => void (alarm.isCancelled = true) };
  }

  sleep(process: Process, ms: number, label: string): Promise<void> {
    return new Promise((resolve) => this.after(process, ms, resolve, label));
  }

  pause(process: Process): void {
    if (process.state !== 'running') return;
    process.state = 'paused';
    process.pauses += 1;
    const mine = this.#ready.filter((pending) => pending.process === process);
    this.#ready = this.#ready.filter((pending) => pending.process !== process);
    this.#frozen.push(...mine);
  }

  resume(process: Process): void {
    if (process.state !== 'paused') return;
    process.state = 'running';
    process.resumedAtMs = this.nowMs;
    for (const pending of this.#frozen.splice(0)) this.#enqueue(pending);
  }

  kill(process: Process): void {
    process.state = 'dead';
    this.#ready = this.#ready.filter((pending) => pending.process !== process);
  }

  /** Runs the world until `isDone`, or until it stands still, or one of the bounds is reached. */
  drive(isDone: () => boolean, bounds: { readonly stepsMax: number; readonly untilMs: number }): Promise<Driven> {
    return new Promise((resolve) => {
      const turn = (): void => {
        if (isDone()) return resolve('done');
        if (this.steps >= bounds.stepsMax || this.nowMs > bounds.untilMs) return resolve('too-long');
        const next = this.#pick();
        if (next === undefined) return resolve('stuck');
        this.#take(next);
        // S4.
        while (this.#ready.length > 0 && this.#choose() < BURST_SHARE) this.#take(this.#pickReady());
        drained(turn);
      };
      drained(turn);
    });
  }

  #take(next: Pending): void {
    this.steps += 1;
    this.#note(next);
    this.onStep?.(next.process, next.label);
    // The step's own process may have died of what `onStep` did.
    if (next.process.state === 'running') next.go();
    else this.#enqueue(next);
  }

  #enqueue(pending: Pending): void {
    if (pending.process.state === 'dead') return;
    if (pending.process.state === 'paused') this.#frozen.push(pending);
    else this.#ready.push(pending);
  }

  #pick(): Pending | undefined {
    while (this.#ready.length === 0) if (!this.#passTime()) return undefined;
    return this.#pickReady();
  }

  #pickReady(): Pending {
    const isFree = this.#mayPreempt((this.picks += 1));
    const index = Math.floor(this.#choose() * this.#ready.length);
    const [picked] = this.#ready.splice(isFree ? index : 0, 1);
    return picked as Pending;
  }

  /** To the next timer, with all that are due at that instant. */
  #passTime(): boolean {
    const next = this.#alarms.pop();
    if (next === undefined) return false;
    if (next.isCancelled || next.process.state === 'dead') return true;
    this.nowMs = Math.max(this.nowMs, next.atMs);
    this.#enqueue(next);
    for (let also = this.#alarms.at(-1); also !== undefined && also.atMs <= this.nowMs; also = this.#alarms.at(-1)) {
      this.#alarms.pop();
      if (!also.isCancelled) this.#enqueue(also);
    }
    return true;
  }

  /** Latest first, so that the next one is popped; the few timers of a small world make a list the fastest heap. */
  #insert(alarm: Alarm): void {
    let low = 0;
    let high = this.#alarms.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((this.#alarms[middle]?.atMs ?? 0) > alarm.atMs) low = middle + 1;
      else high = middle;
    }
    this.#alarms.splice(low, 0, alarm);
  }

  /** S3: FNV-1a. */
  #note({ process, label }: Pending): void {
    let hash = this.hash ^ process.name.charCodeAt(process.name.length - 1);
    for (let index = 0; index < label.length; index += 1)
      hash = Math.imul(hash ^ label.charCodeAt(index), 0x01_00_01_93);
    this.hash = Math.imul(hash ^ this.nowMs, 0x01_00_01_93) >>> 0;
    this.trace?.push(
      `${String(this.steps).padStart(6)} ${(this.nowMs - START_MS).toFixed(1)} ms ${process.name} ${label}`,
    );
  }
}

/** A tick asked for in a microtask comes when no microtask is left, and before the event loop goes round: exact, and cheap. */
const drained = (run: () => void): void => queueMicrotask(() => process.nextTick(run));
