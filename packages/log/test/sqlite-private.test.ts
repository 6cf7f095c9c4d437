/** A data directory holds every conversation: nobody else on the machine can open any file of it, at any moment. */
import { chmodSync, mkdtempSync, readdirSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { openSqliteLog } from '../src/sqlite.ts';

const rightsOf = (place: string): string => (statSync(place).mode & 0o777).toString(8);
const rightsIn = (dir: string): Record<string, string> =>
  Object.fromEntries(readdirSync(dir).map((name) => [name, rightsOf(path.join(dir, name))]));

function directory(): string {
  const dir = mkdtempSync(path.join(tmpdir(), 'holdfast-private-'));
  onTestFinished(() => rmSync(dir, { recursive: true }));
  return dir;
}

test('the directory is 0700 and each file 0600 while the store is open, whatever the umask', async () => {
  const dir = directory();
  chmodSync(dir, 0o755);
  const log = await openSqliteLog({ dir });
  await log.create('s/1', { contentType: 'text/plain' });
  await log.append('s/1', { records: [new Uint8Array(10)] });
  const rights = rightsIn(dir);
  expect(Object.keys(rights)).toEqual(expect.arrayContaining(['holdfast.db', 'holdfast.db-wal', 'timeline.json']));
  expect(new Set(Object.values(rights))).toEqual(new Set(['600']));
  expect(rightsOf(dir)).toBe('700');
  await log.close();
});

test('rights that were looser are mended at the next opening, and said', async () => {
  const dir = directory();
  await (await openSqliteLog({ dir })).close();
  chmodSync(dir, 0o755);
  chmodSync(path.join(dir, 'holdfast.db'), 0o644);
  const log = await openSqliteLog({ dir });
  expect(log.looseRights).toEqual(
    expect.arrayContaining([
      { place: dir, mended: true },
      { place: path.join(dir, 'holdfast.db'), mended: true },
    ]),
  );
  expect(rightsOf(path.join(dir, 'holdfast.db'))).toBe('600');
  await log.close();
});
