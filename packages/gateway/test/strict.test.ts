/** R83: a request that says something the gateway would not heed is refused, and the fault names it. */
import { connect } from 'node:net';
import { HandClock } from '@holdfast/testing/hand-clock';
import * as fc from 'fast-check';
import { expect, onTestFinished, test } from 'vitest';
import { BODY_IDLE_MS } from '../src/http/idle-body.ts';
import { queryNames } from '../src/http/query.ts';
import { openApi, ROOT, type Api } from './harness.ts';

/** Sends bytes; resolves with what came back when the other side closes. */
function exchange(api: Api, request: string, onConnect: (write: (text: string) => void) => void = () => undefined) {
  const closed = Promise.withResolvers<string>();
  const socket = connect(api.gateway.port, '127.0.0.1', () => {
    socket.write(request);
    onConnect((text) => void socket.write(text));
  });
  let text = '';
  socket.on('data', (chunk) => (text += chunk.toString('latin1')));
  socket.on('close', () => closed.resolve(text));
  socket.on('error', () => closed.resolve(text));
  onTestFinished(() => void socket.destroy());
  return closed.promise;
}

test('R83: every /v1 route refuses a query parameter that it does not know, and names the nearest one', async () => {
  const api = await openApi();
  const { body } = await api.call('GET', '/openapi.json');
  const gets = Object.entries(body.paths as Record<string, Record<string, unknown>>).filter(
    ([path, methods]) => path.startsWith('/v1/') && 'get' in methods && !path.includes('{'),
  );
  expect(gets.length).toBeGreaterThan(4);
  for (const [path] of gets) {
    const answer = await api.call('GET', `${path}?surely-unknown=1`);
    expect([path, answer.status, answer.body.detail]).toEqual([path, 400, expect.stringContaining('surely-unknown')]);
  }
  const misspelt = await api.call('GET', '/v1/sessions?limti=5');
  expect(misspelt.body.detail).toContain('Did you mean limit?');
  const twice = await api.call('GET', '/v1/sessions?limit=5&limit=6');
  expect(twice.body).toMatchObject({ status: 400, detail: expect.stringContaining('given 2 times') });
  const long = await api.call('GET', `/v1/sessions?${'x'.repeat(5_000)}=1`);
  expect(long.text.length).toBeLessThan(1_000);
});

test('R83: the query of each route is an object whose names can be listed', async () => {
  const api = await openApi();
  for (const { path, query } of api.gateway.routes)
    if (query !== undefined) expect([path, queryNames(query).length]).not.toEqual([path, 0]);
});

test('R83: an Idempotency-Key beside another client id is refused, beside the same one it is taken', async () => {
  const api = await openApi();
  const sessionId = await api.session();
  const path = `/v1/sessions/${sessionId}/messages`;
  const headers = { 'idempotency-key': 'one' };
  const other = await api.call('POST', path, { text: 'hi', clientId: 'two' }, { headers });
  expect(other.body).toMatchObject({ status: 400, detail: expect.stringContaining('Idempotency-Key') });
  expect((await api.call('POST', path, { text: 'hi', clientId: 'one' }, { headers })).status).toBe(202);
});

test('R83: a number that JSON does not carry exactly is refused, any other is taken', async () => {
  const api = await openApi();
  const sessionId = await api.session();
  const post = (readSeq: string) =>
    fetch(`${api.url}/v1/sessions/${sessionId}`, {
      method: 'PATCH',
      headers: { authorization: `Bearer ${ROOT}`, 'content-type': 'application/json' },
      body: `{"readSeq":${readSeq}}`,
    }).then(async (response) => [response.status, await response.text()] as const);
  await fc.assert(
    fc.asyncProperty(fc.bigInt({ min: 2n ** 53n, max: 2n ** 70n }), async (number) => {
      const [status, text] = await post(String(number));
      expect(status).toBe(400);
      expect(text).toContain(`The number ${number} cannot be kept`);
    }),
    { numRuns: 20 },
  );
  expect((await post('1e999'))[1]).toContain('cannot be kept');
  expect((await post('1'))[0]).toBe(200);
});

test('R83: an absolute-form target for another host is refused, also with our name in Host', async () => {
  const api = await openApi();
  const request = (target: string) =>
    exchange(
      api,
      `GET ${target} HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer ${ROOT}\r\nConnection: close\r\n\r\n`,
    );
  expect(await request('http://evil.example/v1/me')).toMatch(/^HTTP\/1.1 421 /);
  expect(await request(`http://127.0.0.1:${api.gateway.port}/v1/me`)).toMatch(/^HTTP\/1.1 200 /);
});

test('R83: a body without a byte for 30 s is cut off, one that moves slowly is not', async () => {
  const clock = new HandClock();
  const api = await openApi({}, { clock });
  const sessionId = await api.session();
  const head = (bytes: number) =>
    `POST /v1/sessions/${sessionId}/messages HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer ${ROOT}\r\n` +
    `Content-Type: application/json\r\nContent-Length: ${bytes}\r\nConnection: close\r\n\r\n`;
  const text = '{"text":"slowly"}';
  const silent = exchange(api, `${head(1_000)}{`);
  const connected = Promise.withResolvers<(part: string) => void>();
  const slow = exchange(api, head(text.length), connected.resolve);
  const write = await connected.promise;
  for (const part of text) {
    await new Promise(setImmediate);
    write(part);
    // The byte has arrived when the next answer of the same loop is there.
    await api.call('GET', '/v1/me');
    clock.pass(BODY_IDLE_MS - 1);
  }
  expect(await slow).toMatch(/^HTTP\/1.1 202 /);
  expect(await silent).toBe('');
});

test('R83: a path that is neither a route nor a page answers with a problem, whatever is asked for', async () => {
  const api = await openApi();
  for (const [path, accept] of [
    ['/settings', 'text/html'],
    ['/v2/sessions', '*/*'],
    ['/s/a/b', 'text/html'],
    ['/', 'application/json'],
  ] as const) {
    const answer = await api.call('GET', path, undefined, { token: null, headers: { accept } });
    expect([path, answer.status, answer.headers.get('content-type')]).toEqual([path, 404, 'application/problem+json']);
  }
  for (const path of ['/', '/s/some-session']) {
    const answer = await api.call('GET', path, undefined, { token: null, headers: { accept: 'text/html,*/*;q=0.8' } });
    expect(answer.headers.get('content-type')).toContain('text/html');
  }
});
