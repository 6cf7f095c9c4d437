/**
 * The owner's pen: run events go to the log through it, fenced, in order, each once.
 *
 * 1. One append is under way at a time; what is written meanwhile goes into the next one. Order is the order of `write`.
 * 2. `write` resolves when its entries are durable (persist, then show: R36), and the owner's view holds them: who decides after
 *    a write decides on what it wrote, however far behind others' commands the view was.
 * 3. A store that is unavailable is asked again until it answers; a producer seq makes the repeat the same append, whether
 *    or not the first try had arrived.
 * 4. A stale fence ends the pen for good, and so does putting it down: `lost` resolves, even of an append that arrived, so that
 *    nobody acts on it any more (D2); later writes resolve `lost` and reach nothing (R9, R12).
 * 5. `backlogBytes` is bounded by its callers: they await `write` when it exceeds `BACKLOG_BYTES_MAX`.
 */
import type { RunEvent } from '@holdfast/protocol';
import type { Append, AppendVerdict, Log, RowChange, StreamName } from '@holdfast/log';
import type { Clock } from './clock.ts';
import { encodeEntry } from './service.ts';

export const BACKLOG_BYTES_MAX: number = 256 * 1024;
const RETRY_FIRST_MS = 50;
const RETRY_MAX_MS = 2_000;

export type Written = 'durable' | 'lost';

interface Batch {
  readonly records: Uint8Array[];
  readonly rows: RowChange[];
  readonly done: ((written: Written) => void)[];
}

const emptyBatch = (): Batch => ({ records: [], rows: [], done: [] });
const isEmpty = ({ records, rows }: Batch): boolean => records.length === 0 && rows.length === 0;

export class Writer {
  readonly #log: Log;
  readonly #stream: StreamName;
  readonly #epoch: number;
  readonly #clock: Clock;
  readonly #onAppended: (last: number) => Promise<void>;
  #next: Batch = emptyBatch();
  #nextSeq = 0;
  #busy = false;
  readonly #end = new AbortController();
  backlogBytes = 0;

  constructor(options: {
    log: Log;
    stream: StreamName;
    epoch: number;
    clock: Clock;
    onAppended: (last: number) => Promise<void>;
  }) {
    this.#log = options.log;
    this.#stream = options.stream;
    this.#epoch = options.epoch;
    this.#clock = options.clock;
    this.#onAppended = options.onAppended;
  }

  /** Aborted once the pen is lost or put down. */
  get signal(): AbortSignal {
    return this.#end.signal;
  }

  /** With nothing to write: resolves when all that was written before is durable. */
  write(entries: readonly RunEvent[], rows: readonly RowChange[] = []): Promise<Written> {
    if (this.#end.signal.aborted) return Promise.resolve('lost');
    for (const entry of entries) {
      const bytes = encodeEntry(entry);
      this.#next.records.push(bytes);
      this.backlogBytes += bytes.byteLength;
    }
    this.#next.rows.push(...rows);
    const written = new Promise<Written>((resolve) => this.#next.done.push(resolve));
    if (!this.#busy) void this.#drain();
    return written;
  }

  /** Nothing more is written; what is under way may still arrive. */
  put(): void {
    this.#end.abort();
  }

  async #drain(): Promise<void> {
    this.#busy = true;
    while (this.#next.done.length > 0) {
      const batch = this.#next;
      this.#next = emptyBatch();
      const written = isEmpty(batch) ? this.#state() : await this.#append(batch);
      this.backlogBytes -= batch.records.reduce((sum, bytes) => sum + bytes.byteLength, 0);
      for (const done of batch.done) done(written);
    }
    this.#busy = false;
  }

  #state(): Written {
    return this.#end.signal.aborted ? 'lost' : 'durable';
  }

  async #append({ records, rows }: Batch): Promise<Written> {
    const fence = { consumer: 'run', epoch: this.#epoch };
    const producer = { id: 'run', epoch: this.#epoch, seq: this.#nextSeq };
    for (let waitMs = RETRY_FIRST_MS; !this.#end.signal.aborted; waitMs = Math.min(waitMs * 2, RETRY_MAX_MS)) {
      const verdict = await this.#try({ records, rows, fence, producer });
      if (verdict.kind === 'appended' || verdict.kind === 'duplicate') {
        this.#nextSeq += 1;
        await this.#onAppended(verdict.last);
        return this.#state();
      }
      // Everything but an unavailable store means that somebody else owns the session, or nobody can.
      if (verdict.kind !== 'unavailable') break;
      await this.#clock.sleep(waitMs, this.#end.signal);
    }
    this.#end.abort();
    return 'lost';
  }

  /** An answer that did not come is no answer: the append may have arrived or not (rule 3). */
  async #try(append: Append): Promise<AppendVerdict | { readonly kind: 'unavailable' }> {
    try {
      return await this.#log.append(this.#stream, append);
    } catch {
      return { kind: 'unavailable' };
    }
  }
}
