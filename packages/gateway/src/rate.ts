/**
 * How fast one token may ask: a bucket that fills by the second and holds a burst.
 *
 * 1. A refusal says how long until the next request can pass.
 * 2. A bucket that is full again says nothing and is dropped, so there are only as many as lately asked; at `BUCKETS_MAX` the
 *    oldest is dropped all the same.
 */
import { fault, type Fault } from '@holdfast/protocol';
import type { Clock } from '@holdfast/session';

const BUCKETS_MAX = 50_000;
const PRUNE_EVERY = 1_000;

interface Bucket {
  left: number;
  atMs: number;
}

export class RateLimiter {
  readonly #clock: Clock;
  readonly #perMs: number;
  readonly #burst: number;
  readonly #buckets = new Map<string, Bucket>();
  #asked = 0;

  constructor(
    clock: Clock,
    { requestsPerS, requestsBurst }: { readonly requestsPerS: number; readonly requestsBurst: number },
  ) {
    this.#clock = clock;
    this.#perMs = requestsPerS / 1_000;
    this.#burst = requestsBurst;
  }

  take(key: string): Fault | undefined {
    const nowMs = this.#clock.monotonicMs();
    this.#asked += 1;
    if (this.#asked % PRUNE_EVERY === 0) this.#prune(nowMs);
    const bucket = this.#buckets.get(key) ?? this.#add(key, nowMs);
    bucket.left = Math.min(this.#burst, bucket.left + (nowMs - bucket.atMs) * this.#perMs);
    bucket.atMs = nowMs;
    if (bucket.left < 1) {
      const retryAfterMs = Math.ceil((1 - bucket.left) / this.#perMs);
      return fault(
        'rate-limited',
        `More than ${this.#perMs * 1_000} requests a second came with one token. Wait, then go on slower.`,
        { retryAfterMs },
      );
    }
    bucket.left -= 1;
    return undefined;
  }

  get size(): number {
    return this.#buckets.size;
  }

  #add(key: string, atMs: number): Bucket {
    if (this.#buckets.size >= BUCKETS_MAX) {
      const [oldest] = this.#buckets.keys();
      if (oldest !== undefined) this.#buckets.delete(oldest);
    }
    const bucket = { left: this.#burst, atMs };
    this.#buckets.set(key, bucket);
    return bucket;
  }

  /** Rule 2. */
  #prune(nowMs: number): void {
    for (const [key, { left, atMs }] of this.#buckets)
      if (left + (nowMs - atMs) * this.#perMs >= this.#burst) this.#buckets.delete(key);
  }
}
