/**
 * A session as a lane of a reader: its snapshot where one is due, then its log's tail for ever.
 *
 * 1. What the log hands over is encoded and offered as it is; the next delivery is asked for when the last one was sent.
 * 2. Where the log no longer has what the reader needs (`truncated`) the reader gets a `resync` with a snapshot in mid-stream.
 * 3. The end of the session ends the lane: `ended` says why, once.
 */
import { fault, formatCursor, type Fault, type SessionId, type SnapshotFrame } from '@holdfast/protocol';
import type { Delivery, Subscription } from '@holdfast/log';
import type { Attachment, SessionService } from '@holdfast/session';
import { encodeControl, encodeOnce, type EntryEncoder } from './encode.ts';
import type { Lane, Reader } from './reader.ts';

export interface SessionLaneOptions {
  readonly reader: Reader;
  readonly service: Pick<SessionService, 'attach'>;
  readonly encoder: EntryEncoder;
  readonly sessionId: SessionId;
  readonly attachment: Attachment;
  /** Whether the stream carries other sessions too, so that ids must say which. */
  readonly multiplexed: boolean;
  /** `deleted`, or why it cannot go on. */
  readonly ended: (why: Fault) => void;
}

export class SessionLane implements Lane {
  readonly key: string;
  readonly #options: SessionLaneOptions;
  readonly #prefix: string;
  #attachment: Attachment;
  #subscription: Subscription;
  #closed = false;

  constructor(options: SessionLaneOptions) {
    this.#options = options;
    this.key = options.sessionId;
    this.#prefix = options.multiplexed ? `${options.sessionId}/` : '';
    this.#attachment = options.attachment;
    this.#subscription = options.attachment.subscription;
  }

  start(): void {
    if (this.#closed) return;
    const frame = this.#snapshotFrame();
    if (frame === undefined) this.sent();
    else this.#options.reader.offer(frame, this);
  }

  sent(): void {
    if (!this.#closed) this.#subscription.next().then(this.#take, this.#fail);
  }

  close(): void {
    this.#closed = true;
    this.#subscription.cancel();
  }

  #snapshotFrame(): Buffer | undefined {
    const { snapshot, resync } = this.#attachment;
    if (snapshot === undefined) return undefined;
    const cursor = formatCursor(snapshot.cursor);
    const { sessionId } = this.#options;
    const frame: SnapshotFrame = {
      sessionId,
      cursor,
      view: snapshot.view,
      ...(resync === undefined ? {} : { reason: resync }),
    };
    const event = resync === undefined ? 'snapshot' : 'resync';
    return encodeOnce(snapshot.view, resync ?? event, () => encodeControl({ event, data: JSON.stringify(frame) }));
  }

  readonly #take = (delivery: Delivery): void => {
    if (this.#closed) return;
    switch (delivery.kind) {
      case 'records': {
        const { reader, encoder } = this.#options;
        return reader.offer(encoder.encode(delivery.records, this.#prefix), this);
      }
      case 'truncated':
        return void this.#attachAnew();
      case 'deleted':
      case 'missing':
        return this.#options.ended(fault('session-deleted', `Session ${this.key} was deleted.`));
      case 'closed':
      case 'cancelled':
        return this.#options.ended(fault('shutting-down', 'The gateway is shutting down.', { retryAfterMs: 1_000 }));
    }
  };

  /** Rule 2. */
  async #attachAnew(): Promise<void> {
    const { service, sessionId, ended } = this.#options;
    try {
      const attached = await service.attach(sessionId, undefined);
      if (attached.kind === 'fault') return this.#closed ? undefined : ended(attached.fault);
      if (this.#closed) return attached.subscription.cancel();
      this.#attachment = { ...attached, resync: 'cursor-too-old' };
      this.#subscription = attached.subscription;
      this.start();
    } catch (error) {
      this.#fail(error);
    }
  }

  readonly #fail = (error: unknown): void => {
    if (!this.#closed) this.#options.ended(fault('internal', `The stream of ${this.key} failed: ${String(error)}`));
  };
}
