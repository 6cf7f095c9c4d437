/** A thread of `seeds.ts`: runs chunks of seeds and tells of each run. */
import { parentPort } from 'node:worker_threads';
import { planOf } from './plan.ts';
import { simulate } from './run.ts';
import type { Chunk, Told } from './seeds.ts';

// Refusals and cancellations are errors by the thousand, and nobody reads where they were made.
Error.stackTraceLimit = 0;

parentPort?.on('message', ({ from, runs, trace }: Chunk) => {
  void (async () => {
    for (let seed = from; seed < from + runs; seed += 1) {
      const outcome = await simulate(planOf(seed), { trace });
      const told: Told = { seed, steps: outcome.steps, violations: outcome.violations, trace: outcome.trace };
      // oxlint-disable-next-line unicorn/require-post-message-target-origin -- a thread is no window
      parentPort?.postMessage(told);
    }
  })();
});
