/**
 * What the client promises of event streams, of settling and of unsent messages, as cases that run anywhere it runs: in Node
 * over both transports, in Chromium on a secure origin and on a plain one, and from what is published on the oldest Node.
 * They use what is exported and nothing else of the client.
 *
 * The server is a `WireServer`, which they steer by its `/control`. Time is turned by hand where it is long.
 */
import { encodeFrame } from '@holdfast/protocol/sse';

import {
  Attachments,
  createClient,
  createCredentials,
  EventStreamClient,
  memoryOutbox,
  openByteStream,
  startRecovery,
  type Credentials,
  type EventStreamOptions,
  type HoldfastClient,
  type OutboxStore,
  type SettledTranscript,
  type Transport,
} from '../../src/index.ts';
import { createTestGateway, type TestGateway } from '../../src/testing.ts';
import { equal, holds } from '../../src/testing/expect.ts';
import { FakeReader, HandClock, HandLifecycle, microtasks } from '../fakes.ts';
import type { WireControl, WireFacts } from '../wire-server.ts';

export interface PortableSetting {
  /** Another one each time. */
  readonly makeTransport: () => Transport;
  /** Of a `WireServer`. */
  readonly origin: string;
  /** One store, opened anew each time, as by the next process or page. */
  readonly openOutbox: () => OutboxStore;
  /** A session that nobody else uses, as part of an id. */
  readonly key: string;
}

export interface PortableCase {
  readonly name: string;
  run(setting: PortableSetting): Promise<void>;
}

type Handlers = EventStreamOptions['handlers'];

const WORDS = ['wort ', '漢字', '🎉', 'é', '\n', '"', 'a longer piece of text '];

/** Each is run as a test of this name, wherever the suite runs. */
const test = (name: string, run: PortableCase['run']): PortableCase => ({ name, run });

