/**
 * Whether the store takes writes at this moment, for `/readyz` (R94): a lease of the probe's own is renewed, which is a write on every store.
 * One probe at a time, at most one a second, and one without an answer within `ANSWER_MS` counts as none.
 */
import type { Log } from '@holdfast/log';
import type { Clock } from '@holdfast/session';

const EVERY_MS = 1_000;
const ANSWER_MS = 4_000;
const LEASE_MS = 1;

export class StoreProbe {
  readonly #log: Log;
  readonly #clock: Clock;
  readonly #id: string;
  #askedMs = Number.NEGATIVE_INFINITY;
  #last: Promise<string | undefined> = Promise.resolve(undefined);

  constructor(log: Log, clock: Clock, id: string) {
    this.#log = log;
    this.#clock = clock;
    this.#id = id;
  }

  /** @returns why the store cannot be written, or undefined */
  whyNot(): Promise<string | undefined> {
    const nowMs = this.#clock.monotonicMs();
    if (nowMs - this.#askedMs >= EVERY_MS) {
      this.#askedMs = nowMs;
      this.#last = this.#ask();
    }
    return this.#last;
  }

  async #ask(): Promise<string | undefined> {
    const answered = new AbortController();
    const written = this.#log.holders.renew(this.#id, LEASE_MS).then(
      (verdict) => (verdict.kind === 'unavailable' ? verdict.fault.kind : undefined),
      () => 'storage-unavailable',
    );
    const late = this.#clock.sleep(ANSWER_MS, answered.signal).then(() => 'storage-unavailable');
    const why = await Promise.race([written, late]);
    answered.abort();
    return why;
  }
}
