/**
 * Two gateways on one PostgreSQL, without sticky sessions: whatever is asked of one holds on the other.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { startPostgres } from '@holdfast/testing/postgres';
import { configOf, startGateway } from '../src/index.ts';
import { EventReader, ROOT, type Json } from './harness.ts';

test('post on one node, read, stop and go on with the cursor on the other; a token that one revokes ends its stream on the other within a second', async () => {
  await using server = await startPostgres();
  const url = await server.createDatabase('gateways');
  const directory = mkdtempSync(join(tmpdir(), 'holdfast-nodes-'));
  onTestFinished(() => rmSync(directory, { recursive: true, force: true }));
  const config = configOf({
    port: 0,
    host: '127.0.0.1',
    token: ROOT,
    log: 'silent',
    drainMs: 200,
    data: directory,
    store: { kind: 'postgres', url },
  });
  const [a, b] = [await startGateway(config), await startGateway(config)];
  const closeBoth = async (): Promise<void> => void (await Promise.all([a.close(), b.close()]));
  onTestFinished(closeBoth);
  const ask = async (node: { readonly url: string }, method: string, path: string, body?: object): Promise<Json> => {
    const headers = { authorization: `Bearer ${ROOT}`, 'content-type': 'application/json' };
    const response = await fetch(node.url + path, {
      method,
      headers,
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
    return response.status === 204 ? undefined : response.json();
  };

  await ask(a, 'POST', '/v1/sessions', { sessionId: 's_1' });
  const issued = await ask(a, 'POST', '/v1/tokens', { subject: 'admin', scopes: ['write'] });
  const onB = await EventReader.open(`${b.url}/v1/sessions/s_1/events?after=0`, { token: issued.accessToken });
  const sent = await ask(a, 'POST', '/v1/sessions/s_1/messages', { text: '/scene long rate=30', clientId: 'c1' });
  const seen = await onB.untilType('text-delta');
  expect(await ask(b, 'POST', '/v1/sessions/s_1/messages', { text: '/scene long rate=30', clientId: 'c1' })).toEqual({
    ...sent,
    duplicate: true,
  });

  const startedMs = performance.now();
  await ask(a, 'DELETE', `/v1/tokens/${issued.tokenId}`);
  const rest = await onB.untilType('goodbye');
  expect(rest.at(-1)?.json).toEqual({ reason: 'auth-expired' });
  expect(performance.now() - startedMs).toBeLessThan(1_000);

  expect(await ask(b, 'POST', `/v1/sessions/s_1/turns/${sent.turnId}/stop`, {})).toMatchObject({ result: 'stopping' });
  const last = [...seen, ...rest].findLast(({ id }) => id !== undefined)!;
  const onA = await EventReader.open(`${a.url}/v1/sessions/s_1/events?after=${last.id}`, { token: ROOT });
  const tail = (await onA.untilType('stream-end')).slice(1);
  expect(tail.map(({ json }) => json.seq)).toEqual(tail.map((_, index) => last.json.seq + 1 + index));
  expect(tail.find(({ event }) => event === 'turn-end')?.json).toMatchObject({ outcome: 'cancelled' });
  await closeBoth();
});
