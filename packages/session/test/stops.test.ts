/** R77 against real stores: each stop that was sent is counted, and its receipt is held against the outcome. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { describe, expect, test } from 'vitest';
import type { Log } from '@holdfast/log';
import { openMemoryLog } from '@holdfast/log/memory';
import { openPostgresLog } from '@holdfast/log/postgres';
import { openSqliteLog } from '@holdfast/log/sqlite';
import { turnIdOf, type ClientId, type MessageId, type SessionId, type View } from '@holdfast/protocol';
import { startPostgres } from '@holdfast/testing/postgres';
import { openSessionService, systemClock, type Receipt, type SessionService } from '../src/index.ts';
import { fresh, scripted } from './world.ts';

const ROUNDS = 150;
const AT_ONCE = 10;

const stores: Readonly<Record<string, (use: (log: Log) => Promise<void>) => Promise<void>>> = {
  memory: async (use) => use(openMemoryLog({ clock: systemClock })),
  sqlite: async (use) => {
    const dir = await mkdtemp(path.join(tmpdir(), 'holdfast-stops-'));
    await use(await openSqliteLog({ dir }));
    await rm(dir, { recursive: true, force: true });
  },
  postgres: async (use) => {
    await using server = await startPostgres();
    await use(await openPostgresLog({ url: await server.createDatabase('stops'), node: 'a' }));
  },
};

interface Round {
  readonly receipt: Receipt;
  readonly view: View;
}

/** Sends a message and, when `isDue` says so, a stop by the id in its receipt. */
async function round(log: Log, service: SessionService, isDue: (view: View) => boolean): Promise<Round> {
  const sessionId = fresh('s') as SessionId;
  const by = () => ({ author: 'ann', clientId: fresh('c') as ClientId });
  await service.create({ type: 'session-open', sessionId, ...by() });
  const messageId = fresh('m') as MessageId;
  await service.submit(sessionId, { type: 'message', messageId, text: 'go', whenBusy: 'queue', ...by() });
  await until(log, service, sessionId, isDue);
  const stop = { type: 'stop', turnId: turnIdOf(messageId), queue: 'keep', partial: 'discard', ...by() } as const;
  const receipt = await service.submit(sessionId, stop);
  const view = await until(log, service, sessionId, (now) => now.turns[0]?.lastEvent === 'stream-end');
  return { receipt, view };
}

async function until(
  log: Log,
  service: SessionService,
  sessionId: SessionId,
  wanted: (view: View) => boolean,
): Promise<View> {
  const subscription = log.subscribe(`session/${sessionId}`, 0);
  try {
    for (;;) {
      const found = await service.snapshot(sessionId);
      if (found.kind === 'ok' && wanted(found.view)) return found.view;
      await subscription.next();
    }
  } finally {
    subscription.cancel();
  }
}

async function rounds(log: Log, service: SessionService, isDue: (view: View) => boolean): Promise<readonly Round[]> {
  const done: Round[] = [];
  const work = async (): Promise<void> => {
    for (let n = 0; n < ROUNDS / AT_ONCE; n += 1) done.push(await round(log, service, isDue));
  };
  await Promise.all(Array.from({ length: AT_ONCE }, work));
  return done;
}

const kindOf = ({ receipt }: Round): string => (receipt.kind === 'ok' ? receipt.verdict.kind : receipt.fault.kind);
const shownOf = ({ view }: Round): object => ({ outcome: view.turns[0]?.outcome, text: view.messages.at(-1)?.text });

describe.each(Object.entries(stores))('on %s', (_name, use) => {
  test('R77: 150 of 150 turns that are stopped at the 202 are cancelled, with no text', async () => {
    await use(async (log) => {
      const agent = scripted(async function* talks(_input, { signal, clock }) {
        while (!signal.aborted) {
          yield { type: 'text', text: 'on and on ' };
          await clock.sleep(5, signal);
        }
        return { outcome: 'completed' };
      });
      const service = await openSessionService({ log, agents: [agent], randomId: () => fresh('holder') });
      const done = await rounds(log, service, () => true);
      expect(done.map(kindOf)).toEqual(Array.from({ length: ROUNDS }, () => 'stopping'));
      expect(done.map(shownOf)).toEqual(Array.from({ length: ROUNDS }, () => ({ outcome: 'cancelled', text: '' })));
      await service.close();
      await log.close();
    });
  });

  test('R77: each of 150 stops that are sent as a turn ends is told what becomes of it', async () => {
    await use(async (log) => {
      const agent = scripted(async function* short() {
        yield { type: 'text', text: 'all' };
        return { outcome: 'completed' };
      });
      const service = await openSessionService({ log, agents: [agent], randomId: () => fresh('holder') });
      const done = await rounds(log, service, (view) => view.turns.length > 0);
      for (const one of done)
        expect([kindOf(one), shownOf(one)]).toEqual(
          kindOf(one) === 'stopping'
            ? ['stopping', { outcome: 'cancelled', text: '' }]
            : ['void', { outcome: 'completed', text: 'all' }],
        );
      await service.close();
      await log.close();
    });
  });
});
