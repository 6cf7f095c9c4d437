import { randomUUID } from 'node:crypto';
import { readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { systemClock } from '@holdfast/session';
import { expect, test } from 'vitest';
import { isAlive } from '../../test/processes.ts';
import { temporaryDirectory } from '../../test/temporary.ts';
import { safeEnvironment, shellTool, type ShellOptions } from './shell.ts';
import type { ToolEnd } from './tool.ts';

interface Ran extends ToolEnd {
  readonly output: string;
}

interface Input {
  readonly command: string;
  readonly timeoutSeconds?: number;
}

async function run(
  input: Input,
  options: Partial<ShellOptions> = {},
  watch?: (output: string, stop: () => void) => void,
): Promise<Ran> {
  const root = options.root ?? (await temporaryDirectory());
  const opened = shellTool({ env: process.env, ...options, root }).open(input);
  if (opened.kind === 'invalid') throw new Error(opened.reason);
  const controller = new AbortController();
  const running = opened.call.run({ signal: controller.signal, clock: systemClock });
  let output = '';
  for (;;) {
    const next = await running.next();
    if (next.done === true) return { ...next.value, output };
    output += next.value;
    watch?.(output, () => controller.abort());
  }
}

test('it runs in the workspace, with output and errors in order, and tells the exit code', async () => {
  const root = await temporaryDirectory();
  const ran = await run({ command: 'pwd; echo wrong >&2; echo right; exit 3' }, { root });
  expect(ran).toEqual({ ok: false, note: 'Exit code 3.', output: `${root}\nwrong\nright\n` });
  expect(await run({ command: 'true' })).toEqual({ ok: true, output: '' });
  expect(await run({ command: 'kill -9 $$' })).toMatchObject({ ok: false, note: 'Ended by SIGKILL.' });
});

test('output is live: it comes while the command still runs', async () => {
  const root = await temporaryDirectory();
  // The command waits for a file that only the reader of its first line makes.
  const ran = await run(
    { command: 'echo first; while [ ! -e go ]; do sleep 0.02; done; echo second' },
    { root },
    (output) => {
      if (output === 'first\n') writeFileSync(join(root, 'go'), '');
    },
  );
  expect(ran.output).toBe('first\nsecond\n');
});

test('a stop ends the whole group, also one that ignores SIGTERM', async () => {
  let pids: number[] = [];
  const command = `trap '' TERM; echo $$; (trap '' TERM; sleep 600) & echo $!; echo ready; wait; sleep 600`;
  const ran = await run({ command }, {}, (output, stop) => {
    if (!output.endsWith('ready\n')) return;
    pids = output
      .split('\n')
      .map(Number)
      .filter((pid) => pid > 0);
    stop();
  });
  expect(ran).toMatchObject({ ok: false, note: 'Ended: the turn was stopped.' });
  expect(pids).toHaveLength(2);
  expect(pids.filter(isAlive)).toEqual([]);
});

test('a stop before the start starts nothing', async () => {
  const root = await temporaryDirectory();
  const opened = shellTool({ root, env: process.env }).open({ command: 'touch x' });
  if (opened.kind === 'invalid') throw new Error(opened.reason);
  const end = await opened.call.run({ signal: AbortSignal.abort(), clock: systemClock }).next();
  expect(end).toMatchObject({ done: true, value: { ok: false } });
  expect(readdirSync(root)).toEqual([]);
});

test('a consumer that leaves ends the command, and returns when it is gone', async () => {
  const root = await temporaryDirectory();
  const opened = shellTool({ root, env: process.env }).open({ command: 'echo $$; sleep 600' });
  if (opened.kind === 'invalid') throw new Error(opened.reason);
  let pid = 0;
  for await (const text of opened.call.run({ signal: new AbortController().signal, clock: systemClock })) {
    pid = Number(text);
    break;
  }
  expect(pid).toBeGreaterThan(0);
  expect(isAlive(pid)).toBe(false);
});

test('a stop ends the command though its reader was abandoned and never comes back', async () => {
  const root = await temporaryDirectory();
  const opened = shellTool({ root, env: process.env }).open({ command: 'echo $$; yes' });
  if (opened.kind === 'invalid') throw new Error(opened.reason);
  const controller = new AbortController();
  const first = await opened.call.run({ signal: controller.signal, clock: systemClock }).next();
  const pid = Number.parseInt(first.done === true ? '' : first.value, 10);
  expect(isAlive(pid)).toBe(true);
  controller.abort();
  await expect.poll(() => isAlive(pid)).toBe(false);
});

test('the guard itself may be killed: the command goes with it', async () => {
  let pid = 0;
  const ran = await run({ command: 'echo $PPID; echo $$; sleep 600' }, {}, (output) => {
    const [guard = 0, command] = output.split('\n').map(Number);
    if (command === undefined || command === 0) return;
    pid = command;
    process.kill(guard, 'SIGKILL');
  });
  expect(ran).toMatchObject({ ok: false, note: expect.stringContaining('guard') });
  await expect.poll(() => isAlive(pid)).toBe(false);
});

test('the time limit ends it and says so', async () => {
  const ran = await run({ command: 'echo begun; sleep 600', timeoutSeconds: 3 });
  expect(ran).toEqual({ ok: false, note: 'Ended at its time limit of 3 s.', output: 'begun\n' });
});

test('nothing outlives the call: what it left in the background is ended, and does not hold its output open', async () => {
  const ran = await run({ command: 'sleep 600 & echo $!; setsid sleep 600 & echo $!' });
  expect(ran.ok).toBe(true);
  const pids = ran.output.trim().split('\n').map(Number);
  expect(pids).toHaveLength(2);
  expect(pids.filter(isAlive)).toEqual([]);
});

test('the environment is a short list: no secret of the gateway, no configuration, no descriptor', async () => {
  const secret = randomUUID();
  const env = {
    ...process.env,
    HOLDFAST_TOKEN: secret,
    HOLDFAST_MODEL_KEY: secret,
    AWS_SECRET_ACCESS_KEY: secret,
    NODE_OPTIONS: '--no-warnings',
  };
  const ran = await run({ command: 'env; ls /proc/$$/fd; true' }, { env, extraEnv: { EXTRA: 'yes' } });
  expect(ran.output).not.toContain(secret);
  expect(ran.output).not.toMatch(/HOLDFAST|NODE_/);
  expect(ran.output).toContain('EXTRA=yes');
  const descriptors = ran.output.split('\n').filter((line) => /^\d+$/.test(line));
  expect(descriptors.filter((name) => Number(name) <= 3)).toEqual(['0', '1', '2']);
  expect(safeEnvironment({ PATH: '/bin', LC_ALL: 'C', LD_PRELOAD: 'x', HOLDFAST_HOST: 'x' })).toMatchObject({
    PATH: '/bin',
    LC_ALL: 'C',
  });
  expect(Object.keys(safeEnvironment({ LD_PRELOAD: 'x', HOLDFAST_HOST: 'x' }))).not.toContain('LD_PRELOAD');
});

test('characters are never split, whatever the pipe does', async () => {
  const ran = await run({ command: `for i in $(seq 1 20000); do printf '港🐎'; done` });
  expect(ran.output).toBe('港🐎'.repeat(20_000));
});

test('the approval says what is run, where, and that it is not confined', async () => {
  const opened = shellTool({ root: '/srv/work', env: {} }).open({ command: 'rm -rf build' });
  expect(opened).toMatchObject({ kind: 'call', call: { title: 'Run a command' } });
  if (opened.kind === 'call') expect(opened.call.detail).toMatch(/rm -rf build[\s\S]*\/srv\/work[\s\S]*not confined/);
});

test('a missing workspace and a wrong input fail the call in words', async () => {
  expect(await run({ command: 'true' }, { root: '/nonexistent/workspace' })).toMatchObject({
    ok: false,
    note: expect.stringContaining('is not a directory'),
  });
  const opened = shellTool({ root: '/', env: {} }).open({ cmd: 'true' });
  expect(opened).toMatchObject({ kind: 'invalid', reason: expect.stringContaining('command') });
});
