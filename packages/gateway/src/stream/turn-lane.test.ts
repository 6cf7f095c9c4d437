import { expect, test } from 'vitest';
import type { EntryBody, MessageId, TurnId } from '@holdfast/protocol';
import type { Delivery, LogRecord } from '@holdfast/log';
import type { Reader } from './reader.ts';
import { TurnLane } from './turn-lane.ts';

const recordsOf = (...entries: object[]): readonly LogRecord[] =>
  entries.map((entry, n) => ({
    seq: n + 1,
    at: 0,
    tag: 1,
    bytes: new TextEncoder().encode(JSON.stringify(entry as EntryBody)),
  }));
const start = (id: string, ...messageIds: string[]): object => ({
  type: 'turn-start',
  turnId: `t_${id}`,
  messageId: `a_${id}`,
  messageIds,
  agent: 'x',
  attempt: 1,
});

/** What the lane of the turn `t_1`, whose message waits, comes to after one batch; `coming` are the turns that are there. */
async function after(records: readonly LogRecord[], coming: readonly string[]): Promise<string> {
  const said = Promise.withResolvers<string>();
  const deliveries: Delivery[] = [{ kind: 'records', records }];
  const reader = {
    offer: () => queueMicrotask(() => lane.sent()),
    goodbye: ({ reason, fault }: { reason: string; fault?: string }) => said.resolve(`${reason} ${fault}`),
    finish: () => said.resolve('finished'),
  } as unknown as Reader;
  const subscription = {
    next: () => {
      const delivery = deliveries.shift();
      if (delivery === undefined) said.resolve('reads on');
      return delivery === undefined ? new Promise<Delivery>(() => undefined) : Promise.resolve(delivery);
    },
    poll: () => undefined,
    cancel: () => undefined,
  };
  const lane = new TurnLane({
    reader,
    turnId: 't_1' as TurnId,
    subscription,
    waitsFor: 'm_1' as MessageId,
    isComing: (turnId) => Promise.resolve(coming.includes(turnId)),
    onError: (error) => said.reject(error),
  });
  lane.start();
  return said.promise;
}

const withdrawn = { type: 'message-withdraw', clientId: 'c', author: 'a', messageId: 'm_1' };
const stopped = { type: 'stop', clientId: 'c', author: 'a', turnId: 't_0', queue: 'keep' };

test('a turn that was begun just after its message was withdrawn ends its stream with a goodbye', async () => {
  expect(await after(recordsOf(withdrawn, start('1', 'm_1')), [])).toBe('session-refused turn-not-found');
  expect(await after(recordsOf(withdrawn), [])).toBe('session-refused turn-not-found');
});

test('a turn that begins after a stop of another one is read on, under whichever name it is answered', async () => {
  expect(await after(recordsOf(stopped, start('1', 'm_1')), ['t_1'])).toBe('reads on');
  expect(await after(recordsOf(stopped, start('0', 'm_0', 'm_1')), ['t_0'])).toBe('reads on');
});
