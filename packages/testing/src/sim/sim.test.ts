import { expect, test } from 'vitest';
import { planOf } from './plan.ts';
import { simulate } from './run.ts';

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
