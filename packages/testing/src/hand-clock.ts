/** A session's and a gateway's time, which passes when the test says so. */
import { sleepOn, type Clock, type Timer } from '@holdfast/session';

export class HandClock implements Clock {
  #ms = 1_700_000_000_000;
  readonly #timers = new Set<{ readonly atMs: number; readonly run: () => void }>();

  now(): number {
    return this.#ms;
  }

  monotonicMs(): number {
    return this.#ms;
  }

  after(ms: number, run: () => void): Timer {
    const timer = { atMs: this.#ms + ms, run };
    this.#timers.add(timer);
    return { cancel: () => void this.#timers.delete(timer) };
  }

  sleep(ms: number, signal?: AbortSignal): Promise<void> {
    return sleepOn(this, ms, signal);
  }

  /** The process stands still: the time passes, others act (`meanwhile`), and then the timers that came due run late. */
  async standStill(ms: number, meanwhile: () => Promise<unknown> = async () => undefined): Promise<void> {
    this.#ms += ms;
    await meanwhile();
    this.pass(0);
  }

  /** Each timer runs at its own time, also those that are set meanwhile. */
  pass(ms: number): void {
    const end = this.#ms + ms;
    for (;;) {
      const [next] = [...this.#timers].filter(({ atMs }) => atMs <= end).toSorted((a, b) => a.atMs - b.atMs);
      if (next === undefined) break;
      this.#timers.delete(next);
      this.#ms = Math.max(this.#ms, next.atMs);
      next.run();
    }
    this.#ms = end;
  }
}
