/**
 * Schedules: whatever order commands, hints, the server and the clock come in, what is read is what was written, once, and
 * at the end nothing is left. The moves run with a chosen number of microtasks between them, so that they fall into every
 * await of an attempt.
 */
import * as fc from 'fast-check';
import { afterAll, beforeAll, expect, test } from 'vitest';

import { fault } from '@holdfast/protocol/fault';
import type { SessionId } from '@holdfast/protocol/ids';

import { RESTART_MS } from '../src/event-stream-machine.ts';
import { createCredentials, type RefreshOutcome } from '../src/credentials.ts';
import { EventStreamClient, type StreamState } from '../src/event-stream.ts';
import { FakeLog, FakeReader, FakeWire, HandClock, HandLifecycle, microtasks, settled } from './fakes.ts';

const RUNS = 10_000;
const session = 's1' as SessionId;

let unhandled = 0;
const onUnhandled = (): void => void unhandled++;
beforeAll(() => void process.on('unhandledRejection', onUnhandled));
afterAll(() => void process.off('unhandledRejection', onUnhandled));

class World {
  readonly clock = new HandClock();
  readonly lifecycle = new HandLifecycle();
  readonly wire = new FakeWire();
  readonly log = new FakeLog(session);
  readonly reader = new FakeReader();
  readonly errors: unknown[] = [];
  readonly states: StreamState[] = [];
  readonly refreshes: ((outcome: RefreshOutcome) => void)[] = [];
  rolls = 0;
  readonly met = new Set<string>();
  /** Since then nobody may hear a word. */
  closed: { readonly ended: Promise<void>; readonly heard: string } | undefined;
  readonly credentials = createCredentials({
    token: 'token-0',
    refresh: () => new Promise((resolve) => this.refreshes.push(resolve)),
  });
  readonly stream = new EventStreamClient({
    transport: this.wire.transport(),
    baseUrl: 'http://fake',
    credentials: this.credentials,
    target: { kind: 'session', sessionId: session, place: null },
    handlers: {
      snapshot: (frame) => this.reader.snapshot(frame),
      entry: (_session, entry) => this.reader.entry(entry),
      state: (state) => void this.states.push(state),
      error: (error) => void this.errors.push(error),
    },
    ports: { clock: this.clock, lifecycle: this.lifecycle, random: () => (this.rolls++ % 10) / 10 },
  });

  /** The server's side of one of the requests, old and abandoned ones included. */
  pick(index: number): (typeof this.wire.exchanges)[number] | undefined {
    const { exchanges } = this.wire;
    return exchanges[exchanges.length - 1 - (index % Math.max(1, exchanges.length))];
  }

  /** Everything works again: what is missing comes. A late token may replace the attempt that is answered, so: until quiet. */
  async recover(): Promise<void> {
    this.stream.restart();
    this.clock.advance(RESTART_MS);
    for (let round = 0; round < 4; round++) {
      await settled();
      for (const resolve of this.refreshes.splice(0)) resolve({ kind: 'renewed', token: 'fresh' });
      await settled();
      const { last } = this.wire;
      if (this.stream.state.kind === 'closed' || last.answered) return;
      last.head(200);
      last.say(this.log.answer(last.path));
      last.send();
    }
  }

  leaks(): Readonly<Record<string, number>> {
    return {
      connections: this.wire.connections,
      requests: this.wire.live.length,
      timers: this.clock.pending,
      listeners: this.lifecycle.listeners,
      errors: this.errors.length,
      unhandled,
    };
  }
}

const NO_LEAKS = { connections: 0, requests: 0, timers: 0, listeners: 0, errors: 0, unhandled: 0 };

type Move = (world: World) => void;

