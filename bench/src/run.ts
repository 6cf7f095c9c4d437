/**
 * `npm run bench [-- NAME …] [--seconds N] [--strict]`: runs the named benchmarks (all of them without a name), one after the
 * other, prints a table for each, and one line of JSON last. With `--strict` a goal that is missed is a failure.
 */
import { parseArgs } from 'node:util';
import { isMet, type Bench, type BenchResult } from './bench.ts';

const BENCHES: Readonly<Record<string, () => Promise<{ readonly run: Bench }>>> = {
  client: () => import('./client.ts'),
  fanout: () => import('./fanout.ts'),
  idle: () => import('./idle.ts'),
  latency: () => import('./latency.ts'),
  log: () => import('./log.ts'),
  nodes: () => import('./nodes.ts'),
  packed: () => import('./packed.ts'),
  postgres: () => import('./postgres.ts'),
  sizing: () => import('./sizing.ts'),
  terminal: () => import('./terminal.ts'),
};

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    seconds: { type: 'string', default: '3' },
    strict: { type: 'boolean', default: false },
    help: { type: 'boolean', default: false },
  },
});

const seconds = Number(values.seconds);
const unknown = positionals.filter((name) => !Object.hasOwn(BENCHES, name));
if (values.help || unknown.length > 0 || !(seconds > 0)) {
  if (unknown.length > 0) console.error(`There is no benchmark ${unknown.join(', ')}.`);
  console.error(`npm run bench -- [${Object.keys(BENCHES).join('|')}] [--seconds N] [--strict]`);
  process.exit(values.help ? 0 : 2);
}

const results: Record<string, BenchResult> = {};
for (const name of positionals.length > 0 ? positionals : Object.keys(BENCHES)) {
  console.log(`\n${name}`);
  const module = await BENCHES[name]?.();
  if (module === undefined) continue;
  const result = await module.run({ seconds });
  results[name] = result;
  print(result);
}
const missed = Object.values(results).flatMap((result) => result.goals.filter((goal) => !isMet(goal)));
console.log(JSON.stringify({ benches: results, missed: missed.map((goal) => goal.what) }));
process.exit(values.strict && missed.length > 0 ? 1 : 0);

function print({ rows, goals }: BenchResult): void {
  console.table(Object.fromEntries(rows.map((row) => [row.case, row.figures])));
  for (const goal of goals) {
    const bound = goal.atMost === undefined ? `≥ ${goal.atLeast}` : `≤ ${goal.atMost}`;
    console.log(`${isMet(goal) ? 'met   ' : 'missed'} ${goal.what}: ${goal.got} (${bound})`);
  }
}
