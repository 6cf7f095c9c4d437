import { Client } from 'pg';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { startPostgres, type PostgresServer } from '@holdfast/testing/postgres';
import type { Append, Log } from '../src/port.ts';
import { openPostgresLog } from '../src/postgres.ts';

const say = (text: string): Append => ({ records: [new TextEncoder().encode(text)] });
const CONTENT = { contentType: 'application/json' };

let server: PostgresServer;
let url: string;
let log: Log;

beforeAll(async () => {
  server = await startPostgres();
  url = await server.createDatabase('writers');
  log = await openPostgresLog({ url, node: 'a' });
});

afterAll(async () => {
  await log.close();
  await server.stop();
});

async function streams(name: string, count: number): Promise<readonly string[]> {
  const names = Array.from({ length: count }, (_, n) => `${name}/${n}`);
  await Promise.all(names.map((stream) => log.create(stream, CONTENT)));
  return names;
}

async function said(stream: string): Promise<readonly string[]> {
  const page = await log.read(stream, { after: 0 });
  if (page.kind !== 'page') throw new Error(`It was answered ${page.kind}.`);
  return page.records.map(({ bytes }) => new TextDecoder().decode(bytes));
}

/** The stream's row is in another node's transaction. */
async function locked(stream: string): Promise<AsyncDisposable & { release(): Promise<unknown> }> {
  const other = new Client(url);
  await other.connect();
  await other.query('BEGIN');
  await other.query('SELECT 1 FROM streams WHERE name = $1 FOR NO KEY UPDATE', [stream]);
  return { release: () => other.query('COMMIT'), [Symbol.asyncDispose]: () => other.end() };
}

test('L5: what one caller appends to a stream without waiting stays in its order, whichever connections take it', async () => {
  const names = await streams('order', 40);
  const asked = Array.from({ length: 2_000 }, (_, n) => n);
  const verdicts = await Promise.all(
    asked.map(async (n) => {
      // Many ticks, so that there are many transactions.
      for (let tick = 0; tick < n / 20; tick += 1) await Promise.resolve();
      return log.append(names[n % names.length] as string, say(`${n}`));
    }),
  );
  expect(new Set(verdicts.map(({ kind }) => kind))).toEqual(new Set(['appended']));
  for (const [index, stream] of names.entries())
    expect(await said(stream)).toEqual(asked.filter((n) => n % names.length === index).map(String));
});

test('an append that the server refuses fails alone and leaves nothing; its neighbours in the batch do not notice', async () => {
  const [before, culprit, after] = (await streams('refused', 3)) as [string, string, string];
  // PostgreSQL takes no zero byte in text: refused after the batch's records were written.
  const poison = { table: 't', key: 'k', order: 1, group: '\0', value: new Uint8Array() };
  const verdicts = await Promise.all([
    log.append(before, say('1')),
    log.append(culprit, { ...say('2'), rows: [poison] }),
    log.append(after, say('3')),
  ]);
  expect(verdicts.map(({ kind }) => kind)).toEqual(['appended', 'unavailable', 'appended']);
  expect([await said(before), await said(culprit), await said(after)]).toEqual([['1'], [], ['3']]);
  // The same while it is being looked for, before anything was written.
  const key = { id: '\0', hash: 'h' };
  const again = await Promise.all([log.append(before, say('4')), log.append(culprit, { ...say('5'), key })]);
  expect(again.map(({ kind }) => kind)).toEqual(['appended', 'unavailable']);
  expect(await log.append(culprit, say('6'))).toMatchObject({ kind: 'appended', first: 1 });
});

test('a stream whose row another node keeps locked holds up its own batch and nothing that comes after', async () => {
  const names = await streams('locked', 40);
  const others = await streams('free', 3);
  await using lock = await locked(names[0] as string);
  const held = Promise.all(names.map((stream) => log.append(stream, say('1'))));
  for (const stream of others) expect(await log.append(stream, say('1'))).toMatchObject({ kind: 'appended' });
  await lock.release();
  expect(new Set((await held).map(({ kind }) => kind))).toEqual(new Set(['appended']));
});

test('whoever asks for what another node holds is told so without waiting for its appends', async () => {
  const [stream] = (await streams('held', 1)) as [string];
  await log.holders.renew('mine', 60_000);
  await log.holders.renew('theirs', 60_000);
  expect(await log.consumers.acquire(stream, 'run', 'theirs')).toMatchObject({ kind: 'acquired', epoch: 1 });
  await using lock = await locked(stream);
  expect(await log.consumers.acquire(stream, 'run', 'mine')).toMatchObject({ kind: 'held', holder: 'theirs' });
  // A lease that has ended is looked at under the lock.
  await log.holders.leave('theirs');
  const acquired = log.consumers.acquire(stream, 'run', 'mine');
  await lock.release();
  expect(await acquired).toMatchObject({ kind: 'acquired', epoch: 2 });
});
