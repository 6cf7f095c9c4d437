/**
 * One process a data directory. The lock is an exclusive transaction held on a side file: the system frees it with the process,
 * however that dies, and no stale file can keep anybody out.
 */
import Database from 'better-sqlite3';
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { fault, FaultError } from '@holdfast/protocol';
import { LOCK_FILE, OWNER_FILE } from './files.ts';
import { makePrivate } from './private.ts';
import { ofDatabase } from './refusal.ts';

export interface Owner {
  readonly pid: number;
  readonly url?: string;
}

/** @throws FaultError that names the process which has the directory, or says why it cannot be had. */
export function holdLock(dir: string): { release(): void } {
  let db: Database.Database | undefined;
  try {
    makePrivate(path.join(dir, LOCK_FILE));
    db = new Database(path.join(dir, LOCK_FILE), { timeout: 0 });
    db.pragma('journal_mode = MEMORY');
    db.exec('BEGIN EXCLUSIVE');
  } catch (error) {
    db?.close();
    if (!(error instanceof Error && 'code' in error && error.code === 'SQLITE_BUSY')) throw ofDatabase(dir, error);
    throw new FaultError(inUse(dir));
  }
  return { release: () => void db.close() };
}

function inUse(dir: string): ReturnType<typeof fault> {
  const owner = readOwner(dir);
  const who =
    owner === undefined
      ? 'another process'
      : `process ${owner.pid}${owner.url === undefined ? '' : `, which serves ${owner.url}`}`;
  return fault(
    'storage-unavailable',
    `${dir} is in use by ${who}. Two processes on one data directory would break it. Use that one, stop it, or set HOLDFAST_DATA to another directory.`,
    {
      facts: { dir, ...owner },
    },
  );
}

/** Who has the directory, as far as it says. */
export function readOwner(dir: string): Owner | undefined {
  try {
    return JSON.parse(readFileSync(path.join(dir, OWNER_FILE), 'utf8')) as Owner;
  } catch {
    return undefined;
  }
}
