/** Many sessions on one socket (R50), over real connections. */
import type { SessionId } from '@holdfast/protocol/ids';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';

import { createCredentials } from '../src/credentials.ts';
import { EventStreamClient, type EventStreamOptions } from '../src/event-stream.ts';
import { nodeTransport } from '../src/node/index.ts';
import { Places } from '../src/places.ts';
import { FakeReader } from './fakes.ts';
import { WireServer } from './wire-server.ts';

const [a, b, c] = ['a', 'b', 'c'] as SessionId[] as [SessionId, SessionId, SessionId];

let server: WireServer;
beforeEach(async () => {
  server = await WireServer.start();
});
afterEach(() => server.close());

/** A stream whose readers keep each session's text. */
function follow(options: Partial<EventStreamOptions> = {}) {
  const readers = new Map<SessionId, FakeReader>();
  const reader = (id: SessionId): FakeReader => {
    const it = readers.get(id) ?? new FakeReader();
    readers.set(id, it);
    return it;
  };
  const errors: unknown[] = [];
  const seen: string[] = [];
  const stream = new EventStreamClient({
    transport: nodeTransport(),
    baseUrl: server.origin,
    target: { kind: 'sessions', places: { [a]: null } },
    handlers: {
      snapshot: (frame) => reader(frame.sessionId).snapshot(frame),
      entry: (id, entry) => reader(id).entry(entry),
      feed: (data, revision) => seen.push(`feed ${revision} ${JSON.stringify(data)}`),
      gone: (id, fault) => seen.push(`gone ${id} ${fault.kind}`),
      error: (error) => errors.push(error),
    },
    ports: { random: () => 0 },
    ...options,
  });
  const text = (id: SessionId): string | undefined => readers.get(id)?.text;
  return { stream, text, errors, seen };
}

test('R50: sessions are added and removed on the running stream, each at its own place', async () => {
  server.append(a, 'a1 ');
  server.append(b, 'b1 ');
  const transport = nodeTransport();
  const { stream, text, errors } = follow({ transport });
  stream.start();
  await expect.poll(() => text(a)).toBe('a1 ');
  stream.add(b, null);
  stream.add(c, '0');
  await expect.poll(() => text(b)).toBe('b1 ');
  server.append(b, 'b2 ');
  server.append(a, 'a2 ');
  await expect.poll(() => [text(a), text(b)]).toEqual(['a1 a2 ', 'b1 b2 ']);

  stream.remove(b);
  stream.add(b, '2.00003dde');
  server.append(b, 'b3 ');
  await expect.poll(() => text(b)).toBe('b1 b2 b3 ');
  expect(server.opened).toBe(1);
  expect(errors).toEqual([]);
  await stream.close();
  transport.close();
  await expect.poll(() => server.sockets).toBe(0);
});

test('R50: an addition that the node does not know is told to the next stream, from all places', async () => {
  server.append(a, 'a1 ');
  server.append(b, 'b1 ');
  const { stream, text, errors } = follow();
  stream.start();
  await expect.poll(() => text(a)).toBe('a1 ');
  server.forgetStreams();
  stream.add(b, null);
  await expect.poll(() => text(b)).toBe('b1 ');
  server.append(a, 'a2 ');
  await expect.poll(() => text(a)).toBe('a1 a2 ');
  expect(server.opened).toBe(2);
  expect(errors).toEqual([]);
  await stream.close();
});

test('R50: additions while it connects, waits or rests are in its next request', async () => {
  for (const id of [a, b, c]) server.append(id, `${id}1 `);
  const { stream, text } = follow();
  stream.add(b, null);
  stream.start();
  stream.add(c, null);
  await expect.poll(() => [text(a), text(b), text(c)]).toEqual(['a1 ', 'b1 ', 'c1 ']);
  server.dropReaders();
  for (const id of [a, b, c]) server.append(id, `${id}2 `);
  await expect.poll(() => [text(a), text(b), text(c)]).toEqual(['a1 a2 ', 'b1 b2 ', 'c1 c2 ']);
  await stream.close();
});

test('the feed has its own place, and a session that is gone ends alone', async () => {
  server.append(a, 'a1 ');
  server.append(b, 'b1 ');
  const { stream, text, seen } = follow({ target: { kind: 'sessions', places: { [a]: null, [b]: null }, feed: null } });
  stream.start();
  await expect.poll(() => text(b)).toBe('b1 ');
  server.say('id: feed/7\nevent: feed\ndata: {"rows":[]}\n\n');
  server.say(`event: goodbye\ndata: {"reason":"session-deleted","sessionId":"${a}"}\n\n`);
  server.append(a, 'unheard');
  server.append(b, 'b2 ');
  await expect.poll(() => text(b)).toBe('b1 b2 ');
  expect(text(a)).toBe('a1 ');
  expect(seen).toEqual(['feed 7 {"rows":[]}', 'gone a session-deleted']);
  server.dropReaders();
  await expect.poll(() => server.opened).toBe(2);
  await stream.close();
});

