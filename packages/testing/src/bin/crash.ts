/**
 * `npm run crash -- --kills N [--seed S] [--store sqlite|postgres]`: N failures of real processes under load, and what was lost,
 * doubled, reordered, stuck or wrong. One line of JSON last; the exit code is 0 where it is nothing.
 *
 * On SQLite one gateway is killed, or loses its power. On PostgreSQL there are three behind a balancer, and of the N some are
 * pauses beyond the lease, kills of the database, and failovers to a synchronous standby (`storm.ts`).
 */
import { parseArgs } from 'node:util';
import type { Judgement } from '../crash/judge.ts';
import { crashRun } from '../crash/run.ts';
import { storm } from '../crash/storm.ts';

const { values } = parseArgs({
  options: {
    kills: { type: 'string', default: '20' },
    seed: { type: 'string' },
    store: { type: 'string', default: 'sqlite' },
    power: { type: 'boolean', default: false },
    'no-sync': { type: 'boolean', default: false },
    pauses: { type: 'string' },
    failovers: { type: 'string' },
    'clock-steps': { type: 'string' },
    'database-kills': { type: 'string' },
    help: { type: 'boolean', default: false },
  },
});

const kills = Number(values.kills);
const seed = Number(values.seed ?? Date.now() % 1_000_000);
/** Of all that fails; what is left over are kills of gateways. */
const pauses = Number(values.pauses ?? Math.floor(kills / 4));
const failovers = Number(values.failovers ?? Math.floor(kills / 20));
const databaseKills = Number(values['database-kills'] ?? Math.floor(kills / 20));
const clockSteps = Number(values['clock-steps'] ?? Math.floor(kills / 20));
const gatewayKills = kills - pauses - failovers - databaseKills - clockSteps;
const isMany = values.store === 'postgres';

if (
  values.help ||
  !(kills > 0) ||
  !Number.isInteger(seed) ||
  !['sqlite', 'postgres'].includes(values.store) ||
  (isMany ? values.power || !(Math.min(pauses, failovers, databaseKills, clockSteps, gatewayKills) >= 0) : false)
) {
  console.error('npm run crash -- --kills N [--seed S] [--store sqlite|postgres] [--power] [--no-sync]');
  console.error(
    '  --power             cut the power instead (sqlite): what was not synced may be gone; needs a C compiler',
  );
  console.error('  --no-sync           with --power: as if the store never synced; this must fail');
  console.error(
    '  --pauses N          of the kills (postgres): a node stops for longer than its lease; default a quarter',
  );
  console.error('  --failovers N       of the kills: the database fails over to its standby; default a twentieth');
  console.error('  --clock-steps N     of the kills: the wall clock of a node steps by an hour; default a twentieth');
  console.error('  --database-kills N  of the kills: the database is killed and comes back; default a twentieth');
  process.exit(values.help ? 0 : 2);
}

console.error(`seed ${seed}`);
const note = (text: string): void => void process.stderr.write(`\r\u001B[K${text}`);
const result: Judgement = isMany
  ? await storm({
      kills: gatewayKills,
      pauses,
      clockSteps,
      failovers,
      databaseKills,
      seed,
      onEvent: (event, n) => note(`${n} of ${kills}: ${event}`),
    })
  : await crashRun({
      kills,
      seed,
      mode: values.power ? 'power' : 'kill',
      noSync: values['no-sync'],
      onRound: (round) => note(`${round} of ${kills}`),
    });
process.stderr.write('\n');

/** Findings are lists, figures are not. */
const findings = Object.entries(result).flatMap(([what, list]) => (Array.isArray(list) ? [{ what, list }] : []));
for (const { what, list } of findings) for (const line of list.slice(0, 5)) console.error(`${what}: ${line}`);
const isBad = findings.some(({ list }) => list.length > 0);
const again = [...process.argv.slice(2), ...(values.seed === undefined ? ['--seed', seed] : [])];
if (isBad) console.error(`replay: npm run crash -- ${again.join(' ')}`);
const counts = Object.fromEntries(findings.map(({ what, list }) => [what, list.length]));
console.log(JSON.stringify({ store: values.store, ...result, ...counts }));
process.exitCode = isBad ? 1 : 0;
