/**
 * A data directory holds every conversation, so it is its user's alone: the directory has mode 0700 and its files 0600.
 *
 * 1. A file is made with these rights before a byte is in it. SQLite gives a database's `-wal` and `-shm` the rights of the database.
 * 2. The process's umask stays as it is: the tools and the terminals that it starts have the one that its user set.
 * 3. Looser rights, which a directory of an earlier version or a copy may have, are mended at opening and said. Where they cannot be mended
 *    (the directory belongs to another user), that is said.
 */
import { chmodSync, closeSync, openSync, readdirSync, statSync } from 'node:fs';
import path from 'node:path';
import { DATABASE_FILE, LOCK_FILE, OWNER_FILE, TIMELINE_FILE } from './files.ts';

const OTHERS = 0o077;
const OURS: readonly string[] = [DATABASE_FILE, LOCK_FILE, OWNER_FILE, TIMELINE_FILE];

export interface LooseRights {
  readonly place: string;
  readonly mended: boolean;
}

/** Rule 1: an empty file is a database without tables. One that is there stays as it is. */
export function makePrivate(file: string): void {
  try {
    closeSync(openSync(file, 'wx', 0o600));
  } catch (error) {
    if (!(error instanceof Error && 'code' in error && error.code === 'EEXIST')) throw error;
  }
}

/** The directory, and the files of ours in it, that other users of the machine can open. */
export function findLoose(dir: string): readonly string[] {
  if (process.platform === 'win32') return [];
  const files = readdirSync(dir).filter((name) => OURS.some((own) => name.startsWith(own)));
  return [dir, ...files.map((name) => path.join(dir, name))].filter(isLoose);
}

/** Rule 3, under the directory's lock. */
export function tighten(dir: string): void {
  for (const place of findLoose(dir)) {
    try {
      chmodSync(place, place === dir ? 0o700 : 0o600);
    } catch {
      // It is not this user's: who opens the directory says so.
    }
  }
}

const isLoose = (place: string): boolean => ((statSync(place, { throwIfNoEntry: false })?.mode ?? 0) & OTHERS) !== 0;
