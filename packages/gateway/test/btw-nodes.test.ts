/** Side questions where requests come to any node, and where the process that answers dies. */
import { once } from 'node:events';
import { expect, test } from 'vitest';
import { ask, startPair, startProcess, temporaryDirectory, type Node } from './gateways.ts';
import { EventReader, ROOT, type StreamEvent } from './harness.ts';

const open = ({ url }: Node, path: string, body?: object): Promise<EventReader> =>
  EventReader.open(url + path, { token: ROOT, ...(body === undefined ? {} : { body }) });
const BTW = '/v1/sessions/s_1/btw';
const idIn = (events: readonly StreamEvent[]): string =>
  events.find(({ event }) => event === 'btw-start')?.json.btwId as string;

async function withTurn(node: Node): Promise<void> {
  await ask(node, 'POST', '/v1/sessions', { sessionId: 's_1' });
  const { turnId } = await ask(node, 'POST', '/v1/sessions/s_1/messages', { text: '/scene plain tokens=5 rate=0' });
  await (await open(node, `/v1/sessions/s_1/turns/${turnId}/stream`)).untilType('stream-end');
}

test('C1, C2: asked on one node; read on, asked again, cancelled, kept and erased with its session on the other', async () => {
  const [a, b] = await startPair();
  await withTurn(a);

  const long = { question: '/scene plain tokens=2000 rate=50 seed=3', clientId: 'q_1' };
  const onA = await open(a, BTW, long);
  const seen = await onA.untilType('btw-delta');
  const btwId = idIn(seen);
  const again = await open(b, BTW, long);
  expect(idIn(await again.untilType('btw-start'))).toBe(btwId);
  const onB = await open(b, `${BTW}/${btwId}?after=${seen.at(-1)?.id}`);
  await onB.untilType('btw-delta');
  onA.close();
  expect(await ask(b, 'DELETE', `${BTW}/${btwId}`)).toEqual({ btwId, result: 'cancelling' });
  expect((await onB.untilType('btw-end')).at(-1)?.json.outcome).toBe('cancelled');

  const short = await (await open(a, BTW, { question: '/scene plain tokens=9 rate=0' })).untilType('btw-end');
  const kept = await ask(b, 'POST', `${BTW}/${idIn(short)}/keep`);
  expect(kept).toMatchObject({ result: 'kept', duplicate: false });
  expect(await ask(a, 'POST', `${BTW}/${idIn(short)}/keep`)).toEqual({ ...kept, duplicate: true });
  const { view } = await ask(a, 'GET', '/v1/sessions/s_1');
  expect(view.messages.at(-1).btws).toHaveLength(1);

  const orphan = await open(a, BTW, { question: '/scene plain tokens=2000 rate=50' });
  await orphan.untilType('btw-delta');
  await ask(b, 'DELETE', '/v1/sessions/s_1');
  expect((await orphan.untilType('goodbye')).at(-1)?.json.reason).toBe('session-deleted');
});

test('C2: kill -9 in mid-answer: the reader goes on from its cursor and is told that it was interrupted', async () => {
  const directory = temporaryDirectory();
  const first = await startProcess(directory);
  await withTurn(first);
  const reader = await open(first, BTW, { question: '/scene plain tokens=2000 rate=50' });
  const seen = await reader.untilType('btw-delta');
  first.child.kill('SIGKILL');
  await once(first.child, 'exit');

  const second = await startProcess(directory);
  const btwId = idIn(seen);
  const after = await open(second, `${BTW}/${btwId}?after=${seen.at(-1)?.id}`);
  const rest = await after.untilType('btw-end');
  expect(rest.at(-1)?.json).toMatchObject({ outcome: 'interrupted', fault: 'owner-lost' });
  expect(await ask(second, 'POST', `${BTW}/${btwId}/keep`)).toMatchObject({
    fault: 'btw-unfinished',
    facts: { state: 'interrupted' },
  });
});
