/** Leases on a clock that is turned by hand: what an owner gives up, and when. */
import { expect, test } from 'vitest';
import { MemoryStore, openMemoryLog } from '@holdfast/log/memory';
import type { ClientId, MessageId, SessionId } from '@holdfast/protocol';
import { fault, FaultError } from '@holdfast/protocol/fault';
import { HandClock } from '@holdfast/testing/hand-clock';
import { openSessionService } from '../src/index.ts';
import { fresh, scripted } from './world.ts';

const LEASE_MS = 10_000;
const RENEW_MS = LEASE_MS / 4;

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
