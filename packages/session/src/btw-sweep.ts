/**
 * What is left of side questions: those whose process died end `interrupted`, and old streams
 * and uploads are erased. On every node.
 *
 * 1. A question without a living answerer is a pending consumer; who acquires it says the last word.
 */
import type { Log, StreamName } from '@holdfast/log';
import { BTW_CONSUMER, encodeBtw } from './btw-stream.ts';
import type { Clock, Timer } from './clock.ts';

const SWEEP_MS = 5_000;
const EXPIRE_MS = 60_000;
const SWEEP_PAGE = 256;

export interface BtwSweepPorts {
  readonly log: Log;
  readonly clock: Clock;
  readonly holderId: () => string | undefined;
  /** Ends uploads that no message named in time. */
  readonly sweepDrafts: () => Promise<void>;
  readonly onError: (error: unknown) => void;
}

export class BtwSweep {
  readonly #ports: BtwSweepPorts;
  readonly #timers = new Set<Timer>();
  #closed = false;

  constructor(ports: BtwSweepPorts) {
    this.#ports = ports;
  }

  start(): void {
    this.#every(SWEEP_MS, () => this.#sweep());
    this.#every(EXPIRE_MS, () => this.#ports.log.expire());
    this.#every(EXPIRE_MS, () => this.#ports.sweepDrafts());
  }

  close(): void {
    this.#closed = true;
    for (const timer of this.#timers) timer.cancel();
    this.#timers.clear();
  }

  /** Rule 1. */
  async #sweep(): Promise<void> {
    const { log, holderId } = this.#ports;
    const holder = holderId();
    if (holder === undefined) return;
    const nowMs = await log.now();
    for (const stream of await log.consumers.pending(BTW_CONSUMER, { limit: SWEEP_PAGE })) {
      const found = await log.stat(stream);
      // One that was created this moment is about to be taken by who was asked.
      if (found.kind !== 'state' || nowMs - found.state.createdAt < SWEEP_MS) continue;
      const acquired = await log.consumers.acquire(stream, BTW_CONSUMER, holder);
      if (acquired.kind === 'acquired') await this.#interrupt(stream, acquired.epoch, found.state.head);
    }
  }

  async #interrupt(stream: StreamName, epoch: number, head: number): Promise<void> {
    const { log } = this.#ports;
    const end = {
      type: 'btw-end',
      outcome: 'interrupted',
      fault: 'owner-lost',
      reason: 'The process that answered it died.',
    } as const;
    const fence = { consumer: BTW_CONSUMER, epoch };
    const said = await log.append(stream, { records: [encodeBtw(end)], fence, close: true });
    const upTo = said.kind === 'appended' ? said.last : head;
    await log.consumers.release(stream, BTW_CONSUMER, { epoch, upTo });
  }

  #every(ms: number, run: () => Promise<unknown>): void {
    if (this.#closed) return;
    const timer = this.#ports.clock.after(ms, () => {
      this.#timers.delete(timer);
      void run()
        .catch(this.#ports.onError)
        .finally(() => this.#every(ms, run));
    });
    this.#timers.add(timer);
  }
}
