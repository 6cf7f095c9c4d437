import { expect, test } from 'vitest';
import type { SessionSummary } from '@holdfast/protocol/summary';
import { LiveSessionList } from '../src/session-list.ts';
import type { FeedLane } from '../src/streams.ts';
import { settled } from './fakes.ts';

const row = (sessionId: string, title: string, seq: number): SessionSummary =>
  ({ sessionId, title, seq, updatedAt: `2026-01-0${seq}` }) as unknown as SessionSummary;

async function openList(): Promise<{ readonly list: LiveSessionList; readonly item: (data: unknown) => void }> {
  let lane: FeedLane | undefined;
  const list = new LiveSessionList({
    requests: { get: () => Promise.resolve({ kind: 'ok', body: { sessions: [], next: null, revision: 0 } }) } as never,
    streams: {
      feed: (its: FeedLane) => {
        lane = its;
        return () => undefined;
      },
    } as never,
    frames: {
      next(callback) {
        queueMicrotask(callback);
        return { cancel: () => undefined };
      },
    },
    onError: (error) => {
      throw error;
    },
  });
  list.subscribe(() => undefined);
  await settled();
  return { list, item: (data) => lane?.item(data, 0) };
}

test('R55, R59: a row gives way only to one that knows more, until a resync says that what was told does not hold', async () => {
  const { list, item } = await openList();
  const titles = async (): Promise<readonly (string | null)[]> => {
    await Promise.resolve();
    return list.getSnapshot().rows.map(({ title }) => title);
  };
  item({ type: 'session', summary: row('s_1', 'lost', 3) });
  item({ type: 'session', summary: row('s_ghost', 'ghost', 1) });
  item({ type: 'deleted', sessionId: 's_2' });
  item({ type: 'session', summary: row('s_1', 'old', 2) });
  item({ type: 'session', summary: row('s_2', 'back', 1) });
  expect(await titles()).toEqual(['lost', 'ghost']);
  item({ type: 'resync' });
  item({ type: 'session', summary: row('s_1', 'old', 2) });
  item({ type: 'session', summary: row('s_2', 'back', 1) });
  expect(await titles()).toEqual(['old', 'back']);
});
