/** Unsent messages in a file that several processes have. */
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';

import { expect, onTestFinished, test } from 'vitest';

import type { OutboxStore, StoredSend } from '../src/index.ts';
import { fileOutbox } from '../src/node/index.ts';

async function placeOfOne(): Promise<string> {
  const dir = await mkdtemp(path.join(tmpdir(), 'holdfast-file-outbox-'));
  onTestFinished(() => rm(dir, { recursive: true }));
  return path.join(dir, 'new', 'unsent.json');
}

const sendOf = (clientId: string): StoredSend => ({ clientId, text: clientId }) as unknown as StoredSend;
const idsIn = async (store: OutboxStore): Promise<readonly string[]> =>
  (await store.all()).map(({ clientId }) => clientId).toSorted();

test('R25: processes that share a file keep what each of them wrote, and know what another discarded', async () => {
  const file = await placeOfOne();
  const [one, other] = [fileOutbox(file), fileOutbox(file)];
  expect([await idsIn(one), await idsIn(other)]).toEqual([[], []]);
  await one.put(sendOf('c_a'));
  await other.put(sendOf('c_b'));
  await Promise.all([one.put(sendOf('c_c')), one.put(sendOf('c_d'))]);
  expect(await idsIn(other)).toEqual(['c_a', 'c_b', 'c_c', 'c_d']);
  await other.delete('c_a' as never);
  expect(await one.has('c_a' as never)).toBe(false);
  await one.put(sendOf('c_e'));
  expect(await idsIn(fileOutbox(file))).toEqual(['c_b', 'c_c', 'c_d', 'c_e']);
});

test('a file that is no outbox is an error and is left as it is', async () => {
  const file = path.join(path.dirname(path.dirname(await placeOfOne())), 'notes.json');
  await writeFile(file, 'my notes');
  const store = fileOutbox(file);
  await expect(store.all()).rejects.toThrow(`${file} is no file of unsent messages.`);
  await expect(store.put(sendOf('c_a'))).rejects.toThrow(file);
  expect(await readFile(file, 'utf8')).toBe('my notes');
});
