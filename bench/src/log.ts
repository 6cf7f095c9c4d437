/**
 * Appends to the SQLite log beside a bare `better-sqlite3` worker that writes the same rows (bodies, keys, heads) under the same
 * pragmas with the same group commit, in the same run: single (64 in flight) and batched. The main thread's stall is ours.
 */
import { mkdtemp, rm } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { monitorEventLoopDelay } from 'node:perf_hooks';
import { Worker } from 'node:worker_threads';
import { openSqliteLog } from '@holdfast/log/sqlite';
import { DELTA, percentile, rounded, type BenchOptions, type BenchResult, type BenchRow, type Goal } from './bench.ts';

const STREAMS = 64;
const BATCH = 100;

interface Measured {
  readonly eventsPerSecond: number;
  readonly ackP50Ms: number;
  readonly stallP99Ms: number;
}

type AppendTo = (lane: number) => Promise<void>;

async function load(seconds: number, events: number, append: AppendTo): Promise<Measured> {
  const delay = monitorEventLoopDelay({ resolution: 1 });
  const acks: number[] = [];
  delay.enable();
  const until = performance.now() + seconds * 1_000;
  await Promise.all(
    Array.from({ length: STREAMS }, async (_, lane) => {
      while (performance.now() < until) {
        const before = performance.now();
        await append(lane);
        acks.push(performance.now() - before);
      }
    }),
  );
  delay.disable();
  return {
    eventsPerSecond: Math.round((acks.length * events) / seconds),
    ackP50Ms: rounded(percentile(acks, 50)),
    stallP99Ms: rounded(delay.percentile(99) / 1e6 - 1),
  };
}

async function inDir<T>(run: (dir: string) => Promise<T>): Promise<T> {
  const dir = await mkdtemp(path.join(os.tmpdir(), 'holdfast-bench-'));
  try {
    return await run(dir);
  } finally {
    await rm(dir, { recursive: true });
  }
}

function measureLog(seconds: number, events: number): Promise<Measured> {
  return inDir(async (dir) => {
    const log = await openSqliteLog({ dir });
    await log.holders.renew('bench', 600_000);
    const epochs: number[] = [];
    for (let lane = 0; lane < STREAMS; lane += 1) {
      await log.create(`bench/${lane}`, { contentType: 'application/json', consumers: ['run'] });
      const acquired = await log.consumers.acquire(`bench/${lane}`, 'run', 'bench');
      epochs.push(acquired.kind === 'acquired' ? acquired.epoch : 0);
    }
    const records = Array.from({ length: events }, () => DELTA);
    let key = 0;
    const measured = await load(seconds, events, async (lane) => {
      const verdict = await log.append(`bench/${lane}`, {
        records,
        key: { id: `client-${++key}`, hash: 'h'.repeat(43) },
        fence: { consumer: 'run', epoch: epochs[lane] ?? 0 },
      });
      if (verdict.kind !== 'appended') throw new Error(`An append was answered ${verdict.kind}.`);
    });
    await log.close();
    return measured;
  });
}

function measureBare(seconds: number, events: number): Promise<Measured> {
  return inDir(async (dir) => {
    const worker = new Worker(new URL('log-bare-worker.ts', import.meta.url), {
      workerData: { file: path.join(dir, 'bare.db'), streams: STREAMS },
    });
    const waiting = new Map<number, () => void>();
    let calls: {
      readonly id: number;
      readonly lane: number;
      readonly key: string;
      readonly sizes: readonly number[];
    }[] = [];
    let next = 0;
    worker.on('message', (ids: readonly number[]) => {
      for (const id of ids) {
        waiting.get(id)?.();
        waiting.delete(id);
      }
    });
    const post = (): void => {
      const bytes = new Uint8Array(calls.length * events * DELTA.length);
      for (let at = 0; at < bytes.length; at += DELTA.length) bytes.set(DELTA, at);
      worker.postMessage({ calls, bytes }, [bytes.buffer]);
      calls = [];
    };
    const sizes = Array.from({ length: events }, () => DELTA.length);
    const measured = await load(
      seconds,
      events,
      (lane) =>
        new Promise((resolve) => {
          if (calls.length === 0) queueMicrotask(post);
          const id = ++next;
          waiting.set(id, resolve);
          calls.push({ id, lane, key: `client-${id}`, sizes });
        }),
    );
    await worker.terminate();
    return measured;
  });
}

export async function run({ seconds }: BenchOptions): Promise<BenchResult> {
  const rows: BenchRow[] = [];
  const goals: Goal[] = [];
  for (const [name, events] of Object.entries({ single: 1, batched: BATCH })) {
    // Each twice, in turn, the better one counts: the first run of either warms the disk.
    const pairs: { readonly ours: Measured; readonly bare: Measured }[] = [];
    for (let round = 0; round < 2; round += 1)
      pairs.push({ ours: await measureLog(seconds, events), bare: await measureBare(seconds, events) });
    const best = (of: 'ours' | 'bare'): Measured =>
      pairs.map((pair) => pair[of]).toSorted((a, b) => b.eventsPerSecond - a.eventsPerSecond)[0]!;
    const ours = best('ours');
    const bare = best('bare');
    rows.push(
      { case: `${name} holdfast`, figures: { ...ours } },
      { case: `${name} bare worker`, figures: { ...bare } },
    );
    goals.push({
      what: `${name}: events/s against a bare worker`,
      got: rounded(ours.eventsPerSecond / bare.eventsPerSecond),
      atLeast: 0.8,
    });
    goals.push({ what: `${name}: event loop stall p99 in ms`, got: ours.stallP99Ms, atMost: 20 });
  }
  return { rows, goals };
}
