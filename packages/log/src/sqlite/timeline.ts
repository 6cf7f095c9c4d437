/**
 * The timeline of a data directory: which history the revs of its database belong to (R80, `rev.ts`).
 *
 * A restore, or a database file that was put back by hand, takes the list back to an earlier state. A client's cursor from before must not
 * pass for one of the new state, however far that one has grown. The database alone cannot tell: what it says was put back with it. So each
 * opening has a number of its own, which stands in the database and in a file beside it.
 *
 * 1. If both name the same opening, and the database is not behind the file's rev, the history goes on.
 * 2. Otherwise the database is another one than this directory had last: a new history begins, above both.
 * 3. The file is written before the database and after it, so a crash between the two is not taken for rule 2.
 * 4. A database without a number was made by an earlier version. Without the file as well, nothing says that it was put back.
 */
import { randomInt } from 'node:crypto';
import { readFileSync, renameSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import type { Database } from 'better-sqlite3';
import { TIMELINE_FILE } from './files.ts';

/** A rev in the file is at most this old after a kill. */
const REV_EVERY_MS = 1_000;
const OPENINGS = 2 ** 47;
/** Two restores of one backup into new directories begin at different histories, most likely. */
const SKIP_MAX = 8;

interface Side {
  readonly history: number;
  readonly opening: number;
  /** An opening that was being written when the file was (rule 3). */
  readonly next?: number;
  readonly rev: number;
}

export class Timeline {
  readonly #file: string;
  #side: Side;
  #writtenMs = 0;

  private constructor(file: string, side: Side) {
    this.#file = file;
    this.#side = side;
  }

  static open(dir: string, db: Database): Timeline {
    const file = path.join(dir, TIMELINE_FILE);
    const side = readSide(file);
    const stored = {
      history: counter(db, 'history') ?? 0,
      opening: counter(db, 'opening'),
      rev: counter(db, 'rev') ?? 0,
    };
    const history = nextHistory(side, stored);
    const opening = randomInt(1, OPENINGS);
    writeSide(file, { history, opening: stored.opening ?? 0, next: opening, rev: stored.rev });
    db.transaction(() => {
      putCounter(db, 'history', history);
      putCounter(db, 'opening', opening);
    })();
    const timeline = new Timeline(file, { history, opening, rev: stored.rev });
    writeSide(file, timeline.#side);
    return timeline;
  }

  /** After a commit. */
  reached(rev: number, nowMs: number): void {
    if (rev === this.#side.rev || Math.abs(nowMs - this.#writtenMs) < REV_EVERY_MS) return;
    this.#writtenMs = nowMs;
    this.#write(rev);
  }

  close(rev: number): void {
    this.#write(rev);
  }

  /** A disk that takes nothing refuses the commits as well, and those are told. */
  #write(rev: number): void {
    this.#side = { ...this.#side, rev };
    try {
      writeSide(this.#file, this.#side);
    } catch {
      this.#writtenMs = 0;
    }
  }
}

/** The history that the database of this opening belongs to. */
export const storedHistory = (db: Database): number => counter(db, 'history') ?? 0;

/** Rules 1, 2 and 4. */
export function nextHistory(
  side: Side | undefined,
  stored: { readonly history: number; readonly opening: number | undefined; readonly rev: number },
): number {
  if (side === undefined)
    return stored.opening === undefined ? stored.history : stored.history + randomInt(1, SKIP_MAX);
  const isSame = (stored.opening ?? 0) === side.opening || stored.opening === side.next;
  return isSame && stored.rev >= side.rev ? stored.history : Math.max(stored.history, side.history) + 1;
}

function readSide(file: string): Side | undefined {
  try {
    return JSON.parse(readFileSync(file, 'utf8')) as Side;
  } catch {
    return undefined;
  }
}

function writeSide(file: string, side: Side): void {
  writeFileSync(`${file}.part`, JSON.stringify(side), { mode: 0o600 });
  renameSync(`${file}.part`, file);
}

function counter(db: Database, name: string): number | undefined {
  const row = db.prepare('SELECT value FROM counters WHERE name = ?').get(name) as
    | { readonly value: number }
    | undefined;
  return row?.value;
}

function putCounter(db: Database, name: string, value: number): void {
  db.prepare('INSERT OR REPLACE INTO counters (name, value) VALUES (?, ?)').run(name, value);
}