export const portableCases: readonly PortableCase[] = [
  test('B1, B5: cut at sixty places, every entry comes once and the text is equal', async (setting) => {
    const server = steer(setting);
    const texts = Array.from({ length: 2_000 }, (_, i) => `${WORDS[i % WORDS.length]}${i}`);
    const cuts = Array.from({ length: 60 }, (_, i) => (i * 7919) % 5_003);
    await server({ append: { sessionId: setting.key, texts }, cuts });
    const { stream, reader, errors } = follow(setting, { place: '0' });
    stream.start();
    await until(() => reader.seq === texts.length);
    equal(reader.text, texts.join(''), 'text');
    equal(errors.length, 0, 'errors');
    holds((await server({})).opened > 60, 'it was cut as often');
    await gone(stream, server);
  }),
  test('B2, B3: starts, stops and restarts in any order leave one stream, and a close none', async (setting) => {
    const server = steer(setting);
    await server({ append: { sessionId: setting.key, texts: ['a', 'b'] } });
    const { stream, reader } = follow(setting, { place: '0' });
    stream.stop();
    equal(stream.state.kind, 'idle', 'a stop before any start');
    for (let i = 0; i < 100; i++) {
      stream.start();
      await microtasks(i % 9);
      if (i % 10 === 0) await until(() => stream.state.kind === 'reading');
      if (i % 3 === 0) stream.restart();
      stream.stop();
    }
    for (let i = 0; i < 3; i++) stream.start();
    await until(() => reader.seq === 2);
    await until(async () => (await server({})).readers === 1);
    equal(reader.text, 'ab', 'text');
    await gone(stream, server);
    stream.start();
    equal(stream.state.kind, 'closed', 'a start after the close');
  }),
  test('B4, R42, R46: a token that expires and one that is rotated lose nothing and double nothing', async (setting) => {
    const server = steer(setting);
    let refreshes = 0;
    const credentials = createCredentials({
      token: 'stale',
      refresh: async () => {
        refreshes++;
        return { kind: 'renewed', token: 'fresh' };
      },
    });
    await server({ token: 'fresh', append: { sessionId: setting.key, texts: ['a'] } });
    const { stream, reader } = follow(setting, { place: '0', credentials });
    stream.start();
    await until(() => reader.seq === 1);
    equal(refreshes, 1, 'refreshes');
    const { opened } = await server({ token: 'newer', append: { sessionId: setting.key, texts: ['b'] } });
    await until(() => reader.seq === 2);
    credentials.set('newer');
    await until(async () => (await server({})).opened === opened + 1);
    await server({ append: { sessionId: setting.key, texts: ['c'] } });
    await until(() => reader.seq === 3);
    equal(reader.text, 'abc', 'text');
    await server({ token: null });
    await gone(stream, server);
  }),
  test('B5, R51: a goodbye is heeded for as long as it says; lost connections are retried with a growing pause', async (setting) => {
    const server = steer(setting);
    const clock = new HandClock();
    const pauses: number[] = [];
    const { stream, reader } = follow(setting, { place: '0', clock, pauses });
    await server({ append: { sessionId: setting.key, texts: ['a'] } });
    stream.start();
    await until(() => reader.seq === 1);
    const data = JSON.stringify({ reason: 'shutdown', retryAfterMs: 4_000 });
    await server({ say: encodeFrame({ event: 'goodbye', data }), cuts: [1, 1, 1] });
    for (let i = 1; i <= 4; i++) {
      await until(() => pauses.length === i);
      clock.advance(pauses.at(-1) ?? 0);
    }
    await until(() => stream.state.kind === 'reading');
    holds((pauses[0] ?? 0) >= 4_000, `the server's advice: ${pauses.join()}`);
    holds((pauses[3] ?? 0) > (pauses[2] ?? 0), `the pause grows: ${pauses.join()}`);
    await gone(stream, server);
    equal(clock.pending, 0, 'timers');
  }),
  test('B6, R48: a stream that fell silent is found dead by the wall clock and goes on from its place', async (setting) => {
    const server = steer(setting);
    const clock = new HandClock();
    const lifecycle = new HandLifecycle();
    const { stream, reader } = follow(setting, { place: '0', clock, lifecycle });
    await server({ append: { sessionId: setting.key, texts: ['a'] } });
    stream.start();
    await until(() => reader.seq === 1);
    const { opened } = await server({});
    clock.sleep(60_000);
    lifecycle.say('visible');
    await until(async () => {
      if (stream.state.kind === 'waiting') clock.advance(stream.state.delayMs);
      return (await server({})).opened > opened;
    });
    await server({ append: { sessionId: setting.key, texts: ['b'] } });
    await until(() => reader.seq === 2);
    equal(reader.text, 'ab', 'text');
    await gone(stream, server);
    equal(lifecycle.listeners, 0, 'listeners');
  }),
  test('R50, R55: many sessions on one stream come and go; a resync swaps one of them', async (setting) => {
    const server = steer(setting);
    const ids = ['x', 'y', 'z'].map((it) => `${setting.key}-${it}`);
    const readers = new Map(ids.map((id) => [id, new FakeReader()]));
    const stream = new EventStreamClient({
      transport: setting.makeTransport(),
      baseUrl: setting.origin,
      target: { kind: 'sessions' },
      handlers: {
        snapshot: (frame) => readers.get(frame.sessionId)?.snapshot(frame),
        entry: (id, entry) => readers.get(id)?.entry(entry),
      },
      ports: { random: () => 0 },
    });
    const text = (index: number): string => readers.get(ids[index] ?? '')?.text ?? '';
    const append = (index: number, it: string): Promise<WireFacts> =>
      server({ append: { sessionId: ids[index] ?? '', texts: [it] } });
    for (const index of [0, 1, 2]) await append(index, 'old ');
    stream.start();
    for (const id of ids) stream.add(id as never, null);
    await until(() => [0, 1, 2].every((it) => text(it) === 'old '));
    stream.remove(ids[2] as never);
    await append(0, 'new');
    await append(2, 'unheard');
    await until(() => text(0) === 'old new');
    equal(text(2), 'old ', 'one that is followed no more');
    const view = { seq: 1, text: 'another past ' };
    const data = JSON.stringify({ sessionId: ids[1], cursor: '1.00000000', view, reason: 'unknown-cursor' });
    await server({ say: encodeFrame({ event: 'resync', data }) });
    await append(1, 'and on');
    await until(() => text(1) === 'another past and on');
    await gone(stream, server);
  }),
  test('E1, E2, R63: a transcript that lags its stream end by 0 to 5 s is restored once, when it is there', async () => {
    for (let lagMs = 0; lagMs <= 5_000; lagMs += 250) {
      const { clock, restored, end, recovery } = recover(lagMs);
      await pass(clock, Math.max(0, lagMs - 40));
      equal(restored.length, 0, `restored before it was written, ${lagMs} ms late`);
      await pass(clock, 40 + 180 + 1_100);
      equal(restored.join(), 'whole', `restored, ${lagMs} ms late`);
      equal(await recovery.ended, 'restored', 'how it ended');
      equal(clock.pending, 0, 'timers');
      end();
    }
  }),
  test('E1, E3, R64: a terminal event cancels it, a newer stream owns the view, a lost run is interrupted', async () => {
    const cancelled = recover(100);
    cancelled.recovery.terminal();
    await pass(cancelled.clock, 10_000);
    equal(cancelled.restored.length, 0, 'restored after the terminal event');
    const stale = recover(1_000);
    await pass(stale.clock, 500);
    stale.end();
    await pass(stale.clock, 10_000);
    equal(stale.restored.length, 0, 'restored over a newer stream');
    equal(await stale.recovery.ended, 'stale', 'how it ended');
    const lost = recover(Infinity, 'missing');
    await pass(lost.clock, 3_000);
    equal(lost.restored.join(), 'interrupted', 'a run that nobody knows');
    for (const { clock } of [cancelled, stale, lost]) equal(clock.pending, 0, 'timers');
  }),
  test('E1, E2, R65: the stream is gone for good and the answer ends 0 to 5 s later: it settles in place', async () => {
    for (const lagMs of [0, 300, 1_900, 5_000]) {
      const clock = new HandClock();
      const gateway = createTestGateway({
        script: async function* () {
          yield 'the first half';
          await new Promise<void>((resolve) => void clock.after(1_000 + lagMs, resolve));
          yield ' and the rest';
        },
      });
      const client = open(gateway, { outbox: memoryOutbox(), ports: { clock, random: () => 0.999 } });
      const session = await client.createSession();
      const texts: string[] = [];
      const answer = () => session.store.getSnapshot().messages[1];
      const end = session.store.subscribe(() => texts.push(answer()?.text ?? ''));
      await session.send('go');
      await until(() => answer()?.text === 'the first half');
      await pass(clock, 1_000);
      gateway.streamsRefused = true;
      gateway.drop();
      await pass(clock, lagMs + 180 + 1_100);
      equal(answer()?.text, 'the first half and the rest', `the answer, ${lagMs} ms late`);
      equal(answer()?.state, 'completed', 'its state');
      holds(
        texts.every((it, i) => it.startsWith(texts[i - 1] ?? '')),
        'nothing on screen shrank',
      );
      end();
      await client.close();
      equal(gateway.streams, 0, 'streams');
      // In a page the last one goes with the next frame.
      await until(() => clock.pending === 0);
    }
  }),
  test('R23: the answer to a message is lost on its way: the message is there once', async (setting) => {
    const gateway = createTestGateway();
    const client = open(gateway, { outbox: setting.openOutbox() });
    const session = await client.createSession();
    const end = session.store.subscribe(() => {});
    gateway.losesNextAnswer = true;
    const turn = await session.send('once');
    equal(await turn.text(), 'You said: once', 'its answer');
    equal(asked(gateway, session.id), 'once', 'messages');
    await until(() => session.store.getSnapshot().outbox.length === 0);
    end();
    await client.close();
  }),
  test('R25, R54: a client that goes away with unsent messages: the next one sends them, once and in order', async (setting) => {
    const gateway = createTestGateway();
    const id = `s_${setting.key}`;
    const first = open(gateway, { outbox: setting.openOutbox() });
    const session = await first.createSession({ id });
    gateway.losesNextAnswer = true;
    await session.send('arrived');
    gateway.offline = true;
    await session.send('did not');
    await session.send('nor this');
    const stored = async (): Promise<number> => {
      const store = setting.openOutbox();
      const { length } = await store.all();
      await store.close();
      return length;
    };
    await until(async () => (await stored()) === 3);
    await first.close();
    gateway.offline = false;
    const second = open(gateway, { outbox: setting.openOutbox() });
    const again = second.session(id);
    const end = again.store.subscribe(() => {});
    await until(() => again.store.getSnapshot().messages.length === 6);
    equal(asked(gateway, id), 'arrived, did not, nor this', 'messages');
    await until(async () => (await stored()) === 0);
    end();
    await second.close();
  }),
];

