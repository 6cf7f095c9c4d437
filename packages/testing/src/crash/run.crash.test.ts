import { expect, test } from 'vitest';
import { startPostgres } from '../postgres.ts';
import { crashRun, type CrashResult } from './run.ts';

const whole = { lost: [], doubled: [], reordered: [], stuck: [], wrong: [] };

/** A slice of `npm run crash`. */
const seed = 20_261;

function judged({ lost, doubled, reordered, stuck, wrong }: CrashResult): typeof whole {
  return { lost, doubled, reordered, stuck, wrong } as typeof whole;
}

test('R25, R33, R36: fifteen kills under load: nothing acknowledged or seen is lost, doubled, reordered or stuck', async () => {
  const result = await crashRun({ kills: 15, seed, mode: 'kill' });
  expect(judged(result)).toEqual(whole);
  expect(result.acknowledged).toBeGreaterThan(20);
}, 180_000);

test('R25: five power cuts: what was not synced may be gone, and nobody misses anything', async () => {
  const result = await crashRun({ kills: 5, seed: seed + 1, mode: 'power' });
  expect(judged(result)).toEqual(whole);
}, 120_000);

test('a store that never synced would not survive the power cuts', async () => {
  const result = await crashRun({ kills: 5, seed: seed + 1, mode: 'power', noSync: true });
  expect([...result.lost, ...result.wrong].length).toBeGreaterThan(0);
}, 120_000);

test('R9, R25: kills of a gateway on PostgreSQL', async () => {
  await using server = await startPostgres();
  const result = await crashRun({
    kills: 4,
    seed: seed + 2,
    mode: 'kill',
    storeUrl: await server.createDatabase('crash'),
  });
  expect(judged(result)).toEqual(whole);
}, 180_000);
