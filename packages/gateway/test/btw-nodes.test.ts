/** Side questions where requests come to any node, and where the process that answers dies. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, onTestFinished, test } from 'vitest';
import { startPostgres } from '@holdfast/testing/postgres';
import { configOf, startGateway } from '../src/index.ts';
import { EventReader, ROOT, type Json, type StreamEvent } from './harness.ts';

interface Node {
  readonly url: string;
}
const ask = async ({ url }: Node, method: string, path: string, body?: object): Promise<Json> => {
  const headers = { authorization: `Bearer ${ROOT}`, 'content-type': 'application/json' };
  const response = await fetch(url + path, {
    method,
    headers,
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  });
  return response.json();
};
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
  await using server = await startPostgres();
  const url = await server.createDatabase('btws');
  const directory = mkdtempSync(join(tmpdir(), 'holdfast-btw-'));
  onTestFinished(() => rmSync(directory, { recursive: true, force: true }));
  const config = configOf({
    port: 0,
    token: ROOT,
    log: 'silent',
    drainMs: 200,
    data: directory,
    store: { kind: 'postgres', url },
  });
  const [a, b] = [await startGateway(config), await startGateway(config)];
  const closeBoth = async (): Promise<void> => void (await Promise.all([a.close(), b.close()]));
  onTestFinished(closeBoth);
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
  await fetch(`${b.url}/v1/sessions/s_1`, { method: 'DELETE', headers: { authorization: `Bearer ${ROOT}` } });
  expect((await orphan.untilType('goodbye')).at(-1)?.json.reason).toBe('session-deleted');
  await closeBoth();
});

test('C2: kill -9 in mid-answer: the reader goes on from its cursor and is told that it was interrupted', async () => {
  const directory = mkdtempSync(join(tmpdir(), 'holdfast-btw-'));
  onTestFinished(() => rmSync(directory, { recursive: true, force: true }));
  const start = async (): Promise<Node & { kill(): Promise<void> }> => {
    const child = spawn(process.execPath, [fileURLToPath(new URL('gateway-process.ts', import.meta.url))], {
      env: {
        ...process.env,
        HOLDFAST_STORE: 'sqlite',
        HOLDFAST_DATA: directory,
        HOLDFAST_PORT: '0',
        HOLDFAST_TOKEN: ROOT,
        HOLDFAST_CONFIG: '',
        HOLDFAST_LOG: 'error',
      },
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    onTestFinished(() => void child.kill('SIGKILL'));
    let said = '';
    child.stdout.on('data', (chunk: Buffer) => (said += chunk.toString()));
    await expect.poll(() => said, { timeout: 20_000 }).toMatch(/^holdfast ready http/);
    const kill = async (): Promise<void> => {
      child.kill('SIGKILL');
      await once(child, 'exit');
    };
    return { url: said.trim().split(' ')[2]!, kill };
  };
  const first = await start();
  await withTurn(first);
  const reader = await open(first, BTW, { question: '/scene plain tokens=2000 rate=50' });
  const seen = await reader.untilType('btw-delta');
  await first.kill();

  const second = await start();
  const btwId = idIn(seen);
  const after = await open(second, `${BTW}/${btwId}?after=${seen.at(-1)?.id}`);
  const rest = await after.untilType('btw-end');
  expect(rest.at(-1)?.json).toMatchObject({ outcome: 'interrupted', fault: 'owner-lost' });
  expect(await ask(second, 'POST', `${BTW}/${btwId}/keep`)).toMatchObject({
    fault: 'btw-unfinished',
    facts: { state: 'interrupted' },
  });
}, 40_000);
