/**
 * A value that readers subscribe to, told in batches.
 *
 * 1. `touch` says that the value changed; readers hear of it once at the next frame, or at once where it is urgent.
 * 2. `getSnapshot` is what readers were told last, the same object until they are told again. Where nobody subscribes it is
 *    made when asked for, so it is never behind.
 * 3. A reader that throws harms no other (R16).
 */
import type { Readable } from './api.ts';
import type { Frames } from './frames.ts';
import type { Timer } from './ports.ts';
import { tell } from './tell.ts';

export interface CellOptions<T> {
  readonly frames: Frames;
  /** Makes the value; with the last one, to keep what did not change. */
  readonly build: (last: T | undefined) => T;
  readonly onError: (error: unknown) => void;
  /** The number of readers changed. */
  readonly watched?: (readers: number) => void;
}

export class Cell<T> implements Readable<T> {
  readonly #options: CellOptions<T>;
  readonly #listeners = new Set<() => void>();
  readonly #initial: T;
  #published: T;
  #changed = false;
  #frame: Timer | undefined;

  constructor(options: CellOptions<T>) {
    this.#options = options;
    this.#initial = options.build(undefined);
    this.#published = this.#initial;
  }

  get readers(): number {
    return this.#listeners.size;
  }

  // Both are handed to `useSyncExternalStore` as they are.
  readonly getSnapshot = (): T => {
    if (this.#listeners.size === 0) this.#publish();
    return this.#published;
  };

  readonly getServerSnapshot = (): T => this.#initial;

  readonly subscribe = (listener: () => void): (() => void) => {
    // The same function may come twice: each subscription is its own.
    const own = (): void => listener();
    // What changed while nobody listened will not be told any more.
    if (this.#listeners.size === 0) this.#publish();
    this.#listeners.add(own);
    this.#options.watched?.(this.#listeners.size);
    return () => {
      if (this.#listeners.delete(own)) this.#options.watched?.(this.#listeners.size);
    };
  };

  touch(urgent: boolean = false): void {
    this.#changed = true;
    if (this.#listeners.size === 0) return;
    if (urgent) return this.flush();
    this.#frame ??= this.#options.frames.next(() => this.flush());
  }

  flush(): void {
    this.#frame?.cancel();
    this.#frame = undefined;
    if (!this.#publish()) return;
    tell(this.#listeners, this.#options.onError); // 3
  }

  /** @returns whether there was something new. */
  #publish(): boolean {
    if (!this.#changed) return false;
    this.#changed = false;
    const last = this.#published;
    this.#published = this.#options.build(last);
    return this.#published !== last;
  }
}
