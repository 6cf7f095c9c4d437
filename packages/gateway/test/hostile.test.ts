/**
 * Input that nobody honest sends, and input that honest programs send by mistake: each gets one clear fault, and the gateway goes on.
 */
import { connect } from 'node:net';
import { expect, onTestFinished, test } from 'vitest';
import { configOf } from '../src/index.ts';
import { openApi, ROOT, type Api } from './harness.ts';

const { limits } = configOf({});
const small = { limits: { ...limits, bodyBytesMax: 4_096, bodyDepthMax: 8 } };

/** Bytes as they are, and all that comes back until the other side closes or `isEnough`. */
function raw(
  api: Api,
  chunks: readonly (string | Uint8Array)[],
  isEnough: (text: string) => boolean = () => false,
  after: 'open' | 'half-closed' = 'open',
): Promise<string> {
  return new Promise((resolve) => {
    const socket = connect(api.gateway.port, '127.0.0.1');
    let text = '';
    const done = () => {
      socket.destroy();
      resolve(text);
    };
    socket.on('data', (chunk) => {
      text += chunk.toString('latin1');
      if (isEnough(text)) done();
    });
    socket.on('close', done);
    socket.on('error', done);
    for (const chunk of chunks) socket.write(chunk);
    if (after === 'half-closed') socket.end();
    onTestFinished(() => void socket.destroy());
  });
}

const head = (path: string, ...headers: string[]): string =>
  [
    `POST ${path} HTTP/1.1`,
    'Host: 127.0.0.1',
    `Authorization: Bearer ${ROOT}`,
    'Content-Type: application/json',
    ...headers,
    '',
    '',
  ].join('\r\n');

async function isAlive(api: Api): Promise<boolean> {
  return (await api.call('GET', '/v1/me')).status === 200;
}

const withBody = (path: string, bytes: Uint8Array): (string | Uint8Array)[] => [
  head(path, `Content-Length: ${bytes.length}`, 'Connection: close'),
  bytes,
];
const utf8 = (text: string): Uint8Array => new TextEncoder().encode(text);

test.each([
  ['not JSON', utf8('{"text": '), 'invalid-json'],
  ['two values', utf8('{} {}'), 'invalid-json'],
  ['invalid UTF-8', new Uint8Array([0x7b, 0x22, 0xff, 0xfe, 0x22, 0x7d]), 'invalid-utf8'],
  ['a cut-off character', new Uint8Array([...utf8('{"text":"'), 0xe2, 0x82, ...utf8('"}')]), 'invalid-utf8'],
  ['an overlong slash', new Uint8Array([...utf8('{"text":"'), 0xc0, 0xaf, ...utf8('"}')]), 'invalid-utf8'],
  ['a deep array', utf8('['.repeat(1_000)), 'too-deep'],
  ['a deep object', utf8('{"a":'.repeat(9) + '1' + '}'.repeat(9)), 'too-deep'],
  ['a body that is no object', utf8('"text"'), 'invalid-request'],
  ['null', utf8('null'), 'invalid-request'],
  ['a text that is a number', utf8('{"text":1}'), 'invalid-request'],
  ['an unknown field', utf8('{"text":"a","whenbusy":"queue"}'), 'invalid-request'],
  ['a client id of other signs', utf8('{"text":"a","clientId":"../x"}'), 'invalid-request'],
  ['nothing', utf8('{}'), 'invalid-request'],
  ['more than the limit', utf8(JSON.stringify({ text: 'x'.repeat(5_000) })), 'body-too-large'],
])('%s is refused by name', async (_what, bytes, fault) => {
  const api = await openApi(small);
  const id = await api.session();
  const text = await raw(api, withBody(`/v1/sessions/${id}/messages`, bytes));
  expect(text).toContain(`"fault":"${fault}"`);
  expect(text.toLowerCase()).toContain('content-type: application/problem+json');
  expect((await api.call('GET', `/v1/sessions/${id}`)).body.seq).toBe(1);
});

test('brackets inside strings are no depth', async () => {
  const api = await openApi(small);
  const id = await api.session();
  expect((await api.send(id, `${'['.repeat(500)}\\"{{{`)).status).toBe(202);
});

