/**
 * A data directory to move from or to.
 *
 * 1. The directory's lock is held all the time, as a gateway holds it: one that runs is named, one that starts is refused.
 * 2. The draft is a database under another name; the last step is a rename. Its notes say what it was begun from and how far it is.
 * 3. While it is filled a commit need not be on the disk, only in order; all of it is before the rename.
 */
import { existsSync } from 'node:fs';
import { mkdir, open as openFile, realpath, rename, rm, writeFile } from 'node:fs/promises';
import path from 'node:path';
import type { Database } from 'better-sqlite3';
import { fault, FaultError } from '@holdfast/protocol';
import { DATABASE_FILE, OWNER_FILE } from '../sqlite/files.ts';
import { holdLock, readOwner } from '../sqlite/lock.ts';
import { ofDatabase } from '../sqlite/refusal.ts';
import { openReaderDatabase, openWriterDatabase, refuseForeign } from '../sqlite/schema.ts';
import { isInUseByUs, notEmpty, otherDraft } from './refusals.ts';
import type { Begun, Origin, Part, Place, Source, Target } from './port.ts';
import { SqliteTables } from './sqlite-tables.ts';
import { SqliteWriter } from './sqlite-writer.ts';

const DRAFT_FILE = `${DATABASE_FILE}.migrating`;
const COMPANIONS = ['', '-wal', '-shm'] as const;

const NOTES = `CREATE TABLE IF NOT EXISTS migrated (
  origin TEXT NOT NULL, fingerprint TEXT NOT NULL, place TEXT, streams INTEGER NOT NULL, records INTEGER NOT NULL, digest TEXT
) STRICT`;

interface Notes {
  readonly origin: string;
  readonly fingerprint: string;
  readonly place: string | null;
  readonly streams: number;
  readonly records: number;
  readonly digest: string | null;
}

/** @throws FaultError where there is no database, or a gateway uses it */
export async function openSqliteSource(dir: string): Promise<Source> {
  const file = path.join(dir, DATABASE_FILE);
  if (!existsSync(file))
    throw new FaultError(
      fault('invalid-request', `There is no database in ${dir}. Name the data directory of a gateway (HOLDFAST_DATA).`),
    );
  refuseForeign(file);
  const lock = await hold(dir);
  const tables = new SqliteTables(file);
  return {
    name: `sqlite:${await realpath(dir)}`,
    tables,
    close: () => {
      tables.close();
      return lock.release();
    },
  };
}

export interface TargetOptions {
  /** Drops what an earlier run left unfinished. */
  readonly restart?: boolean;
}

export async function openSqliteTarget(dir: string, { restart = false }: TargetOptions = {}): Promise<Target> {
  return new SqliteTarget(path.resolve(dir), restart);
}

class SqliteTarget implements Target {
  readonly name: string;
  readonly #dir: string;
  readonly #draft: string;
  readonly #restart: boolean;
  #lock: { release(): Promise<void> } | undefined;
  #db: Database | undefined;
  #writer: SqliteWriter | undefined;
  #tables: SqliteTables | undefined;

  constructor(dir: string, restart: boolean) {
    this.name = `sqlite:${dir}`;
    this.#dir = dir;
    this.#draft = path.join(dir, DRAFT_FILE);
    this.#restart = restart;
  }

