/**
 * Real sockets, begun and ended at every instant of their lives: afterwards the process holds no handle, no timer and no
 * socket more than before, the server agrees, and no rejection went unheard.
 */
import * as fc from 'fast-check';
import { afterAll, beforeAll, expect, test } from 'vitest';

import type { SessionId } from '@holdfast/protocol/ids';
import { startFaultProxy, type FaultPlan, type FaultProxy } from '@holdfast/testing/fault-proxy';

import { createCredentials, EventStreamClient, type Credentials } from '../../src/index.ts';
import { nodeTransport } from '../../src/node/index.ts';
import { FakeReader, HandLifecycle, microtasks, settled } from '../fakes.ts';
import { WireServer } from '../wire-server.ts';

const CYCLES = 10_000;
/** `HOLDFAST_SOCKET_SCHEDULES=10000` for as many as there are on the wire without sockets. */
const SCHEDULES = Number(process.env['HOLDFAST_SOCKET_SCHEDULES'] ?? 300);
const session = 's1' as SessionId;

let server: WireServer;
let unhandled = 0;
const onUnhandled = (): void => void unhandled++;

beforeAll(async () => {
  process.on('unhandledRejection', onUnhandled);
  server = await WireServer.start();
  for (let i = 0; i < 200; i++) server.append(session, `word ${i} `);
});
afterAll(async () => {
  process.off('unhandledRejection', onUnhandled);
  await server.close();
});

/** What keeps the process busy, by kind. */
function handles(): Readonly<Record<string, number>> {
  const kinds = ['TCPSocketWrap', 'TCPConnectWrap', 'GetAddrInfoReqWrap', 'Timeout', 'HTTPClientRequest'];
  const active = process.getActiveResourcesInfo();
  return Object.fromEntries(kinds.map((kind) => [kind, active.filter((it) => it === kind).length]));
}

function open(baseUrl: string, reader: FakeReader, credentials?: Credentials): EventStreamClient {
  reader.seq = 0;
  return new EventStreamClient({
    transport: nodeTransport(),
    baseUrl,
    ...(credentials === undefined ? {} : { credentials }),
    target: { kind: 'session', sessionId: session, place: '0' },
    handlers: { snapshot: (frame) => reader.snapshot(frame), entry: (_session, entry) => reader.entry(entry) },
    ports: { lifecycle: new HandLifecycle(), random: () => 0.002 },
  });
}

/** The instants of a connection's life: before it is asked for, while it is made, while it is read. */
async function instant(n: number): Promise<void> {
  if (n < 12) return microtasks(n);
  for (let i = 12; i <= n; i++) await settled();
}

test(`B3: ${CYCLES} starts and stops on real sockets leave no handle, timer or socket`, async () => {
  const before = handles();
  const stream = open(server.origin, new FakeReader());
  const reached: Record<string, number> = {};
  const openedBefore = server.opened;
  for (let i = 0; i < CYCLES; i++) {
    stream.start();
    await instant((i * 7) % 24);
    reached[stream.state.kind] = (reached[stream.state.kind] ?? 0) + 1;
    stream.stop();
  }
  await stream.close();
  // The cycles were real: the server has met thousands of them, and as many were cut off while they read.
  expect(server.opened - openedBefore).toBeGreaterThan(CYCLES / 4);
  expect(reached['reading']).toBeGreaterThan(CYCLES / 10);
  expect(reached['connecting']).toBeGreaterThan(CYCLES / 10);
  await expect.poll(() => [server.sockets, server.readers]).toEqual([0, 0]);
  await expect.poll(handles).toEqual(before);
  expect(unhandled).toBe(0);
});

interface World {
  readonly stream: EventStreamClient;
  readonly credentials: Credentials;
  readonly proxy: FaultProxy;
}

const moves: Readonly<Record<string, (world: World) => unknown>> = {
  start: ({ stream }) => stream.start(),
  stop: ({ stream }) => stream.stop(),
  restart: ({ stream }) => stream.restart(),
  rotate: ({ credentials }) => credentials.set(`token-${tokens++}`),
  drop: ({ proxy }) => proxy.cutAll(),
  nudge: ({ stream }) => stream.nudge(),
  close: ({ stream }) => stream.close(),
};
let tokens = 0;

const move = fc.record({
  name: fc.oneof(
    { weight: 20, arbitrary: fc.constantFrom('start', 'stop', 'restart', 'rotate', 'drop', 'nudge') },
    { weight: 1, arbitrary: fc.constant('close') },
  ),
  after: fc.nat(20),
});
const fate: fc.Arbitrary<FaultPlan> = fc.oneof(
  fc.constant({}),
  fc.record({ answer: fc.record({ status: fc.constantFrom(429 as const, 502 as const, 503 as const) }) }),
  fc.record({
    cut: fc.record({
      afterBytes: fc.nat(3_000),
      where: fc.constantFrom('anywhere' as const, 'in-frame' as const),
      how: fc.constantFrom('reset' as const, 'close' as const),
    }),
  }),
);

test(
  `B1–B5, R38, R42, R44: ${SCHEDULES} schedules of starts, stops, rotations, drops and closes on real sockets leave nothing`,
  { timeout: 600_000 },
  async () => {
    const before = handles();
    let closedEarly = 0;
    let lost = 0;
    await fc.assert(
      fc.asyncProperty(fc.array(move, { minLength: 2, maxLength: 20 }), fc.array(fate), async (steps, fates) => {
        const proxy = await startFaultProxy({ target: { port: server.port }, plan: (index) => fates[index] ?? {} });
        const reader = new FakeReader();
        const credentials = createCredentials({ token: 'token' });
        const world: World = { stream: open(proxy.origin, reader, credentials), credentials, proxy };
        try {
          world.stream.start();
          for (const { name, after } of steps) {
            await instant(after);
            moves[name]?.(world);
          }
          lost += proxy.strikes;
          if (world.stream.state.kind === 'closed') closedEarly++;
          else await readToTheEnd(world.stream, reader);
          await world.stream.close();
          await expect.poll(() => proxy.open, { interval: 1 }).toBe(0);
        } finally {
          await world.stream.close();
          await proxy.close();
        }
      }),
      { numRuns: SCHEDULES },
    );
    expect(closedEarly).toBeGreaterThan(SCHEDULES / 20);
    expect(lost).toBeGreaterThan(SCHEDULES / 20);
    await expect.poll(() => [server.sockets, server.readers]).toEqual([0, 0]);
    await expect.poll(handles).toEqual(before);
    expect(unhandled).toBe(0);
  },
);

async function readToTheEnd(stream: EventStreamClient, reader: FakeReader): Promise<void> {
  const log = server.log(session);
  while (reader.seq < log.head) {
    stream.start();
    await settled();
  }
  expect(reader.text).toBe(log.text);
}