const commands: Readonly<Record<string, Move>> = {
  start: ({ stream }) => stream.start(),
  stop: ({ stream }) => stream.stop(),
  restart: ({ stream }) => stream.restart(),
  nudge: ({ stream }) => stream.nudge(),
  rotate: ({ credentials, clock }) => credentials.set(`token-${clock.now()}`),
  online: ({ lifecycle }) => lifecycle.say('online'),
  offline: ({ lifecycle }) => lifecycle.say('offline'),
  visible: ({ lifecycle }) => lifecycle.say('visible'),
  append: ({ log }) => log.append(`<${log.head}>`),
  sleep: ({ clock }) => clock.sleep(40_000),
  renewed: ({ refreshes }) => refreshes.shift()?.({ kind: 'renewed', token: 'fresh' }),
  refused: ({ refreshes }) => refreshes.shift()?.({ kind: 'refused', fault: fault('auth-refused', 'no') }),
};

const close: Move = (world) => {
  world.closed ??= { ended: world.stream.close(), heard: world.reader.text };
};

const serverMoves: Readonly<Record<string, (world: World, index: number, bytes: number) => void>> = {
  accept: (world, index) => {
    const exchange = world.pick(index);
    if (exchange === undefined || exchange.answered) return;
    exchange.head(200);
    exchange.say(world.log.answer(exchange.path));
  },
  /** As most requests go. */
  serve: (world, index) => {
    serverMoves['accept']?.(world, 0, 0);
    serverMoves['sendAll']?.(world, index, 0);
  },
  send: (world, index, bytes) => world.pick(index)?.send(bytes),
  sendAll: (world, index) => world.pick(index)?.send(),
  refuse: (world, index, bytes) => {
    const exchange = world.pick(index);
    if (exchange === undefined || exchange.answered) return;
    exchange.head([401, 401, 429, 502, 503, 204][bytes % 6] ?? 500, 'text/plain');
    exchange.end();
  },
  goodbye: (world, index) =>
    world.pick(index)?.say('event: goodbye\ndata: {"reason":"shutdown","retryAfterMs":300}\n\n'),
  end: (world, index) => world.pick(index)?.end(),
  lose: (world, index) => world.pick(index)?.lose(),
};

const move: fc.Arbitrary<{ name: string; run: Move; ticks: number }> = fc
  .record({
    name: fc.oneof(
      { weight: 50, arbitrary: fc.constantFrom(...Object.keys(commands)) },
      { weight: 60, arbitrary: fc.constantFrom(...Object.keys(serverMoves)) },
      { weight: 20, arbitrary: fc.constant('serve') },
      { weight: 20, arbitrary: fc.constant('advance') },
      { weight: 2, arbitrary: fc.constant('close') },
    ),
    index: fc.oneof({ weight: 2, arbitrary: fc.constant(0) }, { weight: 1, arbitrary: fc.nat(2) }),
    bytes: fc.nat(120),
    ticks: fc.oneof(fc.nat(12), fc.constant(-1)),
  })
  .map(({ name, index, bytes, ticks }) => ({
    name: `${name}(${index}, ${bytes}) ${ticks}`,
    ticks,
    run: (world) => {
      note(world, name, index);
      if (name === 'advance') world.clock.advance(bytes * 100);
      else if (name === 'close') close(world);
      else (commands[name] ?? ((it: World) => serverMoves[name]?.(it, index, bytes)))(world);
    },
  }));

/** In how many schedules a thing was met that the law is about: a search that never comes there proves nothing. */
const met: Record<string, number> = {};
const MET_MIN = RUNS / 100;
const MEETINGS = [
  ...['stop', 'restart', 'rotate', 'lose', 'end', 'goodbye', 'append', 'close'].map((it) => `${it} while reading`),
  ...['connecting', 'waiting', 'idle'].map((it) => `close while ${it}`),
  'anything after the close',
  'a callback of an attempt that is over',
];

function note(world: World, name: string, index: number): void {
  const { kind } = world.stream.state;
  const exchange = world.pick(index);
  const isLate = exchange !== undefined && (exchange.cancelled || exchange.over) && name in serverMoves;
  if (kind === 'closed') world.met.add('anything after the close');
  if (isLate) world.met.add('a callback of an attempt that is over');
  if (name === 'close') world.met.add(`close while ${kind}`);
  if (kind !== 'reading' || isLate) return;
  if (['stop', 'restart', 'rotate', 'lose', 'end', 'goodbye', 'append'].includes(name))
    world.met.add(`${name} while reading`);
}

