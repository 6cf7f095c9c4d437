import { expect, test } from 'vitest';
import { planOf, type Plan } from './plan.ts';
import type { Outcome } from './run.ts';
import { shrink } from './shrink.ts';

/** A world that breaks its law where `isBad` says so. */
const worldOf =
  (isBad: (plan: Plan) => boolean) =>
  (plan: Plan): Promise<Outcome> =>
    Promise.resolve({
      plan,
      steps: 100,
      picks: 100,
      hash: 0,
      trace: [],
      logs: new Map(),
      violations: isBad(plan) ? [{ law: 'T1', detail: '', step: 1 }] : [],
    });

const onSmaller = (): void => undefined;

test('a plan is shrunk to what breaks the law, and to nothing less', async () => {
  const plan = planOf(3);
  const [op, fault] = [plan.clients[1]?.[2], plan.faults[2]];
  const run = worldOf(({ clients, faults }) => clients.flat().includes(op!) && faults.includes(fault!));
  const smallest = await shrink(await run(plan), { run, onSmaller, isOver: () => false });
  expect(smallest.clients.flat()).toEqual([op]);
  expect(smallest.faults).toEqual([fault]);
  expect(smallest).toMatchObject({ readers: [], nodes: 1, sessions: 1, preempts: [] });
});

test('only the choices that matter stay free', async () => {
  const plan = planOf(3);
  const isFree = ({ preempts }: Plan, pick: number): boolean =>
    preempts === 'all' || preempts.some(([from, to]) => pick >= from && pick < to);
  const run = worldOf((tried) => isFree(tried, 42));
  const { preempts } = await shrink(await run(plan), { run, onSmaller, isOver: () => false });
  expect(isFree({ ...plan, preempts }, 42)).toBe(true);
  expect(preempts === 'all' ? [] : preempts.flatMap(([from, to]) => to - from)).toEqual([expect.closeTo(6, -1)]);
});

test('the time that is given is the time that is taken', async () => {
  let runs = 0;
  const run = worldOf(() => (runs += 1) > 0);
  await shrink(await run(planOf(3)), { run, onSmaller, isOver: () => runs >= 10 });
  expect(runs).toBe(10);
});
