import { fault, type Fault } from '@holdfast/protocol/fault';
import { expect, test } from 'vitest';

import {
  createClient,
  memoryOutbox,
  type ClientOptions,
  type HoldfastClient,
  type OutboxStore,
  type StoredSend,
} from '../src/index.ts';
import { Outbox } from '../src/outbox.ts';
import { createTestGateway, type TestGateway } from '../src/testing.ts';
import { HandClock, settled } from './fakes.ts';
import './live-at-once.ts';
import { record, until } from './stand.ts';

function clientOf(gateway: TestGateway, more: Partial<ClientOptions> = {}): HoldfastClient {
  return createClient({ baseUrl: 'http://test', transport: gateway.transport, ports: { random: () => 0.02 }, ...more });
}

const userTexts = (gateway: TestGateway, id: string): string[] =>
  gateway
    .view(id)
    .messages.filter(({ role }) => role === 'user')
    .map(({ text }) => text);

const posts = (gateway: TestGateway): number =>
  gateway.requests.filter((line) => line.startsWith('POST') && line.endsWith('/messages')).length;

/** In small steps, so that what a timer begins goes on before the next one. */
async function pass(clock: HandClock, ms: number): Promise<void> {
  for (let passed = 0; passed < ms; passed += 250) {
    clock.advance(250);
    await settled();
  }
}

/** Whatever can go on has gone on. */
async function quiet(): Promise<void> {
  for (let i = 0; i < 20; i++) await settled();
}

test('R23: the response is lost, the message is not doubled, and its item ends as what the view shows', async () => {
  const gateway = createTestGateway();
  const client = clientOf(gateway);
  const session = await client.createSession();
  const seen = record(session.store);
  gateway.losesNextAnswer = true;
  const turn = await session.send('once');
  expect(await turn.text()).toBe('You said: once');
  expect(userTexts(gateway, session.id)).toEqual(['once']);
  expect(await turn.admission).toMatchObject({ kind: 'accepted' });
  await until(session.store, ({ outbox }) => outbox.length === 0);
  seen.end();
  await client.close();
});

test('offline: what is sent waits as unconfirmed, in order, and arrives in order when the network is back', async () => {
  const gateway = createTestGateway();
  const clock = new HandClock();
  const client = clientOf(gateway, { ports: { random: () => 0.5, clock } });
  const session = await client.createSession();
  const end = session.store.subscribe(() => {});
  gateway.offline = true;
  gateway.drop();
  const turns = await Promise.all(['a', 'b', 'c'].map((text) => session.send(text)));
  const { outbox } = await until(session.store, (state) => state.outbox[0]?.state === 'unconfirmed');
  expect(outbox.map(({ text, state }) => `${text} ${state}`)).toEqual(['a unconfirmed', 'b sending', 'c sending']);
  gateway.offline = false;
  await pass(clock, 60_000);
  expect(await Promise.all(turns.map((turn) => turn.text()))).toEqual(['You said: a', 'You said: b', 'You said: c']);
  expect(userTexts(gateway, session.id)).toEqual(['a', 'b', 'c']);
  end();
  await client.close();
});

test('a message that is refused says why, holds up nobody, and is sent again or discarded by the person', async () => {
  const gateway = createTestGateway();
  const client = clientOf(gateway);
  const session = client.session('s_refused');
  const end = session.store.subscribe(() => {});
  const [first, second] = await Promise.all([session.send('first'), session.send('second')]);
  expect(await first.admission).toMatchObject({ kind: 'refused', fault: { kind: 'session-not-found' } });
  await expect(second.text()).rejects.toMatchObject({ fault: { kind: 'session-not-found' } });
  const [a, b] = session.store.getSnapshot().outbox;
  if (a === undefined || b === undefined) throw new Error('both are there');
  expect([a.state, b.state]).toEqual(['refused', 'refused']);
  await client.createSession({ id: 's_refused' });
  session.discard(a.clientId);
  session.retry(b.clientId);
  await until(session.store, ({ outbox, messages }) => outbox.length === 0 && messages.length === 2);
  expect(userTexts(gateway, session.id)).toEqual(['second']);
  end();
  await client.close();
});

