/** D2: tools run under a guard that kills their process group when the gateway's pipe closes. */
import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';
import { isAlive } from '../../test/processes.ts';
import { temporaryDirectory } from '../../test/temporary.ts';

const PARENT = fileURLToPath(new URL('../../test/guarded-parent.ts', import.meta.url));

/** Commands that print the pids of all that they start, as `pid N`, then `ready`, and would touch `x` later. */
const COMMANDS = {
  'an ordinary command': 'echo pid $$; echo ready; sleep 100; touch x',
  'one that ignores SIGTERM': `trap '' TERM; echo pid $$; echo ready; sleep 100; touch x; sleep 100`,
  'one with children in the background': 'echo pid $$; (sleep 100; touch x) & echo pid $!; echo ready; wait',
  'one whose child left its process group':
    'echo pid $$; setsid sh -c "echo pid \\$\\$; echo ready; sleep 100; touch x" & wait',
};

test.for(Object.entries(COMMANDS))('D2: kill -9 of the gateway ends %s', async ([, command]) => {
  const directory = await temporaryDirectory();
  const parent = spawn(process.execPath, [PARENT, directory, command], { stdio: ['ignore', 'pipe', 'inherit'] });
  const pids: number[] = [];
  for await (const line of createInterface({ input: parent.stdout })) {
    if (line.startsWith('pid ')) pids.push(Number(line.slice(4)));
    if (line === 'ready') parent.kill('SIGKILL');
  }
  expect(pids.length).toBeGreaterThan(0);
  await expect.poll(() => pids.filter(isAlive)).toEqual([]);
  expect(existsSync(join(directory, 'x'))).toBe(false);
});

test('the same command, left alone, does what it would have done', async () => {
  const directory = await temporaryDirectory();
  const parent = spawn(process.execPath, [PARENT, directory, 'sleep 0.1; touch x; echo touched'], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const lines: string[] = [];
  for await (const line of createInterface({ input: parent.stdout })) lines.push(line);
  expect(lines).toEqual(['touched', 'parent: done']);
  expect(existsSync(join(directory, 'x'))).toBe(true);
});
