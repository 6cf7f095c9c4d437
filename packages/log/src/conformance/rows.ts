/** Rows: derived data that is committed with what it follows from. */
import { assert, describe, test } from 'vitest';
import type { Row, RowChange } from '../port.ts';
import { bytes, fresh, freshHolder, freshStream, range, say, textOf } from './harness.ts';
import type { Suite } from './harness.ts';

export function describeRows(suite: Suite): void {
  const commit = (stream: string, ...rows: RowChange[]) => suite.log.append(stream, { records: [], rows });
  const keys = (rows: readonly Row[]): string[] => rows.map(({ key }) => key);

  describe('rows', () => {
    test('L2: a row is what was put last', async () => {
      const { log } = suite;
      const [stream, table] = [await freshStream(log), fresh('table')];
      await commit(stream, { table, key: 'k', order: 1, group: 'g', value: bytes('one') });
      await commit(stream, { table, key: 'k', order: 2.5, value: bytes('two') });
      const row = await log.rows.get(table, stream, 'k');
      assert.deepInclude(row, { stream, table, key: 'k', order: 2.5, group: undefined });
      assert.equal(textOf(row?.value), 'two');
      await commit(stream, { table, key: 'k', remove: true }, { table, key: 'none', remove: true, tombstone: true });
      assert.isUndefined(await log.rows.get(table, stream, 'k'));
      assert.deepEqual(await log.rows.changes({ table, after: 0, limit: 9 }), []);
    });

    test('L2: of several changes of one row in one append the last one counts', async () => {
      const { log } = suite;
      const [stream, table] = [await freshStream(log), fresh('table')];
      const put = (value: string): RowChange => ({ table, key: 'k', order: 1, value: bytes(value), text: value });
      await commit(stream, put('one'), { table, key: 'k', remove: true, tombstone: true }, put('two'));
      assert.equal(textOf((await log.rows.get(table, stream, 'k'))?.value), 'two');
      assert.equal((await log.rows.changes({ table, after: 0, limit: 9 })).length, 1);
      assert.deepEqual(keys(await log.rows.search({ table, words: 'one', limit: 9 })), []);
      assert.deepEqual(keys(await log.rows.search({ table, words: 'two', limit: 9 })), ['k']);
    });

    test('a list is sorted, bounded and limited to a group or a stream', async () => {
      const { log } = suite;
      const table = fresh('table');
      const streams = [await freshStream(log), await freshStream(log)];
      for (const n of range(1, 6)) {
        await commit(streams[n % 2]!, {
          table,
          key: `k${n}`,
          order: n * 10,
          group: n < 4 ? 'low' : 'high',
          value: bytes(''),
        });
      }
      const list = async (more: object) => keys(await log.rows.list({ table, limit: 99, ...more }));
      assert.deepEqual(await list({}), ['k6', 'k5', 'k4', 'k3', 'k2', 'k1']);
      assert.deepEqual(await list({ limit: 2 }), ['k6', 'k5']);
      assert.deepEqual(await list({ before: 50, limit: 2 }), ['k4', 'k3']);
      assert.deepEqual(await list({ after: 20, direction: 'ascending', limit: 2 }), ['k3', 'k4']);
      assert.deepEqual(await list({ after: 10, before: 40, direction: 'ascending' }), ['k2', 'k3']);
      assert.deepEqual(await list({ group: 'low' }), ['k3', 'k2', 'k1']);
      assert.deepEqual(await list({ group: 'low', stream: streams[1] }), ['k3', 'k1']);
      assert.deepEqual(await list({ group: 'none' }), []);
    });

    test('`changes` shows each row once, in its latest state, in the order of change', async () => {
      const { log } = suite;
      const [stream, table] = [await freshStream(log), fresh('table')];
      const put = (key: string, group = 'g'): RowChange => ({ table, key, order: 1, group, value: bytes(key) });
      await commit(stream, put('a'), put('b'), put('c'), put('d', 'other'));
      const first = await log.rows.changes({ table, after: 0, limit: 2 });
      assert.deepEqual(keys(first), ['a', 'b']);
      await commit(
        stream,
        put('a'),
        { table, key: 'c', remove: true, tombstone: true },
        { table, key: 'd', remove: true },
      );
      const rest = await log.rows.changes({ table, after: first.at(-1)!.rev, limit: 9 });
      assert.deepEqual(
        rest.map(({ key, value }) => [key, value && textOf(value)]),
        [
          ['a', 'a'],
          ['c', undefined],
        ],
      );
      assert.deepEqual(keys(await log.rows.changes({ table, after: 0, group: 'g', limit: 9 })), ['b', 'a', 'c']);
      assert.deepEqual(keys(await log.rows.changes({ table, after: 0, group: 'other', limit: 9 })), []);
      assert.isUndefined(await log.rows.get(table, stream, 'c'));
      assert.deepEqual(keys(await log.rows.list({ table, limit: 9 })), ['b', 'a']);
      // A tombstone that is put again is a row again.
      await commit(stream, put('c'));
      assert.isDefined(await log.rows.get(table, stream, 'c'));
    });

    test('`lastRev` is the rev of the latest change of a table, a removal too, and stands for all before it', async () => {
      const { log } = suite;
      const [stream, table] = [await freshStream(log), fresh('table')];
      const put = (key: string): RowChange => ({ table, key, order: 1, value: bytes(key) });
      const before = await log.rows.lastRev(table);
      assert.deepEqual(await log.rows.changes({ table, after: before, limit: 9 }), []);
      for (const change of [put('a'), put('b'), { table, key: 'a', remove: true, tombstone: true } as const]) {
        await commit(stream, change);
        const last = await log.rows.lastRev(table);
        assert.isAbove(last, before);
        assert.equal(last, (await log.rows.changes({ table, after: 0, limit: 9 })).at(-1)?.rev);
        // Other tables do not count.
        await commit(stream, { ...put('a'), table: `${table}2` });
        assert.equal(await log.rows.lastRev(table), last);
      }
    });

    test('revs never come again, not even after the newest rows were removed', async () => {
      const [stream, table] = [await freshStream(suite.log), fresh('table')];
      await commit(stream, { table, key: 'a', order: 1, value: bytes('') });
      const [before] = await suite.log.rows.changes({ table, after: 0, limit: 1 });
      await suite.log.delete(stream);
      if (suite.reopen) suite.log = await suite.reopen(suite.log);
      await commit(await freshStream(suite.log), { table, key: 'b', order: 1, value: bytes('') });
      assert.deepEqual(keys(await suite.log.rows.changes({ table, after: before!.rev, limit: 9 })), ['b']);
    });

    test('`changes` loses nothing to writers that race', async () => {
      const { log } = suite;
      const table = fresh('table');
      const streams = await Promise.all(range(1, 8).map(() => freshStream(log)));
      const seen = new Set<string>();
      let rev = 0;
      let writing = true;
      const follow = async (): Promise<void> => {
        for (;;) {
          const last = !writing;
          const rows = await log.rows.changes({ table, after: rev, limit: 7 });
          for (const row of rows) {
            assert.isAbove(row.rev, rev);
            rev = row.rev;
            seen.add(row.key);
          }
          if (last && rows.length === 0) return;
        }
      };
      const write = async (): Promise<void> => {
        const writes = streams.flatMap((stream, s) =>
          range(1, 25).map((n) => commit(stream, { table, key: `${s}.${n}`, order: n, value: bytes('') })),
        );
        await Promise.all(writes);
        writing = false;
      };
      await Promise.all([write(), follow()]);
      assert.equal(seen.size, 200);
    });

    test('watchers are called after rows were committed, and not after they stopped', async () => {
      const { log } = suite;
      const [stream, table] = [await freshStream(log), fresh('table')];
      let calls = 0;
      const seen = Promise.withResolvers<void>();
      const stop = log.rows.watch(() => {
        calls += 1;
        seen.resolve();
      });
      await log.append(stream, say('no rows'));
      await commit(stream, { table, key: 'a', order: 1, value: bytes('') });
      await seen.promise;
      const holder = await freshHolder(suite);
      const acquired = await log.consumers.acquire(stream, 'index', holder);
      assert(acquired.kind === 'acquired');
      const before = calls;
      const rows = [{ table, key: 'b', order: 1, value: bytes('') }];
      await log.consumers.release(stream, 'index', { epoch: acquired.epoch, upTo: acquired.head, rows });
      assert.isAbove(calls, before);
      const created = calls;
      const first = { records: [], rows: [{ table, key: 'first', order: 1, value: bytes('') }] };
      await log.create(fresh('test/stream'), { contentType: 'application/json', first });
      assert.isAbove(calls, created);
      stop();
      const after = calls;
      await commit(stream, { table, key: 'c', order: 1, value: bytes('') });
      assert.equal(calls, after);
    });
  });

  describe('search', () => {
    test('every word must occur, the last one as a prefix', async () => {
      const { log } = suite;
      const [stream, table] = [await freshStream(log), fresh('table')];
      const put = (key: string, text: string, group = 'g'): RowChange => ({
        table,
        key,
        order: 1,
        group,
        value: bytes(text),
        text,
      });
      await commit(
        stream,
        put('fox', 'The quick brown Fox jumps over the lazy dog'),
        put('dogs', 'Brown dogs sleep. A dog, a dog!'),
        put('cafe', 'Ein Café in der Straße'),
        put('cjk', '明日は東京で会議があります v2'),
        put('other', 'brown bear', 'elsewhere'),
        { table, key: 'silent', order: 1, value: bytes('brown') },
      );
      const find = async (words: string, more: object = { group: 'g' }) =>
        keys(await log.rows.search({ table, words, limit: 9, ...more })).toSorted();
      assert.deepEqual(await find('brown'), ['dogs', 'fox']);
      assert.deepEqual(await find('BROWN dog'), ['dogs', 'fox']);
      assert.deepEqual(await find('dog brown'), ['dogs', 'fox']);
      assert.deepEqual(await find('bro qui'), []);
      assert.deepEqual(await find('brown qui'), ['fox']);
      assert.deepEqual(await find('cafe'), ['cafe']);
      assert.deepEqual(await find('東京'), ['cjk']);
      assert.deepEqual(await find('京東'), []);
      assert.deepEqual(await find('会議 東京'), ['cjk']);
      assert.deepEqual(await find('brown', {}), ['dogs', 'fox', 'other']);
      assert.deepEqual(await find('brown', { limit: 1 }), (await find('brown', { limit: 1 })).slice(0, 1));
      assert.deepEqual(await find('dog', { group: 'g', limit: 1 }), ['dogs'], 'best first');
    });

    test('user text is never query syntax', async () => {
      const { log } = suite;
      const [stream, table] = [await freshStream(log), fresh('table')];
      await commit(stream, {
        table,
        key: 'k',
        order: 1,
        value: bytes(''),
        text: `a NEAR miss: it's "quoted" AND (grouped) x^2 col:val`,
      });
      const queries = ['"', `it's`, 'NEAR(', 'quoted" AND', '(grouped)', 'x^2', 'col:val', 'miss*', '-miss', '{a}'];
      for (const words of queries) {
        const found = keys(await log.rows.search({ table, words, limit: 9 }));
        assert.deepEqual(found, words === '"' ? [] : ['k'], words);
      }
      for (const words of ['', '   ', '😀', '%', `\u0000`])
        assert.deepEqual(await log.rows.search({ table, words, limit: 9 }), []);
    });

    test('a row is found by its present text alone', async () => {
      const { log } = suite;
      const [stream, table] = [await freshStream(log), fresh('table')];
      const put = (text: string): RowChange => ({ table, key: 'k', order: 1, value: bytes(''), text });
      const find = async (words: string) => keys(await log.rows.search({ table, words, limit: 9 }));
      await commit(stream, put('alpha'));
      await commit(stream, put('beta'));
      assert.deepEqual([await find('alpha'), await find('beta')], [[], ['k']]);
      await commit(stream, { table, key: 'k', remove: true, tombstone: true });
      assert.deepEqual(await find('beta'), []);
    });
  });
}
