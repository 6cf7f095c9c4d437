import type { Clock } from './ports.ts';

/** Timers are 32 bits wide everywhere; a longer one would fire at once. */
const DELAY_MS_MAX = 0x7fff_ffff;

export const systemClock: Clock = {
  now: () => Date.now(),
  after(delayMs, callback) {
    const timer = setTimeout(callback, Math.min(delayMs, DELAY_MS_MAX));
    return { cancel: () => clearTimeout(timer) };
  },
};
