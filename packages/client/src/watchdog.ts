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
  return new WallWatchdog(clock, idleMs, onIdle);
}

class WallWatchdog implements Watchdog {
  readonly #clock: Clock;
  readonly #onIdle: () => void;
  #idleMs: number;
  #lastAt: number;
  #timer: Timer | undefined;

  constructor(clock: Clock, idleMs: number, onIdle: () => void) {
    this.#clock = clock;
    this.#onIdle = onIdle;
    this.#idleMs = idleMs;
    this.#lastAt = clock.now();
    this.#wait(idleMs);
  }

  touch(): void {
    this.#lastAt = this.#clock.now();
  }

  probe(): void {
    if (this.#timer === undefined) return;
    this.end();
    const nowAt = this.#clock.now();
    // A wall clock that was set back has no opinion about the past.
    this.#lastAt = Math.min(this.#lastAt, nowAt);
    const idleForMs = nowAt - this.#lastAt;
    if (idleForMs < this.#idleMs) this.#wait(this.#idleMs - idleForMs);
    else this.#onIdle();
  }

  setLimit(idleMs: number): void {
    this.#idleMs = idleMs;
    this.probe();
  }

  end(): void {
    this.#timer?.cancel();
    this.#timer = undefined;
  }

  #wait(delayMs: number): void {
    this.#timer = this.#clock.after(delayMs, () => this.probe());
  }
}
