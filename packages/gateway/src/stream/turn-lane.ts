/**
 * One turn as a lane: its entries from its start or a cursor, to its `stream-end`, and no others.
 *
 * 1. A turn that is still in the queue is waited for. One that leaves it without a start (withdrawn, cleared) ends the
 *    stream with a goodbye, never in silence: also where its owner had just begun it, for that start is void.
 * 2. A message that was merged into another's turn is answered there: then that turn is followed.
 * 3. After `stream-end` the response ends cleanly: that is the one clean end there is.
 */
import { isCommand, type EntryBody, type MessageId, type TurnId } from '@holdfast/protocol';
import type { Delivery, LogRecord, Subscription } from '@holdfast/log';
import { decodeEntry } from '@holdfast/session';
import { encodeRecords } from './encode.ts';
import type { Lane, Reader } from './reader.ts';

export interface TurnLaneOptions {
  readonly reader: Reader;
  readonly turnId: TurnId;
  readonly subscription: Subscription;
  /** The message that waits for its turn, where it has not begun. */
  readonly waitsFor: MessageId | undefined;
  /** Whether a turn is still in the queue or has begun (rule 1). */
  isComing(turnId: TurnId): Promise<boolean>;
  onError(error: unknown): void;
}

export class TurnLane implements Lane {
  readonly key: string = 'turn';
  readonly #options: TurnLaneOptions;
  #turnId: TurnId;
  #waits: boolean;
  #closed = false;
  /** What follows when the last batch was written. */
  #next: () => void = () => undefined;

  constructor(options: TurnLaneOptions) {
    this.#options = options;
    this.#turnId = options.turnId;
    this.#waits = options.waitsFor !== undefined;
  }

  start(): void {
    this.#continue();
  }

  sent(): void {
    const next = this.#next;
    next();
  }

  close(): void {
    this.#closed = true;
    this.#options.subscription.cancel();
  }

  readonly #continue = (): void => {
    if (this.#closed) return;
    this.#options.subscription.next().then(this.#take, this.#fail);
  };

  readonly #take = (delivery: Delivery): void => {
    if (this.#closed) return;
    if (delivery.kind === 'records') return this.#takeRecords(delivery.records);
    const { reader } = this.#options;
    if (delivery.kind === 'cancelled' || delivery.kind === 'closed')
      reader.goodbye({ reason: 'shutdown', retryAfterMs: 1_000 });
    else if (delivery.kind === 'truncated') reader.goodbye({ reason: 'session-refused', fault: 'turn-not-found' });
    else reader.goodbye({ reason: 'session-deleted' });
  };

  #takeRecords(records: readonly LogRecord[]): void {
    const mine: LogRecord[] = [];
    let mayBeGone = false;
    for (const record of records) {
      const entry = decodeEntry(record);
      if (this.#waits) {
        this.#awaitStart(entry);
        mayBeGone ||= entry.type === 'message-withdraw' || entry.type === 'stop';
      }
      if (!this.#isMine(entry)) continue;
      mine.push(record);
      if (entry.type === 'stream-end') return this.#send(mine, () => this.#options.reader.finish());
    }
    const go = mayBeGone ? this.#check : this.#continue;
    if (mine.length === 0) go();
    else this.#send(mine, go);
  }

  /** Rule 2. */
  #awaitStart(entry: EntryBody): void {
    const { waitsFor, turnId } = this.#options;
    if (entry.type !== 'turn-start') return;
    if (entry.turnId !== turnId && (waitsFor === undefined || !entry.messageIds.includes(waitsFor))) return;
    this.#turnId = entry.turnId;
    this.#waits = false;
  }

  /** A later command about an ended turn (`regenerate`) belongs to another one. */
  #isMine(entry: EntryBody): boolean {
    if (this.#waits || !('turnId' in entry) || entry.turnId !== this.#turnId) return false;
    return !isCommand(entry) || entry.type === 'stop' || entry.type === 'steer';
  }

  #send(records: readonly LogRecord[], sent: () => void): void {
    this.#next = sent;
    this.#options.reader.offer(encodeRecords(records, ''), this);
  }

  /** Rule 1. */
  readonly #check = (): void => {
    this.#options.isComing(this.#turnId).then((coming) => {
      if (this.#closed) return;
      if (coming) this.#continue();
      else this.#options.reader.goodbye({ reason: 'session-refused', fault: 'turn-not-found' });
    }, this.#fail);
  };

  readonly #fail = (error: unknown): void => {
    this.#options.onError(error);
    if (!this.#closed)
      this.#options.reader.goodbye({ reason: 'store-unavailable', fault: 'internal', retryAfterMs: 1_000 });
  };
}
