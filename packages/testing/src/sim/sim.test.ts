import { expect, test } from 'vitest';
import { planOf } from './plan.ts';
import { simulate } from './run.ts';
import { simulateSeeds } from './seeds.ts';

const SLICE_S = 120;

test('R1–R37: two minutes of worlds of nodes, clients and faults keep every law, and come to rest', async () => {
  const violated: string[] = [];
  const { runs } = await simulateSeeds({
    seed: 1,
    runsMax: 100_000,
    seconds: SLICE_S,
    threads: 1,
    isFirstEnough: false,
    trace: false,
    onViolation: ({ seed, violations }) => {
      for (const { law, detail } of violations) violated.push(`seed ${seed}: ${law}: ${detail}`);
    },
    onProgress: () => undefined,
  });
  expect(violated).toEqual([]);
  expect(runs).toBeGreaterThan(100);
}, 200_000);

test('seeds that violated a law once keep every law', async () => {
  for (const seed of [718_136, 915_195, 969_382, 5_511, 6_117, 8_641])
    expect((await simulate(planOf(seed))).violations).toEqual([]);
});

test('a run has at least two hundred steps', async () => {
  for (let seed = 1; seed <= 100; seed += 1) expect((await simulate(planOf(seed))).steps).toBeGreaterThan(200);
});

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
