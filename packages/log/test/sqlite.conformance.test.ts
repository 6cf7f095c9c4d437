import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll } from 'vitest';
import { describeLog } from '../src/conformance.ts';
import type { Log } from '../src/port.ts';
import { openSqliteLog, type SqliteLog } from '../src/sqlite.ts';

const clock = { time: 1_700_000_000_000, now: (): number => clock.time };
const dir = await mkdtemp(path.join(tmpdir(), 'holdfast-log-'));
afterAll(() => rm(dir, { recursive: true }));
const open = (): Promise<Log> => openSqliteLog({ dir, clock });

describeLog('sqlite', open, {
  elapse: async (ms) => {
    clock.time += ms;
  },
  reopen: async (log) => {
    await log.close();
    return open();
  },
  breakWrites: async (log) => {
    const sqlite = log as SqliteLog;
    await sqlite.breakDisk('read-only');
    return () => sqlite.breakDisk('whole');
  },
});
