import { expect, test } from 'vitest';
import type { SessionSummary } from '@holdfast/protocol/summary';
import { createClient, type SessionListState } from '../src/index.ts';
import { LiveSessionList } from '../src/session-list.ts';
import type { FeedLane } from '../src/streams.ts';
import { createTestGateway } from '../src/testing.ts';
import { settled } from './fakes.ts';
import './live-at-once.ts';
import { until } from './stand.ts';

const row = (sessionId: string, title: string, seq: number): SessionSummary =>
  ({ sessionId, title, seq, updatedAt: `2026-01-0${seq}` }) as unknown as SessionSummary;

async function openList(): Promise<{ readonly list: LiveSessionList; readonly item: (data: unknown) => void }> {
  let lane: FeedLane | undefined;
  const list = new LiveSessionList({
    requests: { get: () => Promise.resolve({ kind: 'ok', body: { sessions: [], next: null, revision: 0 } }) } as never,
    streams: {
      feed: (its: FeedLane) => {
        lane = its;
        return () => undefined;
      },
    } as never,
    frames: {
      next(callback) {
        queueMicrotask(callback);
        return { cancel: () => undefined };
      },
    },
    onError: (error) => {
      throw error;
    },
  });
  list.subscribe(() => undefined);
  await settled();
  return { list, item: (data) => lane?.item(data, 0) };
}

test('R55, R59: a row gives way only to one that knows more, until a resync says that what was told does not hold', async () => {
  const { list, item } = await openList();
  const titles = async (): Promise<readonly (string | null)[]> => {
    await Promise.resolve();
    return list.getSnapshot().rows.map(({ title }) => title);
  };
  item({ type: 'session', summary: row('s_1', 'lost', 3) });
  item({ type: 'session', summary: row('s_ghost', 'ghost', 1) });
  item({ type: 'deleted', sessionId: 's_2' });
  item({ type: 'session', summary: row('s_1', 'old', 2) });
  item({ type: 'session', summary: row('s_2', 'back', 1) });
  expect(await titles()).toEqual(['lost', 'ghost']);
  item({ type: 'resync' });
  item({ type: 'session', summary: row('s_1', 'old', 2) });
  item({ type: 'session', summary: row('s_2', 'back', 1) });
  expect(await titles()).toEqual(['old', 'back']);
});

test('a list whose first page could not be had is asked for again when the gateway is there, with all its older pages', async () => {
  const gateway = createTestGateway();
  const client = createClient({ baseUrl: 'http://test', transport: gateway.transport, ports: { random: () => 0 } });
  await client.createSession({ id: 's_1', title: 'older' });
  gateway.offline = true;
  const other = createClient({ baseUrl: 'http://test', transport: gateway.transport, ports: { random: () => 0 } });
  // One reader, who stays: another one would be a reason to ask again.
  let tell = (): void => undefined;
  const end = other.sessions.subscribe(() => tell());
  const until = (isTrue: (state: SessionListState) => boolean): Promise<void> =>
    new Promise((resolve) => (tell = () => isTrue(other.sessions.getSnapshot()) && resolve()));
  await until(({ fault }) => fault !== null);
  gateway.offline = false;
  await until(({ status }) => status === 'ready');
  const { rows, fault } = other.sessions.getSnapshot();
  expect([rows.map(({ title }) => title), fault]).toEqual([['older'], null]);
  end();
  await Promise.all([client.close(), other.close()]);
});

test('B2: whoever subscribes to the list of a client that was closed opens nothing', async () => {
  const gateway = createTestGateway();
  const client = createClient({ baseUrl: 'http://test', transport: gateway.transport });
  const end = client.sessions.subscribe(() => undefined);
  await until(client.sessions, ({ status }) => status === 'ready');
  end();
  await client.close();
  client.sessions.subscribe(() => undefined);
  await settled();
  expect([client.inspect().streams, gateway.streams]).toEqual([0, 0]);
});
