/**
 * `npm run sim -- --runs N [--seed S] [--seconds N]`: runs the simulation, a seed a run. A violation prints its seed and what was
 * violated. One line of JSON last; the exit code is 0 where nothing was violated.
 */
import { parseArgs } from 'node:util';
import { planOf } from '../sim/plan.ts';
import { simulate } from '../sim/run.ts';

const { values } = parseArgs({
  options: {
    runs: { type: 'string', default: '100' },
    seed: { type: 'string', default: '1' },
    seconds: { type: 'string' },
    trace: { type: 'boolean', default: false },
    help: { type: 'boolean', default: false },
  },
});

const runsMax = Number(values.runs);
const seed = Number(values.seed);
const seconds = values.seconds === undefined ? Number.POSITIVE_INFINITY : Number(values.seconds);
if (values.help || !(runsMax > 0) || !Number.isInteger(seed) || !(seconds > 0)) {
  console.error('npm run sim -- --runs N [--seed S] [--seconds N] [--trace]');
  process.exit(values.help ? 0 : 2);
}

const startedAt = performance.now();
const elapsedS = (): number => (performance.now() - startedAt) / 1_000;
let steps = 0;
let runs = 0;
const violated: number[] = [];
while (runs < runsMax && elapsedS() < seconds) {
  const run = seed + runs;
  const outcome = await simulate(planOf(run), { trace: values.trace });
  runs += 1;
  steps += outcome.steps;
  if (outcome.violations.length > 0) {
    violated.push(run);
    for (const { law, detail, step } of outcome.violations.slice(0, 3))
      console.error(`seed ${run}, step ${step}: ${law}: ${detail}`);
    console.error(`replay: npm run sim -- --runs 1 --seed ${run} --trace`);
    if (values.trace) console.error(outcome.trace.slice(-200).join('\n'));
  }
  if (runs % 100 === 0) process.stderr.write(`\r${runs} of ${runsMax}`);
}
const stepsPerSecond = Math.round(steps / elapsedS());
console.log(
  JSON.stringify({ runs, steps, stepsPerSecond, violations: violated.length, seeds: violated.slice(0, 20), seed }),
);
process.exitCode = violated.length === 0 ? 0 : 1;
