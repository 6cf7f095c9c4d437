/** `holdfast backup FILE`: reads beside a running gateway; nobody waits for it. */
import path from 'node:path';
import { backUpDirectory } from '@holdfast/log/sqlite';
import { fault, FaultError } from '@holdfast/protocol';
import { readConfig } from './config.ts';

export async function backup(file: string): Promise<void> {
  const { data, store } = readConfig();
  if (store.kind !== 'sqlite')
    throw new FaultError(
      fault(
        'invalid-config',
        `HOLDFAST_STORE is ${store.kind}; backup is for the embedded store. Back PostgreSQL up with its own tools (pg_dump).`,
      ),
    );
  const target = path.resolve(file);
  const shown = process.stderr.isTTY;
  await backUpDirectory(data, target, ({ bytes, ofBytes }) => {
    if (shown) process.stderr.write(`\r${mebibytes(bytes)} of about ${mebibytes(ofBytes)} MiB`);
  });
  if (shown) process.stderr.write('\n');
  process.stdout.write(`${target}\n`);
}

const mebibytes = (bytes: number): string => (bytes / 1024 ** 2).toFixed(1);
