/**
 * `holdfast backup`, `holdfast restore`: everything of one moment as one file, and back.
 *
 * 1. A backup reads beside a running gateway, and nobody waits for it. It appears under its name when it is whole and on the disk,
 *    and only its user can read it: it holds every conversation. It is reported when it was read as a restore would read it (R91).
 * 2. A restore needs the gateway to be down, looks at all of the backup first, and keeps what it replaces.
 */
import { constants, existsSync } from 'node:fs';
import { access, open, rename, rm } from 'node:fs/promises';
import path from 'node:path';
import { backUpDirectory, restoreDirectory } from '@holdfast/log/sqlite';
import type { Config } from '@holdfast/gateway';
import { fault, FaultError } from '@holdfast/protocol/fault';
import { readConfig } from './config.ts';
import { badInput } from './failure.ts';

export async function backup(file: string): Promise<void> {
  const { data } = embedded();
  const target = path.resolve(file);
  if (existsSync(target)) throw badInput(`${target} exists. A backup replaces nothing: name another file.`);
  const draft = `${target}.part`;
  await access(path.dirname(target), constants.W_OK);
  await rm(draft, { force: true });
  try {
    await backUpDirectory(data, draft, process.stderr.isTTY ? showProgress : undefined);
    await toDisk(draft);
    await rename(draft, target);
    await toDisk(path.dirname(target));
  } catch (error) {
    await rm(draft, { force: true });
    throw error;
  }
  process.stdout.write(`${target}\n`);
}

export async function restore(file: string): Promise<void> {
  const { data } = embedded();
  const { kept } = await restoreDirectory(path.resolve(file), data);
  process.stdout.write(`restored ${path.resolve(file)} to ${data}\n`);
  if (kept !== undefined) process.stdout.write(`what was there before is kept as ${kept}\n`);
}

function embedded(): Config {
  const config = readConfig();
  if (config.store.kind === 'sqlite') return config;
  throw new FaultError(
    fault(
      'invalid-config',
      config.store.kind === 'memory'
        ? 'HOLDFAST_STORE is memory, of which there is nothing to keep.'
        : "HOLDFAST_STORE is a PostgreSQL, which is backed up and restored by its own tools: pg_dump, or your provider's.",
    ),
  );
}

/** A rename is only safe behind what it names. */
async function toDisk(place: string): Promise<void> {
  const handle = await open(place, 'r');
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

function showProgress({ bytes, ofBytes }: { readonly bytes: number; readonly ofBytes: number }): void {
  const end = bytes >= ofBytes ? '\n' : '';
  process.stderr.write(`\r${mebibytes(bytes)} of about ${mebibytes(ofBytes)} MiB${end}`);
}

const mebibytes = (bytes: number): string => (bytes / 1024 ** 2).toFixed(1);
