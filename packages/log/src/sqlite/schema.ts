/**
 * The tables of the log in SQLite, how a database is opened, and what is refused.
 *
 * 1. A database that is not ours, corrupt, or of a newer Holdfast is refused before anything is written to it.
 * 2. WAL with `synchronous=FULL`: a commit is on the disk before it is answered. `auto_vacuum=INCREMENTAL` has to be set
 *    before the first table. What can be a constraint is one.
 * 3. Each migration says the oldest schema version whose code can work on what it leaves (decision 15): a version starts if all migrations
 *    that it does not know serve it. What older code does not notice, such as an index, has no number and is made at opening.
 */
import Database from 'better-sqlite3';
import { existsSync, statSync } from 'node:fs';
import { fault, FaultError } from '@holdfast/protocol';
import { makePrivate } from './private.ts';

const APPLICATION_ID = 0x48_46_4c_47;

export interface Migration {
  readonly serves: number;
  readonly sql: string;
}

const FIRST = `
  CREATE TABLE streams (
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    content_type TEXT NOT NULL,
    head INTEGER NOT NULL DEFAULT 0,
    floor INTEGER NOT NULL DEFAULT 0 CHECK (floor <= head),
    closed INTEGER NOT NULL DEFAULT 0,
    deleted INTEGER NOT NULL DEFAULT 0,
    created_at INTEGER NOT NULL,
    touched_at INTEGER NOT NULL,
    ttl_ms INTEGER,
    expires_at INTEGER,
    fork_from TEXT,
    fork_up_to INTEGER
  ) STRICT;
  CREATE INDEX streams_mortal ON streams (id) WHERE deleted = 0 AND (ttl_ms IS NOT NULL OR expires_at IS NOT NULL);

  CREATE TABLE records (
    stream_id INTEGER NOT NULL,
    seq INTEGER NOT NULL CHECK (seq > 0),
    at INTEGER NOT NULL,
    body BLOB NOT NULL,
    PRIMARY KEY (stream_id, seq)
  ) STRICT, WITHOUT ROWID;

  CREATE TABLE pages (
    stream_id INTEGER NOT NULL,
    first INTEGER NOT NULL,
    last INTEGER NOT NULL CHECK (last >= first),
    body BLOB NOT NULL,
    PRIMARY KEY (stream_id, first)
  ) STRICT;

  CREATE TABLE keys (
    stream_id INTEGER NOT NULL,
    id TEXT NOT NULL,
    hash TEXT NOT NULL,
    first INTEGER NOT NULL,
    last INTEGER NOT NULL,
    PRIMARY KEY (stream_id, id)
  ) STRICT, WITHOUT ROWID;

  CREATE TABLE producers (
    stream_id INTEGER NOT NULL,
    id TEXT NOT NULL,
    epoch INTEGER NOT NULL,
    seq INTEGER NOT NULL,
    first INTEGER NOT NULL,
    last INTEGER NOT NULL,
    PRIMARY KEY (stream_id, id)
  ) STRICT, WITHOUT ROWID;

  CREATE TABLE consumers (
    stream_id INTEGER NOT NULL,
    name TEXT NOT NULL,
    epoch INTEGER NOT NULL DEFAULT 0,
    acked INTEGER NOT NULL DEFAULT 0,
    holder TEXT,
    wake_at INTEGER,
    behind INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (stream_id, name)
  ) STRICT, WITHOUT ROWID;
  CREATE INDEX consumers_behind ON consumers (name, stream_id) WHERE behind = 1;
  CREATE INDEX consumers_wake ON consumers (name, wake_at) WHERE wake_at IS NOT NULL;

  CREATE TABLE holders (id TEXT PRIMARY KEY, lease_until INTEGER NOT NULL) STRICT, WITHOUT ROWID;

  CREATE TABLE rows (
    id INTEGER PRIMARY KEY,
    stream_id INTEGER NOT NULL,
    tbl TEXT NOT NULL,
    key TEXT NOT NULL,
    ord REAL NOT NULL,
    grp TEXT,
    value BLOB,
    rev INTEGER NOT NULL,
    UNIQUE (stream_id, tbl, key)
  ) STRICT;
  CREATE INDEX rows_by_order ON rows (tbl, ord) WHERE value IS NOT NULL;
  CREATE INDEX rows_by_group ON rows (tbl, grp, ord) WHERE value IS NOT NULL;
  CREATE UNIQUE INDEX rows_by_rev ON rows (rev);
  CREATE TABLE counters (name TEXT PRIMARY KEY, value INTEGER NOT NULL) STRICT, WITHOUT ROWID;
  INSERT INTO counters VALUES ('rev', 0);
  CREATE VIRTUAL TABLE row_words USING fts5 (words, content='', contentless_delete=1, tokenize='ascii');
`;

