import { expect, test } from 'vitest';
import { Hub } from '../src/subscription.ts';

test('L6: of what is known of and not there, as a failover leaves it, nobody asks again and again', async () => {
  let reads = 0;
  let pauses = 0;
  const hub = new Hub({
    read: async () => {
      reads += 1;
      if (reads > 10) return new Promise(() => undefined);
      return { kind: 'page', records: [], head: 1, floor: 0, closed: false } as never;
    },
    pause: () => {
      pauses += 1;
      return new Promise(() => undefined);
    },
  });
  const reader = hub.subscribe('s/1', 1, { tag: 7 });
  void reader.next();
  hub.advanced('s/1', 2, false);
  for (let tick = 0; tick < 1_000; tick += 1) await Promise.resolve();
  expect(reads).toBeLessThanOrEqual(3);
  expect(pauses).toBe(1);
  // What a failover took back is looked for, seen or not.
  expect(hub.tips()).toEqual([{ stream: 's/1', seq: 1, tag: 7, head: 2 }]);
});
