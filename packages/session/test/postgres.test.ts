import { expect, test } from 'vitest';
import type { ClientId, MessageId, SessionId } from '@holdfast/protocol';
import { openPostgresLog } from '@holdfast/log/postgres';
import { startPostgres } from '@holdfast/testing/postgres';
import { openSessionService } from '../src/index.ts';
import { echo, fresh, scripted } from './world.ts';

test('R5: two nodes on one database run one agent a session, and both see the same', async () => {
  await using server = await startPostgres();
  const url = await server.createDatabase('nodes');
  const logs = [await openPostgresLog({ url, node: 'a' }), await openPostgresLog({ url, node: 'b' })];
  const services = await Promise.all(
    logs.map((log) => openSessionService({ log, agents: [scripted(echo)], randomId: () => fresh('holder') })),
  );
  const sessionId = fresh('s') as SessionId;
  await services[0]?.create({ type: 'session-open', sessionId, clientId: fresh('c') as ClientId, author: 'ann' });
  const sent = await Promise.all(
    Array.from({ length: 20 }, (_, n) =>
      (services[n % 2] ?? services[0]!).submit(sessionId, {
        type: 'message',
        messageId: fresh('m') as MessageId,
        clientId: fresh('c') as ClientId,
        author: 'ann',
        text: `message-${n}`,
        whenBusy: 'queue',
      }),
    ),
  );
  expect(sent.every((receipt) => receipt.kind === 'ok')).toBe(true);
  const subscription = logs[1]!.subscribe(`session/${sessionId}`, 0);
  for (;;) {
    const found = await services[1]!.snapshot(sessionId);
    if (
      found.kind === 'ok' &&
      found.view.turns.length === 20 &&
      found.view.turn === null &&
      found.view.closing === null
    ) {
      const answers = found.view.messages
        .filter((message) => message.role === 'assistant')
        .map((message) => message.text.trim());
      expect(answers.toSorted()).toEqual(Array.from({ length: 20 }, (_, n) => `message-${n}`).toSorted());
      break;
    }
    await subscription.next();
  }
  subscription.cancel();
  for (const service of services) await service.close();
  for (const log of logs) await log.close();
});
