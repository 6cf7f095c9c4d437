import { FaultError } from '@holdfast/protocol';
import { expect, test } from 'vitest';
import { startPostgres } from '@holdfast/testing/postgres';
import { openPostgresLog, probePostgres } from '../src/postgres.ts';

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);

const LISTENERS = `SELECT pid FROM pg_stat_activity WHERE datname = 'listening' AND query ILIKE 'LISTEN%'`;

test('a connection that listened and died is replaced, and its reader misses nothing', async () => {
  await using server = await startPostgres();
  const url = await server.createDatabase('listening');
  const [a, b] = [await openPostgresLog({ url, node: 'a' }), await openPostgresLog({ url, node: 'b' })];
  await a.create('s/1', { contentType: 'application/json' });
  const reader = b.subscribe('s/1', 0);
  const seen: number[] = [];
  const reading = (async () => {
    while (seen.length < 20) {
      const next = await reader.next();
      if (next.kind !== 'records') throw new Error(`It ended: ${next.kind}.`);
      seen.push(...next.records.map(({ seq }) => seq));
    }
  })();
  const pids = async (): Promise<readonly number[]> =>
    (await server.query<{ pid: number }>(LISTENERS)).map(({ pid }) => pid);
  const before = await pids();
  expect(before).toHaveLength(2);
  for (let n = 0; n < 10; n += 1) await a.append('s/1', { records: [bytes(`${n}`)] });
  for (const pid of before) await server.query(`SELECT pg_terminate_backend(${pid})`);
  for (let n = 0; n < 10; n += 1) await a.append('s/1', { records: [bytes(`${n}`)] });
  await reading;
  expect(seen).toEqual(Array.from({ length: 20 }, (_, index) => index + 1));
  await expect.poll(async () => (await pids()).filter((pid) => !before.includes(pid)).length).toBe(2);
  await Promise.all([a.close(), b.close()]);
});

test('where no connection is to be had, what comes is refused, to be sent again; afterwards everything goes on', async () => {
  await using server = await startPostgres();
  const url = await server.createDatabase('exhausted');
  const log = await openPostgresLog({ url, node: 'a' });
  await log.create('s/1', { contentType: 'application/json' });
  expect(await log.append('s/1', { records: [bytes('1')] })).toMatchObject({ kind: 'appended', first: 1 });
  await server.query('ALTER DATABASE exhausted ALLOW_CONNECTIONS false');
  await server.query(`SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = 'exhausted'`);
  const key = { id: 'k', hash: 'h' };
  const refused = await log.append('s/1', { records: [bytes('2')], key });
  expect(refused).toMatchObject({ kind: 'unavailable', fault: { kind: 'storage-unavailable' } });
  await server.query('ALTER DATABASE exhausted ALLOW_CONNECTIONS true');
  await expect
    .poll(async () => (await log.append('s/1', { records: [bytes('2')], key })).kind)
    .toMatch(/appended|duplicate/);
  const page = await log.read('s/1', { after: 0 });
  expect(page.kind === 'page' && page.records.map(({ bytes: body }) => new TextDecoder().decode(body))).toEqual([
    '1',
    '2',
  ]);
  await log.close();
});

test('who cannot open a log there is told why and what helps, and nobody where it is', async () => {
  await using server = await startPostgres();
  const url = await server.createDatabase('whole');
  await server.query(`CREATE DATABASE latin ENCODING 'LATIN1' LOCALE 'C' TEMPLATE template0`);
  const stranger = new URL(url);
  stranger.password = 'wrong';
  const nobody = new URL(url);
  nobody.port = '1';
  const cases = [
    [stranger.href, /password authentication failed.* Correct the user or the password\.$/],
    [server.databaseUrl('nothere'), /"nothere" does not exist\. Create it/],
    [nobody.href, /^The PostgreSQL server is not reached \(ECONNREFUSED\)\. Does it run/],
    [server.databaseUrl('latin'), /encoded as LATIN1/],
  ] as const;
  for (const [where, why] of cases) {
    for (const open of [() => openPostgresLog({ url: where, node: 'a' }), () => probePostgres(where)]) {
      const refused = await open().then(
        () => undefined,
        (error: unknown) => (error instanceof FaultError ? error.fault : error),
      );
      expect(refused).toMatchObject({ kind: 'storage-unavailable', detail: expect.stringMatching(why) });
    }
  }
  expect(await probePostgres(url)).toMatch(/^\d+/);
});

test('a server that runs with fsync=off is refused at the start, and it is said why', async () => {
  await using server = await startPostgres();
  const url = await server.createDatabase('careless');
  await server.query('ALTER SYSTEM SET fsync = off');
  await server.query('SELECT pg_reload_conf()');
  await expect.poll(async () => (await server.query<{ fsync: string }>('SHOW fsync'))[0]?.fsync).toBe('off');
  await expect(openPostgresLog({ url, node: 'a' })).rejects.toThrow(/fsync=off/);
});
