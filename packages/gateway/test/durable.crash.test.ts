/**
 * A gateway on SQLite that is killed with SIGKILL in mid-turn and started again: what a reader had seen is there, once, and goes on.
 */
import { once } from 'node:events';
import { statSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { readLocalGateway } from '../src/index.ts';
import { ask, startProcess, temporaryDirectory } from './gateways.ts';
import { EventReader, ROOT } from './harness.ts';

test('R27, R33: kill -9 in mid-turn: the cursor is served, nothing is lost or doubled, the turn ends interrupted, a token still works', async () => {
  const directory = temporaryDirectory();
  const first = await startProcess(directory);
  await ask(first, 'POST', '/v1/sessions', { sessionId: 's_1' });
  const { accessToken } = await ask(first, 'POST', '/v1/tokens', { subject: 'admin', scopes: ['write'] });
  const sent = await ask(first, 'POST', '/v1/sessions/s_1/messages', {
    text: '/scene long rate=50',
    clientId: 'c1',
  });
  const before = await EventReader.open(`${first.url}/v1/sessions/s_1/events?after=0`, { token: ROOT });
  let deltas = 0;
  const seen = (await before.until(({ event }) => event === 'text-delta' && (deltas += 1) === 10)).slice(1);

  first.child.kill('SIGKILL');
  await once(first.child, 'exit');
  expect(await before.ended()).toBe('broken');

  const second = await startProcess(directory);
  const again = await ask(second, 'POST', '/v1/sessions/s_1/messages', {
    text: '/scene long rate=50',
    clientId: 'c1',
  });
  expect(again).toEqual({ ...sent, duplicate: true });
  const after = await EventReader.open(`${second.url}/v1/sessions/s_1/events?after=${seen.at(-1)!.id}`, {
    token: accessToken,
  });
  const rest = (await after.untilType('stream-end')).slice(1);
  const whole = await EventReader.open(`${second.url}/v1/sessions/s_1/events?after=0`, { token: ROOT });
  const all = (await whole.untilType('stream-end')).slice(1);
  expect([...seen, ...rest].map(({ id, data }) => [id, data])).toEqual(all.map(({ id, data }) => [id, data]));
  expect(rest.find(({ event }) => event === 'turn-end')?.json).toMatchObject({ outcome: 'interrupted' });
  second.child.kill('SIGTERM');
  await once(second.child, 'exit');
});

test('a program beside it finds the gateway by a file that only its user can read', async () => {
  const directory = temporaryDirectory();
  const { url, child } = await startProcess(directory);
  const local = await readLocalGateway(directory);
  expect(local).toMatchObject({ url, pid: child.pid });
  expect(statSync(join(directory, 'gateway.json')).mode & 0o777).toBe(0o600);
  const me = await fetch(`${url}/v1/me`, { headers: { authorization: `Bearer ${local!.token}` } });
  expect(await me.json()).toMatchObject({ subject: 'admin' });
  child.kill('SIGTERM');
  await once(child, 'exit');
  expect(await readLocalGateway(directory)).toBeUndefined();
});
