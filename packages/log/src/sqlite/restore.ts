/**
 * Puts a backup in place of a data directory's database.
 *
 * 1. No gateway has the directory, before or meanwhile: the lock is held.
 * 2. The backup is read to its end first; one that is damaged, foreign or newer changes nothing.
 * 3. What was there is moved aside, never removed. The new database appears whole, by a rename.
 */
import { constants, existsSync } from 'node:fs';
import { chmod, copyFile, mkdir, open, rename, rm } from 'node:fs/promises';
import path from 'node:path';
import { fault, FaultError } from '@holdfast/protocol';
import { DATABASE_FILE } from './files.ts';
import { holdLock } from './lock.ts';
import { checkFile } from './offline.ts';
import { makePrivate } from './private.ts';

const COMPANIONS = ['', '-wal', '-shm'] as const;
const KEPT_MAX = 1_000;

/** @throws FaultError where a gateway runs, or the backup cannot be used */
export async function restoreDirectory(backup: string, dir: string): Promise<{ readonly kept: string | undefined }> {
  if (!existsSync(backup))
    throw new FaultError(fault('invalid-request', `${backup} is not there. Name a file that "holdfast backup" wrote.`));
  const problems = checkFile(backup);
  if (problems.length > 0)
    throw new FaultError(
      fault('invalid-request', `${backup} is damaged (${problems[0]}). Nothing was changed. Use another backup.`),
    );
  await mkdir(dir, { recursive: true, mode: 0o700 });
  const lock = holdLock(dir);
  try {
    return await replace(backup, path.join(dir, DATABASE_FILE));
  } finally {
    lock.release();
  }
}

async function replace(backup: string, database: string): Promise<{ readonly kept: string | undefined }> {
  const draft = `${database}.part`;
  await rm(draft, { force: true });
  makePrivate(draft);
  await copyFile(backup, draft, constants.COPYFILE_FICLONE);
  await chmod(draft, 0o600);
  await toDisk(draft);
  const kept = existsSync(database) ? freeName(database) : undefined;
  if (kept !== undefined)
    for (const companion of COMPANIONS)
      if (existsSync(database + companion)) await rename(database + companion, kept + companion);
  await rename(draft, database);
  await toDisk(path.dirname(database));
  return { kept };
}

function freeName(database: string): string {
  for (let n = 1; n <= KEPT_MAX; n += 1) if (!existsSync(`${database}.before-${n}`)) return `${database}.before-${n}`;
  throw new FaultError(fault('invalid-request', `${database}.before-1 to -${KEPT_MAX} exist. Remove some.`));
}

async function toDisk(place: string): Promise<void> {
  const handle = await open(place, 'r');
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}
