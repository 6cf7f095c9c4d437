/** R94, P5: a store that gives no answer is told as an outage, whatever was asked. */
import { systemClock } from '@holdfast/log';
import { MemoryStore, openMemoryLog } from '@holdfast/log/memory';
import { fault, FaultError } from '@holdfast/protocol/fault';
import { expect, test } from 'vitest';
import { openApi, type Api } from './harness.ts';

const AWAY = fault('storage-unavailable', 'The store gives no answer.', { retryAfterMs: 1_000 });

/** A gateway whose store can be taken away. */
async function openWithStore() {
  let isAway = false;
  const step = (): Promise<void> => (isAway ? Promise.reject(new FaultError(AWAY)) : Promise.resolve());
  const log = openMemoryLog({ clock: systemClock, store: new MemoryStore(), step });
  const api = await openApi({}, { log });
  return { api, take: () => (isAway = true), giveBack: () => (isAway = false) };
}

const HASH = 'a'.repeat(64);
const requests = (sessionId: string): readonly (readonly [string, string, unknown?])[] => [
  ['GET', '/v1/sessions'],
  ['GET', '/v1/sessions?q=word'],
  ['POST', '/v1/sessions', {}],
  ['GET', `/v1/sessions/s_never_seen`],
  ['PATCH', `/v1/sessions/${sessionId}`, { pinned: true }],
  ['POST', `/v1/sessions/${sessionId}/unread`, { readSeq: 1 }],
  ['DELETE', `/v1/sessions/${sessionId}`],
  ['POST', `/v1/sessions/${sessionId}/messages`, { text: 'hi' }],
  ['GET', `/v1/sessions/${sessionId}/messages?before=t_1`],
  ['GET', '/v1/grants'],
  ['DELETE', '/v1/grants/shell'],
  ['GET', `/v1/blobs/${HASH}`],
  ['POST', '/v1/tokens', { subject: 'ann', scopes: ['read'] }],
];

const askAll = (api: Api, sessionId: string, token?: string) =>
  Promise.all(
    requests(sessionId).map(async ([method, path, body]) => {
      const { status, body: problem } = await api.call(method, path, body, token === undefined ? {} : { token });
      return { what: `${method} ${path}`, status, fault: problem?.fault, retry: typeof problem?.retryAfterMs };
    }),
  );

test('R94, P5: with the store away every route that needs it answers 503 with its advice, and the log tells no bug', async () => {
  const { api, take, giveBack } = await openWithStore();
  const sessionId = await api.session();
  const { token } = await api.issue('ann', 'write');
  take();
  for (const answer of [...(await askAll(api, sessionId)), ...(await askAll(api, sessionId, token)).slice(0, 3)])
    expect(answer).toEqual({ what: answer.what, status: 503, fault: 'storage-unavailable', retry: 'number' });
  expect(api.logLines.filter((line) => line.includes('"bug"'))).toEqual([]);
  giveBack();
  expect((await api.call('GET', '/v1/sessions')).status).toBe(200);
  expect((await api.send(sessionId, 'hi')).status).toBe(202);
});

test('R94, P5: an unknown token, refresh token or start code is 503 as long as nobody can know it', async () => {
  const { api, take, giveBack } = await openWithStore();
  const ask = async () => [
    (await api.call('GET', '/v1/sessions', undefined, { token: 'hf_a_token_that_nobody_has' })).status,
    (await api.call('POST', '/v1/tokens/refresh', { refreshToken: 'hf_a_token_that_nobody_has' }, { token: null }))
      .status,
    (await api.call('POST', '/v1/start', { code: 'hf_a_code_that_nobody_has' }, { token: null })).status,
  ];
  take();
  expect(await ask()).toEqual([503, 503, 503]);
  giveBack();
  expect(await ask()).toEqual([401, 401, 401]);
});

test('R94, P5: a gateway is ready only as long as its store takes writes', async () => {
  const { api, take, giveBack } = await openWithStore();
  const ready = () =>
    api.call('GET', '/readyz', undefined, { token: null }).then(({ status, body }) => [status, body.why]);
  await expect.poll(ready).toEqual([200, 'ready']);
  take();
  await expect.poll(ready, { timeout: 10_000 }).toEqual([503, 'storage-unavailable']);
  giveBack();
  await expect.poll(ready, { timeout: 10_000 }).toEqual([200, 'ready']);
});
