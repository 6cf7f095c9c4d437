/**
 * The reader's side of a SQLite log, on a read-only connection: never ahead of what is committed, never in a writer's way.
 *
 * 1. Each call is one transaction: head, floor and records of a page are of one moment.
 * 2. Packed pages come first in a stream, unpacked records after them; a read goes over both without a seam.
 */
import type { Database, Statement } from 'better-sqlite3';
import { statSync } from 'node:fs';
import { boundsOf } from '../limits.ts';
import { PAGE_BYTES_MAX, PAGE_RECORDS_MAX, packPage, unpackPage } from '../page.ts';
import type { LogRecord, ReadRange, ReadVerdict, StreamName, StreamState } from '../port.ts';
import { logRecord } from '../record.ts';
import { stateOf } from '../stream-row.ts';
import { checkLog } from './check.ts';
import { RowReader } from './rows.ts';
import type { SqliteStreamRow } from './stream-row.ts';

/** Fewer records than this are not worth a page. */
const PACK_RECORDS_MIN = 32;

type Gone = { readonly kind: 'missing' } | { readonly kind: 'deleted' };

export interface LogUsage {
  readonly databaseBytes: number;
  readonly walBytes: number;
  readonly freeBytes: number;
  readonly streams: number;
}

export class ReaderStore {
  readonly rows: RowReader;
  readonly #db: Database;
  readonly #file: string;
  readonly #statements: ReturnType<typeof prepare>;
  /** The page read last: a reader that catches up asks for pieces of it. */
  #page: { readonly streamId: number; readonly first: number; readonly records: readonly LogRecord[] } | undefined;

  constructor(db: Database, file: string) {
    this.#db = db;
    this.#file = file;
    this.rows = new RowReader(db);
    this.#statements = prepare(db);
  }

  stat(name: StreamName, now: number): { readonly kind: 'state'; readonly state: StreamState } | Gone {
    const row = this.#find(name, now);
    return 'kind' in row ? row : { kind: 'state', state: stateOf(row) };
  }

  read(name: StreamName, range: ReadRange, now: number): ReadVerdict & { readonly mortal?: true } {
    return this.#db.transaction(() => {
      const row = this.#find(name, now);
      if ('kind' in row) return row;
      const { head, floor, closed, ttl_ms } = row;
      if (range.after < floor) return { kind: 'truncated' as const, floor, head };
      const records = this.#records(row, range);
      return {
        kind: 'page' as const,
        records,
        head,
        closed: closed === 1,
        ...(ttl_ms === null ? {} : { mortal: true as const }),
      };
    })();
  }

  findKey(
    name: StreamName,
    id: string,
  ): { readonly first: number; readonly last: number; readonly hash: string } | undefined {
    return this.#statements.findKey.get(name, id) as ReturnType<ReaderStore['findKey']>;
  }

  pending(consumer: string, limit: number, after: StreamName, now: number): readonly StreamName[] {
    const rows = this.#statements.pending.all({ consumer, limit, after, now }) as readonly { readonly name: string }[];
    return rows.map((row) => row.name);
  }

  nextWakeMs(consumer: string, now: number): number | undefined {
    const { wake } = this.#statements.nextWake.get({ consumer, now }) as { readonly wake: number | null };
    return wake === null ? undefined : Math.max(0, wake - now);
  }

  /** The next page that can be made of a stream's unpacked records up to `upTo`. */
  pageOf(
    name: StreamName,
    upTo: number,
    now: number,
  ):
    | { readonly first: number; readonly last: number; readonly body: Uint8Array; readonly savedBytes: number }
    | undefined {
    const row = this.#find(name, now);
    if ('kind' in row) return undefined;
    const records: LogRecord[] = [];
    let bytes = 0;
    for (const record of this.#statements.recordsAfter.iterate(
      row.id,
      0,
      Math.min(upTo, row.head),
    ) as Iterable<StoredRecord>) {
      bytes += record.body.byteLength;
      if (records.length > 0 && (bytes > PAGE_BYTES_MAX || records.length >= PAGE_RECORDS_MAX)) break;
      records.push(logRecord(record.seq, record.at, record.body));
    }
    const first = records[0];
    const last = records.at(-1);
    if (first === undefined || last === undefined || records.length < PACK_RECORDS_MIN) return undefined;
    const body = packPage(records);
    const raw = records.reduce((sum, record) => sum + record.bytes.byteLength, 0);
    return { first: first.seq, last: last.seq, body, savedBytes: raw - body.byteLength };
  }

  /** What is wrong with the database, in words; empty: nothing. */
  check(): readonly string[] {
    return checkLog(this.#db, (row, after) => this.#records(row, { after }));
  }

  usage(): LogUsage {
    const pageBytes = Number(this.#db.pragma('page_size', { simple: true }));
    const sizeOf = (file: string): number => statSync(file, { throwIfNoEntry: false })?.size ?? 0;
    const { streams } = this.#statements.count.get() as { readonly streams: number };
    return {
      databaseBytes: sizeOf(this.#file),
      walBytes: sizeOf(`${this.#file}-wal`),
      freeBytes: Number(this.#db.pragma('freelist_count', { simple: true })) * pageBytes,
      streams,
    };
  }

  // ── inside ──────────────────────────────────────────────────────────────────────────────────────────────────────────

  #find(name: StreamName, now: number): SqliteStreamRow | Gone {
    const row = this.#statements.findStream.get(name) as SqliteStreamRow | undefined;
    if (row === undefined) return { kind: 'missing' };
    const expired =
      (row.ttl_ms !== null && now >= row.touched_at + row.ttl_ms) || (row.expires_at !== null && now >= row.expires_at);
    return row.deleted === 1 || expired ? { kind: 'deleted' } : row;
  }

  #records(row: SqliteStreamRow, range: ReadRange): readonly LogRecord[] {
    const { after, upTo, limit, bytesMax } = boundsOf(range, row.head);
    const records: LogRecord[] = [];
    let bytes = 0;
    const take = (record: LogRecord): boolean => {
      bytes += record.bytes.byteLength;
      if (records.length > 0 && (bytes > bytesMax || records.length >= limit)) return false;
      records.push(record);
      return true;
    };
    let place = after;
    for (
      let page = this.#pageAfter(row.id, place);
      page !== undefined && place < upTo;
      page = this.#pageAfter(row.id, place)
    ) {
      for (const record of page) {
        if (record.seq <= place) continue;
        if (record.seq > upTo || !take(record)) return records;
        place = record.seq;
      }
    }
    if (place >= upTo) return records;
    for (const { seq, at, body } of this.#statements.recordsAfter.iterate(
      row.id,
      place,
      upTo,
    ) as Iterable<StoredRecord>)
      if (!take(logRecord(seq, at, body))) break;
    return records;
  }

  #pageAfter(streamId: number, place: number): readonly LogRecord[] | undefined {
    const cached = this.#page;
    if (cached?.streamId === streamId && cached.first <= place + 1 && (cached.records.at(-1)?.seq ?? 0) > place)
      return cached.records;
    const stored = this.#statements.pageAfter.get(streamId, place) as
      | { readonly first: number; readonly body: Uint8Array }
      | undefined;
    if (stored === undefined) return undefined;
    const records = unpackPage(stored.first, stored.body);
    this.#page = { streamId, first: stored.first, records };
    return records;
  }
}

