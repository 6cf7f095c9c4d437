/** Leases on a clock that is turned by hand: what an owner gives up, and when. */
import { expect, test } from 'vitest';
import { MemoryStore, openMemoryLog } from '@holdfast/log/memory';
import type { Log } from '@holdfast/log';
import type { ClientId, Entry, MessageId, SessionId } from '@holdfast/protocol';
import { fault, FaultError } from '@holdfast/protocol/fault';
import { HandClock } from '@holdfast/testing/hand-clock';
import { decodeEntry, openSessionService } from '../src/index.ts';
import { fresh, scripted } from './world.ts';

const LEASE_MS = 10_000;
const RENEW_MS = LEASE_MS / 4;

interface RunningTurn {
  readonly sessionId: SessionId;
  readonly signal: AbortSignal;
  finish(): void;
}

async function openService(log: Log, clock: HandClock) {
  const started = new Map<string, PromiseWithResolvers<RunningTurn>>();
  const agent = scripted(async function* gatedScript({ sessionId }, { signal }) {
    const gate = Promise.withResolvers<void>();
    yield { type: 'text', text: 'in' };
    started.get(sessionId)?.resolve({ sessionId: sessionId as SessionId, signal, finish: () => gate.resolve() });
    await gate.promise;
    return { outcome: 'completed' };
  });
  const times = { leaseMs: LEASE_MS, sweepMs: LEASE_MS * 100 };
  const service = await openSessionService({ log, clock, agents: [agent], randomId: () => fresh('h'), ...times });
  const startTurn = async (): Promise<RunningTurn> => {
    const [sessionId, author] = [fresh('s') as SessionId, 'ann'];
    const turn = Promise.withResolvers<RunningTurn>();
    started.set(sessionId, turn);
    const ids = { clientId: fresh('c') as ClientId, author };
    await service.create({ type: 'session-open', sessionId, ...ids });
    const messageId = fresh('m') as MessageId;
    await service.submit(sessionId, {
      ...ids,
      clientId: fresh('c') as ClientId,
      type: 'message',
      messageId,
      text: 'go',
      whenBusy: 'queue',
    });
    return turn.promise;
  };
  return { service, startTurn };
}

/** What follows from the answers of a store in memory is done when no microtask is left. */
const settled = async (): Promise<void> => {
  for (let round = 0; round < 5; round += 1) await new Promise(setImmediate);
};

async function endOf(log: Log, { sessionId }: RunningTurn): Promise<Entry | undefined> {
  const verdict = await log.read(`session/${sessionId}`, { after: 0 });
  const entries = verdict.kind === 'page' ? verdict.records.map((record): Entry => decodeEntry(record)) : [];
  return entries.find(({ type }) => type === 'turn-end');
}

test('R79: a process that stood still beyond its lease goes on with what no other process acquired', async () => {
  const clock = new HandClock();
  const log = openMemoryLog({ clock, store: new MemoryStore() });
  const { service, startTurn } = await openService(log, clock);
  const turn = await startTurn();
  await clock.standStill(10 * LEASE_MS);
  await settled();
  expect(turn.signal.aborted).toBe(false);
  turn.finish();
  await settled();
  expect(await endOf(log, turn)).toMatchObject({ outcome: 'completed' });
  await service.close();
  await log.close();
});

test('R79, D2: a process that stood still cuts the session that another process acquired, and no other', async () => {
  const clock = new HandClock();
  const log = openMemoryLog({ clock, store: new MemoryStore() });
  const { service, startTurn } = await openService(log, clock);
  const [kept, taken] = [await startTurn(), await startTurn()];
  await clock.standStill(2 * LEASE_MS, async () => {
    await log.holders.renew('other', LEASE_MS);
    const verdict = await log.consumers.acquire(`session/${taken.sessionId}`, 'run', 'other');
    expect(verdict).toMatchObject({ kind: 'acquired', previous: 'expired' });
  });
  await settled();
  expect([kept.signal.aborted, taken.signal.aborted]).toEqual([false, true]);
  kept.finish();
  await settled();
  expect(await endOf(log, kept)).toMatchObject({ outcome: 'completed' });
  expect(await endOf(log, taken)).toBeUndefined();
  await service.close();
  await log.close();
});

test('R79, D2: a lease in doubt that no answer confirms is given up within its margin, and nothing starts meanwhile', async () => {
  const clock = new HandClock();
  let isSilent = false;
  const step = (label: string): Promise<void> =>
    isSilent && label.startsWith('renew') ? new Promise(() => undefined) : Promise.resolve();
  const log = openMemoryLog({ clock, store: new MemoryStore(), step });
  const { startTurn } = await openService(log, clock);
  const turn = await startTurn();
  isSilent = true;
  await clock.standStill(2 * LEASE_MS);
  let hasStarted = false;
  void startTurn().then(() => (hasStarted = true));
  clock.pass(LEASE_MS / 4 - 1);
  await settled();
  expect([turn.signal.aborted, hasStarted]).toEqual([false, false]);
  clock.pass(1);
  expect(turn.signal.aborted).toBe(true);
});

test('D2: one renewal without an answer costs no lease that others have renewed since', async () => {
  const clock = new HandClock();
  const renewals: string[] = [];
  let renewed = Promise.withResolvers<void>();
  const log = openMemoryLog({
    clock,
    store: new MemoryStore(),
    step: (label) => {
      if (!label.startsWith('renew') || !label.endsWith('done')) return Promise.resolve();
      renewals.push(label);
      renewed.resolve();
      if (renewals.length !== 2) return Promise.resolve();
      return Promise.reject(new FaultError(fault('storage-unavailable', 'The answer was lost.')));
    },
  });
  const running = Promise.withResolvers<AbortSignal>();
  const gate = Promise.withResolvers<void>();
  const agent = scripted(async function* gatedScript(_input, context) {
    yield { type: 'text', text: 'in' };
    running.resolve(context.signal);
    await gate.promise;
    return { outcome: 'completed' };
  });
  const service = await openSessionService({
    log,
    clock,
    agents: [agent],
    randomId: () => fresh('h'),
    leaseMs: LEASE_MS,
    sweepMs: LEASE_MS * 100,
  });
  const [sessionId, author] = [fresh('s') as SessionId, 'ann'];
  await service.create({ type: 'session-open', sessionId, clientId: fresh('c') as ClientId, author });
  await service.submit(sessionId, {
    type: 'message',
    messageId: fresh('m') as MessageId,
    clientId: fresh('c') as ClientId,
    author,
    text: 'go',
    whenBusy: 'queue',
  });
  const signal = await running.promise;

  // Twice the lease, in which only the first renewal had no answer.
  for (let passed = 0; passed < 2 * LEASE_MS; passed += RENEW_MS) {
    renewed = Promise.withResolvers<void>();
    clock.pass(RENEW_MS);
    await renewed.promise;
    // What follows from the answer is done when no microtask is left.
    await new Promise(setImmediate);
  }
  expect(renewals.length).toBe(9);
  expect(new Set(renewals).size).toBe(1);
  expect(signal.aborted).toBe(false);

  gate.resolve();
  await service.close();
  await log.close();
});
