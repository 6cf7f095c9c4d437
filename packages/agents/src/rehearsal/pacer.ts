/**
 * Paces tokens by credit: time earns tokens, each token spends one.
 *
 * 1. Above the timer's resolution several tokens go out for one tick, and the mean rate holds.
 * 2. After a pause (a slow reader, a laptop that slept) at most `CATCH_UP_MS` are made up for; a clock that goes back earns nothing.
 * 3. It never spins: each wait is at least a millisecond, and an unpaced run lets others in every `UNPACED_BURST` tokens.
 */
import type { RunContext } from '@holdfast/session';

export interface Pacer {
  /** Resolves when `tokens` more may go; at once where they may already. */
  spend(tokens: number): Promise<void> | undefined;
}

const CATCH_UP_MS = 250;
const UNPACED_BURST = 256;

/** @param rate tokens a second; 0: as fast as they are taken. */
export function createPacer(clock: RunContext['clock'], rate: number, signal: AbortSignal | undefined): Pacer {
  return rate === 0 ? unpaced(clock, signal) : paced(clock, rate / 1000, signal);
}

function paced(clock: RunContext['clock'], perMs: number, signal: AbortSignal | undefined): Pacer {
  let credit = 0;
  // Earning begins with the first token, not with the pause before it.
  let lastMs: number | null = null;
  const earn = (): void => {
    const now = clock.now();
    credit += Math.min(Math.max(0, now - (lastMs ?? now)), CATCH_UP_MS) * perMs;
    lastMs = now;
  };
  const waitFor = async (tokens: number): Promise<void> => {
    earn();
    // In slices no longer than what is made up for, so that slow rates earn in full.
    while (credit < tokens && signal?.aborted !== true) {
      const missingMs = (tokens - credit) / perMs;
      await clock.sleep(Math.min(CATCH_UP_MS, Math.max(1, Math.ceil(missingMs))), signal);
      earn();
    }
    credit -= tokens;
  };
  return {
    spend: (tokens) => {
      if (credit < tokens) return waitFor(tokens);
      credit -= tokens;
      return undefined;
    },
  };
}

function unpaced(clock: RunContext['clock'], signal: AbortSignal | undefined): Pacer {
  let spent = 0;
  return {
    spend: (tokens) => {
      spent += tokens;
      if (spent < UNPACED_BURST) return undefined;
      spent = 0;
      return clock.sleep(0, signal);
    },
  };
}
