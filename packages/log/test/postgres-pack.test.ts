/** What packing does inside PostgreSQL: what is in the tables, who waits for whom, and who may. */
import { Client } from 'pg';
import { afterAll, expect, test } from 'vitest';
import { startPostgres } from '@holdfast/testing/postgres';
import type { Log, LogRecord } from '../src/port.ts';
import { openPostgresLog } from '../src/postgres.ts';

const server = await startPostgres();
const url = await server.createDatabase('packing');
const log = await openPostgresLog({ url, node: 'a' });
const other = await openPostgresLog({ url, node: 'b' });
const sql = new Client({ connectionString: url });
await sql.connect();
afterAll(async () => {
  await sql.end();
  await log.close();
  await other.close();
  await server.stop();
});

const RECORDS = 5_000;

test('L1: a long stream is pages, and a read of any part of it is what it was', async () => {
  await fill('long');
  const before = await everything(log, 'long');
  expect(await log.pack('long', RECORDS)).toBeGreaterThan(0);
  expect(await countOf('pages', 'long')).toBeGreaterThan(2);
  expect(await countOf('records', 'long')).toBe(0);
  expect(await everything(other, 'long')).toEqual(before);
  for (const after of [0, 1, 2_047, 2_048, 2_049, RECORDS - 1])
    expect(await log.read('long', { after, limit: 3, upTo: after + 2 })).toMatchObject({
      records: before.slice(after, after + 2),
    });
});

test('L5: packing does not wait for whoever holds the stream’s row', async () => {
  await fill('busy');
  await sql.query(`BEGIN; SELECT 1 FROM streams WHERE name = 'busy' FOR NO KEY UPDATE`);
  try {
    expect(await log.pack('busy', RECORDS)).toBeGreaterThan(0);
  } finally {
    await sql.query('ROLLBACK');
  }
});

test('L1: two nodes that pack one stream at once make one set of pages', async () => {
  await fill('both');
  const before = await everything(log, 'both');
  await Promise.all([log.pack('both', RECORDS), other.pack('both', RECORDS), log.pack('both', RECORDS)]);
  await log.pack('both', RECORDS);
  const { rows } = await sql.query<{ sum: number }>(
    `SELECT sum(last - first + 1)::int AS sum FROM pages JOIN streams s ON s.id = stream_id WHERE s.name = 'both'`,
  );
  expect(rows[0]?.sum).toBe(RECORDS);
  expect(await everything(other, 'both')).toEqual(before);
});

test('L6, L13: retention drops whole pages; a fork in the midst of a page has its part', async () => {
  await fill('kept');
  const before = await everything(log, 'kept');
  await log.pack('kept', RECORDS);
  const pages = await countOf('pages', 'kept');
  await log.create('fork', { contentType: 'x', fork: { from: 'kept', upTo: 3_000 } });
  await log.truncate('kept', 3_000);
  expect(await countOf('pages', 'kept')).toBeLessThan(pages);
  expect(await log.read('kept', { after: 2_999 })).toMatchObject({ kind: 'truncated', floor: 3_000 });
  expect(await everything(log, 'kept', 3_000)).toEqual(before.slice(3_000));
  expect(await everything(log, 'fork')).toEqual(before.slice(0, 3_000));
});

test('a database that older nodes have used is packed only once somebody says that they are gone', async () => {
  await fill('old');
  await sql.query('DELETE FROM features');
  expect(await log.pack('old', RECORDS)).toBe(0);
  await sql.query(`INSERT INTO features VALUES ('pages')`);
  expect(await log.pack('old', RECORDS)).toBeGreaterThan(0);
});

test('L1: steps of any size give the same over pages and the records after them, whatever was read lately', async () => {
  await fill('steps');
  const before = await everything(log, 'steps');
  await log.pack('steps', RECORDS - 100);
  for (const limit of [7, 50, 1_000]) {
    const records: LogRecord[] = [];
    while (records.length < RECORDS) {
      const page = await log.read('steps', { after: records.length, limit });
      if (page.kind !== 'page') throw new Error(`a page was expected, not ${page.kind}`);
      expect(page.records.length).toBeGreaterThan(0);
      expect(page.records.length).toBeLessThanOrEqual(limit);
      records.push(...page.records);
    }
    expect(records).toEqual(before);
  }
});

test('a page that has become another one, as after a failover, is not served as it was', async () => {
  await fill('before');
  await fill('after', 'other');
  for (const stream of ['before', 'after']) await log.pack(stream, RECORDS);
  await log.read('before', { after: 0, limit: 5 });
  await sql.query(
    `UPDATE pages SET body = other.body FROM pages other
     WHERE pages.first = 1 AND pages.stream_id = (SELECT id FROM streams WHERE name = 'before')
       AND other.first = 1 AND other.stream_id = (SELECT id FROM streams WHERE name = 'after')`,
  );
  const [page, other] = [
    await log.read('before', { after: 0, limit: 5 }),
    await log.read('after', { after: 0, limit: 5 }),
  ];
  const texts = (read: typeof page): readonly string[] =>
    read.kind === 'page' ? read.records.map(({ bytes }) => Buffer.from(bytes).toString()) : [];
  expect(texts(page)).toEqual(texts(other));
});

async function fill(stream: string, word = 'word'): Promise<void> {
  await log.create(stream, { contentType: 'x' });
  const records = Array.from({ length: RECORDS }, (_, index) =>
    new TextEncoder().encode(`{"delta":"${word} ${index}"}`),
  );
  await log.append(stream, { records });
}

async function everything(from: Log, stream: string, after = 0): Promise<readonly LogRecord[]> {
  const records: LogRecord[] = [];
  for (;;) {
    const page = await from.read(stream, { after: records.at(-1)?.seq ?? after });
    if (page.kind !== 'page') throw new Error(`a page was expected, not ${page.kind}`);
    if (page.records.length === 0) return records;
    records.push(...page.records);
  }
}

async function countOf(table: 'pages' | 'records', stream: string): Promise<number> {
  const { rows } = await sql.query<{ n: number }>(
    `SELECT count(*)::int AS n FROM ${table} JOIN streams s ON s.id = stream_id WHERE s.name = $1`,
    [stream],
  );
  return rows[0]?.n ?? 0;
}
