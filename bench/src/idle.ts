/**
 * What a session costs in memory while nobody uses it: as good as nothing, because it is rows in a file and no object here.
 * Sessions are made and used once on SQLite, all in one process with the runtime; then the process's RSS is held against what it
 * was after as many again had warmed it up (caches of fixed size, the heap's own room).
 */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { openSqliteLog } from '@holdfast/log/sqlite';
import type { ClientId, MessageId, SessionId } from '@holdfast/protocol';
import { openSessionService, systemClock, type Agent } from '@holdfast/session';
import { rounded, type Bench } from './bench.ts';

const SESSIONS_PER_SECOND = 5_000;
const IN_FLIGHT = 32;

const brief: Agent = {
  name: 'brief',
  description: 'Says one word.',
  resumable: true,
  async *run() {
    yield { type: 'text', text: 'ok' };
    return { outcome: 'completed' };
  },
};

export const run: Bench = async ({ seconds }) => {
  const count = Math.max(2_000, Math.round(seconds * SESSIONS_PER_SECOND));
  const dir = await mkdtemp(join(tmpdir(), 'holdfast-idle-'));
  const log = await openSqliteLog({ dir });
  let drawn = 0;
  const randomId = (): string => `holder-${++drawn}`;
  const service = await openSessionService({ log, agents: [brief], clock: systemClock, randomId });
  const use = async (n: number): Promise<void> => {
    const sessionId = `s_${n}` as SessionId;
    await service.create({ type: 'session-open', sessionId, clientId: 'open' as ClientId, author: 'ann' });
    const ids = { messageId: `m_${n}` as MessageId, clientId: `c_${n}` as ClientId };
    await service.submit(sessionId, {
      type: 'message',
      author: 'ann',
      text: 'hello',
      whenBusy: 'queue',
      merge: false,
      ...ids,
    });
  };
  const useMany = async (from: number, to: number): Promise<void> => {
    let next = from;
    const worker = async (): Promise<void> => {
      while (next < to) await use(next++);
    };
    await Promise.all(Array.from({ length: IN_FLIGHT }, worker));
    while (service.stats().live > 0) await systemClock.sleep(10, new AbortController().signal);
    globalThis.gc?.();
  };
  await useMany(0, count);
  const warm = process.memoryUsage();
  await useMany(count, 2 * count);
  const after = process.memoryUsage();
  await service.close();
  await log.close();
  await rm(dir, { recursive: true });
  const perSession = (more: number): number => rounded(more / count / 1024);
  const rssKb = perSession(after.rss - warm.rss);
  return {
    rows: [
      {
        case: `${count} idle sessions more`,
        figures: {
          'RSS, KB each': rssKb,
          'heap, KB each': perSession(after.heapUsed - warm.heapUsed),
          'RSS, MiB': Math.round(after.rss / 1024 ** 2),
        },
      },
    ],
    goals: [{ what: 'RSS of an idle session, KB', got: rssKb, atMost: 4 }],
  };
};