  async look(origin: Origin): Promise<Begun> {
    const placed = path.join(this.#dir, DATABASE_FILE);
    if (existsSync(placed)) {
      const owner = await ownerOf(this.#dir);
      if (owner !== undefined) throw owner;
      const [notes, streams] = readPlaced(placed);
      if (notes?.digest != null && isOf(notes, origin)) return { kind: 'finished', digest: notes.digest };
      if (streams > 0) throw notEmpty(this.name, streams);
    }
    const notes = existsSync(this.#draft) && !this.#restart ? readNotes(this.#draft) : undefined;
    if (notes === undefined) return { kind: 'open', place: undefined, streams: 0, records: 0 };
    if (!isOf(notes, origin)) throw otherDraft(this.name, notes.origin, origin);
    return begunOf(notes);
  }

  async begin(origin: Origin): Promise<Begun> {
    await mkdir(this.#dir, { recursive: true, mode: 0o700 });
    if (origin.from === `sqlite:${await realpath(this.#dir)}`) throw isInUseByUs(this.name);
    this.#lock = await hold(this.#dir);
    if (this.#restart) await removeDatabase(this.#draft);
    const begun = await this.look(origin);
    if (begun.kind === 'finished') return begun;
    const db = openWriterDatabase(this.#draft);
    this.#db = db;
    db.pragma('synchronous = NORMAL');
    db.exec(NOTES);
    if (begun.place === undefined)
      db.transaction(() => {
        db.exec('DELETE FROM migrated');
        db.prepare('INSERT INTO migrated VALUES (?, ?, NULL, 0, 0, NULL)').run(origin.from, origin.fingerprint);
      })();
    this.#writer = new SqliteWriter(db);
    return begun;
  }

  load(parts: readonly Part[], done: { readonly streams: number; readonly records: number }): Promise<void> {
    const { db, writer } = this.#begun();
    const write = db.transaction(() => {
      for (const part of parts) writer.put(part);
      db.prepare('UPDATE migrated SET place = ?, streams = ?, records = ?').run(
        JSON.stringify(parts.at(-1)?.place),
        done.streams,
        done.records,
      );
    });
    try {
      write();
      return Promise.resolve();
    } catch (error) {
      return Promise.reject(ofDatabase(this.#draft, error));
    }
  }

  settle(lastRev: number): Promise<void> {
    this.#begun().db.prepare(`UPDATE counters SET value = ? WHERE name = 'rev'`).run(lastRev);
    return Promise.resolve();
  }

  tables(): Promise<SqliteTables> {
    this.#tables ??= new SqliteTables(this.#draft);
    return Promise.resolve(this.#tables);
  }

  async finish(digest: string): Promise<void> {
    const { db } = this.#begun();
    this.#tables?.close();
    db.pragma('synchronous = FULL');
    db.prepare('UPDATE migrated SET digest = ?').run(digest);
    db.exec('ANALYZE');
    db.pragma('wal_checkpoint(TRUNCATE)');
    db.close();
    const placed = path.join(this.#dir, DATABASE_FILE);
    await toDisk(this.#draft);
    await removeDatabase(placed);
    await rename(this.#draft, placed);
    await toDisk(this.#dir);
  }

  async close(): Promise<void> {
    this.#tables?.close();
    this.#db?.close();
    await this.#lock?.release();
  }

  #begun(): { readonly db: Database; readonly writer: SqliteWriter } {
    if (this.#db === undefined || this.#writer === undefined) throw new Error('A target is begun before it is filled.');
    return { db: this.#db, writer: this.#writer };
  }
}

/** Rule 1. */
async function hold(dir: string): Promise<{ release(): Promise<void> }> {
  const lock = holdLock(dir);
  await writeFile(path.join(dir, OWNER_FILE), `${JSON.stringify({ pid: process.pid })}\n`, { mode: 0o600 });
  return {
    release: async () => {
      await rm(path.join(dir, OWNER_FILE), { force: true });
      lock.release();
    },
  };
}

/** The refusal that names who has the directory, where somebody else has. */
async function ownerOf(dir: string): Promise<FaultError | undefined> {
  if (readOwner(dir)?.pid === process.pid) return undefined;
  try {
    holdLock(dir).release();
    return undefined;
  } catch (error) {
    if (error instanceof FaultError) return error;
    throw error;
  }
}

function readPlaced(file: string): [Notes | undefined, number] {
  refuseForeign(file);
  const db = openReaderDatabase(file);
  try {
    const { streams } = db.prepare('SELECT count(*) AS streams FROM streams').get() as { readonly streams: number };
    return [notesOf(db), streams];
  } finally {
    db.close();
  }
}

function readNotes(file: string): Notes | undefined {
  refuseForeign(file);
  const db = openReaderDatabase(file);
  try {
    return notesOf(db);
  } finally {
    db.close();
  }
}

function notesOf(db: Database): Notes | undefined {
  const has = db.prepare(`SELECT 1 FROM sqlite_schema WHERE name = 'migrated'`).get() !== undefined;
  return has ? (db.prepare('SELECT * FROM migrated').get() as Notes | undefined) : undefined;
}

const isOf = (notes: Notes, { fingerprint }: Origin): boolean => notes.fingerprint === fingerprint;

function begunOf({ place, streams, records }: Notes): Begun {
  return {
    kind: 'open',
    place: place === null ? undefined : (JSON.parse(place) as Place),
    streams,
    records,
  };
}

async function removeDatabase(file: string): Promise<void> {
  for (const companion of COMPANIONS) await rm(file + companion, { force: true });
}

async function toDisk(place: string): Promise<void> {
  const handle = await openFile(place, 'r');
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}
