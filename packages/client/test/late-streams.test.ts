/** A client whose live part is late, or never comes. */
import { beforeEach, expect, test, vi } from 'vitest';

import { createClient, type ClientOptions, type HoldfastClient } from '../src/index.ts';
import type { loadLive } from '../src/live-part.ts';
import { createTestGateway, type TestGateway } from '../src/testing.ts';
import { HandClock, settled } from './fakes.ts';
import { record, until } from './stand.ts';

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

test('closed before the part is there: no stream is opened afterwards', async () => {
  const gateway = createTestGateway();
  let arrive = (): void => {};
  const arrived = new Promise<void>((resolve) => (arrive = resolve));
  part.load = async () => {
    await arrived;
    part.load = undefined;
    throw new Error('it need not come any more');
  };
  const client = clientOf(gateway);
  client.session('s_closed').store.subscribe(() => {});
  expect(client.connection.getSnapshot()).toEqual({ kind: 'connecting' });
  await client.close();
  arrive();
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
  await vi.waitFor(() => expect(gateway.streams).toBe(1));
  const turn = await session.send('by a stream');
  expect(await turn.text()).toBe('You said: by a stream');
  seen.end();
  await client.close();
  expect([gateway.streams, clock.pending]).toEqual([0, 0]);
});
