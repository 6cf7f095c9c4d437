/** The time a store lives by. The session's richer clock satisfies it, and so does a test's. */
export interface Clock {
  /** Milliseconds since the epoch, by the wall. */
  now(): number;
}

export const systemClock: Clock = { now: () => Date.now() };
