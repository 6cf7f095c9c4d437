/**
 * The writer's side of a SQLite log: every operation as one synchronous step inside the batch's transaction.
 *
 * 1. The one writer knows the lines it has touched (head, epochs, producers) without asking the database again; what they
 *    have become is written once a batch (`flush`), before the commit.
 * 2. After a rollback nothing that was known counts: `forget`.
 * 3. Each method answers as the reference in `memory/store.ts` does.
 */
import type { Database } from 'better-sqlite3';
import { admit, type KnownAppend, type KnownProducer, type Line } from '../admission.ts';
import { checkStreamName } from '../limits.ts';
import type {
  AcquireVerdict,
  Append,
  AppendVerdict,
  CreateVerdict,
  HeldConsumer,
  LeaseVerdict,
  Release,
  ReleaseVerdict,
  StreamName,
  StreamOptions,
} from '../port.ts';
import { unpackPage } from '../page.ts';
import { isMadeWith, stateOf } from '../stream-row.ts';
import { RowWriter } from './rows.ts';
import { WordsPurge } from './words-purge.ts';
import type { SqliteStreamRow } from './stream-row.ts';
import { prepare, type WriterStatements } from './writer-statements.ts';

const LINES_MAX = 20_000;

interface ConsumerState {
  epoch: number;
  acked: number;
  holder: string | null;
  behind: number;
}

/** A stream as the writer knows it. */
class WriterLine implements Line {
  readonly row: SqliteStreamRow;
  readonly consumers = new Map<string, ConsumerState>();
  readonly producers = new Map<string, KnownProducer>();
  readonly dirtyProducers = new Set<string>();
  head: number;
  closed: boolean;
  touchedAt: number;
  dirty = false;
  readonly #findKey: (id: string) => KnownAppend | undefined;

  constructor(row: SqliteStreamRow, findKey: (id: string) => KnownAppend | undefined) {
    this.row = row;
    this.head = row.head;
    this.closed = row.closed === 1;
    this.touchedAt = row.touched_at;
    this.#findKey = findKey;
  }

  epochOf(consumer: string): number {
    return this.consumers.get(consumer)?.epoch ?? 0;
  }
  findKey(id: string): KnownAppend | undefined {
    return this.#findKey(id);
  }
  findProducer(id: string): KnownProducer | undefined {
    return this.producers.get(id);
  }
}

type Gone = { readonly kind: 'missing' } | { readonly kind: 'deleted' };
const missing: Gone = { kind: 'missing' };
const deleted: Gone = { kind: 'deleted' };

/** `holders.lease_until`: older versions wrote a time, which counts as living until the next opening. */
const LEFT = 0;
const LIVES = Number.MAX_SAFE_INTEGER;

export class WriterStore {
  readonly #db: Database;
  readonly #rows: RowWriter;
  readonly #purge: WordsPurge;
  readonly #lines = new Map<StreamName, WriterLine | 'deleted'>();
  readonly #dirty = new Set<WriterLine>();
  readonly #statements: WriterStatements;

  constructor(db: Database) {
    this.#db = db;
    this.#rows = new RowWriter(db);
    this.#purge = new WordsPurge(db);
    this.#statements = prepare(db);
  }

  /** Writes what the batch has made of its lines. */
  /** Of the latest row change. */
  get rev(): number {
    return this.#rows.rev;
  }

  flush(): void {
    const { setLine, putProducer } = this.#statements;
    for (const line of this.#dirty) {
      setLine.run(line.head, line.closed ? 1 : 0, line.touchedAt, line.row.id);
      for (const id of line.dirtyProducers) {
        const { epoch, seq, first, last } = line.producers.get(id) as KnownProducer;
        putProducer.run(line.row.id, id, epoch, seq, first, last);
      }
      line.dirtyProducers.clear();
      line.dirty = false;
    }
    this.#dirty.clear();
    this.#rows.flush();
  }

  forget(): void {
    this.#lines.clear();
    this.#dirty.clear();
    this.#rows.forget();
  }

