/** `BtwClient` against a real gateway: one question at a time, cancels that the gateway sees, a token that was rotated. */
import { configOf, startGateway, type RunningGateway } from '@holdfast/gateway';
import type { Agent } from '@holdfast/session';
import { startFaultProxy, type FaultProxy } from '@holdfast/testing/fault-proxy';
import { expect, onTestFinished, test } from 'vitest';

import { BtwClient, createClient, createCredentials, type BtwClientOptions } from '../src/index.ts';
import { nodeTransport } from '../src/node/index.ts';
import { createTestGateway } from '../src/testing.ts';
import { until } from './stand.ts';

const TOKEN = 'hf_root_of_the_tests';

interface Place {
  readonly gateway: RunningGateway;
  readonly proxy: FaultProxy;
  readonly sessionId: string;
  /** Every question that the agent was asked, and how it left. */
  readonly asked: string[];
  readonly aborted: string[];
  /** Lets every agent that waits go on. */
  open(): void;
  btws(options?: Partial<BtwClientOptions>): BtwClient;
  client(): ReturnType<typeof createClient>;
}

/** A session with one answered turn. Its agent says a word, then waits for the gate. */
async function openPlace(): Promise<Place> {
  const asked: string[] = [];
  const aborted: string[] = [];
  const gate = Promise.withResolvers<void>();
  const agent: Agent = {
    name: 'gated',
    description: '',
    resumable: true,
    run: async function* run() {
      yield { type: 'text', text: 'answer' };
      return { outcome: 'completed' };
    },
    btw: async function* btw({ question }, { signal }) {
      asked.push(question);
      signal.addEventListener('abort', () => aborted.push(question));
      yield { type: 'text', text: `${question}: one ` };
      await Promise.race([gate.promise, new Promise((resolve) => signal.addEventListener('abort', resolve))]);
      yield { type: 'text', text: 'two' };
      return { outcome: 'completed' };
    },
  };
  const gateway = await startGateway(
    configOf({ port: 0, store: { kind: 'memory' }, token: TOKEN, log: 'silent', drainMs: 100 }),
    { agents: [agent] },
  );
  const proxy = await startFaultProxy({ target: { port: gateway.port } });
  onTestFinished(async () => {
    await proxy.close();
    await gateway.close();
  });
  const client = createClient({ baseUrl: gateway.url, token: TOKEN, transport: nodeTransport() });
  onTestFinished(() => client.close());
  const session = await client.createSession();
  await (await session.send('hello')).text();
  return {
    gateway,
    proxy,
    sessionId: session.id,
    asked,
    aborted,
    open: () => gate.resolve(),
    client: () => client,
    btws: (options: Partial<BtwClientOptions> = {}) => {
      const made = new BtwClient({
        baseUrl: proxy.origin,
        token: TOKEN,
        transport: nodeTransport(),
        ports: { random: () => 0.02 },
        ...options,
      });
      onTestFinished(() => made.close());
      return made;
    },
  };
}

test('C1: an answer is iterated as it comes, kept once, and then in the transcript of who follows the session', async () => {
  const place = await openPlace();
  const btw = place.btws().ask(place.sessionId, 'why');
  expect(await btw.keep()).toMatchObject({ kind: 'fault', fault: { kind: 'btw-unfinished' } });
  const pieces: string[] = [];
  for await (const piece of btw) {
    pieces.push(piece);
    place.open();
  }
  expect(pieces.join('')).toBe('why: one two');
  expect(btw.store.getSnapshot()).toMatchObject({ status: 'completed', text: 'why: one two', kept: false });
  expect(await btw.keep()).toEqual({ kind: 'ok' });
  expect(await btw.keep()).toEqual({ kind: 'ok' });
  const { store } = place.client().session(place.sessionId);
  const { messages } = await until(store, (state) => state.messages.at(-1)?.btws !== undefined);
  expect(messages.at(-1)?.btws).toMatchObject([{ question: 'why', answer: 'why: one two', author: 'admin' }]);
});

test('C2: asking a new one cancels the one before it, and the agent hears of it', async () => {
  const place = await openPlace();
  const btws = place.btws();
  const first = btws.ask(place.sessionId, 'first');
  await until(first.store, ({ text }) => text !== '');
  const second = btws.ask(place.sessionId, 'second');
  expect(first.store.getSnapshot().status).toBe('cancelled');
  await expect.poll(() => place.aborted).toEqual(['first']);
  place.open();
  expect(await second.text()).toBe('second: one two');
});

test('C2: one that is cancelled before its head is there is cancelled as soon as it is', async () => {
  const place = await openPlace();
  const btws = place.btws();
  btws.ask(place.sessionId, 'first').cancel();
  await expect.poll(() => place.aborted).toEqual(['first']);
});

