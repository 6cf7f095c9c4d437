/**
 * Who may do what: every route with every kind of caller. The routes are the gateway's own table, so that a new one cannot be
 * forgotten: without a request for it here this test fails.
 */
import { expect, test } from 'vitest';
import type { Right, Route } from '../src/http/route.ts';
import { openApi, type Api, type Json } from './harness.ts';

type Caller = 'nobody' | 'read' | 'write' | 'admin' | 'other';
const CALLERS: readonly Caller[] = ['nobody', 'read', 'write', 'admin', 'other'];

/** What each caller gets: refused by name, or let in (whatever the route then says). */
const EXPECTED: Readonly<Record<Right, Readonly<Record<Caller, 'in' | 401 | 403>>>> = {
  open: { nobody: 'in', read: 'in', write: 'in', admin: 'in', other: 'in' },
  read: { nobody: 401, read: 'in', write: 'in', admin: 'in', other: 'in' },
  write: { nobody: 401, read: 403, write: 'in', admin: 'in', other: 'in' },
  tools: { nobody: 401, read: 403, write: 403, admin: 'in', other: 403 },
  admin: { nobody: 401, read: 403, write: 403, admin: 'in', other: 403 },
};

/** A body for every route that wants one. `undefined`: it takes none. */
const BODIES: Readonly<Record<string, unknown>> = {
  'post /v1/sessions': {},
  'get /v1/sessions': undefined,
  'get /v1/sessions/{sessionId}': undefined,
  'patch /v1/sessions/{sessionId}': { pinned: true },
  'post /v1/sessions/{sessionId}/unread': {},
  'delete /v1/sessions/{sessionId}': undefined,
  'get /v1/sessions/{sessionId}/messages': undefined,
  'post /v1/sessions/{sessionId}/messages': { text: 'hello' },
  'patch /v1/sessions/{sessionId}/messages/{messageId}': { text: 'hello' },
  'delete /v1/sessions/{sessionId}/messages/{messageId}': {},
  'post /v1/sessions/{sessionId}/messages/{messageId}/regenerate': {},
  'patch /v1/sessions/{sessionId}/queue': { messageIds: ['m_1'] },
  'get /v1/sessions/{sessionId}/branches': undefined,
  'patch /v1/sessions/{sessionId}/branch': { turnId: 't_1' },
  'get /v1/sessions/{sessionId}/turns/{turnId}': undefined,
  'post /v1/sessions/{sessionId}/turns/{turnId}/stop': {},
  'post /v1/sessions/{sessionId}/turns/{turnId}/steer': { text: 'hello' },
  'post /v1/sessions/{sessionId}/prompts/{promptId}': { answer: 'once' },
  'post /v1/sessions/{sessionId}/tools/{toolId}': { ok: true, output: '' },
  'post /v1/sessions/{sessionId}/btw': { question: 'hello' },
  'get /v1/sessions/{sessionId}/btw/{btwId}': undefined,
  'delete /v1/sessions/{sessionId}/btw/{btwId}': undefined,
  'post /v1/sessions/{sessionId}/btw/{btwId}/keep': undefined,
  'get /v1/sessions/{sessionId}/events': undefined,
  'post /v1/events': { cursors: {} },
  'post /v1/events/{streamId}': { add: {} },
  'get /v1/feed': undefined,
  'get /v1/sessions/{sessionId}/turns/{turnId}/stream': undefined,
  'get /v1/sessions/{sessionId}/export': undefined,
  'post /v1/import': 'bytes',
  'post /v1/blobs': 'bytes',
  'get /v1/blobs/{hash}': undefined,
  'get /v1/agents': undefined,
  'get /v1/grants': undefined,
  'delete /v1/grants/{tool}': undefined,
  'post /v1/terminals': {},
  'get /v1/terminals': undefined,
  'get /v1/terminals/{terminalId}': undefined,
  'get /v1/terminals/{terminalId}/stream': undefined,
  'post /v1/terminals/{terminalId}/ack': { reader: 1, offset: 0 },
  'post /v1/terminals/{terminalId}/input': 'bytes',
  'post /v1/terminals/{terminalId}/resize': { reader: 1, cols: 80, rows: 24 },
  'delete /v1/terminals/{terminalId}': undefined,
  'post /v1/tokens': { subject: 'carol', scopes: ['read'] },
  'get /v1/tokens': undefined,
  'post /v1/tokens/refresh': { refreshToken: 'hf_nope' },
  'delete /v1/tokens/{tokenId}': undefined,
  'post /v1/tokens/link': undefined,
  'post /v1/start': { code: 'hf_nope' },
  'get /v1/me': undefined,
  'get /healthz': undefined,
  'get /readyz': undefined,
  'get /metrics': undefined,
  'get /openapi.json': undefined,
};
/** They answer 401 of their own: the credential is in the body. */
const CREDENTIAL_IN_BODY = ['post /v1/tokens/refresh', 'post /v1/start'];

const nameOf = ({ method, path }: Pick<Route, 'method' | 'path'>): string => `${method} ${path}`;

async function ask(
  api: Api,
  route: Route,
  sessionId: string,
  token: string | undefined,
): Promise<{ status: number; fault: string | undefined }> {
  const ids: Record<string, string> = {
    sessionId,
    messageId: 'm_1',
    turnId: 't_1',
    promptId: 'p_1_1',
    toolId: 'x_1_1',
    btwId: 'b_1',
    hash: 'a'.repeat(64),
    tokenId: 'tk_1',
    streamId: 'st_1',
    tool: 'shell',
    terminalId: 'tm_1',
  };
  const path = route.path.replaceAll(/\{(\w+)\}/g, (_, name: string) => ids[name]!);
  const body = BODIES[nameOf(route)];
  const abort = new AbortController();
  const response = await fetch(api.url + path, {
    method: route.method.toUpperCase(),
    signal: abort.signal,
    headers: {
      ...(token === undefined ? {} : { authorization: `Bearer ${token}` }),
      ...(body === undefined ? {} : { 'content-type': 'application/json' }),
    },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  });
  const isStream = response.headers.get('content-type')?.startsWith('text/event-stream') === true;
  const fault = isStream || response.status < 400 ? undefined : ((await response.json()) as { fault: string }).fault;
  abort.abort();
  return { status: response.status, fault };
}

