/** What developers do wrong, and what they are told: each row names what happened and the cure (K6). */
import { createServer } from 'node:http';

import { configOf, startGateway } from '@holdfast/gateway';
import { afterAll, beforeAll, expect, onTestFinished, test } from 'vitest';

import { createClient, FaultError, type ClientOptions, type HoldfastClient } from '../src/index.ts';
import { TOKEN } from './stand.ts';

let gateway: Awaited<ReturnType<typeof startGateway>>;
beforeAll(async () => {
  gateway = await startGateway(
    configOf({ port: 0, store: { kind: 'memory' }, token: TOKEN, log: 'silent', drainMs: 100 }),
  );
});
afterAll(() => gateway.close());

function client(options: Partial<ClientOptions> = {}): HoldfastClient {
  const made = createClient({ baseUrl: gateway.url, token: TOKEN, ports: { random: () => 0.02 }, ...options });
  onTestFinished(() => made.close());
  return made;
}

/** A server that is none of ours. */
async function otherServer(): Promise<string> {
  const server = createServer((_request, response) => response.end('<!doctype html><p>hello</p>'));
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  onTestFinished(() => void server.close());
  return `http://127.0.0.1:${(server.address() as { readonly port: number }).port}`;
}

async function readOnlyToken(): Promise<string> {
  const made = await client().call('POST', '/v1/tokens', { subject: 'ann', scopes: ['read'] });
  if (made.kind === 'fault') throw new FaultError(made.fault);
  return (made.body as { readonly accessToken: string }).accessToken;
}

const words = async (result: Promise<unknown>): Promise<string> => {
  const value = await result.catch((error: unknown) => String(error));
  return typeof value === 'string' ? value : JSON.stringify(value);
};

const mistakes: readonly [string, () => Promise<unknown>, RegExp][] = [
  ['a base with /v1', () => client({ baseUrl: `${gateway.url}/v1` }).createSession(), /\/v1\/v1\/sessions/],
  [
    'a wrong prefix',
    () => client({ baseUrl: `${gateway.url}/elsewhere` }).agents(),
    /The page is at \/, the API at \/v1/,
  ],
  [
    'another server',
    async () => client({ baseUrl: await otherServer() }).agents(),
    /is not answered by a gateway\. Check baseUrl/,
  ],
  ['no token', () => createClient({ baseUrl: gateway.url }).createSession(), /no token.*Send/],
  ['a wrong token', () => client({ token: 'hf_wrong' }).createSession(), /refused the token\. Give a valid one/],
  ['a wrong token, ready', () => client({ token: 'hf_wrong' }).session('s_1').ready(), /auth-refused/],
  [
    'a wrong token, text',
    async () => (await client({ token: 'hf_wrong' }).session('s_1').send('hello')).text(),
    /auth-refused.*Give a valid one/,
  ],
  [
    'a token function that throws',
    () => client({ token: () => Promise.reject(new Error('the vault is sealed')) }).agents(),
    /the vault is sealed/,
  ],
  [
    'a token that may only read',
    async () => client({ token: await readOnlyToken() }).createSession(),
    /needs a token with the scope write; yours has read/,
  ],
  ['a session that is missing', async () => (await client().session('s_none').send('x')).text(), /session-not-found/],
  ['odd characters in an id', async () => client().session('a/b'), /'a\/b' is no session id: it does not match/],
  ['no id', async () => client().session(undefined as never), /'undefined' is no session id/],
  ['an unknown agent', () => client().createSession({ agent: 'nobody' }), /There are: .*rehearsal/],
  ['a misspelt field', () => client().createSession({ titel: 'x' } as never), /titel/],
  [
    'a closed client',
    async () => {
      const closed = client();
      await closed.close();
      return closed.agents();
    },
    /The client was closed/,
  ],
  ['an empty send', async () => (await (await client().createSession()).send('')).text(), /neither text nor parts/],
  [
    'a signal that was aborted',
    () => client().createSession({ signal: AbortSignal.abort() }),
    /The request was cancelled/,
  ],
  ['a file that is no file', () => client().upload('text' as never), /takes a Uint8Array, a Blob or a File/],
  [
    'a client id that is used twice',
    async () => {
      const session = await client().createSession();
      void session.send('one', { clientId: 'c_twice' });
      return (await session.send('two', { clientId: 'c_twice' })).admission;
    },
    /Another message has this clientId/,
  ],
];

test.each(mistakes)('K6: %s is told with its cure', async (_, make, cure) => {
  expect(await words(make())).toMatch(cure);
});
