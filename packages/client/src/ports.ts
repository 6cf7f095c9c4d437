/**
 * What the client takes from the world besides the network: time, chance and the signs of life of a page or process.
 *
 * 1. A sign of life is a hint: it may come late, twice or never, and nothing is right only because one came.
 * 2. Adapters: `clock.ts`, `random.ts`, `lifecycle.ts`. Tests bring their own.
 */

export interface Timer {
  /** After this the callback never runs. May be called twice, and from within the callback. */
  cancel(): void;
}

export interface Clock {
  /** Wall clock in milliseconds: it goes on while the machine sleeps, which timers do not. */
  now(): number;
  after(delayMs: number, callback: () => void): Timer;
}

/** A number in [0, 1). */
export type Random = () => number;

export type Hint = 'online' | 'offline' | 'visible' | 'hidden';

export interface Lifecycle {
  visible(): boolean;
  /** @returns the end of the subscription. */
  subscribe(listener: (hint: Hint) => void): () => void;
}

export interface Ports {
  readonly clock: Clock;
  readonly random: Random;
  readonly lifecycle: Lifecycle;
}

/** The part of the platform's Web Locks that is used. */
export interface TabLocks {
  request(
    name: string,
    how: { readonly steal?: boolean; readonly signal?: AbortSignal },
    granted: () => Promise<void> | undefined,
  ): Promise<unknown>;
}
