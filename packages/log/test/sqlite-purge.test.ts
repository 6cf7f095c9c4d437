import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { openSqliteLog } from '../src/sqlite.ts';

const SECRET = 'zebraquux';
const table = 'said';

test('L11: the words of a deleted stream are gone from the file itself, the others are found as before', async () => {
  const dir = await mkdtemp(path.join(tmpdir(), 'holdfast-purge-'));
  onTestFinished(() => rm(dir, { recursive: true }));
  let log = await openSqliteLog({ dir });
  const streams = Array.from({ length: 40 }, (_, n) => `s/${n}`);
  for (const [n, stream] of streams.entries()) {
    const text = `${n % 2 === 0 ? SECRET : 'harbour'} ${Array.from({ length: 200 }, (_, word) => `w${(word * 7 + n) % 997}`).join(' ')}`;
    await log.create(stream, { contentType: 'text/plain' });
    await log.append(stream, { records: [], rows: [{ table, key: 'r', order: n, value: new Uint8Array(), text }] });
  }
  for (const stream of streams.filter((_, n) => n % 2 === 0)) await log.delete(stream);
  expect(await log.expire()).toBe(0);
  await log.close();
  expect(await readFile(path.join(dir, 'holdfast.db'), 'latin1')).not.toContain(SECRET);

  log = await openSqliteLog({ dir });
  expect(await log.rows.search({ table, words: SECRET, limit: 100 })).toEqual([]);
  expect(await log.rows.search({ table, words: 'harbour', limit: 100 })).toHaveLength(20);
  // What is deleted in the middle of a pass is the next one's.
  await log.delete('s/1');
  await log.expire();
  expect(await log.rows.search({ table, words: 'harbour', limit: 100 })).toHaveLength(19);
  expect(await log.check()).toEqual([]);
  await log.close();
});