test(`B1–B6, R38–R45: ${RUNS} schedules read every entry once and leave nothing`, async () => {
  let schedules = 0;
  await fc.assert(
    fc.asyncProperty(fc.array(move, { minLength: 4, maxLength: 30 }), async (moves) => {
      const world = new World();
      world.stream.start();
      for (const { run, ticks } of moves) {
        run(world);
        if (ticks >= 0) await microtasks(ticks);
        else {
          await settled();
          // R44: the replaced ones have gone; at most one is listened to.
          expect(world.wire.live.length).toBeLessThanOrEqual(1);
          expect(world.wire.connections).toBeLessThanOrEqual(1);
        }
      }
      expect(world.errors).toEqual([]);
      expect(world.log.text.startsWith(world.reader.text)).toBe(true);

      await world.recover();
      expect(world.reader.text).toBe(world.closed?.heard ?? world.log.text);
      const closed = world.stream.close();
      for (const resolve of world.refreshes.splice(0)) resolve({ kind: 'renewed', token: 'fresh' });
      await Promise.all([closed, world.closed?.ended]);
      expect(world.leaks()).toEqual(NO_LEAKS);
      expect(world.stream.state).toEqual({ kind: 'closed' });
      for (const it of world.met) met[it] = (met[it] ?? 0) + 1;
      schedules++;
    }),
    { numRuns: RUNS },
  );
  expect(schedules).toBe(RUNS);
  expect(MEETINGS.filter((it) => (met[it] ?? 0) < MET_MIN)).toEqual([]);
});

test('B3: 10,000 quick starts and stops leak nothing', async () => {
  const world = new World();
  for (let i = 0; i < 10_000; i++) {
    world.stream.start();
    if (i % 3 === 0) await microtasks(i % 7);
    world.stream.stop();
  }
  await settled();
  expect(world.leaks()).toEqual(NO_LEAKS);
  await world.recover();
  await world.stream.close();
  expect(world.leaks()).toEqual(NO_LEAKS);
});

test('B2: stop before start does nothing; close ends the refresh, the pause and the stream that it finds', async () => {
  const world = new World();
  world.stream.stop();
  expect(world.states).toEqual([]);
  world.stream.start();
  await settled();
  world.wire.last.head(401, 'text/plain');
  world.wire.last.end();
  await settled();
  expect(world.refreshes.length).toBe(1);
  await world.stream.close();
  expect(world.leaks()).toEqual(NO_LEAKS);
  world.stream.start();
  world.stream.restart();
  expect(world.stream.state).toEqual({ kind: 'closed' });
});

test('B3: three starts in a row open one stream; restart replaces it and the second is untouched', async () => {
  const world = new World();
  for (let i = 0; i < 3; i++) world.stream.start();
  await settled();
  expect(world.wire.exchanges.length).toBe(1);
  const [first] = world.wire.exchanges;
  first?.head(200);
  world.stream.restart();
  world.stream.restart();
  await settled();
  // At once: there is never a moment with two.
  expect(first?.cancelled).toBe(true);
  world.clock.advance(RESTART_MS);
  await settled();
  const second = world.wire.last;
  expect(world.wire.exchanges.length).toBe(2);
  second.head(200);
  second.say(world.log.answer(second.path));
  // What the first still says, and how it ends, concerns nobody (R44).
  first?.say(world.log.answer('?after=0') + world.log.snapshotFrame());
  first?.send();
  first?.lose();
  second.send();
  await settled();
  expect(world.stream.state).toEqual({ kind: 'reading' });
  expect(second.cancelled).toBe(false);
  await world.stream.close();
});

