/**
 * Says once that nothing has come for too long (B6). It belongs to one attempt and ends with it (R43).
 *
 * It is judged by the wall clock: timers stand still while a machine sleeps, and `probe`, on waking, does not wait for them.
 * A sign of life costs one reading of the clock, not a new timer.
 */
import type { Clock, Timer } from './ports.ts';

export interface Watchdog {
  /** A sign of life. */
  touch(): void;
  /** Judge now. */
  probe(): void;
  setLimit(idleMs: number): void;
  end(): void;
}

export function startWatchdog(clock: Clock, idleMs: number, onIdle: () => void): Watchdog {
  let lastAt = clock.now();
  let timer: Timer | undefined = clock.after(idleMs, probe);

  function probe(): void {
    if (timer === undefined) return;
    timer.cancel();
    const nowAt = clock.now();
    // A wall clock that was set back has no opinion about the past.
    lastAt = Math.min(lastAt, nowAt);
    const idleForMs = nowAt - lastAt;
    if (idleForMs < idleMs) timer = clock.after(idleMs - idleForMs, probe);
    else {
      timer = undefined;
      onIdle();
    }
  }

  return {
    touch: () => (lastAt = clock.now()),
    probe,
    setLimit(limitMs) {
      idleMs = limitMs;
      probe();
    },
    end() {
      timer?.cancel();
      timer = undefined;
    },
  };
}