  /** Between batches: keeps what is known bounded. */
  trim(): void {
    if (this.#lines.size > LINES_MAX) this.#lines.clear();
  }

  append(name: StreamName, append: Append, now: number): AppendVerdict {
    const line = this.#find(name, now);
    if (!(line instanceof WriterLine)) return line;
    const verdict = admit(line, append);
    if (verdict.kind !== 'admitted') return verdict;
    const { first, last } = verdict;
    const { id } = line.row;
    const { records, key, producer, rows } = append;
    const { putRecord, putKey } = this.#statements;
    for (let index = 0; index < records.length; index += 1)
      putRecord.run(id, first + index, now, records[index] as Uint8Array);
    if (key !== undefined) putKey.run(id, key.id, key.hash, first, last);
    if (producer !== undefined) {
      line.producers.set(producer.id, { epoch: producer.epoch, seq: producer.seq, first, last });
      line.dirtyProducers.add(producer.id);
    }
    if (rows !== undefined && rows.length > 0) this.#rows.apply(id, rows);
    if (records.length > 0) this.#markBehind(line);
    line.head = last;
    line.closed ||= append.close === true;
    line.touchedAt = now;
    this.#dirty.add(line);
    return { kind: 'appended', first, last, at: now };
  }

  create(
    name: StreamName,
    options: Omit<StreamOptions, 'first'>,
    first: Append | undefined,
    now: number,
  ): CreateVerdict {
    checkStreamName(name);
    const present = this.#find(name, now);
    if (present instanceof WriterLine) {
      this.flush();
      return {
        kind: 'exists',
        state: stateOf(this.#row(name) as SqliteStreamRow),
        same: isMadeWith(present.row, options),
      };
    }
    if (present.kind === 'deleted') return { kind: 'deleted' };
    const parent = options.fork === undefined ? undefined : this.#find(options.fork.from, now);
    if (options.fork !== undefined && !(parent instanceof WriterLine)) return { kind: 'fork-missing' };
    if (options.fork !== undefined && parent instanceof WriterLine && options.fork.upTo > parent.head)
      return { kind: 'fork-beyond-head', head: parent.head };
    const { contentType, ttlMs, expiresAt, fork, consumers = [] } = options;
    const id = Number(
      this.#statements.putStream.run(
        name,
        contentType,
        now,
        now,
        ttlMs ?? null,
        expiresAt ?? null,
        fork?.from ?? null,
        fork?.upTo ?? null,
      ).lastInsertRowid,
    );
    if (fork !== undefined && parent instanceof WriterLine) this.#copy(parent, id, fork.upTo);
    for (const consumer of consumers) this.#statements.putConsumer.run(id, consumer, 0, 0, null, null, 1);
    const verdict = first === undefined ? undefined : this.append(name, first, now);
    this.flush();
    return {
      kind: 'created',
      state: stateOf(this.#row(name) as SqliteStreamRow),
      ...(verdict === undefined ? {} : { first: verdict }),
    };
  }

  acquire(name: StreamName, consumerName: string, holder: string, now: number): AcquireVerdict {
    const line = this.#find(name, now);
    if (!(line instanceof WriterLine)) return line;
    if (!this.#isAlive(holder)) return { kind: 'lost' };
    const present = line.consumers.get(consumerName) ?? { epoch: 0, acked: 0, holder: null, behind: 1 };
    const other = present.holder === holder ? null : present.holder;
    if (other !== null && this.#isAlive(other))
      return { kind: 'held', holder: other, remainingMs: Number.POSITIVE_INFINITY };
    const taken = { ...present, epoch: present.epoch + 1, holder, behind: 1 };
    this.#statements.takeConsumer.run(line.row.id, consumerName, taken.epoch, holder);
    line.consumers.set(consumerName, taken);
    const previous = other === null ? {} : ({ previous: 'ended' } as const);
    return { kind: 'acquired', epoch: taken.epoch, acked: taken.acked, head: line.head, ...previous };
  }

  release(
    name: StreamName,
    consumerName: string,
    { epoch, upTo, wakeAt, rows = [] }: Release,
    now: number,
  ): ReleaseVerdict {
    const line = this.#find(name, now);
    if (!(line instanceof WriterLine)) return line;
    const present = line.consumers.get(consumerName);
    if (present === undefined || present.holder === null || present.epoch !== epoch) return { kind: 'lost' };
    if (upTo !== line.head) return { kind: 'behind', head: line.head };
    line.consumers.set(consumerName, { ...present, acked: upTo, holder: null, behind: 0 });
    this.#statements.freeConsumer.run(upTo, wakeAt ?? null, line.row.id, consumerName);
    this.#rows.apply(line.row.id, rows);
    return { kind: 'released' };
  }

  /** The directory's lock is the lease: a holder lives until it leaves or the process ends (L10). */
  renew(holder: string, held: readonly HeldConsumer[], now: number): LeaseVerdict {
    if (this.#leaseEnd(holder) === LEFT) return { kind: 'lost' };
    this.#statements.putHolder.run(holder, LIVES);
    const taken = held.filter(({ stream, consumer, epoch }) => {
      const line = this.#find(stream, now);
      return line instanceof WriterLine && line.consumers.get(consumer)?.epoch !== epoch;
    });
    return { kind: 'alive', taken: taken.map(({ stream }) => stream) };
  }

  leave(holder: string): void {
    this.#statements.putHolder.run(holder, LEFT);
  }

  delete(
    name: StreamName,
    tombstones: readonly { readonly table: string; readonly key: string; readonly group?: string }[],
    now: number,
  ): { readonly kind: 'erased' } | Gone {
    const line = this.#find(name, now);
    if (!(line instanceof WriterLine)) return line;
    this.#erase(line, tombstones);
    return { kind: 'erased' };
  }

  truncate(name: StreamName, upTo: number, now: number): void {
    const line = this.#find(name, now);
    if (!(line instanceof WriterLine)) return;
    const floor = Math.min(upTo, line.head);
    this.flush();
    this.#statements.setFloor.run(floor, line.row.id);
    this.#statements.dropRecords.run(line.row.id, floor);
    this.#statements.dropPages.run(line.row.id, floor);
    this.#lines.delete(name);
  }

  touch(name: StreamName, now: number): void {
    const line = this.#find(name, now);
    if (!(line instanceof WriterLine)) return;
    line.touchedAt = now;
    this.#dirty.add(line);
  }

  expire(now: number): readonly StreamName[] {
    this.flush();
    const due = this.#statements.expired.all(now, now) as readonly { readonly name: string }[];
    for (const { name } of due) this.#find(name, now);
    return due.map((row) => row.name);
  }

  purgeWords(): boolean {
    return this.#purge.step();
  }

  /** Replaces rows by their page; false where the rows are not there any more (truncated, deleted meanwhile). */
  putPage(name: StreamName, first: number, last: number, body: Uint8Array, now: number): boolean {
    const line = this.#find(name, now);
    if (!(line instanceof WriterLine)) return false;
    const { n } = this.#statements.countRange.get(line.row.id, first, last) as { readonly n: number };
    if (n !== last - first + 1) return false;
    this.#statements.dropRange.run(line.row.id, first, last);
    this.#statements.putPage.run(line.row.id, first, last, body);
    return true;
  }

  // ── inside ──────────────────────────────────────────────────────────────────────────────────────────────────────────

  #find(name: StreamName, now: number): WriterLine | Gone {
    const known = this.#lines.get(name) ?? this.#load(name);
    if (known === undefined) return missing;
    if (known === 'deleted') return deleted;
    const { ttl_ms, expires_at } = known.row;
    const expired = (ttl_ms !== null && now >= known.touchedAt + ttl_ms) || (expires_at !== null && now >= expires_at);
    if (!expired) return known;
    this.#erase(known, []);
    return deleted;
  }

  #load(name: StreamName): WriterLine | 'deleted' | undefined {
    const row = this.#row(name);
    if (row === undefined) return undefined;
    if (row.deleted === 1) return this.#keep(name, 'deleted');
    const line = new WriterLine(row, (id) => this.#statements.findKey.get(row.id, id) as KnownAppend | undefined);
    for (const { name: consumer, ...state } of this.#statements.consumersOf.all(row.id) as readonly (ConsumerState & {
      readonly name: string;
    })[])
      line.consumers.set(consumer, state);
    for (const { id, ...producer } of this.#statements.producersOf.all(row.id) as readonly (KnownProducer & {
      readonly id: string;
    })[])
      line.producers.set(id, producer);
    return this.#keep(name, line);
  }