test('a page that is closed in mid-send loses nothing: the next one sends it, once, in order (R25)', async () => {
  const gateway = createTestGateway();
  const store = memoryOutbox();
  const before = clientOf(gateway, { outbox: store, subject: 'ann' });
  const session = await before.createSession({ id: 's_kept' });
  gateway.losesNextAnswer = true;
  const [first, second] = await Promise.all([session.send('it arrived'), session.send('it did not')]);
  gateway.offline = true;
  await quiet();
  await before.close();
  expect(await second.admission).toMatchObject({ kind: 'unconfirmed', fault: { kind: 'cancelled' } });
  expect(await second.done).toMatchObject({ kind: 'lost' });
  expect((await store.all()).map(({ text }) => text)).toEqual(['it arrived', 'it did not']);
  gateway.offline = false;

  const after = clientOf(gateway, { outbox: store, subject: 'ann' });
  const again = after.session('s_kept');
  await until(again.store, ({ messages, outbox }) => messages.length === 4 && outbox.length === 0);
  expect(userTexts(gateway, 's_kept')).toEqual(['it arrived', 'it did not']);
  expect(await store.all()).toEqual([]);
  expect(first.clientId).toBeDefined();
  await after.close();
});

test('R21, R72: what another subject left is neither sent nor shown, and stays for them', async () => {
  const gateway = createTestGateway();
  const store = memoryOutbox();
  const make = (subject: string, text: string, order: number): StoredSend => ({
    clientId: `c_${text}` as never,
    sessionId: 's_two' as never,
    baseUrl: 'http://test',
    subject,
    order,
    at: order,
    text,
    parts: [],
    whenBusy: 'queue',
  });
  await store.put(make('ann', 'anns', 1));
  await store.put(make('tester', 'mine', 2));
  await store.put({ ...make('tester', 'elsewhere', 3), baseUrl: 'http://other' });
  await store.put({ ...make('', 'nobodys', 4), subject: null });
  // No subject is given: the gateway is asked, and says `tester`.
  const client = clientOf(gateway, { outbox: store });
  const session = await client.createSession({ id: 's_two' });
  const { outbox } = await until(session.store, ({ messages }) => messages.length === 2);
  expect(outbox.map(({ text, state }) => `${text} ${state}`)).toEqual(['nobodys refused']);
  expect(userTexts(gateway, 's_two')).toEqual(['mine']);
  expect((await store.all()).map(({ text }) => text).toSorted()).toEqual(['anns', 'elsewhere', 'nobodys']);
  await client.close();
});

test('R25: what an earlier page left is taken up once it is known whose it is, however late and whoever was there in between', async () => {
  const gateway = createTestGateway();
  const store = memoryOutbox();
  const first = clientOf(gateway, { outbox: store });
  const { id } = await first.createSession();
  await (await first.session(id).send('before')).text();
  gateway.offline = true;
  await first.session(id).send('left');
  expect(await store.all()).toMatchObject([{ text: 'left', subject: expect.stringMatching(/./) }]);
  await first.close();

  const clock = new HandClock();
  const client = clientOf(gateway, { outbox: store, ports: { clock, random: () => 0.5 } });
  const end = client.session(id).store.subscribe(() => {});
  // Long enough for whoever asks to have given up.
  await pass(clock, 60_000);
  gateway.offline = false;
  await pass(clock, 60_000);
  expect(userTexts(gateway, id)).toEqual(['before', 'left']);
  expect(await store.all()).toEqual([]);
  end();
  await client.close();
});

/** An outbox alone, whose `/v1/me` is answered when the test says so, on a network that can be away. */
function asking(store: OutboxStore) {
  const asked: ((subject: string | Fault) => void)[] = [];
  const sent: string[] = [];
  const clock = new HandClock();
  const network = { away: false };
  const outbox = new Outbox({
    store,
    requests: {
      get: () =>
        new Promise((resolve) =>
          asked.push((answer) =>
            resolve(
              typeof answer === 'string' ? { kind: 'ok', body: { subject: answer } } : { kind: 'fault', fault: answer },
            ),
          ),
        ),
      once: async (_method: string, _path: string, { json }: { json: { text: string } }) => {
        if (network.away) return { kind: 'fault', fault: AWAY };
        sent.push(json.text);
        return { kind: 'ok', body: {} };
      },
    } as never,
    ports: { clock, random: () => 0.5 } as never,
    baseUrl: 'http://test',
    subject: undefined,
    isFollowed: () => true,
    onChange() {},
    onRestored() {},
    onError() {},
  });
  return { outbox, asked, sent, clock, network };
}
const AWAY = fault('disconnected', 'There is no network.');
const anns = {
  clientId: 'c_anns',
  sessionId: 's',
  baseUrl: 'http://test',
  subject: 'ann',
  order: 1,
  at: 1,
  text: 'anns',
  parts: [],
  whenBusy: 'queue',
} as unknown as StoredSend;

