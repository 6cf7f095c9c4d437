/**
 * The tables of a SQLite log, to be read in order.
 *
 * 1. The search index keeps no text, only which word stands where: turned round once, into a temporary table, it gives each row's words.
 */
import Database, { type Statement } from 'better-sqlite3';
import type { Content, MovedConsumer, MovedKey, MovedProducer, MovedRow, MovedStream, Tables } from './port.ts';
import { ofDatabase } from '../sqlite/refusal.ts';
import { searchable } from './searchable.ts';

const LIST_MAX = 1_000;
const RECORDS_MAX = 2_000;
const RECORD_BYTES_MAX = 1024 * 1024;

type StreamRow = Omit<MovedStream, 'closed' | 'deleted'> & {
  readonly id: number;
  readonly closed: number;
  readonly deleted: number;
};
type RecordRow = { readonly seq: number; readonly at: number; readonly bytes: Uint8Array };
type PageRow = { readonly first: number; readonly last: number; readonly body: Uint8Array };

export class SqliteTables implements Tables {
  readonly #file: string;
  readonly #db: Database.Database;
  readonly #statements: ReturnType<typeof prepare>;
  #words: Statement | undefined;

  constructor(file: string) {
    this.#file = file;
    this.#db = new Database(file, { readonly: true });
    this.#db.pragma('cache_size = -32768');
    this.#statements = prepare(this.#db);
  }

  streams(from: number): ReturnType<Tables['streams']> {
    return this.#read(() => {
      const rows = this.#statements.streams.all(from) as readonly StreamRow[];
      return rows.map(({ id, closed, deleted, ...row }) => ({
        id,
        stream: { ...row, closed: closed === 1, deleted: deleted === 1 },
      }));
    });
  }

  records(id: number, after: number): ReturnType<Tables['records']> {
    return this.#read(() => this.#recordsOrPage(id, after));
  }

  keys(id: number, after: string): Promise<readonly MovedKey[]> {
    return this.#read(() => this.#statements.keys.all(id, after) as readonly MovedKey[]);
  }

  producers(id: number, after: string): Promise<readonly MovedProducer[]> {
    return this.#read(() => this.#statements.producers.all(id, after) as readonly MovedProducer[]);
  }

  consumers(id: number, after: string): Promise<readonly MovedConsumer[]> {
    return this.#read(() => {
      const rows = this.#statements.consumers.all(id, after) as readonly (Omit<MovedConsumer, 'behind'> & {
        readonly behind: number;
      })[];
      return rows.map((row) => ({ ...row, behind: row.behind === 1 }));
    });
  }

  rows(id: number, afterTable: string, afterKey: string): Promise<readonly MovedRow[]> {
    return this.#read(() => {
      const rows = this.#statements.rows.all(id, afterTable, afterKey) as readonly (Omit<MovedRow, 'words'> & {
        readonly rowid: number;
      })[];
      return rows.map(({ rowid, ...row }) => ({ ...row, words: row.value === null ? [] : this.#wordsOf(rowid) }));
    });
  }

  lastRev(): Promise<number> {
    return this.#read(() => (this.#statements.lastRev.get() as { readonly value: number }).value);
  }

  close(): void {
    this.#db.close();
  }

  /** @throws FaultError where the file is damaged */
  #read<T>(read: () => T): Promise<T> {
    try {
      return Promise.resolve(read());
    } catch (error) {
      return Promise.reject(ofDatabase(this.#file, error));
    }
  }

  #recordsOrPage(id: number, after: number): Awaited<ReturnType<Tables['records']>> {
    const page = this.#statements.page.get(id, after) as PageRow | undefined;
    const records: RecordRow[] = [];
    let bytes = 0;
    for (const record of this.#statements.records.iterate(
      id,
      after,
      page?.first ?? Number.MAX_SAFE_INTEGER,
    ) as Iterable<RecordRow>) {
      records.push(record);
      bytes += record.bytes.byteLength;
      if (records.length >= RECORDS_MAX || bytes >= RECORD_BYTES_MAX) break;
    }
    if (records.length > 0) return { kind: 'records', records } satisfies Content;
    return page === undefined ? undefined : { kind: 'page', ...page };
  }

  /** Rule 1. */
  #wordsOf(rowid: number): readonly string[] {
    this.#words ??= this.#turnRound();
    return searchable(this.#words.all(rowid) as string[]);
  }

  #turnRound(): Statement {
    this.#db.exec(`
      CREATE VIRTUAL TABLE temp.places USING fts5vocab(main, row_words, instance);
      CREATE TEMP TABLE word_at (row INTEGER, at INTEGER, word TEXT, PRIMARY KEY (row, at)) WITHOUT ROWID;
      INSERT INTO word_at SELECT doc, "offset", term FROM places`);
    return this.#db.prepare('SELECT word FROM word_at WHERE row = ? ORDER BY at').pluck();
  }
}

function prepare(
  db: Database.Database,
): Readonly<
  Record<
    'streams' | 'records' | 'page' | 'keys' | 'producers' | 'consumers' | 'rows' | 'lastRev',
    Statement<(string | number)[]>
  >
> {
  return {
    streams: db.prepare(
      `SELECT id, name, content_type AS contentType, head, floor, closed, deleted, created_at AS createdAt,
         touched_at AS touchedAt, ttl_ms AS ttlMs, expires_at AS expiresAt, fork_from AS forkFrom, fork_up_to AS forkUpTo
       FROM streams WHERE id >= ? ORDER BY id LIMIT ${LIST_MAX}`,
    ),
    records: db.prepare(
      'SELECT seq, at, body AS bytes FROM records WHERE stream_id = ? AND seq > ? AND seq < ? ORDER BY seq',
    ),
    page: db.prepare('SELECT first, last, body FROM pages WHERE stream_id = ? AND last > ? ORDER BY first LIMIT 1'),
    keys: db.prepare(
      `SELECT id, hash, first, last FROM keys WHERE stream_id = ? AND id > ? ORDER BY id LIMIT ${LIST_MAX}`,
    ),
    producers: db.prepare(
      `SELECT id, epoch, seq, first, last FROM producers WHERE stream_id = ? AND id > ? ORDER BY id LIMIT ${LIST_MAX}`,
    ),
    consumers: db.prepare(
      `SELECT name, epoch, acked, wake_at AS wakeAt, behind FROM consumers
       WHERE stream_id = ? AND name > ? ORDER BY name LIMIT ${LIST_MAX}`,
    ),
    rows: db.prepare(
      `SELECT id AS rowid, tbl AS "table", key, ord AS "order", grp AS "group", value, rev FROM rows
       WHERE stream_id = ? AND (tbl, key) > (?, ?) ORDER BY tbl, key LIMIT ${LIST_MAX}`,
    ),
    lastRev: db.prepare(`SELECT value FROM counters WHERE name = 'rev'`),
  };
}
