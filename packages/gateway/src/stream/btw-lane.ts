/**
 * A side question as a lane: its start, its deltas, its end, and no others.
 *
 * 1. After `btw-end` the response ends cleanly; every other end says goodbye.
 * 2. However the reader goes, the question hears of it once (`leave`).
 */
import type { Delivery } from '@holdfast/log';
import { btwEventOf, type BtwAttachment } from '@holdfast/session';
import { encodeRecords } from './encode.ts';
import type { Lane, Reader } from './reader.ts';

export class BtwLane implements Lane {
  readonly key: string = 'btw';
  readonly #reader: Reader;
  readonly #attachment: BtwAttachment;
  readonly #onError: (error: unknown) => void;
  #closed = false;
  #isLast = false;

  constructor(reader: Reader, attachment: BtwAttachment, onError: (error: unknown) => void) {
    this.#reader = reader;
    this.#attachment = attachment;
    this.#onError = onError;
  }

  start(): void {
    this.sent();
  }

  sent(): void {
    if (this.#closed) return;
    if (this.#isLast) this.#reader.finish();
    else this.#attachment.subscription.next().then(this.#take, this.#fail);
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#attachment.leave();
  }

  readonly #take = (delivery: Delivery): void => {
    if (this.#closed) return;
    if (delivery.kind === 'records') {
      const told = delivery.records.filter((record) => btwEventOf(record) !== undefined);
      const last = delivery.records.at(-1);
      this.#isLast = last !== undefined && btwEventOf(last)?.type === 'btw-end';
      if (told.length === 0) return this.sent();
      return this.#reader.offer(encodeRecords(told, ''), this);
    }
    if (delivery.kind === 'cancelled') this.#reader.goodbye({ reason: 'shutdown', retryAfterMs: 1_000 });
    else if (delivery.kind === 'deleted') this.#reader.goodbye({ reason: 'session-deleted' });
    else this.#reader.goodbye({ reason: 'session-refused', fault: 'btw-not-found' });
  };

  readonly #fail = (error: unknown): void => {
    this.#onError(error);
    if (!this.#closed) this.#reader.goodbye({ reason: 'store-unavailable', fault: 'internal', retryAfterMs: 1_000 });
  };
}
