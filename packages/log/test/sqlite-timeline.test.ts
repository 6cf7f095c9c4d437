/** R80: revs of an earlier state never pass for revs of the present one, however the database was put back. */
import { cp, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import * as fc from 'fast-check';
import { expect, onTestFinished, test } from 'vitest';
import { historyOf } from '../src/index.ts';
import { backUpDirectory, openSqliteLog, restoreDirectory, type SqliteLog } from '../src/sqlite.ts';

const table = 'list';
const DATABASE = ['holdfast.db', 'holdfast.db-wal', 'holdfast.db-shm'];

async function directory(): Promise<string> {
  const dir = await mkdtemp(path.join(tmpdir(), 'holdfast-timeline-'));
  onTestFinished(() => rm(dir, { recursive: true }));
  return dir;
}

let rowsPut = 0;
async function change(log: SqliteLog): Promise<number> {
  const stream = `s/${(rowsPut += 1)}`;
  await log.create(stream, { contentType: 'text/plain' });
  await log.append(stream, { records: [], rows: [{ table, key: 'r', order: rowsPut, value: new Uint8Array() }] });
  return log.rows.lastRev(table);
}

const copyFiles = (from: string, to: string): Promise<unknown> =>
  Promise.all(
    DATABASE.map(async (name) => {
      await rm(path.join(to, name), { force: true });
      await cp(path.join(from, name), path.join(to, name)).catch(() => undefined);
    }),
  );

test('R80: a history goes on over stops and starts', async () => {
  const dir = await directory();
  let log = await openSqliteLog({ dir });
  const rev = await change(log);
  await log.close();
  log = await openSqliteLog({ dir });
  expect(historyOf(await log.rows.lastRev(table))).toBe(historyOf(rev));
  expect(await log.rows.changes({ table, after: rev, limit: 10 })).toEqual([]);
  await change(log);
  expect(await log.rows.changes({ table, after: rev, limit: 10 })).toHaveLength(1);
  await log.close();
});

test('R80: each restore of one backup begins a history of its own, above all before', async () => {
  const [dir, other] = [await directory(), await directory()];
  let log = await openSqliteLog({ dir });
  await change(log);
  const backup = path.join(other, 'backup.db');
  await log.backup(backup);
  const revs = [await change(log)];
  for (let round = 0; round < 3; round += 1) {
    await log.close();
    await restoreDirectory(backup, dir);
    log = await openSqliteLog({ dir });
    expect(historyOf(await log.rows.lastRev(table))).toBeGreaterThan(Math.max(...revs.map(historyOf)));
    revs.push(await change(log), await change(log));
  }
  const all = await log.rows.changes({ table, after: revs[1] ?? 0, limit: 10 });
  expect(all).toHaveLength(3);
  await log.close();
});

type Step = 'change' | 'restart' | 'copy' | 'put-back';

test('R80: whatever is copied and put back by hand, a rev that was handed out names no other state', async () => {
  const step = fc.oneof(
    { weight: 4, arbitrary: fc.constant<Step>('change') },
    { weight: 2, arbitrary: fc.constantFrom<Step>('restart', 'copy', 'put-back') },
  );
  await fc.assert(
    fc.asyncProperty(fc.array(step, { minLength: 3, maxLength: 14 }), async (steps) => {
      const [dir, copy] = [await directory(), await directory()];
      let log = await openSqliteLog({ dir });
      /** The streams that had a row when a rev was handed out. */
      const seen = new Map<number, string>();
      let hasCopy = false;
      const look = async (): Promise<void> => {
        const rows = await log.rows.list({ table, limit: 100 });
        const state = rows.map((row) => row.stream).join(' ');
        const rev = await log.rows.lastRev(table);
        expect(seen.get(rev) ?? state, `${steps.join(', ')}: at ${rev}`).toBe(state);
        seen.set(rev, state);
      };
      for (const next of steps) {
        if (next === 'change') await change(log);
        else {
          await log.close();
          if (next === 'copy') await copyFiles(dir, copy);
          if (next === 'copy') hasCopy = true;
          if (next === 'put-back' && hasCopy) await copyFiles(copy, dir);
          log = await openSqliteLog({ dir });
        }
        await look();
      }
      await log.close();
    }),
    { numRuns: 25 },
  );
});

test('R80: a database that stands alone after it was moved begins a history of its own', async () => {
  const [dir, moved] = [await directory(), await directory()];
  let log = await openSqliteLog({ dir });
  const rev = await change(log);
  await log.close();
  await backUpDirectory(dir, path.join(moved, 'holdfast.db'));
  log = await openSqliteLog({ dir: moved });
  expect(historyOf(await log.rows.lastRev(table))).toBeGreaterThan(historyOf(rev));
  await log.close();
});
