/** L3, L8, L9, L10: who may write, whose work it is, and for how long. */
import { assert, describe, test } from 'vitest';
import type { AcquireVerdict } from '../port.ts';
import { bytes, fresh, freshHolder, freshStream, range, readAll, say } from './harness.ts';
import type { Suite } from './harness.ts';

export function describeConsumers(suite: Suite): void {
  const acquire = async (
    stream: string,
    consumer: string,
    holder: string,
  ): Promise<Extract<AcquireVerdict, { kind: 'acquired' }>> => {
    const verdict = await suite.log.consumers.acquire(stream, consumer, holder);
    assert(verdict.kind === 'acquired', JSON.stringify(verdict));
    return verdict;
  };
  const pending = (consumer: string, limit = 100, after = '') =>
    suite.log.consumers.pending(consumer, { limit, after });

  describe('L3: the fence', () => {
    test('L3, R9: an old epoch writes nothing once another has acquired', async () => {
      const { log } = suite;
      const stream = await freshStream(log);
      const [one, two] = [await freshHolder(suite), await freshHolder(suite)];
      const first = await acquire(stream, 'run', one);
      const by = (epoch: number) => log.append(stream, { ...say(`by ${epoch}`), fence: { consumer: 'run', epoch } });
      assert.deepInclude(await by(first.epoch), { kind: 'appended', first: 1 });
      assert.deepInclude(await log.consumers.acquire(stream, 'run', two), { kind: 'held', holder: one });
      await log.holders.leave(one);
      const second = await acquire(stream, 'run', two);
      assert.isAbove(second.epoch, first.epoch);
      assert.deepEqual(await by(first.epoch), { kind: 'fenced', epoch: second.epoch });
      assert.deepInclude(await by(second.epoch), { kind: 'appended', first: 2 });
    });

    test('L3: acquiring again raises the epoch for the same holder too', async () => {
      const stream = await freshStream(suite.log);
      const holder = await freshHolder(suite);
      const epochs = [];
      for (let n = 0; n < 3; n += 1) epochs.push((await acquire(stream, 'run', holder)).epoch);
      assert.isBelow(epochs[0]!, epochs[1]!);
      assert.isBelow(epochs[1]!, epochs[2]!);
    });

    test('L3: a take-over in mid-burst lets nothing of the old owner in after it', async () => {
      const { log } = suite;
      const stream = await freshStream(log);
      const [one, two] = [await freshHolder(suite), await freshHolder(suite)];
      const { epoch } = await acquire(stream, 'run', one);
      const burst = range(1, 100).map(() => log.append(stream, { ...say('old'), fence: { consumer: 'run', epoch } }));
      await log.holders.leave(one);
      const taken = await acquire(stream, 'run', two);
      const verdicts = await Promise.all(burst);
      const written = verdicts.filter(({ kind }) => kind === 'appended').length;
      assert.isTrue(verdicts.every(({ kind }, index) => kind === (index < written ? 'appended' : 'fenced')));
      assert.equal((await readAll(log, stream)).length, written);
      assert.equal(taken.head, written, 'the new owner knows the head as it stays');
    });

    test('L3: fences of several consumers do not concern each other', async () => {
      const { log } = suite;
      const stream = await freshStream(log);
      const holder = await freshHolder(suite);
      const run = await acquire(stream, 'run', holder);
      await acquire(stream, 'index', holder);
      await acquire(stream, 'index', holder);
      const verdict = await log.append(stream, { ...say('x'), fence: { consumer: 'run', epoch: run.epoch } });
      assert.equal(verdict.kind, 'appended');
    });
  });

  describe('L8: release', () => {
    test('R18, L8: it succeeds at the head alone', async () => {
      const { log } = suite;
      const stream = await freshStream(log);
      const holder = await freshHolder(suite);
      const { epoch } = await acquire(stream, 'run', holder);
      await log.append(stream, say('a'));
      const table = fresh('table');
      const rows = [{ table, key: 'r', order: 1, value: bytes('row') }];
      assert.deepEqual(await log.consumers.release(stream, 'run', { epoch, upTo: 0, rows }), {
        kind: 'behind',
        head: 1,
      });
      assert.isUndefined(await log.rows.get(table, stream, 'r'));
      assert.deepEqual(await log.consumers.release(stream, 'run', { epoch, upTo: 1, rows }), { kind: 'released' });
      assert.isDefined(await log.rows.get(table, stream, 'r'));
      const again = await acquire(stream, 'run', await freshHolder(suite));
      assert.equal(again.acked, 1);
    });

    test('R3, L8: only the current epoch releases, and once', async () => {
      const { log } = suite;
      const stream = await freshStream(log);
      const holder = await freshHolder(suite);
      const old = await acquire(stream, 'run', holder);
      const { epoch } = await acquire(stream, 'run', holder);
      const release = (epoch: number) => log.consumers.release(stream, 'run', { epoch, upTo: 0 });
      assert.deepEqual(await release(old.epoch), { kind: 'lost' });
      assert.deepEqual(await release(epoch + 1), { kind: 'lost' });
      assert.deepEqual(await release(epoch), { kind: 'released' });
      assert.deepEqual(await release(epoch), { kind: 'lost' });
      assert.deepEqual(await log.consumers.release(stream, 'nobody', { epoch: 0, upTo: 0 }), { kind: 'lost' });
    });

    test('D3, L8: an append that races a release is seen by the owner or makes the consumer pending', async () => {
      const { log } = suite;
      for (let n = 0; n < 20; n += 1) {
        const holder = await freshHolder(suite);
        const consumer = fresh('run');
        const stream = await freshStream(log);
        const { epoch } = await acquire(stream, consumer, holder);
        const [first, released, second] = await Promise.all([
          n % 2 === 0 ? log.append(stream, say('early')) : undefined,
          log.consumers.release(stream, consumer, { epoch, upTo: 0 }),
          log.append(stream, say('late')),
        ]);
        assert.isTrue(first === undefined || first.kind === 'appended');
        assert.equal(second.kind, 'appended');
        if (released.kind === 'released') assert.deepEqual(await pending(consumer), [stream]);
        else assert.equal(released.kind, 'behind');
      }
    });
  });

  describe('L9: pending', () => {
    test('L9: work nobody has taken is pending from the first record on', async () => {
      const { log } = suite;
      const consumer = fresh('run');
      const stream = await freshStream(log, { consumers: [consumer] });
      const unlisted = await freshStream(log);
      assert.deepEqual(await pending(consumer), []);
      await Promise.all([log.append(stream, say('a')), log.append(unlisted, say('a'))]);
      assert.deepEqual(await pending(consumer), [stream]);
      const born = await freshStream(log, { consumers: [consumer], first: say('a') });
      assert.sameMembers([...(await pending(consumer))], [stream, born]);
    });

    test('L8, L9: held work is not pending, released work is again with the next record', async () => {
      const { log } = suite;
      const consumer = fresh('run');
      const stream = await freshStream(log, { consumers: [consumer], first: say('a') });
      const holder = await freshHolder(suite);
      const { epoch, head } = await acquire(stream, consumer, holder);
      assert.deepEqual(await pending(consumer), []);
      await log.consumers.release(stream, consumer, { epoch, upTo: head });
      assert.deepEqual(await pending(consumer), []);
      await log.append(stream, say('b'));
      assert.deepEqual(await pending(consumer), [stream]);
    });

    test('L9: a consumer whose holder left with work undone is pending, with none is not', async () => {
      const { log } = suite;
      const consumer = fresh('run');
      const [busy, idle] = [await freshStream(log), await freshStream(log)];
      const holder = await freshHolder(suite);
      for (const stream of [busy, idle]) await acquire(stream, consumer, holder);
      await log.append(busy, say('a'));
      assert.deepEqual(await pending(consumer), []);
      await log.holders.leave(holder);
      assert.deepEqual(await pending(consumer), [busy]);
    });

    test('L9: it pages in order of name', async () => {
      const { log } = suite;
      const consumer = fresh('run');
      const streams = await Promise.all(
        range(1, 7).map(() => freshStream(log, { consumers: [consumer], first: say('a') })),
      );
      const seen: string[] = [];
      for (;;) {
        const page = await pending(consumer, 3, seen.at(-1));
        if (page.length === 0) break;
        assert.isAtMost(page.length, 3);
        seen.push(...page);
      }
      assert.deepEqual(seen, streams.toSorted());
    });

    test('L9: a wake time makes it pending by itself, and a dying holder does not lose it', async () => {
      const { log } = suite;
      const consumer = fresh('run');
      const stream = await freshStream(log);
      const holder = await freshHolder(suite);
      const { epoch } = await acquire(stream, consumer, holder);
      assert.isUndefined(await log.consumers.nextWakeMs(consumer));
      const wakeMs = Math.min(suite.leaseMs / 2, 1000);
      await log.consumers.release(stream, consumer, { epoch, upTo: 0, wakeAt: (await log.now()) + wakeMs });
      assert.deepEqual(await pending(consumer), []);
      const next = (await log.consumers.nextWakeMs(consumer)) ?? -1;
      assert.isTrue(next > 0 && next <= wakeMs, String(next));
      await suite.elapse(wakeMs + 1);
      assert.deepEqual(await pending(consumer), [stream]);
      assert.equal(await log.consumers.nextWakeMs(consumer), 0);
      await log.holders.renew(holder, suite.leaseMs);
      const woken = await acquire(stream, consumer, holder);
      assert.deepEqual(await pending(consumer), []);
      assert.isUndefined(await log.consumers.nextWakeMs(consumer));
      await log.holders.leave(holder);
      assert.deepEqual(await pending(consumer), [stream]);
      assert.deepEqual(await log.consumers.release(stream, consumer, { epoch: woken.epoch, upTo: 0 }), {
        kind: 'released',
      });
      assert.deepEqual(await pending(consumer), []);
    });

    test('L9: another process finds the work of a dead one', async ({ skip }) => {
      if (!suite.openSecond) return skip('one process alone has this store');
      const { log } = suite;
      const consumer = fresh('run');
      const stream = await freshStream(log);
      const holder = await freshHolder(suite);
      await acquire(stream, consumer, holder);
      await log.append(stream, say('a'));
      const second = await suite.openSecond(log);
      await second.holders.renew(`${holder}-2`, suite.leaseMs * 10);
      assert.deepEqual(await second.consumers.pending(consumer, { limit: 10 }), []);
      await suite.elapse(suite.leaseMs + 1);
      assert.deepEqual(await second.consumers.pending(consumer, { limit: 10 }), [stream]);
      assert.equal((await second.consumers.acquire(stream, consumer, `${holder}-2`)).kind, 'acquired');
      await second.close();
    });
  });

  describe('L10: leases run by the clock of the store', () => {
    test('L10, R79: an expired holder is refused until it renews, and then holds what no other holder acquired', async ({
      skip,
    }) => {
      const { log } = suite;
      if (log.holders.exclusive) return skip('no time ends a lease here');
      const [kept, taken] = [await freshStream(log), await freshStream(log)];
      const holder = await freshHolder(suite);
      const { epoch } = await acquire(kept, 'run', holder);
      const other = await acquire(taken, 'run', holder);
      await suite.elapse(suite.leaseMs / 2);
      assert.deepEqual(await log.holders.renew(holder, suite.leaseMs), { kind: 'alive', taken: [] });
      await suite.elapse(suite.leaseMs / 2 + 1);
      const held = await log.consumers.acquire(kept, 'run', await freshHolder(suite));
      assert(held.kind === 'held');
      assert.isTrue(held.holder === holder && held.remainingMs > 0 && held.remainingMs <= suite.leaseMs / 2);
      await suite.elapse(suite.leaseMs / 2 + 1);
      assert.deepEqual(await log.consumers.acquire(kept, 'run', holder), { kind: 'lost' });
      const next = await acquire(taken, 'run', await freshHolder(suite));
      assert.deepEqual([next.epoch, next.previous], [other.epoch + 1, 'expired']);
      const believed = [
        { stream: kept, consumer: 'run', epoch },
        { stream: taken, consumer: 'run', epoch: other.epoch },
      ];
      assert.deepEqual(await log.holders.renew(holder, suite.leaseMs, believed), { kind: 'alive', taken: [taken] });
      assert.equal((await log.consumers.acquire(kept, 'run', await freshHolder(suite))).kind, 'held');
      const fenced = await log.append(kept, { ...say('a'), fence: { consumer: 'run', epoch } });
      assert.equal(fenced.kind, 'appended');
      assert.deepEqual(await log.consumers.release(kept, 'run', { epoch, upTo: 1 }), { kind: 'released' });
    });

    test('L10, R79: in an exclusive store no time ends a lease', async ({ skip }) => {
      const { log } = suite;
      if (!log.holders.exclusive) return skip('several processes share this store');
      const stream = await freshStream(log);
      const holder = await freshHolder(suite);
      await acquire(stream, 'run', holder);
      await suite.elapse(suite.leaseMs * 100);
      assert.equal((await log.consumers.acquire(stream, 'run', await freshHolder(suite))).kind, 'held');
      await log.holders.leave(holder);
      const next = await acquire(stream, 'run', await freshHolder(suite));
      assert.equal(next.previous, 'ended');
    });

    test('L10: a holder that left or never renewed cannot hold', async () => {
      const { log } = suite;
      const stream = await freshStream(log);
      const holder = await freshHolder(suite);
      await log.holders.leave(holder);
      assert.deepEqual(await log.holders.renew(holder, suite.leaseMs), { kind: 'lost' });
      assert.deepEqual(await log.consumers.acquire(stream, 'run', holder), { kind: 'lost' });
      assert.deepEqual(await log.consumers.acquire(stream, 'run', fresh('stranger')), { kind: 'lost' });
      assert.deepEqual(await log.consumers.acquire(fresh('never'), 'run', holder), { kind: 'missing' });
    });
  });
}
