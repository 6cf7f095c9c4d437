/** L11, L12, L13, and what retention and packing leave as it was. */
import * as fc from 'fast-check';
import { assert, describe, test } from 'vitest';
import {
  bytes,
  fresh,
  freshHolder,
  freshStream,
  pageOf,
  range,
  readAll,
  recordsOf,
  say,
  seqs,
  texts,
} from './harness.ts';
import type { Suite } from './harness.ts';

export function describeLifecycle(suite: Suite): void {
  describe('L11: delete', () => {
    test('L11: everything of a deleted stream is gone, and its name answers so for ever', async () => {
      const consumer = fresh('run');
      const table = fresh('table');
      const stream = await freshStream(suite.log, { consumers: [consumer] });
      const rows = ['r', 's'].map((key) => ({ table, key, order: 1, value: bytes('row'), text: 'word' }));
      await suite.log.append(stream, { ...say('a'), key: { id: 'k', hash: 'h' }, rows });
      assert.deepEqual(await suite.log.delete(stream, [{ table, key: 'r' }]), { kind: 'erased' });

      const check = async (): Promise<void> => {
        const { log } = suite;
        const deleted = { kind: 'deleted' };
        assert.deepEqual(await log.append(stream, say('b')), deleted);
        assert.deepEqual(await log.read(stream, { after: 0 }), deleted);
        assert.deepEqual(await log.stat(stream), deleted);
        assert.deepEqual(await log.delete(stream), deleted);
        assert.deepEqual(await log.create(stream, { contentType: 'application/json' }), deleted);
        const holder = await freshHolder(suite);
        assert.deepEqual(await log.consumers.acquire(stream, consumer, holder), deleted);
        assert.deepEqual(await log.consumers.release(stream, consumer, { epoch: 0, upTo: 1 }), deleted);
        assert.deepEqual(await log.consumers.pending(consumer, { limit: 9 }), []);
        assert.isUndefined(await log.findKey(stream, 'k'));
        assert.isUndefined(await log.rows.get(table, stream, 'r'));
        assert.deepEqual(await log.rows.list({ table, limit: 9 }), []);
        assert.deepEqual(await log.rows.search({ table, words: 'word', limit: 9 }), []);
        const changes = await log.rows.changes({ table, after: 0, limit: 9 });
        assert.deepEqual(
          changes.map(({ key, value }) => [key, value]),
          [['r', undefined]],
        );
        assert.equal(
          (await log.create(fresh('fork'), { contentType: 'x', fork: { from: stream, upTo: 0 } })).kind,
          'fork-missing',
        );
      };
      await check();
      if (suite.reopen) suite.log = await suite.reopen(suite.log);
      await check();
    });

    test('L11: a stream with a time to live lives from access to access', async () => {
      const { log, elapse } = suite;
      const ttlMs = Math.min(suite.leaseMs / 2, 2000);
      const stream = await freshStream(log, { ttlMs, first: say('a') });
      for (let n = 0; n < 3; n += 1) {
        await elapse(ttlMs * 0.6);
        assert.equal((await log.read(stream, { after: 0 })).kind, 'page');
      }
      await elapse(ttlMs * 0.6);
      assert.equal((await log.append(stream, say('b'))).kind, 'appended');
      await elapse(ttlMs * 0.6);
      assert.equal((await log.stat(stream)).kind, 'state');
      await elapse(ttlMs * 0.6);
      assert.deepEqual(await log.read(stream, { after: 0 }), { kind: 'deleted' });
    });

    test('L11: a stream expires at its time, and `expire` tells its readers', async () => {
      const { log, elapse } = suite;
      const lifeMs = Math.min(suite.leaseMs / 2, 2000);
      const table = fresh('table');
      const stream = await freshStream(log, { expiresAt: (await log.now()) + lifeMs });
      await log.append(stream, { ...say('a'), rows: [{ table, key: 'r', order: 1, value: bytes('row') }] });
      const reader = log.subscribe(stream, 1);
      const end = reader.next();
      await elapse(lifeMs * 0.6);
      assert.equal((await log.read(stream, { after: 0 })).kind, 'page');
      await elapse(lifeMs * 0.6);
      assert.deepEqual(await log.append(stream, say('b')), { kind: 'deleted' });
      assert.deepEqual(await log.stat(stream), { kind: 'deleted' });
      await log.expire();
      assert.deepEqual(await end, { kind: 'deleted' });
      assert.deepEqual(await log.create(stream, { contentType: 'application/json' }), { kind: 'deleted' });
      assert.deepEqual(await log.rows.list({ table, limit: 9 }), []);
    });
  });

  describe('L12: a store that cannot write', () => {
    test('L12: it says so, has changed nothing, and works again by itself', async ({ skip }) => {
      if (!suite.breakWrites) return skip('nothing can keep this store from writing');
      const { log } = suite;
      const stream = await freshStream(log, { first: say('a') });
      const append = { records: [bytes('b')], key: { id: 'k', hash: 'h' } };
      const cure = await suite.breakWrites(log);
      const refused = await Promise.all(range(1, 5).map(() => log.append(stream, append)));
      for (const verdict of refused) assert.equal(verdict.kind, 'unavailable', JSON.stringify(verdict));
      await cure();
      assert.deepEqual(texts(await readAll(log, stream)), ['a']);
      assert.isUndefined(await log.findKey(stream, 'k'));
      assert.deepInclude(await log.append(stream, append), { kind: 'appended', first: 2 });
    });
  });

  describe('L13: forks', () => {
    test('L13: a fork shares a prefix, goes its own way, and outlives its parent', async () => {
      const { log } = suite;
      const parent = await freshStream(log, { first: { ...say('a', 'b', 'c', 'd'), key: { id: 'k', hash: 'h' } } });
      const fork = await freshStream(log, { fork: { from: parent, upTo: 2 }, first: say('x') });
      await log.append(parent, say('e'));
      const forkOfFork = await freshStream(log, { fork: { from: fork, upTo: 3 } });
      const low = await freshStream(log, { fork: { from: fork, upTo: 1 } });
      assert.deepInclude(await log.append(forkOfFork, say('y')), { kind: 'appended', first: 4 });
      const check = async (): Promise<void> => {
        assert.deepEqual(texts(await readAll(suite.log, fork)), ['a', 'b', 'x']);
        assert.deepEqual(texts(await readAll(suite.log, forkOfFork)), ['a', 'b', 'x', 'y']);
        assert.deepEqual(texts(await readAll(suite.log, forkOfFork, 1)), ['b', 'x', 'y']);
        assert.deepEqual(texts(pageOf(await suite.log.read(forkOfFork, { after: 1, upTo: 2 }))), ['b']);
        assert.deepEqual(texts(await readAll(suite.log, low)), ['a']);
      };
      await check();
      assert.deepEqual(texts(await readAll(log, parent)), ['a', 'b', 'c', 'd', 'e']);
      assert.isUndefined(await log.findKey(fork, 'k'), 'keys are not shared');
      await log.pack(parent, 5);
      await check();
      await log.delete(parent);
      await check();
      await log.delete(fork);
      if (suite.reopen) suite.log = await suite.reopen(suite.log);
      assert.deepEqual(texts(await readAll(suite.log, forkOfFork)), ['a', 'b', 'x', 'y']);
      assert.deepEqual(texts(await readAll(suite.log, low)), ['a']);
    });

    test('L13: a fork of what is not there is refused', async () => {
      const { log } = suite;
      const parent = await freshStream(log, { first: say('a') });
      const fork = (from: string, upTo: number) =>
        log.create(fresh('fork'), { contentType: 'x', fork: { from, upTo } });
      assert.deepEqual(await fork(fresh('never'), 0), { kind: 'fork-missing' });
      assert.deepEqual(await fork(parent, 2), { kind: 'fork-beyond-head', head: 1 });
      assert.deepInclude(await fork(parent, 0), { kind: 'created' });
    });

    test('L13: a fork keeps what its parent truncates later, and not what was gone before', async () => {
      const { log } = suite;
      const parent = await freshStream(log, { first: say('a', 'b', 'c', 'd') });
      await log.truncate(parent, 1);
      const fork = await freshStream(log, { fork: { from: parent, upTo: 3 } });
      const below = await freshStream(log, { fork: { from: parent, upTo: 0 } });
      await log.truncate(parent, 3);
      assert.deepEqual(await log.read(fork, { after: 0 }), { kind: 'truncated', floor: 1, head: 3 });
      assert.deepEqual(texts(await readAll(log, fork, 1)), ['b', 'c']);
      assert.deepEqual(texts(await readAll(log, parent, 3)), ['d']);
      assert.deepEqual(await readAll(log, below), []);
      await log.truncate(fork, 2);
      await log.delete(parent);
      assert.deepEqual(texts(await readAll(log, fork, 2)), ['c']);
    });

    test('L13: a consumer of a fork begins at the first record', async () => {
      const { log } = suite;
      const consumer = fresh('run');
      const parent = await freshStream(log, { first: say('a', 'b') });
      const fork = await freshStream(log, { fork: { from: parent, upTo: 2 }, consumers: [consumer] });
      assert.deepEqual(await log.consumers.pending(consumer, { limit: 9 }), [fork]);
      const verdict = await log.consumers.acquire(fork, consumer, await freshHolder(suite));
      assert.deepInclude(verdict, { kind: 'acquired', acked: 0, head: 2 });
    });
  });

  describe('Retention and packing', () => {
    test('L6: truncation drops a prefix and says so', async () => {
      const { log } = suite;
      const stream = await freshStream(log, { first: say('a', 'b', 'c') });
      await log.append(stream, say('d'));
      await log.truncate(stream, 2);
      await log.truncate(stream, 1);
      assert.deepEqual(await log.read(stream, { after: 1 }), { kind: 'truncated', floor: 2, head: 4 });
      assert.deepEqual(texts(await readAll(log, stream, 2)), ['c', 'd']);
      await log.truncate(stream, 99);
      assert.deepEqual(await readAll(log, stream, 4), []);
      assert.deepInclude(await log.append(stream, say('e')), { kind: 'appended', first: 5 });
      const stat = await log.stat(stream);
      assert(stat.kind === 'state');
      assert.deepInclude(stat.state, { head: 5, floor: 4 });
    });

    test('L1: packing changes nothing that any read returns', async () => {
      const { log } = suite;
      const words = fc.array(fc.oneof(fc.string({ maxLength: 40 }), fc.constant('the same words again, and again')), {
        minLength: 1,
        maxLength: 60,
      });
      await fc.assert(
        fc.asyncProperty(
          fc.array(words, { minLength: 1, maxLength: 12 }),
          fc.array(fc.nat({ max: 400 }), { maxLength: 3 }),
          fc.nat({ max: 300 }),
          async (appends, packs, after) => {
            const stream = await freshStream(log);
            for (const append of appends) {
              await log.append(stream, say(...append));
              await suite.elapse(1);
            }
            const before = await readAll(log, stream);
            const head = before.length;
            for (const upTo of [...packs, head]) {
              await log.pack(stream, upTo);
              const records = await readAll(log, stream);
              assert.deepEqual(records.map(plain), before.map(plain));
            }
            const from = Math.min(after, head);
            const some = pageOf(await log.read(stream, { after: from, limit: 7, bytesMax: 200 }));
            assert.deepEqual(some.map(plain), before.slice(from, from + some.length).map(plain));
            const live = log.subscribe(stream, from);
            if (from < head) assert.equal(recordsOf(await live.next())[0]?.seq, from + 1);
            live.cancel();
            assert.deepInclude(await log.append(stream, say('next')), { kind: 'appended', first: head + 1 });
            assert.deepEqual(seqs(await readAll(log, stream)), range(1, head + 1));
          },
        ),
        { numRuns: Math.ceil(suite.runs / 3) },
      );
    });
  });
}

function plain({ seq, at, bytes, tag }: { seq: number; at: number; bytes: Uint8Array; tag: number }): unknown[] {
  return [seq, at, Buffer.from(bytes).toString('base64'), tag];
}
