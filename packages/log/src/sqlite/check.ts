/**
 * What is wrong with a database, in words: the doctor, a backup and a restore read it by the same rules.
 *
 * 1. The pages of the file are whole, and each stream has its records without holes.
 * 2. The kind of a stream, which is the first part of its name, says what its records are (R91). A content type may be a user's string:
 *    it is data, and selects nothing here. The records of a kind that is not known are read, and may hold anything.
 * 3. A blob has the bytes that its name says.
 */
import { createHash } from 'node:crypto';
import type { Database } from 'better-sqlite3';
import { kindOf } from '../limits.ts';
import type { LogRecord } from '../port.ts';
import type { SqliteStreamRow } from './stream-row.ts';

const HOLES_SHOWN = 20;

/** Reads the records after a place, some at a time; none: the end. */
type ReadRecords = (row: SqliteStreamRow, after: number) => readonly LogRecord[];

/** Throws on the first record that its kind cannot have; `end` throws if the whole is wrong. */
interface Judge {
  record(bytes: Uint8Array): void;
  end?(): void;
}

const decoder = new TextDecoder('utf-8', { fatal: true });
const json = (): Judge => ({ record: (bytes) => void JSON.parse(decoder.decode(bytes)) });
const anything = (): Judge => ({ record: () => undefined });

const JUDGES: Readonly<Record<string, (name: string) => Judge>> = {
  session: json,
  btw: json,
  grants: json,
  tokens: json,
  blob: judgeBlob,
};

function judgeBlob(name: string): Judge {
  const named = /^blob\/([0-9a-f]{64})(?:\.\d+)?$/.exec(name)?.[1];
  const hash = createHash('sha256');
  return {
    record: (bytes) => void hash.update(bytes),
    end: () => {
      if (named !== undefined && hash.digest('hex') !== named) throw new WrongBytes();
    },
  };
}

class WrongBytes extends Error {}

/** Empty: nothing. Reads everything. */
export function checkLog(db: Database, read: ReadRecords): readonly string[] {
  const integrity = (db.pragma('integrity_check') as readonly { readonly integrity_check: string }[])
    .map((row) => row.integrity_check)
    .filter((text) => text !== 'ok');
  return [...integrity, ...holes(db), ...unreadable(db, read)];
}

function holes(db: Database): readonly string[] {
  const found = db
    .prepare(
      `SELECT name, head, floor, kept FROM (
         SELECT s.name, s.head, s.floor,
           (SELECT count(*) FROM records r WHERE r.stream_id = s.id AND r.seq > s.floor AND r.seq <= s.head)
           + (SELECT coalesce(sum(p.last - max(p.first, s.floor + 1) + 1), 0) FROM pages p WHERE p.stream_id = s.id AND p.last > s.floor) AS kept
         FROM streams s WHERE s.deleted = 0
       ) WHERE kept <> head - floor LIMIT ${HOLES_SHOWN}`,
    )
    .all() as readonly (Pick<SqliteStreamRow, 'name' | 'head' | 'floor'> & { readonly kept: number })[];
  return found.map(
    ({ name, head, floor, kept }) =>
      `${name}: ${kept} records are there; there should be those from ${floor + 1} to ${head}`,
  );
}

function* unreadable(db: Database, read: ReadRecords): Generator<string> {
  const rows = db.prepare('SELECT * FROM streams WHERE deleted = 0 ORDER BY id').all() as readonly SqliteStreamRow[];
  for (const row of rows) {
    const problem = problemOf(row, read);
    if (problem !== undefined) yield `${row.name}: ${problem}`;
  }
}

function problemOf(row: SqliteStreamRow, read: ReadRecords): string | undefined {
  const judge = (JUDGES[kindOf(row.name)] ?? anything)(row.name);
  let seq = row.floor;
  try {
    for (let records = read(row, seq); records.length > 0; records = read(row, seq)) {
      for (const record of records) {
        judge.record(record.bytes);
        seq = record.seq;
      }
    }
    judge.end?.();
    return undefined;
  } catch (error) {
    return error instanceof WrongBytes
      ? 'its bytes are not those that its name says'
      : `record ${seq + 1} cannot be read`;
  }
}
