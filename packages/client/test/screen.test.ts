/** What is on screen is the log's, whatever the moment: the races that users of other products have met. */
import { isBusy } from '@holdfast/protocol/view';
import { expect, test } from 'vitest';

import { createClient, type ClientOptions, type HoldfastClient, type SessionState } from '../src/index.ts';
import { createTestGateway, type Script, type TestGateway } from '../src/testing.ts';
import { settled } from './fakes.ts';
import './live-at-once.ts';
import { record, until } from './stand.ts';

function clientOf(gateway: TestGateway, more: Partial<ClientOptions> = {}): HoldfastClient {
  return createClient({ baseUrl: 'http://test', transport: gateway.transport, ports: { random: () => 0.5 }, ...more });
}

const textOf = ({ messages }: SessionState): string => messages.at(-1)?.text ?? '';

test('R61: a connection that is lost after a finished turn changes its outcome in nothing, and recovers nothing', async () => {
  const gateway = createTestGateway();
  const client = clientOf(gateway);
  const session = await client.createSession();
  const end = session.store.subscribe(() => {});
  await (
    await session.send('x')
  ).done;
  await until(session.store, ({ view }) => view.closing === null && view.turns.length === 1);
  const before = session.store.getSnapshot().view;
  gateway.offline = true;
  gateway.drop();
  const state = await until(session.store, ({ connection }) => connection.kind === 'waiting');
  expect(state.view).toBe(before);
  expect(state.messages[1]).toMatchObject({ state: 'completed', text: 'You said: x' });
  expect(client.inspect().sessions[0]?.recovery).toBe('none');
  end();
  await client.close();
});

test('R62: a frame that was asked for before the end and comes after it paints nothing old and nothing twice', async () => {
  const frames: (() => void)[] = [];
  const gateway = createTestGateway();
  // Frames that cannot be cancelled: the worst that a platform does.
  const next = (callback: () => void): { cancel(): void } => {
    frames.push(callback);
    return { cancel() {} };
  };
  const client = clientOf(gateway, { ports: { random: () => 0.5, frames: { next } } });
  const session = await client.createSession();
  const seen = record(session.store);
  await (
    await session.send('one two three')
  ).done;
  const told = session.store.getSnapshot();
  expect(textOf(told)).toBe('You said: one two three');
  expect(frames.length).toBeGreaterThan(0);
  for (const frame of frames.splice(0)) frame();
  const after = session.store.getSnapshot();
  expect(after.messages.map(({ text }) => text)).toEqual(['one two three', 'You said: one two three']);
  const lengths = seen.states.map((state) => textOf(state).length);
  expect(lengths).toEqual(lengths.toSorted((a, b) => a - b));
  await client.close();
});

test('R67, R68: sessions that stream at once show their own tokens alone, also when one’s stream breaks', async () => {
  const script: Script = async function* ({ text }) {
    for (let i = 0; i < 40; i++) {
      await settled();
      yield `${text} `;
    }
  };
  for (const streams of ['each', 'one'] as const) {
    const gateway = createTestGateway({ script });
    const client = clientOf(gateway, { streams });
    const words = ['alpha', 'beta', 'gamma'];
    const watched = await Promise.all(
      words.map(async (word) => {
        const session = await client.createSession();
        return { word, session, seen: record(session.store) };
      }),
    );
    const turns = await Promise.all(watched.map(({ session, word }) => session.send(word)));
    await settled();
    gateway.drop();
    await Promise.all(turns.map((turn) => turn.done));
    for (const { word, seen, session } of watched) {
      const shown = seen.states.flatMap(({ messages }) => messages.map(({ text }) => text)).join(' ');
      expect(new Set(shown.match(/\w+/g))).toEqual(new Set([word]));
      expect(seen.states.every(({ sessionId }) => sessionId === session.id)).toBe(true);
    }
    await client.close();
  }
});

test('R71, R74: busy is what the log says: a turn that was stopped while nobody listened is not running afterwards', async () => {
  const script: Script = async function* () {
    yield 'a partial answer ';
    await new Promise(() => {});
  };
  const gateway = createTestGateway({ script });
  const client = clientOf(gateway);
  const session = await client.createSession();
  const end = session.store.subscribe(() => {});
  const turn = await session.send('the prompt');
  await until(session.store, (state) => textOf(state) === 'a partial answer ');
  gateway.offline = true;
  gateway.drop();
  await until(session.store, ({ connection }) => connection.kind === 'waiting');
  expect(isBusy(session.store.getSnapshot().view)).toBe(true);
  const elsewhere = session.store.getSnapshot().view.turn;
  if (elsewhere === null) throw new Error('it runs');
  gateway.append(session.id, {
    type: 'stop',
    clientId: 'c_other' as never,
    author: 'x',
    turnId: elsewhere.turnId,
    queue: 'keep',
  });
  gateway.offline = false;
  client.nudge();
  expect(await turn.done).toMatchObject({ outcome: 'cancelled', text: 'a partial answer ' });
  const { view } = await until(session.store, (state) => !isBusy(state.view));
  expect(view.messages.map(({ text }) => text)).toEqual(['the prompt', 'a partial answer ']);
  end();
  await client.close();
});

test('R72: a message belongs to the session that it was sent in, whichever is followed when it goes out', async () => {
  const gateway = createTestGateway();
  const client = clientOf(gateway, { lingerMs: 0 });
  const [a, b] = await Promise.all([client.createSession(), client.createSession()]);
  const endA = a.store.subscribe(() => {});
  await a.ready();
  gateway.offline = true;
  gateway.drop();
  await a.send('for a');
  endA();
  const endB = b.store.subscribe(() => {});
  gateway.offline = false;
  client.nudge();
  await until(b.store, ({ status }) => status === 'ready');
  await expect.poll(() => gateway.view(a.id).messages.length).toBe(2);
  expect(gateway.view(b.id).messages).toEqual([]);
  endB();
  await client.close();
});

test('the list is asked for while sessions stream on one socket: their places go over to the new stream', async () => {
  const script: Script = async function* () {
    for (let i = 0; i < 30; i++) {
      await settled();
      yield `${i} `;
    }
  };
  const gateway = createTestGateway({ script });
  const client = clientOf(gateway, { streams: 'one' });
  const session = await client.createSession();
  const seen = record(session.store);
  const turn = await session.send('count');
  await until(session.store, (state) => textOf(state).length > 10);
  const endList = client.sessions.subscribe(() => {});
  await until(client.sessions, ({ rows: [row] }) => row?.state === 'idle' && row.lastOutcome === 'completed');
  expect(await turn.text()).toBe(Array.from({ length: 30 }, (_, i) => `${i} `).join(''));
  expect(gateway.streams).toBe(1);
  const lengths = seen.states.map((state) => textOf(state).length).slice(3);
  expect(lengths).toEqual(lengths.toSorted((a, b) => a - b));
  // Asked for again, it is told what happened meanwhile.
  endList();
  gateway.append('s_unseen', { type: 'session-set', clientId: 'c_y' as never, author: 'x', title: 'meanwhile' });
  const again = client.sessions.subscribe(() => {});
  await until(client.sessions, ({ rows }) => rows.some(({ title }) => title === 'meanwhile'));
  again();
  await client.close();
});