  #keep<T extends WriterLine | 'deleted'>(name: StreamName, line: T): T {
    this.#lines.set(name, line);
    return line;
  }

  #row(name: StreamName): SqliteStreamRow | undefined {
    return this.#statements.findStream.get(name) as SqliteStreamRow | undefined;
  }

  #markBehind(line: WriterLine): void {
    for (const [consumer, state] of line.consumers) {
      if (state.behind === 1) continue;
      state.behind = 1;
      this.#statements.setBehind.run(line.row.id, consumer);
    }
  }

  #copy(parent: WriterLine, id: number, upTo: number): void {
    this.flush();
    this.#statements.copyPages.run(id, parent.row.id, upTo);
    this.#statements.copyRecords.run(id, parent.row.id, upTo);
    // A page that reaches beyond the fork gives only its part, as records.
    const across = this.#statements.pageAcross.get(parent.row.id, upTo, upTo) as
      | { readonly first: number; readonly body: Uint8Array }
      | undefined;
    for (const { seq, at, bytes } of across === undefined ? [] : unpackPage(across.first, across.body))
      if (seq <= upTo) this.#statements.putRecord.run(id, seq, at, bytes);
    const floor = Math.min((this.#row(parent.row.name) as SqliteStreamRow).floor, upTo);
    this.#db.prepare('UPDATE streams SET head = ?, floor = ? WHERE id = ?').run(upTo, floor, id);
  }

  #erase(
    line: WriterLine,
    tombstones: readonly { readonly table: string; readonly key: string; readonly group?: string }[],
  ): void {
    const { id, name } = line.row;
    this.#dirty.delete(line);
    for (const table of ['records', 'pages', 'keys', 'producers', 'consumers'])
      this.#db.prepare(`DELETE FROM ${table} WHERE stream_id = ?`).run(id);
    this.#rows.erase(id, tombstones);
    this.#purge.want();
    this.#db.prepare('UPDATE streams SET deleted = 1 WHERE id = ?').run(id);
    this.#lines.set(name, 'deleted');
  }

  #leaseEnd(holder: string): number | undefined {
    return (this.#statements.findHolder.get(holder) as { readonly lease_until: number } | undefined)?.lease_until;
  }

  #isAlive(holder: string): boolean {
    return (this.#leaseEnd(holder) ?? LEFT) !== LEFT;
  }
}
