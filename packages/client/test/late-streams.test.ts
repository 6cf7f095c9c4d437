/** A client whose live part is late, or never comes. */
import { beforeEach, expect, test, vi } from 'vitest';

import {
  createClient,
  createCredentials,
  EventStreamClient,
  type ClientOptions,
  type Fault,
  type HoldfastClient,
  type StreamTarget,
} from '../src/index.ts';
import type { loadLive } from '../src/live-part.ts';
import { createTestGateway, type TestGateway } from '../src/testing.ts';
import { HandClock, settled } from './fakes.ts';
import { openStand, record, TOKEN, until } from './stand.ts';

const NO_NETWORK = (): Promise<never> => Promise.reject(new TypeError('Failed to fetch dynamically imported module'));

/** How the part is loaded (undefined: as it is), and whether it was. */
const part = vi.hoisted(() => ({
  load: undefined as typeof loadLive | undefined,
  loaded: undefined as Awaited<ReturnType<typeof loadLive>> | undefined,
  asked: 0,
}));

vi.mock(import('../src/live-part.ts'), async (original) => {
  const real = await original();
  return {
    ...real,
    liveIfThere: () => part.loaded,
    loadLive: async () => {
      part.asked++;
      return (part.loaded = await (part.load ?? real.loadLive)());
    },
  };
});

// What one client has loaded all have: each test is a page of its own.
beforeEach(() => {
  part.load = undefined;
  part.loaded = undefined;
  part.asked = 0;
});

const clientOf = (gateway: TestGateway, more: Partial<ClientOptions> = {}): HoldfastClient =>
  createClient({ baseUrl: 'http://test', transport: gateway.transport, ...more });

/** In small steps, so that what a timer begins goes on before the next one. */
async function pass(clock: HandClock, ms: number): Promise<void> {
  for (let passed = 0; passed < ms; passed += 250) {
    clock.advance(250);
    for (let i = 0; i < 20; i++) await settled();
  }
}

test('what is followed is shown before the part is there, and the stream goes on from it', async () => {
  const gateway = createTestGateway();
  const writer = clientOf(gateway);
  const { id } = await writer.createSession();
  await (
    await (await writer.createSession({ id })).send('before')
  ).done;
  await writer.close();

  part.loaded = undefined;
  let arrive = (): void => {};
  const arrived = new Promise<void>((resolve) => (arrive = resolve));
  part.load = async () => {
    await arrived;
    return import('../src/live.ts');
  };
  const targets: StreamTarget[] = [];
  const client = clientOf(gateway, {
    openStream: (options) => {
      targets.push(options.target);
      return new EventStreamClient(options);
    },
  });
  const session = client.session(id);
  const { messages, view } = await until(session.store, ({ status }) => status === 'ready');
  expect([messages.length, gateway.streams]).toEqual([2, 0]);
  arrive();
  const end = session.store.subscribe(() => {});
  await expect.poll(() => gateway.streams).toBe(1);
  // The first entry that it asks for is the first that was not shown.
  expect(targets).toMatchObject([{ sessionId: id, place: expect.stringMatching(`^${view.seq}[.]`) as string }]);
  expect(await (await session.send('afterwards')).text()).toBe('You said: afterwards');
  end();
  await client.close();
});

test('what throws when streams are opened is told, and nothing is left unhandled', async () => {
  const gateway = createTestGateway();
  const errors: unknown[] = [];
  const client = clientOf(gateway, {
    openStream: () => {
      throw new TypeError('mine');
    },
    onError: (error) => errors.push(error),
  });
  const end = client.session('s_any').store.subscribe(() => {});
  await expect.poll(() => errors.map(String)).toEqual(['TypeError: mine']);
  end();
  await client.close();
});

test('B7: a client that is dropped while the part does not come is collected', async () => {
  const gateway = createTestGateway();
  part.load = NO_NETWORK;
  const follow = async (): Promise<WeakRef<HoldfastClient>> => {
    const client = clientOf(gateway);
    const session = await client.createSession();
    session.store.subscribe(() => session.store.getSnapshot());
    await until(session.store, ({ status }) => status === 'ready');
    return new WeakRef(client);
  };
  const client = await follow();
  await vi.waitFor(
    () => {
      globalThis.gc?.();
      expect(client.deref() === undefined).toBe(true);
    },
    { timeout: 60_000, interval: 20 },
  );
});

