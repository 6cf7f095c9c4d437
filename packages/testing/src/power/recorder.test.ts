import { execFile } from 'node:child_process';
import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import Database from 'better-sqlite3';
import { expect, test } from 'vitest';
import { openRecorder } from './recorder.ts';
import { seeded } from './seeded.ts';

const ROWS = 40;

/** Inserts rows and says so after each commit. */
const writer = (synchronous: 'FULL' | 'OFF'): string => `
  const Database = require('better-sqlite3');
  const db = new Database(process.env.POWER_CUT_DIR + '/store.db');
  db.pragma('journal_mode=WAL'); db.pragma('synchronous=${synchronous}'); db.exec('CREATE TABLE t (n INTEGER)');
  const insert = db.prepare('INSERT INTO t VALUES (?)');
  process.stdin.on('data', () => { for (let n = 0; n < 1; n++) { insert.run(globalThis.n = (globalThis.n ?? 0) + 1); process.stdout.write(globalThis.n + '\\n'); } });
  process.stdout.write('ready\\n');`;

/** How many of the acknowledged rows each cut has lost. */
async function lostByCuts(synchronous: 'FULL' | 'OFF'): Promise<readonly number[]> {
  const dir = await mkdtemp(path.join(os.tmpdir(), 'holdfast-power-'));
  const data = path.join(dir, 'data');
  await mkdir(data);
  const recorder = await openRecorder(data, path.join(dir, 'recording'));
  const child = execFile(process.execPath, ['-e', writer(synchronous)], { env: { ...process.env, ...recorder.env } });
  const marks: number[] = [];
  for await (const chunk of child.stdout ?? []) {
    for (const line of String(chunk).trim().split('\n')) if (line !== 'ready') marks.push(recorder.mark());
    if (marks.length === ROWS) break;
    child.stdin?.write('next\n');
  }
  child.kill('SIGKILL');
  const random = seeded(7);
  const lost: number[] = [];
  for (const [index, mark] of marks.entries()) {
    const into = path.join(dir, `cut-${index}`);
    await recorder.rebuild(mark, into, random);
    lost.push(index + 1 - rowsIn(path.join(into, 'store.db')));
  }
  await rm(dir, { recursive: true });
  return lost;
}

function rowsIn(file: string): number {
  try {
    const db = new Database(file);
    const count = db.prepare('SELECT count(*) AS n FROM t').get() as { readonly n: number };
    db.close();
    return count.n;
  } catch {
    return 0;
  }
}

test('a power cut loses nothing that a syncing writer acknowledged', async () => {
  const lost = await lostByCuts('FULL');
  expect(lost.filter((count) => count > 0)).toEqual([]);
});

test('a power cut shows that a writer which never syncs loses what it acknowledged', async () => {
  const lost = await lostByCuts('OFF');
  expect(lost.some((count) => count > 0)).toBe(true);
});