test('B4, R42: a rotation in mid-frame goes on with the new token, and nothing is lost or doubled', async () => {
  const world = new World();
  world.stream.start();
  await settled();
  const first = world.wire.last;
  first.head(200);
  first.say(world.log.answer(first.path));
  for (const text of ['a', 'b', 'c']) world.log.append(text);
  first.say(world.log.entryFrame(1) + world.log.entryFrame(2) + world.log.entryFrame(3));
  first.send(first.unsaid - 20);
  await settled();
  expect(world.reader.text).toBe('ab');

  world.credentials.set('new');
  first.send();
  await settled();
  expect(first.cancelled).toBe(true);
  expect(world.reader.text).toBe('ab');
  const second = world.wire.last;
  expect(second.request.headers['authorization']).toBe('Bearer new');
  expect(second.path).toContain(`after=${world.log.cursor(2)}`);
  second.head(200);
  second.say(world.log.answer(second.path));
  second.send();
  await settled();
  expect(world.reader.text).toBe('abc');

  world.stream.stop();
  world.credentials.set('stale rotation');
  await settled();
  expect(world.wire.live.length).toBe(0);
  await world.stream.close();
});

test('B6, R48: silence is judged by the wall clock after a sleep, and heartbeats are signs of life', async () => {
  const world = new World();
  world.stream.start();
  await settled();
  const { last } = world.wire;
  last.head(200);
  last.say(world.log.answer(last.path));
  last.send();
  await settled();
  for (let i = 0; i < 10; i++) {
    world.clock.advance(15_000);
    last.say(': heartbeat\n\n');
    last.send();
    await settled();
  }
  expect(world.stream.state).toEqual({ kind: 'reading' });
  world.clock.sleep(3_600_000);
  world.lifecycle.say('visible');
  await settled();
  expect(world.stream.state).toMatchObject({ kind: 'waiting', fault: { kind: 'idle-timeout' } });
  expect(world.wire.connections).toBe(0);
  await world.stream.close();
});

test('B6: a server that takes the request and never answers is left too', async () => {
  const world = new World();
  world.stream.start();
  await settled();
  world.clock.advance(38_000);
  await settled();
  expect(world.stream.state).toMatchObject({ kind: 'waiting', fault: { kind: 'idle-timeout' } });
  await world.stream.close();
  expect(world.leaks()).toEqual(NO_LEAKS);
});

test('B5, R45: a 200 that dies, with a greeting or without, does not reset the back-off', async () => {
  const world = new World();
  world.stream.start();
  const attempts: number[] = [];
  for (let i = 0; i < 7; i++) {
    await settled();
    attempts.push(world.clock.now());
    world.wire.last.head(200);
    world.wire.last.say('event: hello\ndata: {"heartbeatMs":15000}\n\n');
    world.wire.last.send();
    world.wire.last.lose();
    await settled();
    const { state } = world.stream;
    if (state.kind === 'waiting') world.clock.advance(state.delayMs);
  }
  expect((attempts.at(-1) ?? 0) - (attempts[0] ?? 0)).toBeGreaterThan(5000);
  await world.stream.close();
});

test('R16: a handler that throws ends neither the stream nor the process', async () => {
  const world = new World();
  world.log.append('a');
  world.stream.start();
  await settled();
  const { last } = world.wire;
  last.head(200);
  last.say(world.log.answer(last.path));
  world.log.append('b');
  world.reader.entry = () => {
    throw new Error('the reader failed');
  };
  last.say(world.log.entryFrame(2));
  last.send();
  await settled();
  expect(world.errors).toEqual([new Error('the reader failed')]);
  expect(world.stream.state).toEqual({ kind: 'reading' });
  await world.stream.close();
});

test('R56: an entry that is missing asks for a snapshot, and the swap has everything', async () => {
  const world = new World();
  for (const text of ['a', 'b', 'c']) world.log.append(text);
  world.stream.start();
  await settled();
  const first = world.wire.last;
  first.head(200);
  first.say(world.log.answer(first.path));
  world.log.append('d');
  world.log.append('e');
  first.say(world.log.entryFrame(5));
  first.send();
  await settled();
  expect(world.stream.state).toMatchObject({ kind: 'waiting', fault: { kind: 'protocol-error' } });
  world.clock.advance(1000);
  await settled();
  const second = world.wire.last;
  expect(second.path).not.toContain('after');
  second.head(200);
  second.say(world.log.answer(second.path));
  second.send();
  await settled();
  expect(world.reader.text).toBe('abcde');
  await world.stream.close();
});
