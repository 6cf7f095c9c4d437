/**
 * Tokens and the door: refresh and its grace, revocation on every node, the start link, cookies, origins and hosts.
 */
import { request } from 'node:http';
import { systemClock as logClock } from '@holdfast/log';
import { MemoryStore, openMemoryLog } from '@holdfast/log/memory';
import { systemClock, type Clock } from '@holdfast/session';
import { describe, expect, onTestFinished, test } from 'vitest';
import { TokenStore, type IssueResult } from '../src/auth/token-store.ts';
import { openApi, ROOT, type Api } from './harness.ts';

const TIMES = { accessMs: 900_000, refreshMs: 2_592_000_000, graceMs: 60_000, startMs: 600_000, cookieMs: 1_000_000 };

/** @param hearing `slow`: nothing of what other nodes append comes by itself. */
async function openStore(store: MemoryStore = new MemoryStore(), hearing: 'quick' | 'slow' = 'quick') {
  let skippedMs = 0;
  const clock: Clock = {
    ...systemClock,
    now: () => systemClock.now() + skippedMs,
    monotonicMs: () => systemClock.monotonicMs() + skippedMs,
  };
  const log = openMemoryLog({ clock: logClock, store });
  if (hearing === 'slow')
    log.subscribe = () => ({
      next: () => new Promise(() => undefined),
      poll: () => undefined,
      cancel: () => undefined,
    });
  const tokens = await TokenStore.open(log, clock, TIMES);
  onTestFinished(async () => {
    tokens.close();
    await log.close();
  });
  return { tokens, log, skip: (ms: number) => (skippedMs += ms) };
}

const issuedOf = (result: IssueResult) => {
  if (result.kind === 'fault') throw new Error(result.fault.detail);
  return result.issued;
};
const pair = { subject: 'alice', scopes: ['write'], refresh: true } as const;

describe('refresh', () => {
  test('R47: within the grace window the same refresh token gets the same answer, also when both ask at once', async () => {
    const { tokens } = await openStore();
    const first = issuedOf(await tokens.issue(pair));
    const [a, b] = await Promise.all([tokens.refresh(first.refreshToken!), tokens.refresh(first.refreshToken!)]);
    const c = await tokens.refresh(first.refreshToken!);
    expect(issuedOf(b)).toEqual(issuedOf(a));
    expect(issuedOf(c)).toEqual(issuedOf(a));
    expect(issuedOf(a).accessToken).not.toBe(first.accessToken);
    expect((await tokens.find(issuedOf(a).accessToken))?.grant.subject).toBe('alice');
  });

  test('R47: two nodes that refresh at one time make one rotation', async () => {
    const store = new MemoryStore();
    const [one, two] = [await openStore(store), await openStore(store)];
    const first = issuedOf(await one.tokens.issue(pair));
    const [a, b] = await Promise.all([
      one.tokens.refresh(first.refreshToken!),
      two.tokens.refresh(first.refreshToken!),
    ]);
    expect(issuedOf(a)).toEqual(issuedOf(b));
  });

  test('the chain goes on: each refresh token is good for one rotation, and earlier access tokens until they expire', async () => {
    const { tokens, skip } = await openStore();
    let current = issuedOf(await tokens.issue(pair));
    const { accessToken } = current;
    for (let n = 0; n < 5; n += 1) {
      skip(100_000);
      current = issuedOf(await tokens.refresh(current.refreshToken!));
    }
    expect(await tokens.find(accessToken)).toBeDefined();
    skip(TIMES.accessMs);
    expect(await tokens.find(accessToken)).toBeUndefined();
    expect(await tokens.find(current.accessToken)).toBeUndefined();
    expect(issuedOf(await tokens.refresh(current.refreshToken!)).tokenId).toBe(current.tokenId);
  });

  test('a refresh token that returns after the grace window takes everything with it', async () => {
    const { tokens, skip } = await openStore();
    const first = issuedOf(await tokens.issue(pair));
    const second = issuedOf(await tokens.refresh(first.refreshToken!));
    skip(TIMES.graceMs + 1);
    expect(await tokens.refresh(first.refreshToken!)).toMatchObject({ kind: 'fault', fault: { kind: 'unauthorized' } });
    expect(await tokens.find(second.accessToken)).toBeUndefined();
    expect(await tokens.refresh(second.refreshToken!)).toMatchObject({ kind: 'fault' });
  });

  test('an access token is no refresh token, and the other way round', async () => {
    const api = await openApi();
    const { body } = await api.call('POST', '/v1/tokens', { subject: 'alice', scopes: ['write'], refresh: true });
    expect((await api.call('GET', '/v1/me', undefined, { token: body.refreshToken })).status).toBe(401);
    expect(
      (await api.call('POST', '/v1/tokens/refresh', { refreshToken: body.accessToken }, { token: null })).status,
    ).toBe(401);
    const refreshed = await api.call(
      'POST',
      '/v1/tokens/refresh',
      { refreshToken: body.refreshToken },
      { token: null },
    );
    expect((await api.call('GET', '/v1/me', undefined, { token: refreshed.body.accessToken })).body).toMatchObject({
      subject: 'alice',
      scopes: ['read', 'write'],
    });
  });
});

