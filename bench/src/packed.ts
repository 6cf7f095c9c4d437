/**
 * Reading packed history in PostgreSQL in small steps, as who pages by a few records does: what a read and a record cost, against the
 * same stream before it was packed.
 */
import { openPostgresLog } from '@holdfast/log/postgres';
import type { Log } from '@holdfast/log';
import { startPostgres } from '@holdfast/testing/postgres';
import { percentile, rounded, type BenchOptions, type BenchResult, type BenchRow } from './bench.ts';

const RECORDS = 20_000;
const STREAM = 'session/packed';
const STEPS = [1, 10, 50, 1_000] as const;

const delta = (n: number): Uint8Array =>
  Buffer.from(
    JSON.stringify({
      type: 'text-delta',
      turnId: 't_0123456789abcdef',
      messageId: 'a_0123456789abcdef',
      text: `word ${(n * 2_654_435_761) % 4_294_967_296} and ${n} more of them`,
    }),
  );

/** Reads from the beginning on, in steps, for the time. */
async function page(log: Log, limit: number, seconds: number): Promise<Readonly<Record<string, number>>> {
  const until = performance.now() + seconds * 1_000;
  const readsMs: number[] = [];
  const used = process.cpuUsage();
  let records = 0;
  for (let after = 0; performance.now() < until;) {
    const before = performance.now();
    const read = await log.read(STREAM, { after, limit });
    readsMs.push(performance.now() - before);
    if (read.kind !== 'page') throw new Error(`A page was expected, not ${read.kind}.`);
    records += read.records.length;
    after = read.records.at(-1)?.seq ?? 0;
  }
  const { user, system } = process.cpuUsage(used);
  return {
    'read p50 ms': rounded(percentile(readsMs, 50)),
    'client µs/read': rounded((user + system) / readsMs.length, 1),
    'client µs/record': rounded((user + system) / records, 1),
  };
}

export async function run({ seconds }: BenchOptions): Promise<BenchResult> {
  const server = await startPostgres();
  try {
    const log = await openPostgresLog({ url: await server.createDatabase('packed'), node: 'bench' });
    await log.create(STREAM, { contentType: 'application/json' });
    for (let n = 0; n < RECORDS; n += 1_000)
      await log.append(STREAM, { records: Array.from({ length: 1_000 }, (_, index) => delta(n + index)) });
    const rows: BenchRow[] = [];
    for (const what of ['rows', 'pages']) {
      if (what === 'pages') await log.pack(STREAM, RECORDS);
      for (const limit of STEPS)
        rows.push({ case: `${what}, ${limit} a read`, figures: await page(log, limit, seconds / 2) });
    }
    await log.close();
    return { rows, goals: [] };
  } finally {
    await server.stop();
  }
}