test('R55, R60: a resync swaps, also backwards, and the entries after it go on from there', async () => {
  for (const text of ['1', '2', '3']) server.append(a, text);
  const { stream, text, errors } = follow();
  stream.start();
  await expect.poll(() => text(a)).toBe('123');
  const frame = { sessionId: a, cursor: '1.00001eef', view: { seq: 1, text: 'restored ' }, reason: 'cursor-ahead' };
  server.say(`event: resync\ndata: ${JSON.stringify(frame)}\n\n`);
  server.say(server.log(a).entryFrame(2, `${a}/`));
  await expect.poll(() => text(a)).toBe('restored 2');
  expect(errors).toEqual([]);
  await stream.close();
});

test('R51: a goodbye with advice is heeded; R46: an expired token is renewed in place', async () => {
  server.append(a, '1');
  server.token = 'first';
  let refreshes = 0;
  const credentials = createCredentials({
    token: 'first',
    refresh: () => {
      refreshes++;
      return Promise.resolve({ kind: 'renewed', token: 'second' });
    },
  });
  const { stream, text } = follow({ credentials });
  stream.start();
  await expect.poll(() => text(a)).toBe('1');
  server.token = 'second';
  server.say('event: goodbye\ndata: {"reason":"auth-expired","retryAfterMs":0}\n\n');
  server.append(a, '2');
  await expect.poll(() => text(a)).toBe('12');
  expect(refreshes).toBe(1);
  await stream.close();
});

test('R46: a refused refresh stops the stream with its reason, and a start after signing in goes on', async () => {
  server.append(a, '1');
  server.token = 'good';
  const credentials = createCredentials({ token: 'bad' });
  const { stream, text } = follow({ credentials });
  stream.start();
  await expect.poll(() => stream.state).toMatchObject({ kind: 'idle', fault: { kind: 'auth-refused' } });
  credentials.set('good');
  expect(stream.state.kind).toBe('idle');
  stream.start();
  await expect.poll(() => text(a)).toBe('1');
  await stream.close();
});

test('R47: callers, early and late, share one refresh; a stale 401 asks for none', async () => {
  const asked: (string | undefined)[] = [];
  const credentials = createCredentials({
    token: 'one',
    refresh: async (stale) => {
      asked.push(stale);
      await Promise.resolve();
      return { kind: 'renewed', token: 'two' };
    },
  });
  let changes = 0;
  const end = credentials.subscribe(() => changes++);
  const outcomes = await Promise.all([credentials.refresh('one'), credentials.refresh('one')]);
  expect(await credentials.refresh('one')).toEqual({ kind: 'renewed', token: 'two' });
  expect(outcomes.every((it) => it.kind === 'renewed' && it.token === 'two')).toBe(true);
  expect(asked).toEqual(['one']);
  end();
  credentials.set('three');
  expect(changes).toBe(1);
});

test('B7: a stream whose last reference is dropped while it reads is closed after collection', async () => {
  const read = async (): Promise<void> => {
    const { stream, text } = follow();
    server.append(a, '1');
    stream.start();
    await expect.poll(() => text(a)).toBe('1');
  };
  await read();
  expect(server.readers).toBe(1);
  // The rest of the microtasks that knew it has to end first.
  await vi.waitFor(
    () => {
      globalThis.gc?.();
      expect(server.readers).toBe(0);
    },
    { timeout: 60_000, interval: 20 },
  );
  await expect.poll(() => server.sockets).toBe(0);
});

test('B7: a stream that was never started holds nothing', async () => {
  const refs: WeakRef<object>[] = [];
  for (let i = 0; i < 100; i++) refs.push(new WeakRef(follow().stream));
  await vi.waitFor(
    () => {
      globalThis.gc?.();
      expect(refs.filter((ref) => ref.deref() !== undefined).length).toBeLessThan(5);
    },
    { timeout: 60_000, interval: 20 },
  );
  expect(server.sockets).toBe(0);
});

test('R50, R56: what is told ahead of a replay that was asked for is no loss; after the replay it is', () => {
  const places = new Places({ kind: 'sessions', places: { [a]: '3.x' } });
  const entry = (seq: number): string => {
    const { kind } = places.read({ id: `${a}/${seq}.x`, event: 'text-delta', data: `{"seq":${seq}}` });
    return `${seq} ${kind}`;
  };
  places.move(a, '1.x');
  expect([4, 2, 3, 4, 4].map(entry)).toEqual(['4 nothing', '2 entry', '3 entry', '4 entry', '4 nothing']);
  expect(entry(6)).toBe('6 gap');
  // A new attempt asks from the place: what is missing then is missing.
  places.move(a, '1.x');
  expect(places.request().body).toContain(`"${a}":"1.x"`);
  expect(entry(4)).toBe('4 gap');
});
