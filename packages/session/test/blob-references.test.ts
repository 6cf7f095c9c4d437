/** R92: references to blobs, on a clock that is turned by hand and with an eraser that is held up in mid-step. */
import { MemoryStore, openMemoryLog } from '@holdfast/log/memory';
import { HandClock } from '@holdfast/testing/hand-clock';
import { expect, test } from 'vitest';
import { BlobReferences, DRAFT_MS } from '../src/blob-references.ts';
import { Blobs } from '../src/blobs.ts';

async function* once(text: string): AsyncGenerator<Uint8Array> {
  yield new TextEncoder().encode(text);
}

function open(step: (label: string) => Promise<void> = () => Promise.resolve()) {
  const clock = new HandClock();
  const log = openMemoryLog({ clock, store: new MemoryStore(), step });
  const blobs = new Blobs(log);
  const references = new BlobReferences(log, blobs);
  const upload = async (subject: string, text: string): Promise<string> => {
    const put = await blobs.put('text/plain', once(text), (hash) => references.draft(subject, hash));
    if (put.kind === 'fault') throw new Error(put.fault.detail);
    return put.hash;
  };
  return { clock, blobs, references, upload };
}

test('R92: an upload that no message names goes after a day, not before, and not while another upload of it is younger', async () => {
  const { clock, blobs, references, upload } = open();
  const hash = await upload('ann', 'left');
  clock.pass(DRAFT_MS);
  await references.sweep();
  expect(await blobs.has(hash)).toBe(true);
  expect(await upload('bob', 'left')).toBe(hash);
  clock.pass(1);
  await references.sweep();
  expect(await blobs.has(hash)).toBe(true);
  clock.pass(DRAFT_MS + 1);
  await references.sweep();
  expect(await blobs.has(hash)).toBe(false);
  expect(await upload('ann', 'left')).toBe(hash);
  expect(await blobs.has(hash)).toBe(true);
});

test('R92: bytes that are erased while a reference to them is being made are there again', async () => {
  let isErasing = false;
  const meanwhile: { run: () => Promise<unknown> } = { run: () => Promise.resolve() };
  const { blobs, references, upload } = open(async (label) => {
    if (!isErasing || !label.startsWith('delete blob/') || label.endsWith('done')) return;
    isErasing = false;
    await meanwhile.run();
  });
  const hash = await upload('ann', 'raced');
  await references.takeOver('ann', [hash]);
  meanwhile.run = () => upload('bob', 'raced');
  isErasing = true;
  await references.release([hash]);
  expect(isErasing).toBe(false);
  expect(new TextDecoder().decode(await blobs.bytes(hash))).toBe('raced');
  expect(await references.mayRead('bob', hash, () => Promise.resolve(undefined))).toBe(true);
  expect(await references.mayRead('ann', hash, () => Promise.resolve(undefined))).toBe(false);
});
