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
 * 5. A decision (`decide`) is made when all that was written before it is durable and in the view, and is appended alone, at the head
 *    that it was made at (log law L14). If commands came in between, it is made again (R77). What is written meanwhile waits.
 *    Each repeat means that a command was appended; after `BEHIND_MAX` of them the commands of this process wait for the decision.
 * 6. `backlogBytes` is bounded by its callers: they await `write` when it exceeds `BACKLOG_BYTES_MAX`.
 */
import type { RunEvent } from '@holdfast/protocol';
import type { Append, AppendVerdict, Log, RowChange, StreamName } from '@holdfast/log';
import type { Clock } from './clock.ts';
import { encodeEntry } from './service.ts';

export const BACKLOG_BYTES_MAX: number = 256 * 1024;
const RETRY_FIRST_MS = 50;
const RETRY_MAX_MS = 2_000;
/** Rule 5. */
const BEHIND_MAX = 2;

export type Written = 'durable' | 'lost';

export interface Decision {
  readonly entries: readonly RunEvent[];
  readonly rows?: readonly RowChange[];
  /** The seq of the view that it was made on. */
  readonly head: number;
}

/** `void`: at the last head there was nothing to append. */
export type Decided = Written | 'void';

interface Batch {
  readonly kind: 'batch';
  readonly records: Uint8Array[];
  readonly rows: RowChange[];
  readonly done: ((written: Written) => void)[];
}

type Job = Batch | { readonly kind: 'decision'; readonly settle: () => Promise<void> };

const emptyBatch = (): Batch => ({ kind: 'batch', records: [], rows: [], done: [] });

export interface WriterOptions {
  readonly log: Log;
  readonly stream: StreamName;
  readonly epoch: number;
  readonly clock: Clock;
  /** Resolves when the view holds the entry at this seq. */
  readonly onAppended: (last: number) => Promise<void>;
  /** Holds back the commands of this process (rule 5). @returns release */
  readonly holdCommands: () => () => void;
}

export class Writer {
  readonly #options: WriterOptions;
  readonly #jobs: Job[] = [];
  #nextSeq = 0;
  #busy = false;
  #releaseCommands: (() => void) | undefined;
  readonly #end = new AbortController();
  backlogBytes = 0;

  constructor(options: WriterOptions) {
    this.#options = options;
  }

  /** Aborted once the pen is lost or put down. */
  get signal(): AbortSignal {
    return this.#end.signal;
  }

  /** With nothing to write: resolves when all that was written before is durable. */
  write(entries: readonly RunEvent[], rows: readonly RowChange[] = []): Promise<Written> {
    if (this.#end.signal.aborted) return Promise.resolve('lost');
    const batch = this.#lastBatch();
    for (const entry of entries) {
      const bytes = encodeEntry(entry);
      batch.records.push(bytes);
      this.backlogBytes += bytes.byteLength;
    }
    batch.rows.push(...rows);
    const written = new Promise<Written>((resolve) => batch.done.push(resolve));
    this.#start();
    return written;
  }

  /** Rule 5. @param make is called once for each head; undefined: nothing is to be appended there */
  decide(make: () => Promise<Decision | undefined>): Promise<Decided> {
    return new Promise((resolve, reject) => {
      this.#jobs.push({ kind: 'decision', settle: () => this.#settle(make).then(resolve, reject) });
      this.#start();
    });
  }

  /** Nothing more is written; what is under way may still arrive. */
  put(): void {
    this.#end.abort();
  }

  #lastBatch(): Batch {
    const last = this.#jobs.at(-1);
    if (last?.kind === 'batch') return last;
    const batch = emptyBatch();
    this.#jobs.push(batch);
    return batch;
  }

  #start(): void {
    if (!this.#busy) void this.#drain();
  }

  async #drain(): Promise<void> {
    this.#busy = true;
    for (let job = this.#jobs.shift(); job !== undefined; job = this.#jobs.shift())
      await (job.kind === 'batch' ? this.#writeBatch(job) : job.settle());
    this.#busy = false;
  }

  async #writeBatch({ records, rows, done }: Batch): Promise<void> {
    const isEmpty = records.length === 0 && rows.length === 0;
    const written = isEmpty ? this.#state() : await this.#append({ records, rows });
    this.backlogBytes -= records.reduce((sum, bytes) => sum + bytes.byteLength, 0);
    // Without a head to be at, it cannot be behind.
    for (const tell of done) tell(written === 'behind' ? 'lost' : written);
  }

  async #settle(make: () => Promise<Decision | undefined>): Promise<Decided> {
    try {
      for (let tries = 0; ; tries += 1) {
        if (tries >= BEHIND_MAX) this.#releaseCommands ??= this.#options.holdCommands();
        const decision = this.#end.signal.aborted ? undefined : await make();
        if (this.#end.signal.aborted) return 'lost';
        if (decision === undefined) return 'void';
        const { entries, rows = [], head } = decision;
        if (entries.length === 0 && rows.length === 0) return 'durable';
        const written = await this.#append({ records: entries.map(encodeEntry), rows, ifHead: head });
        if (written !== 'behind') return written;
      }
    } finally {
      this.#letCommandsGo();
    }
  }

  #letCommandsGo(): void {
    this.#releaseCommands?.();
    this.#releaseCommands = undefined;
  }

  #state(): Written {
    return this.#end.signal.aborted ? 'lost' : 'durable';
  }

  async #append(content: Pick<Append, 'records' | 'rows' | 'ifHead'>): Promise<Written | 'behind'> {
    const { epoch, clock, onAppended } = this.#options;
    const fence = { consumer: 'run', epoch };
    const producer = { id: 'run', epoch, seq: this.#nextSeq };
    for (let waitMs = RETRY_FIRST_MS; !this.#end.signal.aborted; waitMs = Math.min(waitMs * 2, RETRY_MAX_MS)) {
      const verdict = await this.#try({ ...content, fence, producer });
      if (verdict.kind === 'appended' || verdict.kind === 'duplicate') {
        this.#nextSeq += 1;
        await onAppended(verdict.last);
        return this.#state();
      }
      // An earlier try of it has not arrived, and never will: the head does not come back.
      if (verdict.kind === 'behind') {
        await onAppended(verdict.head);
        return this.#end.signal.aborted ? 'lost' : 'behind';
      }
      // Everything but an unavailable store means that somebody else owns the session, or nobody can.
      if (verdict.kind !== 'unavailable') break;
      this.#letCommandsGo();
      await clock.sleep(waitMs, this.#end.signal);
    }
    this.#end.abort();
    return 'lost';
  }

  /** An answer that did not come is no answer: the append may have arrived or not (rule 3). */
  async #try(append: Append): Promise<AppendVerdict | { readonly kind: 'unavailable' }> {
    try {
      return await this.#options.log.append(this.#options.stream, append);
    } catch {
      return { kind: 'unavailable' };
    }
  }
}
