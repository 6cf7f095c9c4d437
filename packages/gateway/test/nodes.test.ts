/**
 * Two gateways on one PostgreSQL, without sticky sessions: whatever is asked of one holds on the other.
 */
import { expect, test } from 'vitest';
import { ask, startPair } from './gateways.ts';
import { EventReader, ROOT } from './harness.ts';

/** Streams end by what is told, or not within the time of a test. */
const NO_SWEEP = { sweepMs: 3_600_000 };

test('post on one node, read, stop and go on with the cursor on the other; a token that one revokes ends its stream on the other, by what the log says', async () => {
  const [a, b] = await startPair({ readers: NO_SWEEP });

  await ask(a, 'POST', '/v1/sessions', { sessionId: 's_1' });
  const issued = await ask(a, 'POST', '/v1/tokens', { subject: 'admin', scopes: ['write'] });
  const onB = await EventReader.open(`${b.url}/v1/sessions/s_1/events?after=0`, { token: issued.accessToken });
  const sent = await ask(a, 'POST', '/v1/sessions/s_1/messages', { text: '/scene long rate=30', clientId: 'c1' });
  const seen = await onB.untilType('text-delta');
  expect(await ask(b, 'POST', '/v1/sessions/s_1/messages', { text: '/scene long rate=30', clientId: 'c1' })).toEqual({
    ...sent,
    duplicate: true,
  });

  await ask(a, 'DELETE', `/v1/tokens/${issued.tokenId}`);
  const rest = await onB.untilType('goodbye');
  expect(rest.at(-1)?.json).toEqual({ reason: 'auth-expired' });

  expect(await ask(b, 'POST', `/v1/sessions/s_1/turns/${sent.turnId}/stop`, {})).toMatchObject({ result: 'stopping' });
  const last = [...seen, ...rest].findLast(({ id }) => id !== undefined)!;
  const onA = await EventReader.open(`${a.url}/v1/sessions/s_1/events?after=${last.id}`, { token: ROOT });
  const tail = (await onA.untilType('stream-end')).slice(1);
  expect(tail.map(({ json }) => json.seq)).toEqual(tail.map((_, index) => last.json.seq + 1 + index));
  expect(tail.find(({ event }) => event === 'turn-end')?.json).toMatchObject({ outcome: 'cancelled' });
});