test('a chunked body without a length is measured as it comes, and the connection ends', async () => {
  const api = await openApi(small);
  const id = await api.session();
  const chunk = `400\r\n${'x'.repeat(0x400)}\r\n`;
  const text = await raw(api, [
    head(`/v1/sessions/${id}/messages`, 'Transfer-Encoding: chunked'),
    '9\r\n{"text":"\r\n',
    ...Array.from({ length: 6 }, () => chunk),
  ]);
  expect(text).toContain('"fault":"body-too-large"');
  expect(text.toLowerCase()).toContain('connection: close');
  expect(await isAlive(api)).toBe(true);
});

test('a body that never ends costs the one who sends it alone', async () => {
  const api = await openApi(small);
  const id = await api.session();
  const socket = connect(api.gateway.port, '127.0.0.1');
  onTestFinished(() => void socket.destroy());
  socket.on('error', () => undefined);
  socket.write(head(`/v1/sessions/${id}/messages`, 'Content-Length: 100'));
  socket.write('{"text":');
  expect((await api.send(id, 'meanwhile')).status).toBe(202);
  socket.destroy();
  expect(await isAlive(api)).toBe(true);
});

test('a sender who leaves in mid-body is no bug of ours', async () => {
  const api = await openApi(small);
  const id = await api.session();
  await raw(api, [head(`/v1/sessions/${id}/messages`, 'Content-Length: 100'), '{"text":'], undefined, 'half-closed');
  await expect
    .poll(async () => (await api.call('GET', '/metrics')).text)
    .toContain('route="/v1/sessions/{sessionId}/messages",status="400"} 1');
  expect(api.logLines.filter((line) => line.includes('"level":50'))).toEqual([]);
  expect((await api.call('GET', `/v1/sessions/${id}`)).body.seq).toBe(1);
});

test.each([
  ['another content type', { 'content-type': 'text/plain' }, 'unsupported-media-type'],
  ['a compressed body', { 'content-encoding': 'gzip' }, 'unsupported-media-type'],
  ['a form', { 'content-type': 'application/x-www-form-urlencoded' }, 'unsupported-media-type'],
])('%s is refused', async (_what, headers, fault) => {
  const api = await openApi();
  const id = await api.session();
  const answer = await api.call('POST', `/v1/sessions/${id}/messages`, '{"text":"a"}', { headers });
  expect(answer.body).toMatchObject({ status: 415, fault });
});

test.each([
  ['/v1/nope', 'GET', 'route-not-found', 404],
  ['/v1/sessions/s_nope', 'GET', 'session-not-found', 404],
  ['/v1/sessions/s_nope/events', 'GET', 'session-not-found', 404],
  ['/v1/sessions/s%00x', 'GET', 'invalid-request', 400],
  ['/v1/sessions/..%2f..%2fetc', 'GET', 'invalid-request', 400],
  [`/v1/sessions/${'x'.repeat(200)}`, 'GET', 'invalid-request', 400],
  ['/v1/sessions?limit=-1', 'GET', 'invalid-request', 400],
  ['/v1/sessions?limit=1e9', 'GET', 'invalid-request', 400],
  ['/v1/sessions?cursor=x', 'GET', 'invalid-request', 400],
  ['/v1/sessions', 'PUT', 'method-not-allowed', 405],
  ['/v1/me', 'DELETE', 'method-not-allowed', 405],
  ['/v1/blobs/zzzz', 'GET', 'invalid-request', 400],
  [`/v1/blobs/${'0'.repeat(64)}`, 'GET', 'blob-not-found', 404],
  ['/v1/grants/shell', 'DELETE', 'grant-not-found', 404],
  ['/v1/tokens/tk_nope', 'DELETE', 'token-not-found', 404],
  ['/v1/feed?after=-1', 'GET', 'invalid-cursor', 400],
])('%s by %s is %s', async (path, method, fault, status) => {
  const api = await openApi();
  const answer = await api.call(method, path);
  expect(answer).toMatchObject({ status, body: { fault, status, type: `urn:holdfast:fault:${fault}` } });
  expect(answer.headers.get('content-type')).toBe('application/problem+json');
  if (fault === 'method-not-allowed') expect(answer.headers.get('allow')).toBeTruthy();
});

test('Allow names the methods of what was asked for, not of what is beside it', async () => {
  const api = await openApi();
  const allowed = async (path: string): Promise<string | null> => (await api.call('PUT', path)).headers.get('allow');
  expect(await allowed('/v1/tokens/link')).toBe('POST');
  expect(await allowed('/v1/tokens/tk_1')).toBe('DELETE');
});

