/**
 * Chance that can be repeated: mulberry32 (Tommy Ettinger, public domain) and FNV-1a. Both are 32-bit integer arithmetic
 * alone, so a seed means the same on every machine and runtime.
 */

/** @returns a whole number from 0 up to, not including, `below`. */
export type Random = (below: number) => number;

export function seededRandom(seed: number): Random {
  let state = seed >>> 0;
  return (below) => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    // The bias of the remainder is below one in a million for the small lists that are drawn from.
    return ((mixed ^ (mixed >>> 14)) >>> 0) % below;
  };
}

export function hashText(text: string): number {
  let hash = 0x811c9dc5;
  for (let index = 0; index < text.length; index += 1) {
    hash = Math.imul(hash ^ text.charCodeAt(index), 0x01000193);
  }
  return hash >>> 0;
}

export function pick<T>(random: Random, list: readonly [T, ...T[]]): T {
  return list[random(list.length)] ?? list[0];
}
