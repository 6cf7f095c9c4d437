/**
 * What can be done with a data directory without opening it as a log, beside a running gateway or without one: copy it, check it.
 *
 * 1. Only connections that read: nothing here takes the lock or writes to the directory.
 */
import { existsSync } from 'node:fs';
import { stat } from 'node:fs/promises';
import path from 'node:path';
import { Worker } from 'node:worker_threads';
import type { Database } from 'better-sqlite3';
import { fault, FaultError } from '@holdfast/protocol';
import { DATABASE_FILE } from './files.ts';
import { ReaderStore } from './reader-store.ts';
import { ofDatabase } from './refusal.ts';
import { openReaderDatabase, refuseForeign, refuseUnmade } from './schema.ts';

export interface BackupProgress {
  readonly bytes: number;
  readonly ofBytes: number;
}

const PROGRESS_MS = 200;

/**
 * Writes the database of one moment to a new file, while work goes on, and reads it as a restore does.
 *
 * @throws FaultError if there is no database, the target exists, or the copy could not be restored (it stays, for a look at it)
 */
export async function backUpDirectory(
  dir: string,
  target: string,
  onProgress?: (done: BackupProgress) => void,
): Promise<void> {
  const file = databaseOf(dir);
  if (existsSync(target))
    throw new FaultError(fault('invalid-request', `${target} exists. A backup replaces nothing: name another file.`));
  const ofBytes = withReader(file, (store) => {
    const { databaseBytes, freeBytes } = store.usage();
    return databaseBytes - freeBytes;
  });
  const worker = new Worker(new URL('backup-worker.ts', import.meta.url), { workerData: { dir, target } });
  const end = new AbortController();
  const done = new Promise<void>((resolve, reject) => {
    worker.once('message', (problems: readonly string[]) => {
      if (problems.length === 0) resolve();
      else reject(new FaultError(fault('storage-unavailable', unusable(dir, problems))));
    });
    worker.once('error', (error) => reject(ofDatabase(target, error)));
  }).finally(() => end.abort());
  await Promise.all([
    done,
    onProgress === undefined ? undefined : watchFile(target, end.signal, (bytes) => onProgress({ bytes, ofBytes })),
  ]);
}

const unusable = (dir: string, problems: readonly string[]): string =>
  `The backup could not be restored, so it counts for nothing: the database in ${dir} is damaged (${problems.slice(0, 5).join('; ')}). Keep a copy of ${dir}, then restore an earlier backup.`;

async function watchFile(file: string, end: AbortSignal, onSize: (bytes: number) => void): Promise<void> {
  while (!end.aborted) {
    await new Promise((resolve) =>
      AbortSignal.any([AbortSignal.timeout(PROGRESS_MS), end]).addEventListener('abort', resolve, { once: true }),
    );
    onSize((await stat(file).catch(() => ({ size: 0 }))).size);
  }
}

/** What is wrong with a directory's database, in words; empty: nothing. Reads all of it. @throws FaultError: it is not ours to read */
export function checkDirectory(dir: string): readonly string[] {
  return checkFile(databaseOf(dir));
}

/** The same of a database anywhere: a backup. */
export function checkFile(file: string): readonly string[] {
  refuseForeign(file);
  return withReader(file, (store) => store.check());
}

function databaseOf(dir: string): string {
  const file = path.join(dir, DATABASE_FILE);
  if (!existsSync(file))
    throw new FaultError(
      fault(
        'invalid-request',
        `There is no database in ${dir}. Set HOLDFAST_DATA to the data directory of the gateway.`,
      ),
    );
  return file;
}

function withReader<T>(file: string, use: (store: ReaderStore) => T): T {
  let db: Database | undefined;
  try {
    db = openReaderDatabase(file);
    refuseUnmade(db, file);
    return use(new ReaderStore(db, file));
  } catch (error) {
    throw ofDatabase(file, error);
  } finally {
    db?.close();
  }
}
