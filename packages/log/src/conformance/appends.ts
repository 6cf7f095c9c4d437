/** L1, L2, L4, L5, L14: what an append is. */
import { assert, describe, expect, test } from 'vitest';
import { appendedOf, bytes, fresh, freshStream, pageOf, range, readAll, say, seqs, texts } from './harness.ts';
import type { Suite } from './harness.ts';

export function describeAppends(suite: Suite): void {
  describe('L1: seqs have no holes and records never change', () => {
    test('L1: records get the next seqs, whatever they hold', async () => {
      const { log } = suite;
      const stream = await freshStream(log);
      const bodies = [bytes('a'), new Uint8Array(), new Uint8Array([0, 255, 10, 13, 0]), bytes('ü漢😀')];
      assert.deepEqual(appendedOf(await log.append(stream, { records: bodies.slice(0, 1) })).first, 1);
      assert.deepInclude(await log.append(stream, { records: bodies.slice(1) }), {
        kind: 'appended',
        first: 2,
        last: 4,
      });
      const records = await readAll(log, stream);
      assert.deepEqual(seqs(records), [1, 2, 3, 4]);
      for (const [index, record] of records.entries()) assert.deepEqual(new Uint8Array(record.bytes), bodies[index]);
    });

    test('L1: the tag is the CRC-32 of the bytes', async () => {
      const { log } = suite;
      const stream = await freshStream(log);
      await log.append(stream, say('123456789'));
      assert.equal(pageOf(await log.read(stream, { after: 0 }))[0]?.tag, 0xcbf43926);
    });

    test('L1: a record of 3 MB is a record like others', async () => {
      const { log } = suite;
      const stream = await freshStream(log);
      const large = new Uint8Array(3_000_000).map((_, index) => index * 7);
      await log.append(stream, { records: [bytes('before'), large, bytes('after')] });
      const records = await readAll(log, stream);
      assert.deepEqual(seqs(records), [1, 2, 3]);
      assert.isTrue(Buffer.from(large).equals(records[1]!.bytes));
    });

    test('L1: an append without records takes no seq', async () => {
      const { log } = suite;
      const stream = await freshStream(log);
      await log.append(stream, say('a'));
      assert.deepInclude(await log.append(stream, { records: [] }), { kind: 'appended', first: 2, last: 1 });
      assert.deepInclude(await log.append(stream, say('b')), { first: 2, last: 2 });
    });

    test('L1: what was appended is there after the store was opened again', async ({ skip }) => {
      if (!suite.reopen) return skip('this store keeps nothing beyond its process');
      const stream = await freshStream(suite.log);
      for (const word of ['a', 'b', 'c']) await suite.log.append(stream, say(word));
      const before = await readAll(suite.log, stream);
      suite.log = await suite.reopen(suite.log);
      const after = await readAll(suite.log, stream);
      assert.deepEqual(texts(after), ['a', 'b', 'c']);
      assert.deepEqual(
        after.map(({ at, tag }) => [at, tag]),
        before.map(({ at, tag }) => [at, tag]),
      );
      assert.deepInclude(await suite.log.append(stream, say('d')), { first: 4, last: 4 });
    });

    test('L1: a stream that was never created is missing', async () => {
      const { log } = suite;
      const stream = fresh('never');
      const missing = { kind: 'missing' };
      assert.deepEqual(await log.append(stream, say('a')), missing);
      assert.deepEqual(await log.read(stream, { after: 0 }), missing);
      assert.deepEqual(await log.stat(stream), missing);
      assert.deepEqual(await log.delete(stream), missing);
      assert.isUndefined(await log.findKey(stream, 'k'));
      assert.equal(await log.pack(stream, 10), 0);
      await log.truncate(stream, 10);
    });

    test('L1: a name is bounded, and beyond the bound it is a bug', async () => {
      const { log } = suite;
      await expect(async () => log.create('', { contentType: 'text/plain' })).rejects.toThrow(RangeError);
      await expect(async () => log.create(`x/${'y'.repeat(511)}`, { contentType: 'text/plain' })).rejects.toThrow(
        RangeError,
      );
    });

    test('L1: create tells the same stream from another', async () => {
      const { log } = suite;
      const stream = fresh('twice');
      const options = { contentType: 'text/plain', ttlMs: 900_000 };
      const created = await log.create(stream, { ...options, first: say('a') });
      assert.deepInclude(created, { kind: 'created' });
      assert.deepInclude(await log.create(stream, { ...options, first: say('b') }), { kind: 'exists', same: true });
      assert.deepInclude(await log.create(stream, { contentType: 'text/plain' }), { kind: 'exists', same: false });
      assert.deepEqual(texts(await readAll(log, stream)), ['a']);
      const stat = await log.stat(stream);
      assert(stat.kind === 'state');
      assert.deepInclude(stat.state, {
        stream,
        contentType: 'text/plain',
        head: 1,
        floor: 0,
        closed: false,
        ttlMs: 900_000,
      });
    });

    test('L1: pages end at their bounds, and are never empty below the head', async () => {
      const { log } = suite;
      const stream = await freshStream(log);
      await log.append(stream, { records: range(1, 50).map(() => new Uint8Array(1000)) });
      const page = async (more: object): Promise<number[]> =>
        seqs(pageOf(await log.read(stream, { after: 0, ...more })));
      assert.deepEqual(await page({ limit: 3 }), [1, 2, 3]);
      assert.deepEqual(await page({ after: 48 }), [49, 50]);
      assert.deepEqual(await page({ after: 10, upTo: 12 }), [11, 12]);
      assert.deepEqual(await page({ bytesMax: 2500 }), [1, 2]);
      assert.deepEqual(await page({ bytesMax: 10 }), [1]);
      assert.deepEqual(await page({ after: 50 }), []);
      assert.deepEqual(await page({ after: 20, upTo: 20 }), []);
      assert.deepEqual(await page({ after: 99 }), []);
    });
  });

  describe('L2: an append is all or nothing', () => {
    test('L2: records, rows, key, producer and close mark come together', async () => {
      const { log } = suite;
      const stream = await freshStream(log);
      const table = fresh('table');
      const verdict = await log.append(stream, {
        records: [bytes('a'), bytes('b')],
        key: { id: 'k', hash: 'h' },
        producer: { id: 'p', epoch: 0, seq: 0 },
        rows: [{ table, key: 'r', order: 1, value: bytes('row') }],
        close: true,
      });
      assert.deepInclude(verdict, { kind: 'appended', first: 1, last: 2 });
      assert.deepEqual(await log.findKey(stream, 'k'), { first: 1, last: 2, hash: 'h' });
      assert.deepEqual(texts([{ seq: 1, at: 0, tag: 0, bytes: (await log.rows.get(table, stream, 'r'))!.value! }]), [
        'row',
      ]);
      assert.deepInclude(await log.read(stream, { after: 0 }), { head: 2, closed: true });
      assert.deepEqual(await log.append(stream, say('late')), { kind: 'closed', head: 2 });
    });

    test('L2: a refused append leaves nothing behind', async () => {
      const { log } = suite;
      const stream = await freshStream(log);
      const table = fresh('table');
      const refused = await log.append(stream, {
        records: [bytes('a')],
        fence: { consumer: 'run', epoch: 7 },
        key: { id: 'k', hash: 'h' },
        producer: { id: 'p', epoch: 3, seq: 0 },
        rows: [{ table, key: 'r', order: 1, value: bytes('row') }],
        close: true,
      });
      assert.deepEqual(refused, { kind: 'fenced', epoch: 0 });
      assert.deepEqual(await readAll(log, stream), []);
      assert.isUndefined(await log.findKey(stream, 'k'));
      assert.isUndefined(await log.rows.get(table, stream, 'r'));
      // Neither the key nor the producer's epoch was taken, and the stream is open.
      const again = { records: [bytes('a')], key: { id: 'k', hash: 'other' }, producer: { id: 'p', epoch: 0, seq: 0 } };
      assert.deepInclude(await log.append(stream, again), { kind: 'appended', first: 1 });
    });

    test('L2: the first append of a created stream is part of its creation', async () => {
      const { log } = suite;
      const stream = fresh('first');
      const first = { records: [bytes('a')], key: { id: 'k', hash: 'h' } };
      const created = await log.create(stream, { contentType: 'text/plain', first });
      assert(created.kind === 'created');
      assert.deepInclude(created.first, { kind: 'appended', first: 1, last: 1 });
      assert.equal(created.state.head, 1);
      assert.deepEqual(await log.append(stream, first), { kind: 'duplicate', first: 1, last: 1 });
      const refused = await log.create(fresh('first'), {
        contentType: 'text/plain',
        first: { records: [bytes('a')], fence: { consumer: 'run', epoch: 1 } },
      });
      assert(refused.kind === 'created');
      assert.deepEqual(refused.first, { kind: 'fenced', epoch: 0 });
      assert.equal(refused.state.head, 0);
    });

    test('L2: a first append may have as many records as a long session', async () => {
      const { log } = suite;
      const stream = fresh('long');
      const records = Array.from({ length: 200_000 }, (_, n) => bytes(String(n)));
      const created = await log.create(stream, { contentType: 'text/plain', first: { records } });
      assert(created.kind === 'created', `it should be created, not ${JSON.stringify(created)}`);
      assert.deepInclude(created.first, { kind: 'appended', first: 1, last: records.length });
      const end = pageOf(await log.read(stream, { after: records.length - 1, limit: 10 }));
      assert.deepEqual(texts(end), [String(records.length - 1)]);
    });

    test('L2: a closed stream takes rows and no records', async () => {
      const { log } = suite;
      const stream = await freshStream(log);
      const table = fresh('table');
      await log.append(stream, { records: [], close: true });
      assert.deepEqual(await log.append(stream, { records: [], close: true }), { kind: 'closed', head: 0 });
      const rows = [{ table, key: 'r', order: 1, value: bytes('row') }];
      assert.deepInclude(await log.append(stream, { records: [], rows }), { kind: 'appended' });
      assert.isDefined(await log.rows.get(table, stream, 'r'));
    });
  });

  describe('L4: a key names one append, a producer one line', () => {
    test('L4: a key again is a duplicate, with other content a conflict', async () => {
      const { log } = suite;
      const stream = await freshStream(log);
      const keyed = (hash: string) => ({ records: [bytes('a'), bytes('b')], key: { id: 'k', hash } });
      await log.append(stream, say('before'));
      assert.deepInclude(await log.append(stream, keyed('h')), { kind: 'appended', first: 2, last: 3 });
      await log.append(stream, say('after'));
      assert.deepEqual(await log.append(stream, keyed('h')), { kind: 'duplicate', first: 2, last: 3 });
      assert.deepEqual(await log.append(stream, keyed('other')), { kind: 'key-conflict', first: 2 });
      assert.equal((await readAll(log, stream)).length, 4);
    });

    test('L4: the same key twice in one breath is one append', async () => {
      const { log } = suite;
      const stream = await freshStream(log);
      const keyed = { records: [bytes('a')], key: { id: 'k', hash: 'h' } };
      const verdicts = await Promise.all(range(1, 10).map(() => log.append(stream, keyed)));
      assert.deepEqual(verdicts.map(({ kind }) => kind).toSorted(), [
        'appended',
        ...range(1, 9).map(() => 'duplicate'),
      ]);
      assert.equal((await readAll(log, stream)).length, 1);
    });

    test('L4: a duplicate is told as such after a close and under an old fence', async () => {
      const { log } = suite;
      const stream = await freshStream(log);
      const append = { records: [bytes('a')], key: { id: 'k', hash: 'h' }, close: true };
      await log.append(stream, append);
      const retry = await log.append(stream, { ...append, fence: { consumer: 'run', epoch: 9 } });
      assert.deepEqual(retry, { kind: 'duplicate', first: 1, last: 1 });
    });

    test('L4: a producer sees its retries, gaps and old epochs', async () => {
      const { log } = suite;
      const stream = await freshStream(log);
      const by = (epoch: number, seq: number) =>
        log.append(stream, { ...say(`${epoch}.${seq}`), producer: { id: 'p', epoch, seq } });
      assert.deepEqual(await by(4, 1), { kind: 'producer-gap', expectedSeq: 0 });
      assert.deepInclude(await by(4, 0), { kind: 'appended', first: 1 });
      assert.deepInclude(await by(4, 1), { kind: 'appended', first: 2 });
      assert.deepEqual(await by(4, 1), { kind: 'duplicate', first: 2, last: 2, producerSeq: 1 });
      assert.deepEqual(await by(4, 0), { kind: 'duplicate', first: 2, last: 2, producerSeq: 1 });
      assert.deepEqual(await by(4, 3), { kind: 'producer-gap', expectedSeq: 2 });
      assert.deepEqual(await by(3, 0), { kind: 'producer-stale', epoch: 4 });
      assert.deepEqual(await by(5, 1), { kind: 'producer-gap', expectedSeq: 0 });
      assert.deepInclude(await by(5, 0), { kind: 'appended', first: 3 });
      assert.deepEqual(await by(4, 2), { kind: 'producer-stale', epoch: 5 });
      assert.deepEqual(texts(await readAll(log, stream)), ['4.0', '4.1', '5.0']);
    });
  });

  describe('L14: a decision counts only at the head that it was made at', () => {
    const decided = (text: string, ifHead: number) => ({ ...say(text), ifHead });

    test('L14: an append at another head is behind, and changes nothing', async () => {
      const { log } = suite;
      const stream = await freshStream(log);
      const table = fresh('table');
      assert.deepInclude(await log.append(stream, decided('a', 0)), { kind: 'appended', first: 1 });
      await log.append(stream, say('b'));
      for (const ifHead of [0, 1, 3]) {
        const refused = await log.append(stream, {
          ...decided('never', ifHead),
          key: { id: 'k', hash: 'h' },
          producer: { id: 'p', epoch: 1, seq: 0 },
          rows: [{ table, key: 'r', order: 1, value: bytes('row') }],
          close: true,
        });
        assert.deepEqual(refused, { kind: 'behind', head: 2 });
      }
      assert.isUndefined(await log.findKey(stream, 'k'));
      assert.isUndefined(await log.rows.get(table, stream, 'r'));
      // The producer's seq was not used up.
      const again = { ...decided('c', 2), key: { id: 'k', hash: 'g' }, producer: { id: 'p', epoch: 0, seq: 0 } };
      assert.deepInclude(await log.append(stream, again), { kind: 'appended', first: 3 });
      assert.deepEqual(texts(await readAll(log, stream)), ['a', 'b', 'c']);
    });

    test('L14: a retry whose first try arrived is a duplicate, not behind', async () => {
      const { log } = suite;
      const stream = await freshStream(log);
      const keyed = { ...decided('a', 0), key: { id: 'k', hash: 'h' } };
      const numbered = { ...decided('b', 1), producer: { id: 'p', epoch: 0, seq: 0 } };
      await log.append(stream, keyed);
      await log.append(stream, numbered);
      await log.append(stream, say('c'));
      assert.deepEqual(await log.append(stream, keyed), { kind: 'duplicate', first: 1, last: 1 });
      assert.deepEqual(await log.append(stream, numbered), { kind: 'duplicate', first: 2, last: 2, producerSeq: 0 });
    });

    test('L14: an old fence, a producer that is not in line and a close are told first', async () => {
      const { log } = suite;
      const stream = await freshStream(log);
      const behind = decided('a', 9);
      const fence = { consumer: 'run', epoch: 9 };
      assert.deepEqual(await log.append(stream, { ...behind, fence }), { kind: 'fenced', epoch: 0 });
      const producer = { id: 'p', epoch: 0, seq: 1 };
      assert.deepEqual(await log.append(stream, { ...behind, producer }), { kind: 'producer-gap', expectedSeq: 0 });
      await log.append(stream, { records: [], close: true });
      assert.deepEqual(await log.append(stream, behind), { kind: 'closed', head: 0 });
    });

    test('L14: of many decisions at one head, made in one breath, the first counts', async () => {
      const { log } = suite;
      const streams = await Promise.all(range(1, 5).map(() => freshStream(log)));
      for (const stream of streams) await log.append(stream, say('before'));
      for (const head of [1, 2]) {
        const verdicts = await Promise.all(
          streams.flatMap((stream) => range(1, 4).map((n) => log.append(stream, decided(`${head}.${n}`, head)))),
        );
        for (const [index, verdict] of verdicts.entries())
          assert.deepInclude(
            verdict,
            index % 4 === 0 ? { kind: 'appended', first: head + 1 } : { kind: 'behind', head: head + 1 },
          );
      }
      for (const stream of streams) assert.deepEqual(texts(await readAll(log, stream)), ['before', '1.1', '2.1']);
    });
  });

  describe('L5: a verdict concerns its own append', () => {
    test('L5: refused appends between good ones, all in one breath', async () => {
      const { log } = suite;
      const streams = await Promise.all(range(1, 5).map(() => freshStream(log)));
      const calls = streams.flatMap((stream) =>
        range(1, 40).map((n) =>
          log.append(stream, { ...say(String(n)), ...(n % 3 === 0 && { fence: { consumer: 'run', epoch: 5 } }) }),
        ),
      );
      const verdicts = await Promise.all([...calls, log.append(fresh('never'), say('x'))]);
      for (const [index, { kind }] of verdicts.entries()) {
        const expected = index === calls.length ? 'missing' : ((index % 40) + 1) % 3 === 0 ? 'fenced' : 'appended';
        assert.equal(kind, expected);
      }
      const kept = range(1, 40)
        .filter((n) => n % 3 !== 0)
        .map(String);
      for (const stream of streams) assert.deepEqual(texts(await readAll(log, stream)), kept);
    });

    test('L5: verdicts of one stream resolve in the order of the calls', async () => {
      const { log } = suite;
      const stream = await freshStream(log);
      const resolved: number[] = [];
      await Promise.all(
        range(1, 200).map(async (n) => {
          const { first } = appendedOf(await log.append(stream, say(String(n))));
          assert.equal(first, n);
          resolved.push(n);
        }),
      );
      assert.deepEqual(resolved, range(1, 200));
    });
  });
}