test('C2: closing the view cancels, and leaves no connection', async () => {
  const place = await openPlace();
  const btws = place.btws();
  const btw = btws.ask(place.sessionId, 'why');
  await until(btw.store, ({ text }) => text !== '');
  await btws.close();
  await expect.poll(() => place.aborted).toEqual(['why']);
  await expect.poll(() => place.proxy.open).toBe(0);
});

test('C2: leaving the loop cancels', async () => {
  const place = await openPlace();
  for await (const piece of place.btws().ask(place.sessionId, 'why')) if (piece !== '') break;
  await expect.poll(() => place.aborted).toEqual(['why']);
});

test('C2: a connection that is lost is taken up again where it was: each character once', async () => {
  const place = await openPlace();
  const btw = place.btws().ask(place.sessionId, 'why');
  await until(btw.store, ({ text }) => text !== '');
  place.proxy.cutAll();
  place.open();
  expect(await btw.text()).toBe('why: one two');
  expect(place.asked).toEqual(['why']);
});

test('C3: a token that was rotated away: one refresh, and the question is asked once', async () => {
  const place = await openPlace();
  const issued = await post(place.gateway, '/v1/tokens', {
    subject: 'admin',
    scopes: ['read', 'write', 'admin'],
    refresh: true,
  });
  let refreshes = 0;
  const credentials = createCredentials({
    token: 'hf_rotated_away',
    refresh: async () => {
      refreshes += 1;
      const { accessToken } = await post(place.gateway, '/v1/tokens/refresh', { refreshToken: issued.refreshToken });
      return { kind: 'renewed', token: accessToken };
    },
  });
  const btw = place.btws({ credentials }).ask(place.sessionId, 'why');
  place.open();
  expect(await btw.text()).toBe('why: one two');
  expect([refreshes, place.asked]).toEqual([1, ['why']]);
});

test('C3: a refresh that is refused ends the question with a typed fault, and nothing was asked', async () => {
  const place = await openPlace();
  const credentials = createCredentials({ token: 'hf_rotated_away' });
  const btw = place.btws({ credentials }).ask(place.sessionId, 'why');
  await expect(btw.text()).rejects.toMatchObject({ fault: { kind: 'auth-refused' } });
  expect(btw.store.getSnapshot().status).toBe('refused');
  expect(place.asked).toEqual([]);
});

test('C1: what the gateway refuses is told in its words', async () => {
  const place = await openPlace();
  const { id } = await place.client().createSession();
  const btw = place.btws().ask(id, 'why');
  await expect(btw.text()).rejects.toMatchObject({ fault: { kind: 'turn-not-found' } });
});

async function post(gateway: RunningGateway, path: string, body: object): Promise<Record<string, string>> {
  const headers = { authorization: `Bearer ${TOKEN}`, 'content-type': 'application/json' };
  const response = await fetch(gateway.url + path, { method: 'POST', headers, body: JSON.stringify(body) });
  return (await response.json()) as Record<string, string>;
}

test('C1, C2: the gateway in memory answers, cancels and keeps as the real one does', async () => {
  const gateway = createTestGateway({
    btw: async function* btw(question) {
      yield `${question}: `;
      yield 'so';
      if (question === 'long') await new Promise(() => {});
    },
  });
  const client = createClient({ baseUrl: 'http://test', transport: gateway.transport });
  const session = await client.createSession();
  await (await session.send('hello')).text();
  const btws = new BtwClient({ baseUrl: 'http://test', transport: gateway.transport });
  const long = btws.ask(session.id, 'long');
  await until(long.store, ({ text }) => text === 'long: so');
  const btw = btws.ask(session.id, 'why');
  expect(await btw.text()).toBe('why: so');
  await btw.keep();
  await btw.keep();
  expect(gateway.view(session.id).messages.at(-1)?.btws).toMatchObject([{ question: 'why', answer: 'why: so' }]);
  await btws.close();
  expect(gateway.requests.filter((request) => request.startsWith('DELETE'))).toHaveLength(1);
  await client.close();
  expect(gateway.streams).toBe(0);
});

test('C2: a question to a client that was closed is refused, and goes nowhere', async () => {
  const gateway = createTestGateway();
  const btws = new BtwClient({ baseUrl: 'http://test', transport: gateway.transport });
  await btws.close();
  const btw = btws.ask('s_1', 'anybody there?');
  await expect(btw.text()).rejects.toMatchObject({ fault: { kind: 'cancelled' } });
  expect(btw.store.getSnapshot().status).toBe('refused');
  expect(gateway.requests).toEqual([]);
});
