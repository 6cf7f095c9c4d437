/**
 * What things take: disk per entry in each store, as rows and packed; write-ahead log per entry; memory per reader. No goal and no peer:
 * the figures are for planning (docs/sizing.md).
 */
import { fork, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Client } from 'pg';
import type { Log } from '@holdfast/log';
import { openPostgresLog } from '@holdfast/log/postgres';
import { openSqliteLog } from '@holdfast/log/sqlite';
import { startPostgres } from '@holdfast/testing/postgres';
import { rounded, type BenchResult, type BenchRow } from './bench.ts';

const SESSIONS = 64;
const ENTRIES = 100_000;
/** As an owner writes them at 50 deltas a second: one an append, many sessions in one batch. */
const ROUNDS = Math.floor(ENTRIES / SESSIONS);
const READERS = [100, 4_000] as const;

const SERVER = fileURLToPath(new URL('fanout/server.ts', import.meta.url));
const READER_PROCESS = fileURLToPath(new URL('fanout/readers.ts', import.meta.url));

const SYLLABLES = 'an be cor du el fa ga hi in jo ka lu mo ne or pa qui ro si ta un ve wy zo'.split(' ');

/** Numbers without a pattern, the same ones each time. */
let state = 1;
const draw = (below: number): number => {
  state = (state * 48_271) % 2_147_483_647;
  return state % below;
};
/** Words of a vocabulary of some ten thousand: what a model writes packs no better. */
const word = (): string => Array.from({ length: 1 + draw(3) }, () => SYLLABLES[draw(SYLLABLES.length)]).join('');

/** About 120 bytes: a delta of six words. */
const entryOf = (session: number): Uint8Array =>
  Buffer.from(
    JSON.stringify({
      type: 'text-delta',
      turnId: `t_${session.toString(16).padStart(16, '0')}`,
      messageId: `a_${session.toString(16).padStart(16, '0')}`,
      text: Array.from({ length: 6 }, word).join(' '),
    }),
  );

const streamOf = (session: number): string => `session/s_${session}`;

async function fill(log: Log): Promise<number> {
  let bytes = 0;
  for (let session = 0; session < SESSIONS; session += 1)
    await log.create(streamOf(session), { contentType: 'application/json', consumers: ['run'] });
  for (let round = 0; round < ROUNDS; round += 1)
    await Promise.all(
      Array.from({ length: SESSIONS }, (_, session) => {
        const entry = entryOf(session);
        bytes += entry.byteLength;
        return log.append(streamOf(session), { records: [entry] });
      }),
    );
  return bytes;
}

async function pack(log: Log): Promise<void> {
  for (let session = 0; session < SESSIONS; session += 1) await log.pack(streamOf(session), ROUNDS);
}

const entries = SESSIONS * ROUNDS;
const perEntry = (bytes: number): number => rounded(bytes / entries, 1);

async function measureSqlite(): Promise<readonly BenchRow[]> {
  const dir = mkdtempSync(join(tmpdir(), 'holdfast-sizing-'));
  const log = await openSqliteLog({ dir });
  try {
    const used = async (): Promise<number> => {
      const { databaseBytes, freeBytes } = await log.usage();
      return databaseBytes - freeBytes;
    };
    const body = await fill(log);
    const asRows = await used();
    await pack(log);
    return [
      { case: 'SQLite, as written', figures: { 'entry B': perEntry(body), 'disk B/entry': perEntry(asRows) } },
      { case: 'SQLite, packed', figures: { 'entry B': perEntry(body), 'disk B/entry': perEntry(await used()) } },
    ];
  } finally {
    await log.close();
    rmSync(dir, { recursive: true, force: true });
  }
}

async function measurePostgres(): Promise<readonly BenchRow[]> {
  const server = await startPostgres({ settings: { max_wal_size: '4GB' } });
  try {
    const url = await server.createDatabase('sizing');
    const log = await openPostgresLog({ url, node: 'sizing' });
    const client = new Client(url);
    await client.connect();
    const one = async (text: string): Promise<number> =>
      Number((await client.query<{ n: string }>(`SELECT ${text} AS n`)).rows[0]?.n);
    const wal = (): Promise<number> => one(`pg_wal_lsn_diff(pg_current_wal_lsn(), '0/0')`);
    const disk = async (): Promise<number> => {
      await client.query('VACUUM FULL records, pages, streams, consumers');
      return one(
        `(SELECT sum(pg_total_relation_size(c)) FROM unnest('{records,pages,streams,consumers}'::regclass[]) c)`,
      );
    };
    const before = await wal();
    const body = await fill(log);
    const written = (await wal()) - before;
    const asRows = await disk();
    await pack(log);
    const packed = await disk();
    await client.end();
    await log.close();
    const base = { 'entry B': perEntry(body), 'WAL B/entry': perEntry(written) };
    return [
      { case: 'PostgreSQL, as written', figures: { ...base, 'disk B/entry': perEntry(asRows) } },
      ...(packed < asRows
        ? [{ case: 'PostgreSQL, packed', figures: { ...base, 'disk B/entry': perEntry(packed) } }]
        : []),
    ];
  } finally {
    await server.stop();
  }
}

async function told<T>(child: ChildProcess): Promise<T> {
  const [message] = (await once(child, 'message')) as [T];
  return message;
}

async function residentMib(readers: number): Promise<number> {
  const server = fork(SERVER, ['holdfast', String(readers), '0']);
  const { port } = await told<{ port: number }>(server);
  const reading = fork(READER_PROCESS, [String(port), String(readers)]);
  try {
    await told(reading);
    server.send('stop');
    return (await told<{ rssMib: number }>(server)).rssMib;
  } finally {
    server.disconnect();
    reading.disconnect();
  }
}

async function measureReaders(): Promise<readonly BenchRow[]> {
  const [few, many] = [await residentMib(READERS[0]), await residentMib(READERS[1])];
  const each = ((many - few) * 1_024) / (READERS[1] - READERS[0]);
  return [
    { case: `${READERS[0]} readers`, figures: { 'memory MiB': few } },
    {
      case: `${READERS[1]} readers, a session each`,
      figures: { 'memory MiB': many, 'memory KiB/reader': rounded(each, 1) },
    },
  ];
}

export async function run(): Promise<BenchResult> {
  return {
    rows: [...(await measureSqlite()), ...(await measurePostgres()), ...(await measureReaders())],
    goals: [],
  };
}