describe('nodes', () => {
  test('a token that another node issued works at once, and that it revoked one is heard without asking', async () => {
    const store = new MemoryStore();
    const [one, two] = [await openStore(store), await openStore(store)];
    const issued = issuedOf(await one.tokens.issue({ subject: 'alice', scopes: ['read'], refresh: false }));
    expect((await two.tokens.find(issued.accessToken))?.grant.tokenId).toBe(issued.tokenId);
    let told = 0;
    two.tokens.onChange(() => (told += 1));
    expect(await one.tokens.revoke(issued.tokenId)).toBe(true);
    await expect.poll(() => told).toBeGreaterThan(0);
    expect(two.tokens.isIssued(issued.tokenId)).toBe(false);
  });

  test('a token that another node issued works at once, also while somebody guesses here', async () => {
    const store = new MemoryStore();
    const [one, two] = [await openStore(store), await openStore(store, 'slow')];
    for (let n = 0; n < 3; n += 1) {
      expect(await two.tokens.find(`hf_guess_${n}`)).toBeUndefined();
      const issued = issuedOf(await one.tokens.issue(pair));
      const guess = two.tokens.find('hf_guess_again');
      expect((await two.tokens.refresh(issued.refreshToken ?? '')).kind).toBe('issued');
      expect(await guess).toBeUndefined();
    }
  });

  test('what is stored holds no secret', async () => {
    const { tokens, log } = await openStore();
    const issued = issuedOf(await tokens.issue(pair));
    const next = issuedOf(await tokens.refresh(issued.refreshToken!));
    const code = await tokens.issueStart('admin', ['admin']);
    const page = await log.read('tokens/main', { after: 0 });
    const stored =
      page.kind === 'page' ? page.records.map(({ bytes }) => new TextDecoder().decode(bytes)).join('\n') : '';
    expect(stored).toContain('token-rotate');
    for (const secret of [
      issued.accessToken,
      issued.refreshToken!,
      next.accessToken,
      next.refreshToken!,
      code as string,
    ])
      expect(stored).not.toContain(secret);
  });

  test('the stream is summed up and cut, and what was valid stays so, on a node that starts behind the cut too', async () => {
    const store = new MemoryStore();
    const one = await openStore(store);
    const kept = issuedOf(await one.tokens.issue(pair));
    const rotated = issuedOf(await one.tokens.refresh(kept.refreshToken!));
    const gone = issuedOf(await one.tokens.issue({ ...pair, subject: 'bob' }));
    await one.tokens.revoke(gone.tokenId);
    const late = issuedOf(await one.tokens.issue({ ...pair, subject: 'carol' }));
    const code = await one.tokens.issueStart('admin', ['admin']);
    // What comes between the summing up and its entry: from another node, at the worst moment.
    const { append } = one.log;
    const two = await openStore(store);
    one.log.append = async (stream, entry) => {
      one.log.append = append;
      await two.tokens.revoke(late.tokenId);
      return append.call(one.log, stream, entry);
    };
    await one.tokens.compact();
    const stat = await one.log.stat('tokens/main');
    expect(stat.kind === 'state' && stat.state.floor).toBeGreaterThan(5);

    for (const { tokens } of [one, two, await openStore(store)]) {
      expect((await tokens.find(kept.accessToken))?.grant.subject).toBe('alice');
      expect((await tokens.find(rotated.accessToken))?.grant.subject).toBe('alice');
      expect(await tokens.find(gone.accessToken)).toBeUndefined();
      expect(await tokens.find(late.accessToken)).toBeUndefined();
      expect(issuedOf(await tokens.refresh(kept.refreshToken!))).toEqual(rotated);
    }
    expect(issuedOf(await (await openStore(store)).tokens.redeemStart(code as string)).tokenId).toBeDefined();
  });

  test('tokens survive a restart', async () => {
    const store = new MemoryStore();
    const one = await openStore(store);
    const issued = issuedOf(await one.tokens.issue(pair));
    const two = await openStore(store);
    expect((await two.tokens.find(issued.accessToken))?.grant.subject).toBe('alice');
  });
});

