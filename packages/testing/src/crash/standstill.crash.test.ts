/** R79: a process that stood still, or whose clock stepped, goes on with its turns on SQLite. */
import { mkdtemp, rm } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { rehearse } from '@holdfast/agents/rehearse';
import { expect, onTestFinished, test } from 'vitest';
import { startGateway, STEPPED_CLOCK } from './gateway.ts';
import { Person } from './load.ts';
import { untilEntry } from './moment.ts';

const SCENE = '/scene plain tokens=300 rate=60 seed=5';
/** How long nothing of the process moves. The fact that is waited for afterwards is the end of its turn. */
const STANDSTILL_MS = 1_500;

test('R79: SIGSTOP and clock steps of an hour, forward and back, interrupt no turn of the only owner', async () => {
  const dir = await mkdtemp(path.join(os.tmpdir(), 'holdfast-standstill-'));
  const gateway = await startGateway({ HOLDFAST_DATA: dir, ...STEPPED_CLOCK });
  onTestFinished(async () => {
    gateway.kill('SIGKILL');
    await gateway.gone;
    await rm(dir, { recursive: true, force: true });
  });
  const person = new Person('s_standstill', { url: gateway.url, epoch: 0 }, () => SCENE);
  const load = [person.send(1), person.read()];
  await untilEntry('text-delta', [person], 20_000);
  gateway.kill('SIGUSR2');
  gateway.kill('SIGSTOP');
  await pause(STANDSTILL_MS);
  gateway.kill('SIGCONT');
  // The steps take place: times of the log go an hour forward, and only then back.
  const times = (): number[] =>
    [...person.seen.values()].map(({ json }) => Date.parse((JSON.parse(json) as { at: string }).at));
  const spread = (): number => Math.max(...times()) - Math.min(...times());
  await expect.poll(spread, { timeout: 20_000 }).toBeGreaterThan(3_500_000);
  gateway.kill('SIGUSR2');
  await untilEntry('turn-end', [person], 20_000);
  person.stop();
  await Promise.all(load);
  const seen = [...person.seen.values()];
  const end = seen.find(({ type }) => type === 'turn-end');
  expect(JSON.parse(end?.json ?? '{}')).toMatchObject({ outcome: 'completed' });
  const texts = seen.flatMap(({ type, json }) =>
    type === 'text-delta' ? [JSON.parse(json) as { text: string; turnId: string }] : [],
  );
  const first = texts.filter(({ turnId }) => turnId === texts[0]?.turnId);
  expect(first.map(({ text }) => text).join('')).toBe(rehearse(SCENE));
}, 120_000);
