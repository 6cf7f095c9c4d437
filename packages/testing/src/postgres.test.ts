import { existsSync, readdirSync } from 'node:fs';
import os from 'node:os';

import { Client } from 'pg';
import { expect, test } from 'vitest';

import { startPostgres } from './postgres.ts';

const foldersOfThisProcess = (): string[] =>
  readdirSync(os.tmpdir()).filter((name) => name.startsWith(`holdfast-postgres-${process.pid}-`));

async function ask(url: string, query: string): Promise<unknown> {
  const client = new Client({ connectionString: url });
  await client.connect();
  try {
    return Object.values((await client.query<Record<string, unknown>>(query)).rows[0] ?? {})[0];
  } finally {
    await client.end();
  }
}

test('a real PostgreSQL answers, on a low port, with fsync on, and leaves nothing', async () => {
  const server = await startPostgres();
  expect(server.port).toBeLessThan(32_768);
  expect(await ask(server.url, 'select version()')).toMatch(/^PostgreSQL 18/u);
  expect(await ask(server.url, 'show fsync')).toBe('on');

  await server.stop();
  await server.stop();
  expect(foldersOfThisProcess()).toEqual([]);
  await expect(ask(server.url, 'select 1')).rejects.toThrow(/ECONNREFUSED/u);
});

test('what was committed survives a crash and a restart, on the same port', async () => {
  await using server = await startPostgres();
  const url = await server.createDatabase('crash');
  await ask(url, 'create table kept as select 7 as n');

  await server.crash();
  await expect(ask(url, 'select 1')).rejects.toThrow(/ECONNREFUSED/u);
  await server.restart();
  expect(await ask(url, 'select n from kept')).toBe(7);
});

test('a server without fsync is refused, with what it said, and its folder is gone', async () => {
  await expect(startPostgres({ settings: { fsync: 'off' } })).rejects.toThrow(/did not start/u);
  expect(foldersOfThisProcess().filter((name) => existsSync(`${os.tmpdir()}/${name}`))).toEqual([]);
});

test('a synchronous standby has what was confirmed; promoted it takes writes, and has a standby of its own', async () => {
  await using server = await startPostgres();
  const url = await server.createDatabase('kept');
  await ask(url, 'create table kept as select 7 as n');
  await using standby = await server.createStandby({ synchronous: true });
  await ask(url, 'update kept set n = 8');

  await server.crash();
  await standby.promote();
  expect(await ask(standby.databaseUrl('kept'), 'select n from kept')).toBe(8);
  await ask(standby.databaseUrl('kept'), 'update kept set n = 9');

  await using next = await standby.createStandby({ synchronous: true });
  await ask(standby.databaseUrl('kept'), 'update kept set n = 10');
  expect(await ask(next.databaseUrl('kept'), 'select n from kept')).toBe(10);
});

test('a standby that was detached is promoted without what came after', async () => {
  await using server = await startPostgres();
  const url = await server.createDatabase('kept');
  await ask(url, 'create table kept as select 7 as n');
  await using standby = await server.createStandby();
  await standby.detach();
  await ask(url, 'update kept set n = 8');

  await server.crash();
  await standby.promote();
  expect(await ask(standby.databaseUrl('kept'), 'select n from kept')).toBe(7);
});