// ------------------------------------------------------------------------------------------------------ the tools

type Steer = (control: WireControl) => Promise<WireFacts>;

function steer({ makeTransport, origin }: PortableSetting): Steer {
  const transport = makeTransport();
  return async (control) => {
    const request = { url: `${origin}/control`, method: 'POST', body: JSON.stringify(control) };
    const { body } = await openByteStream(transport.short, request);
    return JSON.parse(await body.text()) as WireFacts;
  };
}

interface Follow {
  readonly place: string | null;
  readonly credentials?: Credentials;
  readonly clock?: HandClock;
  readonly lifecycle?: HandLifecycle;
  readonly pauses?: number[];
}

/** One session of its own, and what a reader has of it. */
function follow({ makeTransport, origin, key }: PortableSetting, options: Follow) {
  const { place, credentials, clock, lifecycle = new HandLifecycle(), pauses } = options;
  const reader = new FakeReader();
  if (place !== null) reader.seq = Number.parseInt(place, 10);
  const errors: unknown[] = [];
  const handlers: Handlers = {
    snapshot: (frame) => reader.snapshot(frame),
    entry: (_session, entry) => reader.entry(entry),
    error: (error) => errors.push(error),
    state: (state) => state.kind === 'waiting' && pauses?.push(state.delayMs),
  };
  const stream = new EventStreamClient({
    transport: makeTransport(),
    baseUrl: origin,
    ...(credentials === undefined ? {} : { credentials }),
    target: { kind: 'session', sessionId: key as never, place },
    handlers,
    ports: { lifecycle, ...(clock === undefined ? { random: () => 0 } : { clock, random: () => 0.5 }) },
  });
  return { stream, reader, errors };
}