test('A10: who is refused asks no more, until there are new credentials', async () => {
  const stand = await openStand();
  part.load = NO_NETWORK;
  const clock = new HandClock();
  const { id } = await stand.client().createSession();
  const credentials = createCredentials({ token: 'hf_expired' });
  const client = stand.client({ credentials, ports: { clock } });
  const end = client.session(id).store.subscribe(() => {});
  const { kind, fault } = (await until(client.connection, (it) => it.kind === 'closed')) as {
    kind: string;
    fault: Fault;
  };
  expect([kind, fault.kind]).toEqual(['closed', 'auth-refused']);
  const { asked } = part;
  await pass(clock, 60_000);
  expect(part.asked).toBe(asked);
  credentials.set(TOKEN);
  await until(client.connection, (it) => it.kind === 'live');
  end();
});

test('closed before the part is there: no stream is opened afterwards', async () => {
  const gateway = createTestGateway();
  let arrive = (): void => {};
  const arrived = new Promise<void>((resolve) => (arrive = resolve));
  part.load = async () => {
    await arrived;
    return import('../src/live.ts');
  };
  const client = clientOf(gateway);
  client.session('s_closed').store.subscribe(() => {});
  expect(client.connection.getSnapshot()).toEqual({ kind: 'connecting' });
  await client.close();
  arrive();
  await expect.poll(() => part.loaded).toBeDefined();
  await settled();
  expect([gateway.streams, client.inspect().streams]).toEqual([0, 0]);
});

test('E9, E5: the part never comes: a session is asked for, and shows and does all that it does with a stream', async () => {
  const gateway = createTestGateway();
  const clock = new HandClock();
  part.load = NO_NETWORK;
  const client = clientOf(gateway, { ports: { clock, random: () => 0.5 } });
  const ends: string[] = [];
  client.onTurnEnd(({ outcome }) => ends.push(outcome));
  const session = await client.createSession({ title: 'asked for' });
  const seen = record(session.store);
  const list = record(client.sessions);
  await pass(clock, 1_000);
  expect(client.connection.getSnapshot()).toEqual({ kind: 'live' });

  const turn = await session.send('hello');
  await pass(clock, 2_000);
  expect(await turn.text()).toBe('You said: hello');
  expect(session.store.getSnapshot().messages.map(({ text }) => text)).toEqual(['hello', 'You said: hello']);
  expect(session.store.getSnapshot().outbox).toEqual([]);
  expect(ends).toEqual(['completed']);
  // R23: sent, it is in every state once: among the unsent ones or in what is shown.
  const counts = seen.states.map(
    ({ outbox, view, messages }) =>
      outbox.length + view.queue.length + messages.filter((it) => it.role === 'user').length,
  );
  expect(Math.max(...counts)).toBe(1);
  expect(client.sessions.getSnapshot().rows.map(({ title }) => title)).toEqual(['asked for']);
  expect(gateway.streams).toBe(0);
  expect(part.asked).toBeGreaterThan(2);
  seen.end();
  list.end();
  await client.close();
  expect(clock.pending).toBe(0);
});

test('B5: without part and network it waits, longer each time; a sign of life asks at once; then it streams', async () => {
  const gateway = createTestGateway();
  const clock = new HandClock();
  part.load = NO_NETWORK;
  gateway.offline = true;
  const client = clientOf(gateway, { ports: { clock, random: () => 1 } });
  const session = client.session('s_late');
  const seen = record(session.store);
  await pass(clock, 60_000);
  expect(client.connection.getSnapshot()).toMatchObject({ kind: 'waiting', fault: { kind: 'disconnected' } });
  expect(part.asked).toBeLessThan(8);

  gateway.offline = false;
  await client.createSession({ id: 's_late' });
  client.nudge();
  await pass(clock, 250);
  expect(client.connection.getSnapshot()).toEqual({ kind: 'live' });
  expect([session.store.getSnapshot().status, gateway.streams]).toEqual(['ready', 0]);

  part.load = undefined;
  await pass(clock, 1_000);
  await until(client.connection, ({ kind }) => kind === 'live');
  await expect.poll(() => gateway.streams).toBe(1);
  const turn = await session.send('by a stream');
  expect(await turn.text()).toBe('You said: by a stream');
  seen.end();
  await client.close();
  expect([gateway.streams, clock.pending]).toEqual([0, 0]);
});