interface StoredRecord {
  readonly seq: number;
  readonly at: number;
  readonly body: Uint8Array;
}

const FREE = 'NOT EXISTS (SELECT 1 FROM holders h WHERE h.id = c.holder AND h.lease_until > 0)';
const LIVING = 's.deleted = 0 AND coalesce(s.expires_at > :now, 1) AND coalesce(s.touched_at + s.ttl_ms > :now, 1)';

function prepare(
  db: Database,
): Readonly<
  Record<'findStream' | 'findKey' | 'recordsAfter' | 'pageAfter' | 'pending' | 'nextWake' | 'count', Statement>
> {
  return {
    findStream: db.prepare('SELECT * FROM streams WHERE name = ?'),
    findKey: db.prepare(
      'SELECT k.first, k.last, k.hash FROM keys k JOIN streams s ON s.id = k.stream_id WHERE s.name = ? AND k.id = ?',
    ),
    recordsAfter: db.prepare(
      'SELECT seq, at, body FROM records WHERE stream_id = ? AND seq > ? AND seq <= ? ORDER BY seq',
    ),
    pageAfter: db.prepare('SELECT first, body FROM pages WHERE stream_id = ? AND last > ? ORDER BY first LIMIT 1'),
    pending: db.prepare(
      `SELECT name FROM (
         SELECT s.name FROM consumers c JOIN streams s ON s.id = c.stream_id
         WHERE c.name = :consumer AND c.behind = 1 AND c.acked < s.head AND s.name > :after AND ${LIVING} AND ${FREE}
         UNION
         SELECT s.name FROM consumers c JOIN streams s ON s.id = c.stream_id
         WHERE c.name = :consumer AND c.wake_at <= :now AND s.name > :after AND ${LIVING} AND ${FREE}
       ) ORDER BY name LIMIT :limit`,
    ),
    nextWake: db.prepare(
      `SELECT min(c.wake_at) AS wake FROM consumers c JOIN streams s ON s.id = c.stream_id WHERE c.name = :consumer AND c.wake_at IS NOT NULL AND ${LIVING} AND ${FREE}`,
    ),
    count: db.prepare('SELECT count(*) AS streams FROM streams WHERE deleted = 0'),
  };
}