test('R72: an answer about who was signed in before says nothing of who is, whenever it comes', async () => {
  for (const order of [[0], [1, 0], [0, 1]]) {
    const store = memoryOutbox();
    const { outbox, asked, sent } = asking(store);
    await outbox.restore();
    void outbox.identify();
    await store.put(anns);
    outbox.credentialsChanged();
    for (const which of order) {
      asked[which]?.(['ann', 'bob'][which] as string);
      await quiet();
    }
    expect(sent).toEqual([]);
    expect(outbox.items('s' as never)).toEqual([]);
  }
});

test('R72: what is written after a sign-in, before it is known whose, is not the one’s who was there before', async () => {
  const store = memoryOutbox();
  const { outbox, asked } = asking(store);
  await outbox.restore();
  void outbox.identify();
  asked[0]?.('ann');
  await quiet();
  outbox.credentialsChanged();
  await outbox.send('s' as never, 'bobs');
  expect(await store.all()).toMatchObject([{ subject: null }]);
  asked[1]?.('bob');
  await quiet();
  expect(outbox.items('s' as never).map(({ text }) => text)).toEqual(['bobs']);
});

test('R72: what waits for another try when somebody else signs in is sent by nobody before it is known who that is', async () => {
  for (const [who, texts] of [
    ['bob', []],
    ['ann', ['anns']],
  ] as const) {
    const store = memoryOutbox();
    const { outbox, asked, sent, clock, network } = asking(store);
    await outbox.restore();
    void outbox.identify();
    asked[0]?.('ann');
    await quiet();
    network.away = true;
    await outbox.send('s' as never, 'anns');
    await quiet();
    expect(outbox.items('s' as never)).toMatchObject([{ state: 'unconfirmed' }]);
    network.away = false;
    outbox.credentialsChanged();
    await pass(clock, 60_000);
    expect(sent).toEqual([]);
    asked[1]?.(AWAY);
    await pass(clock, 60_000);
    expect(sent).toEqual([]);
    asked[2]?.(who);
    await pass(clock, 60_000);
    expect(sent).toEqual(texts);
    expect(await store.all()).toHaveLength(who === 'bob' ? 1 : 0);
  }
});

test('R25: what an earlier page left goes out before what is written since, also where it is late that one knows whose it is', async () => {
  for (const identifiedAt of ['first', 'last']) {
    const store = memoryOutbox();
    await store.put(anns);
    const { outbox, asked, sent, clock } = asking(store);
    void outbox.restore();
    await outbox.send('s' as never, 'written since');
    if (identifiedAt === 'last') {
      await pass(clock, 60_000);
      asked[0]?.(AWAY);
      await pass(clock, 500);
      outbox.hint();
    }
    await quiet();
    asked.at(-1)?.('ann');
    await pass(clock, 60_000);
    expect(sent, identifiedAt).toEqual(['anns', 'written since']);
  }
});

test('R25: a clock that was set back does not put what is written since before what an earlier page left', async () => {
  const store = memoryOutbox();
  await store.put({ ...anns, order: 9e15 });
  const { outbox, asked, network } = asking(store);
  network.away = true;
  void outbox.restore();
  await quiet();
  asked[0]?.('ann');
  await quiet();
  await outbox.send('s' as never, 'written since');
  const kept = (await store.all()).toSorted((a, b) => a.order - b.order);
  expect(kept.map(({ text }) => text)).toEqual(['anns', 'written since']);
});