const MIGRATIONS: readonly Migration[] = [{ serves: 1, sql: FIRST }];

/** Rule 3. `rows_by_stream` is partial as the query of a list is. */
const BESIDE = `
  CREATE TABLE IF NOT EXISTS migrations (version INTEGER PRIMARY KEY, serves INTEGER NOT NULL) STRICT;
  CREATE INDEX IF NOT EXISTS rows_by_stream ON rows (stream_id, tbl, ord) WHERE value IS NOT NULL;
`;

const refusal = (file: string, why: string, cure: string): FaultError =>
  new FaultError(fault('storage-unavailable', `${file} ${why} It was left untouched. ${cure}`));

/** Opens the writer's connection; makes the database where there is none. @throws FaultError (rule 1) */
export function openWriterDatabase(file: string, migrations: readonly Migration[] = MIGRATIONS): Database.Database {
  if (existsSync(file)) refuseForeign(file, migrations.length);
  makePrivate(file);
  // A start that was broken off leaves an empty file.
  const isNew = statSync(file).size === 0;
  const db = new Database(file);
  if (isNew) db.pragma('auto_vacuum = INCREMENTAL');
  db.pragma('journal_mode = WAL');
  db.pragma('synchronous = FULL');
  db.pragma('cache_size = -65536');
  db.pragma('wal_autocheckpoint = 10000');
  db.pragma('secure_delete = ON');
  migrate(db, migrations);
  return db;
}

/** A connection that only reads, and sees only what is committed. */
export function openReaderDatabase(file: string): Database.Database {
  const db = new Database(file, { readonly: true });
  db.pragma('cache_size = -32768');
  db.pragma('query_only = ON');
  return db;
}

/** @throws FaultError (rule 1) */
export function refuseForeign(file: string, known: number = MIGRATIONS.length): void {
  let version: unknown;
  let oldest = 0;
  let application: unknown;
  try {
    const db = new Database(file, { readonly: true });
    try {
      version = db.pragma('user_version', { simple: true });
      application = db.pragma('application_id', { simple: true });
      db.prepare('SELECT count(*) FROM sqlite_schema').get();
      oldest = oldestServed(db, known);
    } finally {
      db.close();
    }
  } catch (cause) {
    const said = cause instanceof Error ? cause.message : String(cause);
    throw refusal(
      file,
      `is not a readable SQLite database (${said}).`,
      'Restore it from a backup, or move it away to begin anew.',
    );
  }
  if (application !== APPLICATION_ID && version !== 0) {
    throw refusal(
      file,
      'is a database of another program.',
      'Give Holdfast a data directory of its own (HOLDFAST_DATA).',
    );
  }
  if (Number(version) > known && oldest > known) {
    throw refusal(
      file,
      `was written by a newer Holdfast (schema ${String(version)}, which serves versions from ${oldest} on; this one knows ${known}).`,
      'Start the newer Holdfast, or give this one another data directory.',
    );
  }
}

/** A start that was broken off (the disk was full) leaves a file without tables; the next start makes them. @throws FaultError */
export function refuseUnmade(db: Database.Database, file: string): void {
  if (Number(db.pragma('user_version', { simple: true })) === 0)
    throw refusal(file, 'holds no log.', 'Restore a backup, or start the gateway: it begins a new one.');
}

function migrate(db: Database.Database, migrations: readonly Migration[]): void {
  const version = Number(db.pragma('user_version', { simple: true }));
  for (const [index, { sql }] of migrations.entries()) {
    if (index < version) continue;
    db.transaction(() => {
      db.exec(sql);
      noteServed(db, migrations.slice(0, index + 1));
      db.pragma(`user_version = ${index + 1}`);
      db.pragma(`application_id = ${APPLICATION_ID}`);
    })();
  }
  db.transaction(() => noteServed(db, migrations.slice(0, version)))();
}

/** A version that was migrated by code without `serves` has its row from the next opening on. */
function noteServed(db: Database.Database, migrations: readonly Migration[]): void {
  db.exec(BESIDE);
  const put = db.prepare('INSERT OR IGNORE INTO migrations VALUES (?, ?)');
  for (const [index, { serves }] of migrations.entries()) put.run(index + 1, serves);
}

/** The oldest version that every migration behind `known` serves. One without a row serves itself alone. */
function oldestServed(db: Database.Database, known: number): number {
  const version = Number(db.pragma('user_version', { simple: true }));
  const hasRows = db.prepare(`SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = 'migrations'`).get();
  if (version <= known || hasRows === undefined) return version;
  const { oldest, rows } = db
    .prepare('SELECT max(serves) AS oldest, count(*) AS rows FROM migrations WHERE version > ?')
    .get(known) as { readonly oldest: number | null; readonly rows: number };
  return rows === version - known ? (oldest ?? version) : version;
}