test('HEAD is answered where there is an end, and refused for a stream', async () => {
  const api = await openApi();
  expect((await api.call('HEAD', '/healthz')).status).toBe(200);
  expect((await api.call('HEAD', '/v1/me')).status).toBe(200);
  expect((await api.call('HEAD', '/v1/feed')).status).toBe(405);
});

test('cursors in a body are looked at one by one', async () => {
  const api = await openApi();
  const answer = await api.call('POST', '/v1/events', { cursors: { s_1: '12' } });
  expect(answer.body).toMatchObject({ fault: 'invalid-cursor' });
  const many = Object.fromEntries(Array.from({ length: 1_001 }, (_, n) => [`s_${n}`, null]));
  expect((await api.call('POST', '/v1/events', { cursors: many })).body).toMatchObject({ fault: 'invalid-request' });
});

test('a stranger’s body is not read before the token is', async () => {
  const api = await openApi(small);
  const answer = await api.call('POST', '/v1/sessions', 'x'.repeat(100_000), { token: 'hf_wrong' });
  expect(answer.body).toMatchObject({ status: 401, fault: 'unauthorized' });
  expect(answer.headers.get('www-authenticate')).toContain('Bearer');
});

test('guessing tokens does not reach the store more than ten times a second', async () => {
  const api = await openApi();
  const startedMs = performance.now();
  let stats = 0;
  const { stat } = api.log;
  api.log.stat = (stream) => {
    if (stream === 'tokens/main') stats += 1;
    return stat.call(api.log, stream);
  };
  await Promise.all(
    Array.from({ length: 300 }, (_, n) => api.call('GET', '/v1/me', undefined, { token: `hf_guess_${n}` })),
  );
  expect(stats).toBeLessThanOrEqual(Math.ceil((performance.now() - startedMs) / 100) + 1);
});

test.each([
  'GARBAGE\r\n\r\n',
  'GET / HTTP/9.9\r\n\r\n',
  `GET /${'a'.repeat(20_000)} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n`,
  '\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03',
])('what is no HTTP (%#) gets a 4xx or a closed door', async (bytes) => {
  const api = await openApi();
  expect(await raw(api, [bytes, '\r\n\r\n'])).toMatch(/^$|^HTTP\/1\.1 (400|431|505)/);
  expect(await isAlive(api)).toBe(true);
});

test('an answer to one request is never the answer to the rest of another', async () => {
  const api = await openApi(small);
  const id = await api.session();
  const smuggled = `GET /v1/sessions HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer ${ROOT}\r\n\r\n`;
  const body = '{"text":"' + 'x'.repeat(5_000);
  const text = await raw(api, [
    head(`/v1/sessions/${id}/messages`, `Content-Length: ${body.length + smuggled.length}`),
    body,
    smuggled,
  ]);
  expect(text.match(/HTTP\/1\.1 /g)).toHaveLength(1);
  expect(text).toContain('HTTP/1.1 413');
});

test('blobs: bytes come back as they were, by hash, in a sandbox; too many are refused', async () => {
  const api = await openApi({ limits: { ...limits, blobBytesMax: 100_000 } });
  const bytes = Uint8Array.from({ length: 90_000 }, (_, n) => (n * 7) % 256);
  const put = async (content: Uint8Array, type: string) => {
    const response = await fetch(`${api.url}/v1/blobs`, {
      method: 'POST',
      headers: { authorization: `Bearer ${ROOT}`, 'content-type': type },
      body: content as BodyInit,
    });
    return {
      status: response.status,
      body: (await response.json()) as { hash: string; bytes: number; fault?: string },
    };
  };
  const stored = await put(bytes, 'text/html');
  expect(stored).toMatchObject({ status: 201, body: { bytes: bytes.length } });
  const response = await fetch(`${api.url}/v1/blobs/${stored.body.hash}`, {
    headers: { authorization: `Bearer ${ROOT}` },
  });
  expect(new Uint8Array(await response.arrayBuffer())).toEqual(bytes);
  expect(response.headers.get('content-type')).toBe('text/html');
  expect(response.headers.get('content-security-policy')).toContain('sandbox');
  expect(response.headers.get('content-disposition')).toBe('attachment');
  expect(response.headers.get('content-length')).toBe(String(bytes.length));
  expect((await put(new Uint8Array(200_000), 'image/png')).body).toMatchObject({ fault: 'body-too-large' });
  expect((await put(bytes, 'text/html\u00ff')).body).toMatchObject({ fault: 'unsupported-media-type' });
});
