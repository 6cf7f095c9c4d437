import { expect, test } from 'vitest';
import type { Judgement } from './judge.ts';
import { crashRun } from './run.ts';
import { storm } from './storm.ts';

const whole = { lost: [], doubled: [], reordered: [], stuck: [], wrong: [] };

/** A slice of `npm run crash`. */
const seed = 20_261;

function judged({ lost, doubled, reordered, stuck, wrong }: Judgement): typeof whole {
  return { lost, doubled, reordered, stuck, wrong } as typeof whole;
}

test('R25, R33, R36: fifteen kills under load: nothing acknowledged or seen is lost, doubled, reordered or stuck', async () => {
  const result = await crashRun({ kills: 15, seed, mode: 'kill' });
  expect(judged(result)).toEqual(whole);
  expect(result.acknowledged).toBeGreaterThan(20);
}, 600_000);

test('R25: five power cuts: what was not synced may be gone, and nobody misses anything', async () => {
  const result = await crashRun({ kills: 5, seed: seed + 1, mode: 'power' });
  expect(judged(result)).toEqual(whole);
});

test('a store that never synced would not survive the power cuts', async () => {
  const result = await crashRun({ kills: 5, seed: seed + 1, mode: 'power', noSync: true });
  expect([...result.lost, ...result.wrong].length).toBeGreaterThan(0);
});

test('R9, R25, R36: a storm over three nodes on PostgreSQL: kills, a deploy, a pause beyond the lease, the database killed and failed over', async () => {
  const result = await storm({ kills: 6, pauses: 1, clockSteps: 1, databaseKills: 1, failovers: 1, seed: seed + 2 });
  expect({ ...judged(result), stale: result.stale }).toEqual({ ...whole, stale: [] });
  expect(result.acknowledged).toBeGreaterThan(20);
}, 600_000);
