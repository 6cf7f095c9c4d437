/** Clocks for tests: one that never waits, and one that waits until it is told. */
import type { RunContext } from '@holdfast/session';

type AgentClock = RunContext['clock'];

/** Every sleep takes no time and moves the clock. */
export function instantClock(): AgentClock & { readonly sleepsMs: number[] } {
  let now = 1_000_000;
  const sleepsMs: number[] = [];
  return {
    sleepsMs,
    now: () => now,
    sleep: (ms, signal) => {
      sleepsMs.push(ms);
      if (signal?.aborted !== true) now += ms;
      // A real turn of the event loop, so that whoever waits for sockets is not starved.
      return new Promise((resolve) => setImmediate(resolve));
    },
  };
}

/** Sleepers wait until `advance` has passed their time. */
export function heldClock(): AgentClock & { advance(ms: number): void; readonly sleeping: number } {
  let now = 1_000_000;
  const sleepers = new Set<{ readonly until: number; readonly wake: () => void }>();
  return {
    now: () => now,
    get sleeping() {
      return sleepers.size;
    },
    sleep: (ms, signal) => {
      if (signal?.aborted === true) return Promise.resolve();
      return new Promise((resolve) => {
        const sleeper = {
          until: now + ms,
          wake: () => {
            sleepers.delete(sleeper);
            signal?.removeEventListener('abort', sleeper.wake);
            resolve();
          },
        };
        sleepers.add(sleeper);
        signal?.addEventListener('abort', sleeper.wake, { once: true });
      });
    },
    advance: (ms) => {
      now += ms;
      for (const sleeper of sleepers) if (sleeper.until <= now) sleeper.wake();
    },
  };
}
