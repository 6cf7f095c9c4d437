/** What one session's log has lost is no other's trouble. */
import type { ClientId, SessionId } from '@holdfast/protocol';
import { expect, test } from 'vitest';
import { echo, fresh, scripted, World } from './world.ts';

test('an entry that cannot be read refuses its session, in words; others run, and it can be deleted', async () => {
  const world = await World.open([scripted(echo)]);
  const sessionId = fresh('s') as SessionId;
  const open = { type: 'session-open', sessionId, clientId: 'open' as ClientId, author: 'ann' } as const;
  await world.service.create(open);
  await world.service.snapshot(sessionId);
  // Heard while its view is live, and read when it is made anew.
  await world.log.append(`session/${sessionId}`, {
    records: [new TextEncoder().encode('{"type":"text-delta","te\u0000t":')],
  });
  const refusal = { kind: 'fault', fault: { kind: 'storage-unavailable', detail: expect.stringContaining('Entry 2') } };
  for (let asked = 0; asked < 3; asked += 1) expect(await world.service.snapshot(sessionId)).toMatchObject(refusal);
  const message = { ...open, type: 'message', messageId: 'm' as never, text: 'hello', whenBusy: 'queue' } as const;
  expect(await world.service.submit(sessionId, { ...message, clientId: 'c' as ClientId })).toMatchObject(refusal);

  await world.say('hello');
  expect((await world.idle()).messages.at(-1)?.text).toBe('hello ');
  expect(await world.service.delete(sessionId)).toMatchObject({ kind: 'ok' });
  expect(await world.service.snapshot(sessionId)).toMatchObject({ fault: { kind: 'session-deleted' } });
  await world.close();
});
