/** The clock of a simulated process: virtual time, with a wall that is as wrong as walls are. */
import { sleepOn, type Clock } from '@holdfast/session';
import type { Process, Scheduler } from './scheduler.ts';

export function clockOf(scheduler: Scheduler, process: Process, skewMs: number): Clock {
  const clock: Clock = {
    now: () => scheduler.nowMs + skewMs,
    monotonicMs: () => scheduler.nowMs,
    after: (ms, run) =>
      // As with the real clock: no timer is shorter than a millisecond, and a cancelled one never fires.
      cancellable((go) => scheduler.after(process, Math.max(1, ms), go, 'timer'), run),
    sleep: (ms, signal) => sleepOn(clock, ms, signal),
  };
  return clock;
}

function cancellable(set: (go: () => void) => { cancel(): void }, run: () => void): { cancel(): void } {
  let isCancelled = false;
  const timer = set(() => {
    if (!isCancelled) run();
  });
  return {
    cancel: () => {
      isCancelled = true;
      timer.cancel();
    },
  };
}
