/** A session of 50,000 entries, read through a network that breaks a thousand times. */
import { startFaultProxy, type FaultPlan } from '@holdfast/testing/fault-proxy';
import type { SessionId } from '@holdfast/protocol/ids';
import { afterEach, expect, test } from 'vitest';

import { EventStreamClient, type EventStreamOptions } from '../src/event-stream.ts';
import { nodeTransport } from '../src/node/index.ts';
import { FakeReader, HandClock, HandLifecycle } from './fakes.ts';
import { WireServer } from './wire-server.ts';

const session = 's1' as SessionId;
const ENTRIES = 50_000;
const DROPS = 1000;
/** Another network: `HOLDFAST_SEED=8 npx vitest run packages/client/test/event-stream.crash.test.ts`. */
const SEED = Number(process.env['HOLDFAST_SEED'] ?? 7);

const cleanups: (() => Promise<unknown>)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).toReversed()) await cleanup();
});

/** Repeatable chance. */
function dice(seed: number): () => number {
  let state = seed;
  return () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return state / 2 ** 32;
  };
}

const WORDS = ['wort ', 'mot ', '漢字', '🎉', 'é', 'слово ', '\n', '"', '\\', 'a longer piece of text '];

test(`B5, A8: ${DROPS} drops at random bytes of ${ENTRIES} entries (seed ${SEED}): the text is byte-equal, once`, async () => {
  const random = dice(SEED);
  const server = await WireServer.start();
  cleanups.push(() => server.close());
  const log = server.log(session);
  for (let i = 0; i < ENTRIES; i++) log.append((WORDS[Math.floor(random() * WORDS.length)] ?? '') + i.toString(36));

  const clock = new HandClock();
  const lifecycle = new HandLifecycle();
  const proxy = await startFaultProxy({
    target: { port: server.port },
    plan: (connection) => (connection < DROPS ? dropPlan(random) : {}),
    // A stall is silent: the person opens the lid an hour later.
    onStrike: () =>
      void setImmediate(() => {
        clock.sleep(60_000);
        lifecycle.say('visible');
      }),
  });
  cleanups.push(() => proxy.close());

  const reader = new FakeReader();
  reader.seq = 0;
  const complete = Promise.withResolvers<void>();
  const stream = new EventStreamClient({
    transport: nodeTransport(),
    baseUrl: proxy.origin,
    target: { kind: 'session', sessionId: session, place: '0' },
    handlers: {
      snapshot: () => complete.reject(new Error('nobody asked for a snapshot')),
      entry(_session, entry) {
        reader.entry(entry);
        if (reader.seq === ENTRIES) complete.resolve();
      },
      state(state) {
        if (state.kind === 'waiting') setImmediate(() => clock.advance(state.delayMs));
        if (state.kind === 'idle') complete.reject(new Error(state.fault?.detail));
      },
      error: (error) => complete.reject(error),
    },
    ports: { clock, lifecycle, random },
  });
  stream.start();
  await complete.promise;
  expect(reader.text).toBe(log.text);
  expect(proxy.strikes).toBe(DROPS);

  await stream.close();
  expect(clock.pending).toBe(0);
  await expect.poll(() => [proxy.open, server.sockets, server.readers]).toEqual([0, 0, 0]);
});

function dropPlan(random: () => number): FaultPlan {
  const afterBytes = Math.floor(random() * 10_000);
  const where = (['anywhere', 'in-frame', 'in-character'] as const)[Math.floor(random() * 3)] ?? 'anywhere';
  const roll = random();
  const how = roll < 0.05 ? 'stall' : roll < 0.5 ? 'close' : 'reset';
  return { cut: { afterBytes: roll < 0.03 ? 0 : afterBytes, where, how } };
}

test('B5: a proxy that answers 502, 503 with Retry-After and 429 is waited for as it says', async () => {
  const server = await WireServer.start();
  cleanups.push(() => server.close());
  server.append(session, 'hello');
  const answers: FaultPlan[] = [
    { answer: { status: 502 } },
    { answer: { status: 503, headers: { 'retry-after': '7' } } },
    { answer: { status: 429, headers: { 'retry-after': '3' } } },
  ];
  const proxy = await startFaultProxy({ target: { port: server.port }, plan: (index) => answers[index] ?? {} });
  cleanups.push(() => proxy.close());
  const delays: number[] = [];
  const clock = new HandClock();
  const text = Promise.withResolvers<string>();
  const stream = streamTo(
    proxy.origin,
    {
      snapshot: ({ view }) => text.resolve((view as unknown as { text: string }).text),
      entry() {},
      state(state) {
        if (state.kind !== 'waiting') return;
        delays.push(state.delayMs);
        setImmediate(() => clock.advance(state.delayMs));
      },
    },
    clock,
  );
  stream.start();
  expect(await text.promise).toBe('hello');
  expect(delays.map((it) => Math.round(it))).toEqual([500, 7875, 3375]);
  await stream.close();
});

function streamTo(baseUrl: string, handlers: EventStreamOptions['handlers'], clock: HandClock): EventStreamClient {
  return new EventStreamClient({
    transport: nodeTransport(),
    baseUrl,
    target: { kind: 'session', sessionId: session, place: null },
    handlers,
    ports: { clock, lifecycle: new HandLifecycle(), random: () => 0.5 },
  });
}