// ── the page ────────────────────────────────────────────────────────────────────────────────────────────────────────

interface Asked {
  readonly status: number;
  readonly fault: string | undefined;
  readonly headers: Record<string, string | string[] | undefined>;
}

/** A request with exactly these headers: `fetch` adds its own. */
function ask(api: Api, path: string, headers: Record<string, string>, method = 'GET', body?: string): Promise<Asked> {
  return new Promise((resolve, reject) => {
    const asked = request(
      { port: api.gateway.port, host: '127.0.0.1', path, method, headers, setHost: headers['host'] === undefined },
      (response) => {
        let text = '';
        response.on('data', (chunk: Buffer) => (text += chunk.toString()));
        const done = () =>
          resolve({
            status: response.statusCode ?? 0,
            headers: response.headers,
            fault: text.startsWith('{') ? (JSON.parse(text) as { fault?: string }).fault : undefined,
          });
        if (response.headers['content-type']?.startsWith('text/event-stream') === true) {
          response.on('error', () => undefined);
          response.destroy();
          done();
        } else response.on('end', done);
      },
    );
    asked.on('error', reject);
    asked.end(body);
  });
}

async function signIn(api: Api): Promise<string> {
  const code = (await api.gateway.startLink()).split('#start=')[1]!;
  const { headers } = await api.call('POST', '/v1/start', { code }, { token: null });
  return headers.get('set-cookie')!;
}

describe('the start link', () => {
  test('it is a fragment, works once, and makes a cookie that scripts cannot read and that names the port', async () => {
    const api = await openApi();
    const link = await api.gateway.startLink();
    expect(link.startsWith(`${api.url}/#start=hf_`)).toBe(true);
    const code = link.split('#start=')[1]!;
    const first = await api.call('POST', '/v1/start', { code }, { token: null });
    const cookie = first.headers.get('set-cookie')!;
    expect(first.status).toBe(200);
    expect(cookie).toMatch(
      new RegExp(`^holdfast_${api.gateway.port}=hf_[\\w-]+; Path=/; HttpOnly; SameSite=Strict; Max-Age=\\d+$`),
    );
    expect(first.text).not.toContain('hf_');
    expect((await api.call('POST', '/v1/start', { code }, { token: null })).body).toMatchObject({
      status: 401,
      fault: 'unauthorized',
    });
    expect((await api.call('GET', '/v1/me', undefined, { token: code })).status).toBe(401);
  });

  test('a link that is made by an admin over HTTP works the same', async () => {
    const api = await openApi();
    const { body, status } = await api.call('POST', '/v1/tokens/link');
    expect(status).toBe(201);
    const code = body.url.split('#start=')[1];
    expect((await api.call('POST', '/v1/start', { code }, { token: null })).status).toBe(200);
  });
});

