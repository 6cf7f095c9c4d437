/**
 * A thread that shrinks the plan of a seed (`shrink.ts`) and tells each smaller one; and the one who starts it and ends it when
 * the time is over, whatever it does: a smaller plan may be one that never ends.
 */
import { isMainThread, parentPort, Worker, workerData } from 'node:worker_threads';
import { planOf, type Plan } from './plan.ts';
import { simulate } from './run.ts';
import { shrink } from './shrink.ts';

/** @returns the smallest plan found in that time; the seed's own where nothing smaller was. */
export function shrinkSeed(seed: number, seconds: number): Promise<Plan> {
  return new Promise((resolve) => {
    let best = planOf(seed);
    const worker = new Worker(new URL(import.meta.url), { workerData: { seed, seconds } });
    const end = (): void => {
      clearTimeout(timer);
      void worker.terminate().then(() => resolve(best));
    };
    const timer = setTimeout(end, seconds * 1_000 + 500);
    worker.on('message', (plan: Plan) => (best = plan));
    worker.on('error', end);
    worker.on('exit', end);
  });
}

async function shrinkHere({ seed, seconds }: { readonly seed: number; readonly seconds: number }): Promise<void> {
  const until = performance.now() + seconds * 1_000;
  await shrink(await simulate(planOf(seed)), {
    run: (plan) => simulate(plan),
    isOver: () => performance.now() >= until,
    // oxlint-disable-next-line unicorn/require-post-message-target-origin -- a thread is no window
    onSmaller: (plan) => parentPort?.postMessage(plan),
  });
}

if (!isMainThread && parentPort !== null && typeof (workerData as { seed?: unknown } | null)?.seed === 'number')
  await shrinkHere(workerData as { readonly seed: number; readonly seconds: number });
