/**
 * The process around it: ports, TLS, signals, what the log of operations may say.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { request } from 'node:https';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { FaultError } from '@holdfast/protocol';
import { expect, onTestFinished, test } from 'vitest';
import { configOf, loadConfig, readLocalGateway, startGateway } from '../src/index.ts';
import { closeAll } from '../src/parts.ts';
import { EventReader, openApi, ROOT } from './harness.ts';
import { TLS_CERT, TLS_KEY } from './tls.ts';

const quiet = { store: { kind: 'memory' }, log: 'silent' } as const;

async function faultOf(starting: Promise<unknown>): Promise<FaultError['fault'] | undefined> {
  return starting.then(
    () => undefined,
    (error: unknown) => (error instanceof FaultError ? error.fault : undefined),
  );
}

test('a port that is taken is a fault that says what to do', async () => {
  const api = await openApi();
  const fault = await faultOf(startGateway(configOf({ ...quiet, port: api.gateway.port })));
  expect(fault?.kind).toBe('address-in-use');
  expect(fault?.detail).toContain('HOLDFAST_PORT');
});

test('R36: whoever is answered finds the new token: a command that outlives a restart is not refused for good', async () => {
  const data = mkdtempSync(join(tmpdir(), 'holdfast-data-'));
  onTestFinished(() => rmSync(data, { recursive: true, force: true }));
  const before = await startGateway(configOf({ port: 0, data, log: 'silent' }));
  const [{ port }, stale] = [before, await readLocalGateway(data)];
  await before.close();
  writeFileSync(join(data, 'gateway.json'), JSON.stringify(stale));

  const starting = startGateway(configOf({ port, data, log: 'silent' }));
  onTestFinished(async () => (await starting).close());
  const headers = { authorization: `Bearer ${stale!.token}` };
  for (;;) {
    const answer = await fetch(`http://127.0.0.1:${port}/v1/me`, { headers }).catch(() => undefined);
    if (answer === undefined) continue;
    expect(answer.status).toBe(401);
    break;
  }
  expect((await readLocalGateway(data))?.token).not.toBe(stale!.token);
});

test('a host that is not of this machine, an agent and a certificate that are not there are faults', async () => {
  expect((await faultOf(startGateway(configOf({ ...quiet, port: 0, host: '203.0.113.7' }))))?.detail).toContain(
    'HOLDFAST_HOST',
  );
  expect((await faultOf(startGateway(configOf({ ...quiet, port: 0, agent: 'oracle' }))))?.detail).toContain(
    'rehearsal',
  );
  expect(
    (await faultOf(startGateway(configOf({ ...quiet, port: 0, tls: { cert: '/nope.pem', key: '/nope.pem' } }))))
      ?.detail,
  ).toContain('HOLDFAST_TLS_CERT');
  const self = fileURLToPath(import.meta.url);
  expect(
    (await faultOf(startGateway(configOf({ ...quiet, port: 0, tls: { cert: self, key: self } }))))?.detail,
  ).toContain('PEM');
});

test('with a certificate it serves https, streams included, and its cookie is secure', async () => {
  const directory = mkdtempSync(join(tmpdir(), 'holdfast-tls-'));
  onTestFinished(() => rmSync(directory, { recursive: true }));
  const [cert, key] = [join(directory, 'cert.pem'), join(directory, 'key.pem')];
  writeFileSync(cert, TLS_CERT);
  writeFileSync(key, TLS_KEY);
  const gateway = await startGateway(configOf({ ...quiet, port: 0, token: ROOT, tls: { cert, key } }));
  onTestFinished(() => gateway.close());
  expect(gateway.url).toMatch(/^https:/);
  const asked = request({
    port: gateway.port,
    host: '127.0.0.1',
    path: '/v1/feed',
    ca: TLS_CERT,
    checkServerIdentity: () => undefined,
    headers: { authorization: `Bearer ${ROOT}` },
  });
  asked.end();
  const [response] = (await once(asked, 'response')) as [NodeJS.ReadableStream];
  const [chunk] = (await once(response, 'data')) as [Buffer];
  expect(chunk.toString()).toContain('event: hello');
  asked.destroy();
});

test('R33: SIGTERM: not ready, readers told goodbye, out with code 0 though a turn would go on', async () => {
  const child = spawn(process.execPath, [fileURLToPath(new URL('gateway-process.ts', import.meta.url))], {
    env: {
      ...process.env,
      HOLDFAST_STORE: 'memory',
      HOLDFAST_PORT: '0',
      HOLDFAST_TOKEN: ROOT,
      HOLDFAST_DRAIN_MS: '500',
      HOLDFAST_CONFIG: '',
      HOLDFAST_LOG: 'silent',
    },
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  onTestFinished(() => void child.kill('SIGKILL'));
  let stdout = '';
  child.stdout.on('data', (chunk: Buffer) => (stdout += chunk.toString()));
  await expect.poll(() => stdout).toMatch(/^holdfast ready http:\/\/127\.0\.0\.1:\d+\n$/);
  const url = stdout.trim().split(' ')[2]!;
  const json = { authorization: `Bearer ${ROOT}`, 'content-type': 'application/json' };
  const { session } = (await (
    await fetch(`${url}/v1/sessions`, { method: 'POST', headers: json, body: '{}' })
  ).json()) as { session: { sessionId: string } };
  await fetch(`${url}/v1/sessions/${session.sessionId}/messages`, {
    method: 'POST',
    headers: json,
    body: '{"text":"/scene long rate=5 tokens=20000"}',
  });
  const reader = await EventReader.open(`${url}/v1/sessions/${session.sessionId}/events?after=0`, { token: ROOT });
  await reader.untilType('text-delta');
  child.kill('SIGTERM');
  expect((await reader.untilType('goodbye')).at(-1)?.json).toMatchObject({ reason: 'shutdown' });
  const [code] = (await once(child, 'exit')) as [number];
  expect(code).toBe(0);
  expect(stdout).toContain('closed');
});

test('no line of the log holds a secret, a text or a query, whatever was asked', async () => {
  const api = await openApi();
  const issued = (await api.call('POST', '/v1/tokens', { subject: 'alice', scopes: ['write'], refresh: true })).body;
  const code = (await api.gateway.startLink()).split('#start=')[1]!;
  const started = await api.call('POST', '/v1/start', { code }, { token: null });
  const cookie = /=(hf_[\w-]+)/.exec(started.headers.get('set-cookie')!)![1]!;
  await api.call('POST', '/v1/tokens/refresh', { refreshToken: issued.refreshToken }, { token: null });
  const id = await api.session();
  await api.send(id, 'a private text');
  await api.call('GET', '/v1/sessions?q=private+query&token=hf_in_a_query_string');
  await api.call('GET', '/v1/me', undefined, { token: 'hf_a_wrong_token_of_somebody' });
  await api.call('POST', '/v1/sessions', '{"token":"hf_in_a_broken_body"');
  await api.call('GET', '/v1/me', undefined, {
    token: null,
    headers: { cookie: `holdfast_${api.gateway.port}=${cookie}`, 'sec-fetch-site': 'same-origin' },
  });
  const lines = api.logLines.join('');
  expect(api.logLines.length).toBeGreaterThan(8);
  expect(lines).toContain('/v1/sessions/{sessionId}/messages');
  expect(lines).not.toMatch(/hf_|private|Bearer|cookie/i);
  for (const secret of [ROOT, issued.accessToken, issued.refreshToken, code, cookie, api.gateway.adminToken])
    expect(lines).not.toContain(secret);
});

test('whose requests are refused for load stands in the log of a gateway that logs in detail', async () => {
  const api = await openApi({ limits: { ...configOf({}).limits, requestsPerS: 1, requestsBurst: 2 } });
  for (let n = 0; n < 4; n += 1) await api.call('GET', '/v1/me');
  const refused = api.logLines
    .map((line) => JSON.parse(line) as Record<string, unknown>)
    .filter((line) => line['msg'] === 'refused');
  expect(refused[0]).toMatchObject({ subject: 'admin', route: '/v1/me', fault: 'rate-limited' });
});

test('errors that quote secrets are logged without them', async () => {
  const { withoutSecrets } = await import('../src/logger.ts');
  const text = withoutSecrets(
    'connect postgres://holdfast:hunter2@db/x failed for Bearer hf_abcdefghijkl and sk-abcdefghijkl',
  );
  expect(text).not.toMatch(/hunter2|abcdefghijkl/);
});

test('metrics count requests by route, faults by name and readers', async () => {
  const api = await openApi();
  await api.stream('/v1/feed');
  await api.call('GET', '/v1/sessions/s_nope');
  const { text } = await api.call('GET', '/metrics');
  expect(text).toMatch(/holdfast_requests_total\{method="get",route="\/v1\/feed",status="200"\} 1/);
  expect(text).toMatch(/holdfast_requests_total\{method="get",route="\/v1\/sessions\/\{sessionId\}",status="404"\} 1/);
  expect(text).toMatch(/holdfast_faults_total\{fault="session-not-found"\} 1/);
  expect(text).toMatch(/^holdfast_readers 1$/m);
});

test('no more turns run at once than HOLDFAST_TURNS_MAX; the next one waits and starts when one ends', async () => {
  const config = loadConfig({ HOLDFAST_TURNS_MAX: '1' }, tmpdir());
  if (config.kind === 'wrong') throw new Error(config.problems.join());
  const api = await openApi({ limits: config.config.limits });
  const turns = async (): Promise<string> =>
    (await api.call('GET', '/metrics')).text
      .split('\n')
      .filter((line) => line.startsWith('holdfast_turns_'))
      .join();
  const [first, second] = [await api.session(), await api.session()];
  const { body } = await api.send(first, '/scene long tokens=20000 rate=50');
  await expect.poll(turns).toBe('holdfast_turns_running 1,holdfast_turns_waiting 0');
  const waiting = await api.stream(`/v1/sessions/${second}/events?after=0`);
  await api.send(second, '/scene plain tokens=5');
  await expect.poll(turns).toBe('holdfast_turns_running 1,holdfast_turns_waiting 1');
  await api.call('POST', `/v1/sessions/${first}/turns/${body.turnId}/stop`, { queue: 'keep' });
  await waiting.until(({ event }) => event === 'turn-end');
});

test('what fails to close is told, and keeps nothing else open', async () => {
  const seen: unknown[] = [];
  const broken = new Error('EROFS');
  const fails = (): Promise<void> => Promise.reject(broken);
  await closeAll([() => void seen.push('first'), fails, () => void seen.push('last')], (error) => seen.push(error));
  expect(seen).toEqual(['first', broken, 'last']);
});

test('a closed gateway leaves no socket, timer or reader of its own', async () => {
  const before = process.getActiveResourcesInfo().filter((kind) => kind !== 'PipeWrap').length;
  const gateway = await startGateway(configOf({ ...quiet, port: 0, token: ROOT, drainMs: 0 }));
  const reader = await EventReader.open(`${gateway.url}/v1/feed`, { token: ROOT });
  await reader.next();
  await gateway.close();
  expect(await reader.ended()).toBe('clean');
  await expect.poll(() => process.getActiveResourcesInfo().filter((kind) => kind === 'TCPServerWrap').length).toBe(0);
  await expect
    .poll(() => process.getActiveResourcesInfo().filter((kind) => kind !== 'PipeWrap').length)
    .toBeLessThanOrEqual(before + 1);
});
