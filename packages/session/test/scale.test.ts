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

async function sentNow(world: World, text: string): Promise<boolean> {
  const receipt = await world.submit({
    type: 'message',
    messageId: fresh('m') as MessageId,
    text,
    whenBusy: 'queue',
  } as never);
  if (receipt.kind === 'fault') expect(receipt.fault.kind).toBe('queue-full');
  return receipt.kind === 'ok';
}

test('D1, R2, R19: 3,000 follow-ups, fed as the queue drains: constant stack, constant memory', async () => {
  const depths: number[] = [];
  const limit = Error.stackTraceLimit;
  Error.stackTraceLimit = 200;
  let ran = 0;
  const world = await World.open([
    brief(() => {
      ran += 1;
      if (ran % 100 === 0) depths.push((new Error('here').stack ?? '').split('\n').length);
    }),
  ]);
  const heaps: number[] = [];
  const heapUsed = (): number => {
    globalThis.gc?.();
    // The memory log keeps every record: what counts is what is there besides.
    return process.memoryUsage().heapUsed;
  };
  let sent = 0;
  const feed = async (): Promise<void> => {
    for (; sent < 3_000;) {
      sent += 1;
      const text = `${sent}`;
      // Refused, not dropped: it is sent again when there is room (R19).
      while (!(await sentNow(world, text))) await world.until((view) => view.queue.length < 100);
      if (sent % 750 === 0) heaps.push(heapUsed());
    }
  };
  await Promise.all([feed(), feed(), feed(), feed()]);
  await world.until(
    (view) => view.earlierTurns + view.turns.length >= 3_000 && view.turn === null && view.closing === null,
  );
  Error.stackTraceLimit = limit;
  expect(ran).toBe(3_000);
  expect(Math.max(...depths) - Math.min(...depths)).toBeLessThan(5);
  const growth = heaps.slice(1).map((heap, index) => heap - (heaps[index] ?? 0));
  // Nine records a turn stay in the log, some 300 bytes each; nothing else grows.
  expect(Math.max(...growth)).toBeLessThan(750 * 9 * 2_000);
  await world.close();
}, 110_000);

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
  const service = await openSessionService({ log, agents: [agent], randomId: () => fresh('holder'), turnsMax: 64 });
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
}, 110_000);
