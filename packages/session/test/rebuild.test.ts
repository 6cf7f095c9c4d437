/** Rows are derived: lost, they come again from the log. */
import { expect, test } from 'vitest';
import type { Log, Row } from '@holdfast/log';
import { openMemoryLog, type MemoryStore } from '@holdfast/log/memory';
import type { SessionId } from '@holdfast/protocol';
import { systemClock } from '../src/index.ts';
import { rebuildRows } from '../src/rebuild.ts';
import { NO_ROWS } from '../src/rows.ts';
import { echo, scripted, World } from './world.ts';

const TURNS = 130;
const KEPT = { btwId: 'b_1', question: 'zebra?', answer: 'no', agent: 'scripted', askedAt: '2030-01-01T00:00:00.000Z' };
const agents = [scripted(echo)];

const rowsOf = (store: MemoryStore, sessionId: SessionId): readonly Omit<Row, 'rev'>[] =>
  store.rows.list({ table: 'turn', stream: `session/${sessionId}`, limit: 1_000 }).map(({ rev: _rev, ...row }) => row);

/** A session of many turns; its rows are lost after it is at rest. */
async function lostRows(): Promise<{ store: MemoryStore; sessionId: SessionId; before: ReturnType<typeof rowsOf> }> {
  const world = await World.open(agents);
  const { store, sessionId } = world;
  for (let n = 1; n <= TURNS; n += 1) {
    await world.say(`word${n}`);
    const { turns } = await world.idle();
    // Of a turn that is in the window now and will have left it at the end, when this entry has not.
    if (n === TURNS - 30) await world.submit({ type: 'btw-keep', turnId: turns[10]?.turnId, ...KEPT } as never);
  }
  await world.service.drain(1_000);
  await world.close();
  const before = rowsOf(store, sessionId);
  store.rows.erase(`session/${sessionId}`, []);
  return { store, sessionId, before };
}

test('rows that were lost come again with the next owner, those of turns before the window too: pages and search know all of them', async () => {
  const { store, sessionId, before } = await lostRows();
  expect(before).toHaveLength(TURNS);
  const world = await World.open(agents, { store, sessionId });
  await world.say('again');
  await world.idle();
  await world.service.drain(1_000);
  expect(rowsOf(store, sessionId).slice(1)).toEqual(before);
  for (const words of ['word3 ', 'zebra']) {
    const { sessions } = await world.service.list({ words, limit: 10 });
    expect(sessions.map((session) => session.sessionId)).toEqual([sessionId]);
  }
  await world.close();
});

test('rows come again in bounded steps, and none from an owner whose session another one has', async () => {
  const { store, sessionId } = await lostRows();
  const world = await World.open(agents, { store, sessionId });
  const view = await world.view();
  await world.service.drain(1_000);
  await world.close();
  // Its opening has made them already.
  store.rows.erase(`session/${sessionId}`, []);
  const log = openMemoryLog({ clock: systemClock, store });
  const asked: number[] = [];
  const watched: Log = {
    ...log,
    read: (stream, range) => {
      asked.push(range.limit ?? Infinity);
      return log.read(stream, range);
    },
  };
  expect(await rebuildRows(log, { sessionId, view }, 0, NO_ROWS)).toEqual({ kind: 'lost' });
  expect(rowsOf(store, sessionId)).toEqual([]);

  await log.holders.renew('owner', 60_000);
  const acquired = await log.consumers.acquire(`session/${sessionId}`, 'run', 'owner');
  const epoch = acquired.kind === 'acquired' ? acquired.epoch : 0;
  const rebuilt = await rebuildRows(watched, { sessionId, view }, epoch, NO_ROWS);
  expect(rebuilt.kind === 'rows' && rebuilt.state.rowedSeq).toBe(view.seq);
  expect(rowsOf(store, sessionId)).toHaveLength(TURNS);
  expect(asked.length).toBeGreaterThan(1);
  expect(Math.max(...asked)).toBeLessThan(1_000);
  // What is there already is not read again.
  asked.length = 0;
  if (rebuilt.kind === 'rows') await rebuildRows(watched, { sessionId, view }, epoch, rebuilt.state);
  expect(asked).toEqual([]);
  await log.close();
});
