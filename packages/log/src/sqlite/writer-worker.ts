/**
 * The writer: one thread, one connection, one transaction for everything that came in while the last one committed.
 *
 * 1. A call is answered after its batch is committed, never before (L1).
 * 2. A batch that fails on the disk is rolled back whole and answered `unavailable`: nothing has changed (L12). One that fails
 *    otherwise is tried call by call, so that only the culprit is refused (L5).
 */
import { existsSync } from 'node:fs';
import path from 'node:path';
import { workerData } from 'node:worker_threads';
import type { Database } from 'better-sqlite3';
import { fault, FaultError, type Fault } from '@holdfast/protocol';
import type { Append } from '../port.ts';
import { DATABASE_FILE } from './files.ts';
import { holdLock } from './lock.ts';
import type { Answer, Batch, Call, FlatAppend, WriterCall } from './messages.ts';
import { tighten } from './private.ts';
import { openWriterDatabase, refuseForeign } from './schema.ts';
import { refusal, serve } from './serve.ts';
import { Timeline } from './timeline.ts';
import { WriterStore } from './writer-store.ts';

const { dir } = workerData as { readonly dir: string };

/** SQLite's own bound. */
const PAGES_MAX = 4_294_967_294;

interface Job {
  readonly call: Call<WriterCall>;
  readonly now: number;
  readonly appended: Append | undefined;
}

/** The bytes of a batch's records, in the order of its calls. */
function jobsOf({ calls, bytes, now }: Batch<WriterCall>): readonly Job[] {
  let offset = 0;
  const inflate = (flat: FlatAppend | undefined): Append | undefined => {
    if (flat === undefined) return undefined;
    const { sizes, ...rest } = flat;
    const records = sizes.map((size) => bytes.subarray(offset, (offset += size)));
    return { ...rest, records };
  };
  return calls.map((call) => ({
    call,
    now,
    appended: inflate(
      call.call.op === 'append' ? call.call.append : call.call.op === 'create' ? call.call.first : undefined,
    ),
  }));
}

class Writer {
  readonly #db: Database;
  readonly #store: WriterStore;
  readonly #timeline: Timeline;
  readonly #close: () => void;

  constructor(db: Database, timeline: Timeline, close: () => void) {
    this.#db = db;
    this.#store = new WriterStore(db);
    this.#timeline = timeline;
    this.#close = close;
  }

  commit(jobs: readonly Job[]): readonly Answer[] {
    const last = jobs.at(-1);
    if (last?.call.call.op === 'close') return this.#end(jobs.slice(0, -1), last);
    // Outside a transaction: on a broken disk there is none.
    for (const { call } of jobs) if (call.call.op === 'break-disk') this.#breakDisk(call.call.how);
    try {
      this.#db.exec('BEGIN IMMEDIATE');
      const answers = jobs.map((job): Answer => ({ id: job.call.id, value: this.#perform(job) }));
      this.#store.flush();
      this.#db.exec('COMMIT');
      this.#store.trim();
      this.#timeline.reached(this.#store.rev, last?.now ?? 0);
      return answers;
    } catch (error) {
      if (this.#db.inTransaction) this.#db.exec('ROLLBACK');
      this.#store.forget();
      const disk = diskFault(error);
      if (disk !== undefined)
        return jobs.map(({ call }) => ({ id: call.id, value: { kind: 'unavailable', fault: disk } }));
      return jobs.length === 1
        ? jobs.map(({ call }) => refusal(call.id, error))
        : jobs.flatMap((job) => this.commit([job]));
    }
  }

  #breakDisk(how: 'full' | 'read-only' | 'whole'): void {
    this.#db.pragma(`max_page_count = ${how === 'full' ? 1 : PAGES_MAX}`);
    this.#db.pragma(`query_only = ${how === 'read-only' ? 'ON' : 'OFF'}`);
  }

  #end(jobs: readonly Job[], close: Job): readonly Answer[] {
    const answers = jobs.length === 0 ? [] : this.commit(jobs);
    this.#timeline.close(this.#store.rev);
    this.#close();
    return [...answers, { id: close.call.id, value: undefined }];
  }

  #perform({ call: { call }, now, appended }: Job): unknown {
    const store = this.#store;
    switch (call.op) {
      case 'append':
        return store.append(call.stream, appended ?? { records: [] }, now);
      case 'create':
        return store.create(call.stream, call.options, appended, now);
      case 'acquire':
        return store.acquire(call.stream, call.consumer, call.holder, now);
      case 'release':
        return store.release(call.stream, call.consumer, call.release, now);
      case 'renew':
        return store.renew(call.holder, call.held, now);
      case 'leave':
        return store.leave(call.holder);
      case 'delete':
        return store.delete(call.stream, call.tombstones, now);
      case 'truncate':
        return store.truncate(call.stream, call.upTo, now);
      case 'touch':
        return store.touch(call.stream, now);
      case 'expire':
        return store.expire(now);
      case 'purge-words':
        return store.purgeWords();
      case 'put-page':
        return store.putPage(call.stream, call.first, call.last, call.body, now);
      case 'break-disk':
      case 'close':
        return undefined;
    }
  }
}

function diskFault(error: unknown): Fault | undefined {
  if (error instanceof FaultError) return undefined;
  const code = error instanceof Error && 'code' in error ? String(error.code) : '';
  if (code === 'SQLITE_FULL')
    return fault('storage-full', 'The disk is full. Nothing was stored; make room, and the same request works.', {
      retryAfterMs: 2_000,
    });
  if (/^SQLITE_(IOERR|READONLY|BUSY|LOCKED|CANTOPEN|NOMEM)/.test(code))
    return fault('storage-unavailable', `The database could not be written (${code}). Nothing was stored.`, {
      retryAfterMs: 1_000,
    });
  return undefined;
}

serve<WriterCall>(dir, () => {
  const lock = holdLock(dir);
  const file = path.join(dir, DATABASE_FILE);
  if (existsSync(file)) refuseForeign(file);
  // Before the WAL is made, which takes its rights from the database.
  tighten(dir);
  const db = openWriterDatabase(file);
  // The lock says that no other process has this directory: whoever held something here is gone.
  db.exec('UPDATE holders SET lease_until = 0');
  const writer = new Writer(db, Timeline.open(dir, db), () => {
    db.close();
    lock.release();
  });
  return (batches) => ({ answers: writer.commit(batches.flatMap(jobsOf)) });
});
