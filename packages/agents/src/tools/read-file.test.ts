import { execFileSync } from 'node:child_process';
import { mkdirSync, renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Worker } from 'node:worker_threads';
import * as fc from 'fast-check';
import { systemClock } from '@holdfast/session';
import { expect, test } from 'vitest';
import { temporaryDirectory } from '../../test/temporary.ts';
import { readFileTool } from './read-file.ts';
import type { ToolEnd } from './tool.ts';
import { openInside } from './workspace-file.ts';

async function read(root: string, input: Record<string, unknown>): Promise<ToolEnd & { readonly output: string }> {
  const opened = readFileTool({ root }).open(input);
  if (opened.kind === 'invalid') throw new Error(opened.reason);
  const running = opened.call.run({ signal: new AbortController().signal, clock: systemClock });
  let output = '';
  for (;;) {
    const next = await running.next();
    if (next.done === true) return { ...next.value, output };
    output += next.value;
  }
}

/** A workspace with a secret beside it. */
async function workspace(): Promise<{ readonly root: string; readonly outside: string }> {
  const directory = await temporaryDirectory();
  const root = join(directory, 'work');
  const outside = join(directory, 'outside');
  mkdirSync(join(root, 'sub'), { recursive: true });
  mkdirSync(outside);
  writeFileSync(join(outside, 'secret.txt'), 'the secret');
  writeFileSync(join(root, 'sub', 'notes.txt'), 'one\ntwo\nthree\n');
  return { root, outside };
}

test('it reads lines, and says how to go on', async () => {
  const { root } = await workspace();
  expect(await read(root, { path: 'sub/notes.txt' })).toEqual({ ok: true, output: 'one\ntwo\nthree\n' });
  expect(await read(root, { path: './sub/../sub/notes.txt', fromLine: 2, lines: 1 })).toEqual({
    ok: true,
    output: 'two\n',
    note: '… more: go on with fromLine 3.',
  });
  expect(await read(root, { path: 'sub/notes.txt', fromLine: 9 })).toMatchObject({ ok: false, output: '' });
});

test('lines are right wherever the chunks of the file end', async () => {
  const { root } = await workspace();
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.constantFrom('', 'a', '港🐎', 'x'.repeat(40_000)), { minLength: 1, maxLength: 9 }),
      fc.integer({ min: 1, max: 9 }),
      fc.integer({ min: 1, max: 9 }),
      async (lines, fromLine, count) => {
        writeFileSync(join(root, 'any.txt'), lines.join('\n'));
        const terminated = lines.map((line, index) => (index < lines.length - 1 ? `${line}\n` : line));
        const expected = terminated.slice(fromLine - 1, fromLine - 1 + count).join('');
        const { output } = await read(root, { path: 'any.txt', fromLine, lines: count });
        expect(output).toBe(expected);
      },
    ),
    { numRuns: 60 },
  );
});

test('`..`, absolute paths and links at any place in the path lead nowhere outside', async () => {
  const { root, outside } = await workspace();
  symlinkSync(outside, join(root, 'out'));
  symlinkSync(join(outside, 'secret.txt'), join(root, 'sub', 'link.txt'));
  symlinkSync('../../outside', join(root, 'sub', 'up'));
  symlinkSync('out', join(root, 'twice'));
  const paths = [
    '../outside/secret.txt',
    'sub/../../outside/secret.txt',
    join(outside, 'secret.txt'),
    '/etc/passwd',
    'out/secret.txt',
    'sub/link.txt',
    'sub/up/secret.txt',
    'twice/secret.txt',
    '../work-other/secret.txt',
  ];
  for (const path of paths) {
    const ran = await read(root, { path });
    expect([path, ran.ok, ran.output]).toEqual([path, false, '']);
  }
});

test('a link that stays inside, and a root that is itself a link, are followed', async () => {
  const { root } = await workspace();
  symlinkSync('sub/notes.txt', join(root, 'here.txt'));
  symlinkSync(root, `${root}-link`);
  expect(await read(`${root}-link`, { path: 'here.txt' })).toMatchObject({ ok: true, output: 'one\ntwo\nthree\n' });
  expect(await read(root, { path: join(root, 'here.txt') })).toMatchObject({ ok: true });
});

test('a link that is swapped while the file is opened gains nothing', async () => {
  const { root, outside } = await workspace();
  mkdirSync(join(root, 'good'));
  writeFileSync(join(root, 'good', 'secret.txt'), 'harmless');
  symlinkSync(outside, join(root, 'evil'));
  const swap = join(root, 'swap');
  symlinkSync('good', swap);
  // Another thread swaps where the link leads, as fast as it can, for as long as the test asks.
  const stop = new Int32Array(new SharedArrayBuffer(4));
  const swapper = new Worker(
    `const { renameSync, symlinkSync } = require('node:fs');
     const { root, stop } = require('node:worker_threads').workerData;
     for (let n = 0; Atomics.load(stop, 0) === 0; n += 1) {
       symlinkSync(n % 2 === 0 ? 'evil' : 'good', root + '/next');
       renameSync(root + '/next', root + '/swap');
     }`,
    { eval: true, workerData: { root, stop } },
  );
  let good = 0;
  let refused = 0;
  // Until both were met, however late the other thread comes to run.
  for (let round = 0; round < 1_500 || (round < 200_000 && (good === 0 || refused === 0)); round += 1) {
    const opened = await openInside(root, 'swap/secret.txt');
    if (opened.kind === 'refused') {
      refused += 1;
      continue;
    }
    expect(await opened.file.readFile('utf8')).toBe('harmless');
    await opened.file.close();
    good += 1;
  }
  Atomics.store(stop, 0, 1);
  await swapper.terminate();
  expect(good).toBeGreaterThan(0);
  expect(refused).toBeGreaterThan(0);
});

test('a directory, a pipe and a binary file are refused without hanging', async () => {
  const { root } = await workspace();
  execFileSync('/usr/bin/env', ['mkfifo', join(root, 'pipe')]);
  writeFileSync(join(root, 'binary'), Buffer.from([1, 0, 2]));
  expect(await read(root, { path: 'sub' })).toMatchObject({
    ok: false,
    note: expect.stringContaining('not a regular file'),
  });
  expect(await read(root, { path: 'pipe' })).toMatchObject({
    ok: false,
    note: expect.stringContaining('not a regular file'),
  });
  expect(await read(root, { path: 'binary' })).toMatchObject({
    ok: false,
    note: expect.stringContaining('not a text file'),
  });
  expect(await read(root, { path: 'gone' })).toMatchObject({
    ok: false,
    note: expect.stringContaining('does not exist'),
  });
  renameSync(root, `${root}2`);
  expect(await read(root, { path: 'x' })).toMatchObject({ ok: false, note: expect.stringContaining('does not exist') });
  rmSync(`${root}2`, { recursive: true });
});
