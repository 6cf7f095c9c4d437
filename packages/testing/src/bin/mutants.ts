/**
 * `npm run mutants [-- --only NAME] [--runs N] [--write]`: puts known faults back, one at a time, into a copy of the code, and runs
 * the simulation there until it finds them. One line of JSON last; the exit code is 0 where each one is found.
 */
import { writeFile } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { parseArgs } from 'node:util';
import { hunt, loadMutants, type Hunt, type Mutant } from '../mutants/mutant.ts';
import { documentOf } from '../mutants/document.ts';

const { values } = parseArgs({
  options: {
    only: { type: 'string' },
    runs: { type: 'string', default: '20000' },
    seed: { type: 'string', default: '1' },
    write: { type: 'boolean', default: false },
    help: { type: 'boolean', default: false },
  },
});
const [runs, seed] = [Number(values.runs), Number(values.seed)];
const all = await loadMutants();
const wanted = all.filter(({ name }) => values.only === undefined || name.includes(values.only));
if (values.help || !(runs > 0) || !Number.isInteger(seed) || wanted.length === 0) {
  console.error('npm run mutants -- [--only NAME] [--runs N] [--seed S] [--write]');
  console.error(`  NAME is a part of one of: ${all.map(({ name }) => name).join(', ')}`);
  process.exit(values.help ? 0 : 2);
}

const widest = Math.max(...wanted.map(({ name }) => name.length));
const hunts = new Map<Mutant, Hunt>();
const left = [...wanted];
const lane = async (): Promise<void> => {
  for (let mutant = left.shift(); mutant !== undefined; mutant = left.shift()) {
    const found = await hunt(mutant, { runs, seed });
    hunts.set(mutant, found);
    console.log(`${mutant.name.padEnd(widest)}  ${mutant.breaks.padEnd(10)}  ${told(found)}`);
  }
};
await Promise.all(Array.from({ length: os.availableParallelism() }, lane));

const count = (kind: Hunt['kind']): number => [...hunts.values()].filter((found) => found.kind === kind).length;
if (values.write && values.only === undefined) {
  const file = path.resolve(import.meta.dirname, '../../../../docs/mutants.md');
  await writeFile(file, documentOf(wanted.map((mutant) => [mutant, hunts.get(mutant)])));
}
const [found, survived, stale] = [count('found'), count('survived'), count('does-not-apply')];
console.log(JSON.stringify({ mutants: wanted.length, found, survived, stale, runsMax: runs, seed }));
process.exitCode = found === wanted.length ? 0 : 1;

function told(outcome: Hunt): string {
  switch (outcome.kind) {
    case 'found':
      return `${outcome.laws.join(', ').padEnd(10)} in ${String(outcome.runs).padStart(4)} runs: ${outcome.detail.slice(0, 100)}`;
    case 'survived':
      return `SURVIVED ${outcome.runs} runs`;
    case 'does-not-apply':
      return `DOES NOT APPLY: ${outcome.detail.split('\n')[0] ?? ''}`;
  }
}
