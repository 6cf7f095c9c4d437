import { chmod, mkdtemp, readdir, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import Database from 'better-sqlite3';
import { expect, onTestFinished, test } from 'vitest';
import { RowReader } from '../src/sqlite/rows.ts';
import { openWriterDatabase, type Migration } from '../src/sqlite/schema.ts';
import { openSqliteLog } from '../src/sqlite.ts';

async function directory(): Promise<string> {
  const dir = await mkdtemp(path.join(tmpdir(), 'holdfast-schema-'));
  onTestFinished(() => rm(dir, { recursive: true }));
  return dir;
}

const modeOf = async (place: string): Promise<number> => (await stat(place)).mode & 0o777;

async function modesIn(dir: string): Promise<Readonly<Record<string, number>>> {
  const names = (await readdir(dir)).toSorted();
  return Object.fromEntries(await Promise.all(names.map(async (name) => [name, await modeOf(path.join(dir, name))])));
}

const PRIVATE_FILES = {
  'holdfast.db': 0o600,
  'holdfast.db-shm': 0o600,
  'holdfast.db-wal': 0o600,
  'lock.db': 0o600,
  'owner.json': 0o600,
  'timeline.json': 0o600,
};

test.skipIf(process.platform === 'win32')(
  'data files are private from the start, and the umask of tools stays',
  async () => {
    const dir = await directory();
    const umask = process.umask();
    const log = await openSqliteLog({ dir });
    await log.create('s/1', { contentType: 'text/plain' });
    expect(await modesIn(dir)).toEqual(PRIVATE_FILES);
    expect(log.looseRights).toEqual([]);
    expect(process.umask()).toBe(umask);
    const copy = path.join(dir, 'copy');
    await log.backup(copy);
    expect(await modeOf(copy)).toBe(0o600);
    await log.close();
  },
);

test.skipIf(process.platform === 'win32')(
  'looser rights of a data directory are mended before the WAL is made, and said',
  async () => {
    const dir = await directory();
    const first = await openSqliteLog({ dir });
    await first.create('s/1', { contentType: 'text/plain' });
    await first.close();
    const file = path.join(dir, 'holdfast.db');
    await writeFile(path.join(dir, 'mine.txt'), 'not ours', { mode: 0o644 });
    await chmod(file, 0o644);
    await chmod(dir, 0o755);
    const log = await openSqliteLog({ dir });
    expect(log.looseRights).toEqual([
      { place: dir, mended: true },
      { place: file, mended: true },
    ]);
    await log.create('s/2', { contentType: 'text/plain' });
    expect(await modesIn(dir)).toEqual({ ...PRIVATE_FILES, 'mine.txt': 0o644 });
    expect(await modeOf(dir)).toBe(0o700);
    await log.close();
  },
);

test('the rows of one stream are listed by an index, in a database of before as well, without ANALYZE', async () => {
  const file = path.join(await directory(), 'holdfast.db');
  openWriterDatabase(file).exec('DROP INDEX rows_by_stream; DROP TABLE migrations').close();
  openWriterDatabase(file).close();
  const queries: string[] = [];
  const db = new Database(file, { verbose: (query) => queries.push(String(query)) });
  new RowReader(db).list({ table: 'turn', stream: 's/1', before: 9, limit: 10 });
  const plan = db.prepare(`EXPLAIN QUERY PLAN ${queries.at(-1)}`).all() as readonly { readonly detail: string }[];
  expect(plan.map(({ detail }) => detail).join('\n')).toContain('rows_by_stream (stream_id=? AND tbl=? AND ord<?)');
  db.close();
});

test('one step back: a version starts on a newer database if each migration that it does not know serves it', async () => {
  const file = path.join(await directory(), 'holdfast.db');
  const first = { serves: 1, sql: 'CREATE TABLE rows (stream_id, tbl, ord, value)' };
  const open = (...migrations: readonly Migration[]): void => void openWriterDatabase(file, migrations).close();
  const second = { serves: 1, sql: 'CREATE TABLE more (id)' };
  const third = { serves: 2, sql: 'CREATE TABLE most (id)' };
  open(first);
  open(first, second);
  open(first);
  open(first, second, third);
  open(first, second);
  expect(() => open(first)).toThrow(/newer Holdfast \(schema 3, which serves versions from 2 on; this one knows 1\)/);
  const db = new Database(file);
  expect(db.pragma('user_version', { simple: true })).toBe(3);
  db.exec('DROP TABLE migrations');
  db.close();
  expect(() => open(first, second)).toThrow(/newer Holdfast/);
});
