import type { Random } from './ports.ts';

/** For jitter. What must not be guessed comes from `crypto`, never from here. */
export const systemRandom: Random = () => Math.random();
