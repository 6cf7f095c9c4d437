import { expect, test } from 'vitest';
import type { ClientId, MessageId, SessionId } from '@holdfast/protocol';
import { MemoryStore, openMemoryLog } from '@holdfast/log/memory';
import { openSessionService, systemClock } from '../src/index.ts';
import { fresh, scripted, World } from './world.ts';

const brief = (onRun: (text: string) => void = () => undefined): ReturnType<typeof scripted> =>
  scripted(async function* briefScript(input) {
    onRun(input.messages[0]?.text ?? '');
    yield { type: 'text', text: 'ok' };
    return { outcome: 'completed' };
  });

const FOLLOW_UPS = 100_000;
/** Nothing here waits for a disk or a socket, so timers, renewals among them, come late on a machine with other work. */
const LEASE_MS = 600_000;
const SENDERS = 8;

test('D1, R2, R19: 100,000 follow-ups, fed as the queue drains: constant stack, constant memory', async () => {
  const depths = new Set<number>();
  const heapsMiB: number[] = [];
  let ran = 0;
  let turnBegan = Promise.withResolvers<void>();
  const look = (): void => {
    const limit = Error.stackTraceLimit;
    Error.stackTraceLimit = 200;
    depths.add((new Error('here').stack ?? '').split('\n').length);
    Error.stackTraceLimit = limit;
    globalThis.gc?.();
    heapsMiB.push(process.memoryUsage().heapUsed / 1024 ** 2);
  };
  const agent = brief(() => {
    ran += 1;
    if (ran % (FOLLOW_UPS / 5) === 0) look();
    turnBegan.resolve();
    turnBegan = Promise.withResolvers();
  });
  const world = await World.open([agent], { leaseMs: LEASE_MS });
  let sent = 0;
  const feed = async (): Promise<void> => {
    while (sent < FOLLOW_UPS) {
      sent += 1;
      // Refused, not dropped: it is sent again when there is room (R19).
      for (const text = `${sent}`; !(await isTaken(world, text));) await turnBegan.promise;
    }
  };
  await Promise.all(Array.from({ length: SENDERS }, feed));
  const view = await world.idle();
  expect(ran).toBe(FOLLOW_UPS);
  expect(view.earlierTurns + view.turns.length).toBe(FOLLOW_UPS);
  expect(depths.size).toBe(1);
  // The log itself is in this heap: nine records and a row a turn. Nothing else grows: each fifth costs what the one before did.
  const growthMiB = heapsMiB.slice(1).map((heap, index) => heap - (heapsMiB[index] ?? 0));
  expect(Math.max(...growthMiB)).toBeLessThan(75);
  await world.close();
}, 300_000);

async function isTaken(world: World, text: string): Promise<boolean> {
  const messageId = fresh('m') as MessageId;
  const receipt = await world.submit({ type: 'message', messageId, text, whenBusy: 'queue' } as never);
  if (receipt.kind === 'fault') expect(receipt.fault.kind).toBe('queue-full');
  return receipt.kind === 'ok';
}

test('10,000 sessions with queued work on few slots: no session waits behind another’s queue, and at rest none is in memory', async () => {
  const sessions = 10_000;
  const perSession = 2;
  const order: string[] = [];
  const store = new MemoryStore();
  const log = openMemoryLog({ clock: systemClock, store });
  let open = false;
  const gate = Promise.withResolvers<void>();
  const agent = scripted(async function* gatedScript(input) {
    if (!open) await gate.promise;
    order.push(`${input.sessionId}/${input.messages[0]?.text}`);
    yield { type: 'text', text: 'ok' };
    return { outcome: 'completed' };
  });
  const service = await openSessionService({
    log,
    agents: [agent],
    randomId: () => fresh('holder'),
    turnsMax: 64,
    leaseMs: LEASE_MS,
  });
  const ids = Array.from({ length: sessions }, (_, n) => `s_${n}` as SessionId);
  for (const sessionId of ids) {
    await service.create({ type: 'session-open', sessionId, clientId: 'open' as ClientId, author: 'ann' });
    for (let n = 0; n < perSession; n += 1) {
      await service.submit(sessionId, {
        type: 'message',
        messageId: `m_${n}` as MessageId,
        clientId: `c_${n}` as ClientId,
        author: 'ann',
        text: `${n}`,
        whenBusy: 'queue',
      });
    }
  }
  open = true;
  gate.resolve();
  const done = Promise.withResolvers<void>();
  const stop = service.watchFeed(
    () => order.length === sessions * perSession && service.stats().running === 0 && done.resolve(),
  );
  await done.promise;
  stop();
  const lastFirst = order.findLastIndex((run) => run.endsWith('/0'));
  // Every session has had its first turn before the sessions that began have all had their second ones.
  expect(lastFirst).toBeLessThan(sessions + 64 * perSession);
  expect(new Set(order).size).toBe(sessions * perSession);
  await service.close();
  expect(service.stats().live).toBe(0);
  await log.close();
});
