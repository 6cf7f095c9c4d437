/** L6, L7: what a reader sees. */
import * as fc from 'fast-check';
import { assert, describe, test } from 'vitest';
import type { LogRecord, Subscription } from '../port.ts';
import { fresh, freshStream, range, readAll, recordsOf, say, seqs, takeUpTo, texts } from './harness.ts';
import type { Suite } from './harness.ts';

export function describeReaders(suite: Suite): void {
  describe('L6: a reader sees each later record once, in order, without a gap', () => {
    test('L6: catch up, then live', async () => {
      const { log } = suite;
      const stream = await freshStream(log);
      await log.append(stream, say('a', 'b', 'c'));
      const reader = log.subscribe(stream, 1);
      assert.deepEqual(texts(recordsOf(await reader.next())), ['b', 'c']);
      const waiting = reader.next();
      await log.append(stream, say('d'));
      assert.deepEqual(texts(recordsOf(await waiting)), ['d']);
      reader.cancel();
    });

    test('R52, L6: readers that attach at any moment of a burst see all of it once', async () => {
      await fc.assert(
        fc.asyncProperty(
          fc.array(
            fc.record({
              records: fc.integer({ min: 1, max: 4 }),
              attachAt: fc.option(fc.nat({ max: 60 })),
              wait: fc.boolean(),
            }),
            { minLength: 5, maxLength: 40 },
          ),
          fc.integer({ min: 10, max: 400 }),
          async (script, batchBytesMax) => {
            const { log } = suite;
            const stream = await freshStream(log);
            const total = script.reduce((sum, { records }) => sum + records, 0);
            const readers: Promise<void>[] = [];
            let head = 0;
            const appends: Promise<unknown>[] = [];
            for (const { records, attachAt, wait } of script) {
              if (attachAt !== null) {
                const after = Math.min(attachAt, head);
                readers.push(seesAll(log.subscribe(stream, after, { batchBytesMax }), after, total));
              }
              appends.push(
                log.append(stream, say(...range(head + 1, head + records).map((n) => `${n}:${'x'.repeat(n % 50)}`))),
              );
              head += records;
              if (wait) await appends.at(-1);
              if (wait && records === 2) await log.pack(stream, head);
            }
            await Promise.all([...appends, ...readers]);
          },
        ),
        { numRuns: suite.runs },
      );
    });

    test('L6: a batch is bounded; one record may be larger', async () => {
      const { log } = suite;
      const stream = await freshStream(log);
      await log.append(stream, say('x'.repeat(60), 'x'.repeat(60), 'x'.repeat(500), 'x'));
      const reader = log.subscribe(stream, 0, { batchBytesMax: 130 });
      assert.deepEqual(seqs(recordsOf(await reader.next())), [1, 2]);
      assert.deepEqual(seqs(recordsOf(await reader.next())), [3]);
      assert.deepEqual(seqs(recordsOf(await reader.next())), [4]);
      await log.append(stream, say('x'.repeat(60), 'x'.repeat(60), 'x'.repeat(60)));
      assert.deepEqual(seqs(recordsOf(reader.poll())), [5, 6]);
      assert.deepEqual(seqs(recordsOf(reader.poll())), [7]);
      assert.isUndefined(reader.poll());
      reader.cancel();
    });

    test('L6: a reader that slept through far more than is kept for it reads on from the store', async () => {
      const { log } = suite;
      const stream = await freshStream(log);
      await log.append(stream, say('first'));
      const reader = log.subscribe(stream, 0);
      await takeUpTo(reader, 1);
      for (let n = 0; n < 40; n += 1) await log.append(stream, say(...range(1, 10).map(() => 'x'.repeat(4000))));
      assert.deepEqual(seqs(await takeUpTo(reader, 401)), range(2, 401));
      reader.cancel();
    });

    test('L6: the ends are told: closed, deleted, truncated, missing, cancelled', async () => {
      const { log } = suite;
      const stream = await freshStream(log);
      await log.append(stream, say('a', 'b'));
      const live = log.subscribe(stream, 2);
      const waiting = live.next();
      await log.append(stream, { ...say('c'), close: true });
      assert.deepEqual(texts(recordsOf(await waiting)), ['c']);
      assert.deepEqual(await live.next(), { kind: 'closed' });
      assert.deepEqual(await live.next(), { kind: 'closed' });
      const late = log.subscribe(stream, 0);
      assert.deepEqual(texts(recordsOf(await late.next())), ['a', 'b', 'c']);
      assert.deepEqual(await late.next(), { kind: 'closed' });
      assert.deepEqual(await log.subscribe(stream, 3).next(), { kind: 'closed' });

      const other = await freshStream(log);
      await log.append(other, say('a', 'b', 'c'));
      await log.truncate(other, 2);
      assert.deepEqual(await log.subscribe(other, 1).next(), { kind: 'truncated', floor: 2, head: 3 });
      const onOther = log.subscribe(other, 3);
      const end = onOther.next();
      await log.delete(other);
      assert.deepEqual(await end, { kind: 'deleted' });
      assert.deepEqual(await log.subscribe(other, 0).next(), { kind: 'deleted' });
      assert.deepEqual(await log.subscribe(fresh('never'), 0).next(), { kind: 'missing' });

      const third = log.subscribe(await freshStream(log), 0);
      const pending = third.next();
      third.cancel();
      third.cancel();
      assert.deepEqual(await pending, { kind: 'cancelled' });
      assert.deepEqual(third.poll(), { kind: 'cancelled' });
    });

    test('L6: a close without a record wakes who waits', async () => {
      const { log } = suite;
      const stream = await freshStream(log);
      const reader = log.subscribe(stream, 0);
      const end = reader.next();
      await log.append(stream, { records: [], close: true });
      assert.deepEqual(await end, { kind: 'closed' });
    });

    test('L6: readers of one stream share its records', async () => {
      const { log } = suite;
      const stream = await freshStream(log);
      const readers = range(1, 3).map(() => log.subscribe(stream, 0));
      const waiting = readers.map((reader) => reader.next());
      await log.append(stream, say('a'));
      const [one, ...others] = (await Promise.all(waiting)).map((delivery) => recordsOf(delivery)[0]);
      for (const other of others) assert.strictEqual(other, one);
      for (const reader of readers) reader.cancel();
    });

    test('L6: a reader in another process sees everything too', async ({ skip }) => {
      if (!suite.openSecond) return skip('one process alone has this store');
      const { log } = suite;
      const second = await suite.openSecond(log);
      const stream = await freshStream(log);
      const readers = [log, second].map((from) => from.subscribe(stream, 0));
      const seen = readers.map((reader) => takeUpTo(reader, 60));
      await Promise.all(range(1, 60).map((n) => (n % 2 === 0 ? log : second).append(stream, say(String(n)))));
      for (const records of await Promise.all(seen)) assert.deepEqual(seqs(records), range(1, 60));
      const ends = readers.map((reader) => reader.next());
      await second.delete(stream);
      assert.deepEqual(await Promise.all(ends), [{ kind: 'deleted' }, { kind: 'deleted' }]);
      await second.close();
    });
  });

  describe('L7: what is appended can be polled', () => {
    test('L7: by the time an append resolves, caught-up readers can poll it', async () => {
      const { log } = suite;
      const stream = await freshStream(log);
      await log.append(stream, say('a'));
      const reader = log.subscribe(stream, 0);
      await takeUpTo(reader, 1);
      for (const size of [1, 50, 100_000, 300_000, 10]) {
        await log.append(stream, say('x'.repeat(size), 'y'.repeat(size)));
        const polled: LogRecord[] = [];
        for (let got = reader.poll(); got; got = reader.poll()) polled.push(...recordsOf(got));
        assert.equal(polled.length, 2, `two records of ${size} bytes`);
      }
      reader.cancel();
    });

    test('L7: also where many appends resolve together', async () => {
      const { log } = suite;
      const stream = await freshStream(log);
      await log.append(stream, say('a'));
      const reader = log.subscribe(stream, 0);
      await takeUpTo(reader, 1);
      let seen = 1;
      await Promise.all(
        range(2, 60).map(async (seq) => {
          await log.append(stream, say('x'.repeat(5000)));
          for (let got = reader.poll(); got; got = reader.poll()) seen = recordsOf(got).at(-1)!.seq;
          assert.isAtLeast(seen, seq);
        }),
      );
      assert.deepEqual((await readAll(log, stream)).length, 60);
      reader.cancel();
    });
  });
}

async function seesAll(reader: Subscription, after: number, upTo: number): Promise<void> {
  const records = upTo > after ? await takeUpTo(reader, upTo) : [];
  reader.cancel();
  assert.deepEqual(seqs(records), range(after + 1, upTo));
  for (const record of records) assert.match(texts([record])[0]!, new RegExp(`^${record.seq}:x{${record.seq % 50}}$`));
}