/** After its close nobody reads. A browser may say so a little later. */
async function gone(stream: EventStreamClient, server: Steer): Promise<void> {
  await stream.close();
  equal(stream.state.kind, 'closed', 'state');
  await until(async () => (await server({})).readers === 0);
}

/** A recovery whose server has the transcript so much later; `end` begins another stream of the session. */
function recover(lagMs: number, standing: 'ended' | 'missing' = 'ended') {
  const clock = new HandClock();
  const startedAt = clock.now();
  const restored: string[] = [];
  const attachments = new Attachments();
  const recovery = startRecovery<string>({
    port: {
      status: () => Promise.resolve(standing),
      snapshot: (): Promise<SettledTranscript<string> | undefined> => {
        const terminal = clock.now() - startedAt >= lagMs;
        return Promise.resolve({ revision: terminal ? 9 : 7, terminal, value: terminal ? 'whole' : 'wh' });
      },
    },
    token: attachments.attach('s', 'run'),
    clock,
    random: () => 0.5,
    shown: true,
    seenRevision: () => 5,
    restore: (value) => void restored.push(value),
    interrupt: () => void restored.push('interrupted'),
  });
  return { clock, restored, recovery, end: () => void attachments.attach('s', 'another run') };
}

function open(gateway: TestGateway, options: Partial<Parameters<typeof createClient>[0]>): HoldfastClient {
  return createClient({
    baseUrl: 'http://test',
    subject: 'ann',
    transport: gateway.transport,
    ports: { random: () => 0 },
    ...options,
  });
}

const asked = (gateway: TestGateway, sessionId: string): string =>
  gateway
    .history(sessionId)
    .filter(({ role }) => role === 'user')
    .map(({ text }) => text)
    .join(', ');

/** Turns the clock in small steps, so that every answer comes at its time. */
async function pass(clock: HandClock, ms: number): Promise<void> {
  for (let passed = 0; passed < ms; passed += 20) {
    clock.advance(20);
    await microtasks(30);
  }
}

/** Looks again whenever the event loop has turned. */
async function until(fact: () => boolean | Promise<boolean>): Promise<void> {
  for (const startedAt = performance.now(); !(await fact());) {
    if (performance.now() - startedAt > 10_000) throw new Error(`never came: ${String(fact)}`);
    await new Promise((resolve) => setTimeout(resolve, 1));
  }
}
