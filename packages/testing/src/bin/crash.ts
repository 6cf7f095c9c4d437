/**
 * `npm run crash -- --kills N [--seed S] [--store sqlite|postgres] [--power] [--no-sync]`: kills a real gateway N times under load and
 * says what was lost, doubled, reordered, stuck or wrong. One line of JSON last; the exit code is 0 where it is nothing.
 */
import { parseArgs } from 'node:util';
import { crashRun } from '../crash/run.ts';
import { startPostgres } from '../postgres.ts';

const { values } = parseArgs({
  options: {
    kills: { type: 'string', default: '20' },
    seed: { type: 'string' },
    store: { type: 'string', default: 'sqlite' },
    power: { type: 'boolean', default: false },
    'no-sync': { type: 'boolean', default: false },
    help: { type: 'boolean', default: false },
  },
});

const kills = Number(values.kills);
const seed = Number(values.seed ?? Date.now() % 1_000_000);
if (
  values.help ||
  !(kills > 0) ||
  !['sqlite', 'postgres'].includes(values.store) ||
  (values.power && values.store === 'postgres')
) {
  console.error('npm run crash -- --kills N [--seed S] [--store sqlite|postgres] [--power] [--no-sync]');
  console.error('  --power    cut the power instead (sqlite): what was not synced may be gone; needs a C compiler');
  console.error('  --no-sync  with --power: as if the store never synced; this must fail');
  process.exit(values.help ? 0 : 2);
}

const server = values.store === 'postgres' ? await startPostgres() : undefined;
const storeUrl = await server?.createDatabase('crash');
try {
  const result = await crashRun({
    kills,
    seed,
    mode: values.power ? 'power' : 'kill',
    noSync: values['no-sync'],
    ...(storeUrl === undefined ? {} : { storeUrl }),
    onRound: (round) => process.stderr.write(`\r${round} of ${kills}`),
  });
  process.stderr.write('\n');
  const { lost, doubled, reordered, stuck, wrong, ...figures } = result;
  const faults = { lost, doubled, reordered, stuck, wrong };
  for (const [what, list] of Object.entries(faults))
    for (const line of list.slice(0, 5)) console.error(`${what}: ${line}`);
  const counts = Object.fromEntries(Object.entries(faults).map(([what, list]) => [what, list.length]));
  const bad = Object.values(counts).some((count) => count > 0);
  if (bad)
    console.error(
      `replay: npm run crash -- --kills ${kills} --seed ${seed}${values.power ? ' --power' : ''}${values.store === 'postgres' ? ' --store postgres' : ''}`,
    );
  console.log(JSON.stringify({ store: values.store, ...figures, ...counts }));
  process.exitCode = bad ? 1 : 0;
} finally {
  await server?.stop();
}
