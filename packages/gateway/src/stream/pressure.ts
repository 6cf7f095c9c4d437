/**
 * How long a reader's events may be gathered before they are written: not at all, unless the process is short of time.
 *
 * A write costs about the same for one event as for many. While there is time, each event goes out at once. When the event loop is busy most of
 * the time, everybody waits for it anyway, and gathering for some tens of milliseconds buys the time back.
 *
 * 1. What is measured is the share of the time that the event loop was busy, smoothed: a single long task widens nothing.
 * 2. The window widens and narrows by steps with a gap between them, so that what it saves does not make it swing.
 */
import { performance } from 'node:perf_hooks';

const SMOOTHING = 0.4;
/** Above `from` the window is this wide; it is left again below `until`. */
const STEPS = [
  { windowMs: 0, from: 0, until: 0 },
  { windowMs: 20, from: 0.65, until: 0.35 },
  { windowMs: 40, from: 0.75, until: 0.4 },
  { windowMs: 80, from: 0.97, until: 0.5 },
] as const;

export class Pressure {
  #before = performance.eventLoopUtilization();
  #busy = 0;
  #step = 0;

  /** Called at steady intervals. @returns the window in milliseconds */
  sample(): number {
    const now = performance.eventLoopUtilization();
    const { utilization } = performance.eventLoopUtilization(now, this.#before);
    this.#before = now;
    return this.take(utilization);
  }

  /** @param busy a share, 0 to 1 */
  take(busy: number): number {
    this.#busy += SMOOTHING * (busy - this.#busy);
    while (this.#step + 1 < STEPS.length && this.#busy >= STEPS[this.#step + 1]!.from) this.#step += 1;
    while (this.#step > 0 && this.#busy < STEPS[this.#step]!.until) this.#step -= 1;
    return STEPS[this.#step]!.windowMs;
  }
}