test('what another tab discarded is not sent', async () => {
  const gateway = createTestGateway();
  const store = memoryOutbox();
  const clock = new HandClock();
  const client = clientOf(gateway, { outbox: store, subject: 'ann', ports: { clock, random: () => 0.5 } });
  const session = await client.createSession();
  const end = session.store.subscribe(() => {});
  gateway.offline = true;
  const turn = await session.send('better not');
  await until(session.store, ({ outbox }) => outbox[0]?.state === 'unconfirmed');
  await store.delete(turn.clientId as never);
  gateway.offline = false;
  await pass(clock, 60_000);
  await until(session.store, ({ outbox }) => outbox.length === 0);
  await quiet();
  expect(userTexts(gateway, session.id)).toEqual([]);
  expect(await turn.done).toEqual({ kind: 'discarded' });
  end();
  await client.close();
});

test('a store that fails costs durability, not the message, and is reported once', async () => {
  const gateway = createTestGateway();
  const errors: unknown[] = [];
  const broken: OutboxStore = {
    all: () => Promise.reject(new Error('quota')),
    put: () => Promise.reject(new Error('quota')),
    has: () => Promise.reject(new Error('quota')),
    delete: () => Promise.reject(new Error('quota')),
    close: () => Promise.reject(new Error('quota')),
  };
  const client = clientOf(gateway, { outbox: broken, subject: 'ann', onError: (error) => errors.push(error) });
  const session = await client.createSession();
  expect(await (await session.send('all the same')).text()).toBe('You said: all the same');
  await client.close();
  expect(errors).toHaveLength(1);
});

test('the same client id is the same message, in one process and across two', async () => {
  const gateway = createTestGateway();
  const one = clientOf(gateway);
  const session = await one.createSession({ id: 's_id' });
  const [a, b] = await Promise.all([
    session.send('x', { clientId: 'c_mine' }),
    session.send('x', { clientId: 'c_mine' }),
  ]);
  expect(await a.text()).toBe(await b.text());
  const two = clientOf(gateway);
  const c = await two.session('s_id').send('x', { clientId: 'c_mine' });
  expect(await c.admission).toMatchObject({ duplicate: true });
  expect(await c.text()).toBe(await a.text());
  expect(userTexts(gateway, 's_id')).toEqual(['x']);
  await Promise.all([one.close(), two.close()]);
});

test('a client id that is on its way to another session is refused there, not taken for that message', async () => {
  const gateway = createTestGateway();
  const client = clientOf(gateway);
  const [one, other] = await Promise.all(['s_one', 's_other'].map((id) => client.createSession({ id })));
  const turns = [await one?.send('x', { clientId: 'c_job' }), await other?.send('y', { clientId: 'c_job' })];
  expect(await turns[0]?.text()).toBe('You said: x');
  expect(await turns[1]?.done).toMatchObject({ kind: 'refused', fault: { kind: 'client-id-reused' } });
  await client.close();
});

test('a message to a client that was closed is kept by the outbox, and whoever waits for it hears so', async () => {
  const gateway = createTestGateway();
  const store = memoryOutbox();
  const client = clientOf(gateway, { outbox: store, subject: 'ann' });
  const session = await client.createSession();
  await client.close();
  const turn = await session.send('late');
  expect(await turn.admission).toMatchObject({ kind: 'unconfirmed', fault: { kind: 'cancelled' } });
  await expect(turn.text()).rejects.toMatchObject({ fault: { kind: 'cancelled' } });
  expect(await store.all()).toMatchObject([{ text: 'late' }]);
});

test('sessions do not wait for each other, and an outbox that is full says so', async () => {
  const gateway = createTestGateway();
  const client = clientOf(gateway);
  const session = await client.createSession();
  gateway.offline = true;
  const held = await session.send('held');
  await quiet();
  gateway.offline = false;
  const other = await client.createSession();
  expect(await (await other.send('free')).text()).toBe('You said: free');
  gateway.offline = true;
  const turns = await Promise.all(Array.from({ length: 600 }, (_, i) => session.send(String(i))));
  const last = await turns.at(-1)?.admission;
  expect(last).toMatchObject({ kind: 'refused', fault: { kind: 'queue-full' } });
  expect(client.inspect().sessions.find(({ sessionId }) => sessionId === session.id)?.outbox).toBeLessThanOrEqual(500);
  expect(posts(gateway)).toBeLessThan(10);
  await client.close();
  // The stream of the other session said that the gateway is there again.
  expect(await held.admission).toMatchObject({ kind: 'accepted' });
});
