import { expect, test } from 'vitest';
import { startPostgres } from '@holdfast/testing/postgres';
import { openPostgresLog } from '../src/postgres.ts';

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);

test('two nodes on one database: appends, fences, hints, rows', async () => {
  await using server = await startPostgres();
  const url = await server.createDatabase('smoke');
  const a = await openPostgresLog({ url, node: 'a' });
  const b = await openPostgresLog({ url, node: 'b' });
  const created = await a.create('s/1', {
    contentType: 'application/json',
    consumers: ['run'],
    first: { records: [bytes('one')], key: { id: 'k', hash: 'h' } },
  });
  expect(created).toMatchObject({
    kind: 'created',
    state: { head: 1 },
    first: { kind: 'appended', first: 1, last: 1 },
  });
  const reader = b.subscribe('s/1', 0);
  expect(await reader.next()).toMatchObject({ kind: 'records', records: [{ seq: 1 }] });
  const next = reader.next();
  expect(await a.append('s/1', { records: [bytes('two'), bytes('three')] })).toMatchObject({
    kind: 'appended',
    first: 2,
    last: 3,
  });
  const delivered = await next;
  expect(
    delivered.kind === 'records' &&
      delivered.records.map((record) => [record.seq, new TextDecoder().decode(record.bytes)]),
  ).toEqual([
    [2, 'two'],
    [3, 'three'],
  ]);
  expect(await a.append('s/1', { records: [bytes('x')], key: { id: 'k', hash: 'other' } })).toMatchObject({
    kind: 'key-conflict',
    first: 1,
  });
  expect(await a.holders.renew('A', 5000)).toEqual({ kind: 'alive', taken: [] });
  expect(await b.holders.renew('B', 5000)).toEqual({ kind: 'alive', taken: [] });
  expect(await a.consumers.pending('run', { limit: 10 })).toEqual(['s/1']);
  expect(await a.consumers.acquire('s/1', 'run', 'A')).toMatchObject({ kind: 'acquired', epoch: 1, head: 3 });
  expect(await b.consumers.acquire('s/1', 'run', 'B')).toMatchObject({ kind: 'held', holder: 'A' });
  expect(
    await a.append('s/1', {
      records: [bytes('4')],
      fence: { consumer: 'run', epoch: 1 },
      producer: { id: 'run', epoch: 1, seq: 0 },
      rows: [{ table: 't', key: 'k', order: 1, group: 'g', value: bytes('v'), text: 'Hello wide 世界' }],
    }),
  ).toMatchObject({ kind: 'appended', first: 4 });
  expect(await b.append('s/1', { records: [bytes('4')], fence: { consumer: 'run', epoch: 0 } })).toMatchObject({
    kind: 'fenced',
    epoch: 1,
  });
  expect(await b.rows.search({ table: 't', words: 'wide 世', limit: 5 })).toMatchObject([{ key: 'k', rev: 1 }]);
  expect(await b.rows.changes({ table: 't', after: 0, limit: 5 })).toMatchObject([{ key: 'k', rev: 1 }]);
  expect(await a.consumers.release('s/1', 'run', { epoch: 1, upTo: 3 })).toEqual({ kind: 'behind', head: 4 });
  expect(await a.consumers.release('s/1', 'run', { epoch: 1, upTo: 4 })).toEqual({ kind: 'released' });
  expect(await a.consumers.pending('run', { limit: 10 })).toEqual([]);
  expect(await a.delete('s/1')).toEqual({ kind: 'erased' });
  expect(await b.read('s/1', { after: 0 })).toEqual({ kind: 'deleted' });
  await a.close();
  await b.close();
});
