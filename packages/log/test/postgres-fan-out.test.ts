import { startPostgres, type PostgresServer } from '@holdfast/testing/postgres';
import { Client } from 'pg';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { openPostgresLog } from '../src/postgres.ts';

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);
const CONTENT = { contentType: 'application/json' };

let server: PostgresServer;
beforeAll(async () => void (server = await startPostgres()));
afterAll(() => server.stop());

test('a node that is alone tells nobody of its commits; when another joins, both know', async () => {
  const url = await server.createDatabase('alone');
  const listener = new Client(url);
  await listener.connect();
  const heard: { readonly node: string; readonly commits?: readonly unknown[] }[] = [];
  listener.on('notification', ({ payload }) => heard.push(JSON.parse(payload ?? '')));
  await listener.query('LISTEN holdfast');
  const told = (node: string): boolean => heard.some((it) => it.node === node && (it.commits?.length ?? 0) > 0);

  const a = await openPostgresLog({ url, node: 'a' });
  await a.create('s/1', CONTENT);
  for (let n = 0; n < 10; n += 1) await a.append('s/1', { records: [bytes(`${n}`)] });
  await expect.poll(() => heard.map(({ node }) => node)).toContain('a');
  expect(told('a')).toBe(false);

  const b = await openPostgresLog({ url, node: 'b' });
  for (const [node, log] of Object.entries({ b, a }))
    await expect
      .poll(async () => {
        await log.append('s/1', { records: [bytes(node)] });
        return told(node);
      })
      .toBe(true);
  await Promise.all([a.close(), b.close(), listener.end()]);
});

test('rows that another node has numbered already are found though every notification was lost', async () => {
  const url = await server.createDatabase('rows');
  const a = await openPostgresLog({ url, node: 'a' });
  const b = await openPostgresLog({ url, node: 'b', hearing: () => undefined });
  await a.create('s/1', CONTENT);
  let looks = 0;
  b.rows.watch(() => (looks += 1));
  // By the first it has polled; by the second it sees what changed since.
  for (const rev of [1, 2]) {
    const before = looks;
    await a.append('s/1', { records: [], rows: [{ table: 't', key: 'k', order: 1, value: bytes(`${rev}`) }] });
    expect(await a.rows.changes({ table: 't', after: 0, limit: 5 })).toMatchObject([{ key: 'k', rev }]);
    await expect.poll(() => looks).toBeGreaterThan(before);
  }
  await Promise.all([a.close(), b.close()]);
});
