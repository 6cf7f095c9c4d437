/**
 * The pace that the recoveries of one client share, so that a client with several sessions asks a server that has just come
 * back no oftener than a client with one.
 *
 * 1. One recovery asks at a time; the others wait in the order in which they came.
 * 2. After a failure nobody asks before the back-off, or the server's advice, is over. An answer forgets the failures.
 * 3. A hint ends a back-off, and never the server's advice.
 * 4. A timer exists only while somebody waits for the end of a pause.
 */
import type { Clock, Timer } from './ports.ts';
import { failurePauseMs } from './settle.ts';

export class RecoveryPace {
  readonly #clock: Clock;
  readonly #waiting = new Set<() => void>();
  #asking: (() => void) | undefined;
  #failures = 0;
  #pause: { readonly endsAt: number; readonly ms: number; readonly advised: boolean } | undefined;
  #timer: Timer | undefined;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Calls `ask` once, when it is its turn. @returns what ends the turn, or the wait for it. */
  enter(ask: () => void): () => void {
    const entry = (): void => ask();
    this.#waiting.add(entry);
    this.#next();
    return () => this.#leave(entry);
  }

  passed(): void {
    this.#failures = 0;
    this.#pause = undefined;
  }

  /** `roll` is the jitter's dice, in [0, 1). */
  failed(roll: number, adviceMs: number | undefined): void {
    const ms = failurePauseMs(this.#failures++, roll, adviceMs);
    this.#pause = { endsAt: this.#clock.now() + ms, ms, advised: adviceMs !== undefined };
  }

  hint(): void {
    if (this.#pause?.advised !== false) return;
    this.#pause = undefined;
    this.#next();
  }

  #leave(entry: () => void): void {
    this.#waiting.delete(entry);
    if (this.#asking === entry) this.#asking = undefined;
    this.#next();
  }

  #next(): void {
    this.#timer?.cancel(); // Rule 4.
    this.#timer = undefined;
    const [first] = this.#waiting;
    if (first === undefined || this.#asking !== undefined) return;
    const leftMs = this.#leftMs();
    if (leftMs > 0) {
      this.#timer = this.#clock.after(leftMs, () => this.#next());
      return;
    }
    this.#waiting.delete(first);
    this.#asking = first;
    first();
  }

  #leftMs(): number {
    if (this.#pause === undefined) return 0;
    // A wall clock that was set back must not make the pause longer than it was.
    return Math.min(this.#pause.ms, this.#pause.endsAt - this.#clock.now());
  }
}