describe('the door', () => {
  test.each([
    ['our page, by fetch metadata', { 'sec-fetch-site': 'same-origin' }, 200],
    ['our page, by origin', { origin: 'OURS' }, 200],
    ['our page over plain http, by referer', { referer: 'OURS/s/1' }, 200],
    ['nothing that says whose page it is', {}, 403],
    ['another site', { 'sec-fetch-site': 'cross-site' }, 403],
    ['another port of this host', { 'sec-fetch-site': 'same-site', referer: 'http://127.0.0.1:1/' }, 403],
    ['a typed address', { 'sec-fetch-site': 'none' }, 403],
    ['another origin', { origin: 'http://evil.example' }, 403],
    ['a sandboxed frame', { origin: 'null' }, 403],
    ['a look-alike referer', { referer: 'OURS.evil.example/' }, 403],
  ])('a cookie from %s: %j gets %i, for a stream as for a page', async (_who, headers, expected) => {
    const api = await openApi();
    const cookie = (await signIn(api)).split(';')[0]!;
    const sent = {
      cookie,
      ...Object.fromEntries(Object.entries(headers).map(([name, value]) => [name, value.replace('OURS', api.url)])),
    };
    expect((await ask(api, '/v1/me', sent)).status).toBe(expected);
    expect((await ask(api, '/v1/feed', sent)).status).toBe(expected);
  });

  test("another port's cookie is not looked at, and a bearer is no cookie's secret", async () => {
    const api = await openApi();
    const secret = /=(hf_[\w-]+)/.exec(await signIn(api))![1]!;
    expect((await ask(api, '/v1/me', { cookie: `holdfast_1=${secret}`, 'sec-fetch-site': 'same-origin' })).status).toBe(
      401,
    );
    expect((await ask(api, '/v1/me', { authorization: `Bearer ${secret}` })).status).toBe(401);
    expect(
      (await ask(api, '/v1/me', { cookie: `holdfast_${api.gateway.port}=${ROOT}`, 'sec-fetch-site': 'same-origin' }))
        .status,
    ).toBe(401);
  });

  test.each([
    ['127.0.0.1:PORT', 200],
    ['localhost:PORT', 200],
    ['[::1]:PORT', 200],
    ['192.168.1.9:PORT', 200],
    ['gate.example', 200],
    ['nas.local', 200],
    ['rebound.evil.example', 421],
    ['gate.example.evil.example', 421],
    ['', 400],
    ['a b', 400],
  ])('a request to the host %j gets %i', async (host, expected) => {
    const api = await openApi({ publicUrl: new URL('https://gate.example/hold'), hosts: ['nas.local'] });
    const sent = { host: host.replace('PORT', String(api.gateway.port)), authorization: `Bearer ${ROOT}` };
    const { status, fault } = await ask(api, '/v1/me', sent);
    expect(status).toBe(expected);
    expect(fault).toBe({ 200: undefined, 400: 'invalid-request', 421: 'host-refused' }[expected]);
  });

  test('probes answer to any host', async () => {
    const api = await openApi();
    expect((await ask(api, '/healthz', { host: 'pod-17.cluster' })).status).toBe(200);
    expect((await ask(api, '/readyz', { host: 'pod-17.cluster' })).status).toBe(200);
  });

  test('CORS: a named origin may call with a bearer, another is refused, a cookie never crosses', async () => {
    const api = await openApi({ origins: ['https://app.example'] });
    const preflight = await ask(
      api,
      '/v1/me',
      { origin: 'https://app.example', 'access-control-request-method': 'GET' },
      'OPTIONS',
    );
    expect(preflight.status).toBe(204);
    expect(preflight.headers).toMatchObject({ 'access-control-allow-origin': 'https://app.example', vary: 'origin' });
    expect(preflight.headers['access-control-allow-credentials']).toBeUndefined();
    const called = await ask(api, '/v1/me', { origin: 'https://app.example', authorization: `Bearer ${ROOT}` });
    expect(called).toMatchObject({ status: 200, headers: { 'access-control-allow-origin': 'https://app.example' } });
    expect(
      await ask(api, '/v1/me', { origin: 'https://other.example', authorization: `Bearer ${ROOT}` }),
    ).toMatchObject({ status: 403, fault: 'origin-refused' });
    const cookie = (await signIn(api)).split(';')[0]!;
    expect((await ask(api, '/v1/me', { origin: 'https://app.example', cookie })).status).toBe(403);
    const refused = await ask(api, '/v1/me', { origin: 'https://app.example' });
    expect(refused).toMatchObject({ status: 401, headers: { 'access-control-allow-origin': 'https://app.example' } });
  });

  test('behind a proxy with a path prefix the interface and the page answer under it', async () => {
    const api = await openApi({ publicUrl: new URL('https://gate.example/hold/') });
    const headers = { host: 'gate.example', authorization: `Bearer ${ROOT}` };
    expect((await ask(api, '/hold/v1/me', headers)).status).toBe(200);
    expect((await ask(api, '/v1/me', headers)).status).toBe(200);
    expect((await ask(api, '/hold/s/abc', { host: 'gate.example' })).status).toBe(200);
    expect((await api.gateway.startLink()).startsWith('https://gate.example/hold/#start=')).toBe(true);
    expect(await signIn(api)).toContain('; Secure');
  });
});

test('what one token may ask for in a second is bounded, with advice', async () => {
  const { limits } = (await import('../src/index.ts')).configOf({});
  const api = await openApi({ limits: { ...limits, requestsBurst: 5, requestsPerS: 1 } });
  const answers = [];
  for (let n = 0; n < 6; n += 1) answers.push(await api.call('GET', '/v1/me'));
  expect(answers.map(({ status }) => status)).toEqual([200, 200, 200, 200, 200, 429]);
  expect(answers[5]!.body).toMatchObject({ fault: 'rate-limited' });
  expect(answers[5]!.headers.get('retry-after')).toBe('1');
});
