/**
 * `npm run sim -- --runs N [--seed S] [--seconds N]`: runs the simulation, a seed a run. A violation prints its seed and what was
 * violated; the first one is made as small as can be, and told step by step. One line of JSON last; the exit code is 0 where nothing
 * was violated.
 */
import { parseArgs } from 'node:util';
import { simulate } from '../sim/run.ts';
import { shrinkSeed } from '../sim/shrink-thread.ts';
import { storyOf } from '../sim/story.ts';
import { simulateSeeds } from '../sim/seeds.ts';

const { values } = parseArgs({
  options: {
    runs: { type: 'string', default: '100' },
    seed: { type: 'string', default: '1' },
    seconds: { type: 'string' },
    threads: { type: 'string' },
    first: { type: 'boolean', default: false },
    shrink: { type: 'string', default: '20' },
    trace: { type: 'boolean', default: false },
    help: { type: 'boolean', default: false },
  },
});

const runsMax = Number(values.runs);
const seed = Number(values.seed);
const seconds = Number(values.seconds ?? Number.POSITIVE_INFINITY);
const shrinkSeconds = Number(values.shrink);
const threads = values.threads === undefined ? undefined : Number(values.threads);
if (
  values.help ||
  !(runsMax > 0) ||
  !Number.isInteger(seed) ||
  !(seconds > 0) ||
  !(threads === undefined || threads > 0)
) {
  console.error(
    'npm run sim -- --runs N [--seed S] [--seconds N] [--threads N] [--first] [--shrink SECONDS] [--trace]',
  );
  console.error('  --first   stop at the first violation');
  console.error('  --shrink  how long to look for a smaller run of the first violation (default 20; 0: not at all)');
  console.error('  --trace   print the last steps of every violated run as it is');
  process.exit(values.help ? 0 : 2);
}

const startedAt = performance.now();
const { runs, steps, violated } = await simulateSeeds({
  seed,
  runsMax,
  seconds,
  threads,
  isFirstEnough: values.first,
  trace: values.trace,
  onViolation: ({ seed: run, violations, trace }) => {
    for (const { law, detail, step } of violations.slice(0, 3))
      console.error(`seed ${run}, step ${step}: ${law}: ${detail}`);
    if (values.trace) console.error(trace.slice(-200).join('\n'));
    console.error(`replay: npm run sim -- --runs 1 --seed ${run}`);
  },
  onProgress: (done) => process.stderr.write(`\r${done} of ${runsMax}`),
});
const stepsPerSecond = Math.round((steps / (performance.now() - startedAt)) * 1_000);
const [smallest] = violated.toSorted((a, b) => a.steps - b.steps).filter((run) => run.steps > 0);
if (smallest !== undefined && shrinkSeconds > 0) {
  const plan = await shrinkSeed(smallest.seed, shrinkSeconds);
  console.error(`\nseed ${smallest.seed}, made smaller:\n${storyOf(plan, await simulate(plan, { trace: true }))}`);
}
const laws = [...new Set(violated.flatMap(({ violations }) => violations.map(({ law }) => law)))];
const seeds = violated.map((run) => run.seed);
console.log(
  JSON.stringify({ runs, steps, stepsPerSecond, violations: seeds.length, laws, seeds: seeds.slice(0, 20), seed }),
);
process.exitCode = violated.length === 0 ? 0 : 1;