test('R22: every route gives every caller what its right says, and others no sight of a session', async () => {
  const api = await openApi();
  const owner = { read: await api.issue('alice', 'read'), write: await api.issue('alice', 'write') };
  const tokens: Record<Caller, string | undefined> = {
    nobody: undefined,
    read: owner.read.token,
    write: owner.write.token,
    admin: (await api.issue('root', 'admin')).token,
    other: (await api.issue('bob', 'write')).token,
  };
  expect(api.gateway.routes.map(nameOf).toSorted()).toEqual(Object.keys(BODIES).toSorted());

  for (const route of api.gateway.routes) {
    for (const caller of CALLERS) {
      const sessionId = await api.session(owner.write.token);
      const { status, fault } = await ask(api, route, sessionId, tokens[caller]);
      const expected = EXPECTED[route.right][caller];
      const what = `${nameOf(route)} by ${caller}: ${status} ${fault}`;
      if (expected !== 'in')
        expect(what).toBe(
          `${nameOf(route)} by ${caller}: ${expected} ${expected === 401 ? 'unauthorized' : 'forbidden'}`,
        );
      else if (caller === 'other' && route.path.includes('{sessionId}'))
        expect(what).toBe(`${nameOf(route)} by other: 404 session-not-found`);
      else if (!CREDENTIAL_IN_BODY.includes(nameOf(route))) expect([401, 403, 500], what).not.toContain(status);
    }
  }
});

test('R22: what waits is changed by its author or an admin alone', async () => {
  const api = await openApi();
  const alice = await api.issue('alice', 'write');
  const id = await api.session(alice.token);
  await api.send(id, '/scene long rate=5');
  const { messageId } = (await api.send(id, "the admin's")).body;
  const own = (await api.call('POST', `/v1/sessions/${id}/messages`, { text: "alice's" }, { token: alice.token })).body;
  const path = `/v1/sessions/${id}/messages/${messageId}`;
  for (const [method, url, body] of [
    ['PATCH', path, { text: 'hers now' }],
    ['DELETE', path, {}],
    ['DELETE', path, { clientId: 'c9' }],
    ['PATCH', `/v1/sessions/${id}/queue`, { messageIds: [own.messageId, messageId] }],
  ] as const)
    expect((await api.call(method, url, body, { token: alice.token })).body).toMatchObject({
      status: 403,
      fault: 'forbidden',
    });
  expect(
    (await api.call('PATCH', `/v1/sessions/${id}/messages/${own.messageId}`, { text: 'edited by the admin' })).status,
  ).toBe(200);
  const { view } = (await api.call('GET', `/v1/sessions/${id}`)).body;
  expect(view.queue.map(({ text }: { text: string }) => text)).toEqual(["the admin's", 'edited by the admin']);
});

test('every route is in the OpenAPI document, with its right', async () => {
  const api = await openApi();
  const { body } = await api.call('GET', '/openapi.json');
  expect(body.openapi).toBe('3.1.0');
  for (const route of api.gateway.routes) {
    const described = body.paths[route.path]?.[route.method];
    expect(described, nameOf(route)).toBeDefined();
    expect(described.security).toEqual(
      route.right === 'open' ? [] : [{ bearer: [route.right] }, { cookie: [route.right] }],
    );
    expect(described.responses.default.content['application/problem+json'].schema).toEqual({
      $ref: '#/components/schemas/Problem',
    });
  }
  expect(Object.keys(body.components.schemas)).toContain('Entry.text-delta');
});

test('the OpenAPI document requires a field or a parameter only where leaving it out is refused', async () => {
  const api = await openApi();
  const { paths, components } = (await api.call('GET', '/openapi.json')).body;
  expect(components.schemas.SendMessage.required).toEqual(['text']);
  expect(components.schemas.CreateSession.required).toBeUndefined();
  expect(components.schemas.Problem.required).toEqual(['type', 'title', 'status', 'detail', 'fault']);
  expect(components.schemas['Entry.message'].required).not.toContain('parts');
  expect(paths['/v1/sessions/{sessionId}/messages'].post.requestBody.required).toBe(true);
  expect(paths['/v1/sessions'].post.requestBody.required).toBe(false);
  const places = paths['/v1/sessions/{sessionId}/events'].get.parameters.map(
    ({ name, in: place, required }: Json) => `${place} ${name} ${required}`,
  );
  expect(places).toEqual(['path sessionId true', 'query after false']);
});

test('every reference within the OpenAPI document leads somewhere', async () => {
  const api = await openApi();
  const { text, body } = await api.call('GET', '/openapi.json');
  const references = new Set([...text.matchAll(/"\$ref":"([^"]*)"/g)].map((match) => match[1] ?? ''));
  for (const reference of references) {
    const [, name] = /^#\/components\/schemas\/(.+)$/.exec(reference) ?? [];
    expect(Object.keys(body.components.schemas), reference).toContain(name);
    expect(body.components.schemas[name ?? ''], reference).not.toEqual({ $ref: reference });
  }
  expect(references.size).toBeGreaterThan(20);
});
