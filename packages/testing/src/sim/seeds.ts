/**
 * Many seeds, on as many threads as there are cores. Which thread runs a seed changes nothing: a run is a function of its seed.
 *
 *  1. A thread takes the next chunk of seeds when it is done with one, and tells of each violation and of each chunk.
 *  2. A seed that does not end within `HANG_MS` of real time breaks the law of liveness: its thread is ended and replaced.
 */
import os from 'node:os';
import { Worker } from 'node:worker_threads';
import type { Violation } from './run.ts';

const CHUNK_RUNS = 20;
const HANG_MS = 60_000;
/** A run makes much and keeps little of it. */
const ROOM = { maxYoungGenerationSizeMb: 64 };

export interface Violated {
  readonly seed: number;
  readonly steps: number;
  readonly violations: readonly Violation[];
  readonly trace: readonly string[];
}

export interface SeedsOptions {
  readonly seed: number;
  readonly runsMax: number;
  readonly seconds: number;
  /** Default: one for each core, and one for a few runs. */
  readonly threads: number | undefined;
  readonly isFirstEnough: boolean;
  readonly trace: boolean;
  readonly onViolation: (violated: Violated) => void;
  readonly onProgress: (runs: number) => void;
}

export interface SeedsOutcome {
  readonly runs: number;
  readonly steps: number;
  readonly violated: readonly Violated[];
}

/** To a thread: run these. */
export interface Chunk {
  readonly from: number;
  readonly runs: number;
  readonly trace: boolean;
}

/** From a thread: one run is done. */
export interface Told {
  readonly seed: number;
  readonly steps: number;
  readonly violations: readonly Violation[];
  readonly trace: readonly string[];
}

export async function simulateSeeds(options: SeedsOptions): Promise<SeedsOutcome> {
  const { seed, runsMax } = options;
  const threads = Math.min(options.threads ?? os.availableParallelism(), Math.ceil(runsMax / CHUNK_RUNS));
  const until = performance.now() + options.seconds * 1_000;
  const violated: Violated[] = [];
  let [next, runs, steps] = [seed, 0, 0];
  const isOver = (): boolean => (options.isFirstEnough && violated.length > 0) || performance.now() >= until;
  const take = (told: Told): void => {
    runs += 1;
    steps += told.steps;
    if (told.violations.length > 0) {
      violated.push(told);
      options.onViolation(told);
    }
    if (runs % 100 === 0) options.onProgress(runs);
  };
  const takeChunk = (): Chunk | undefined => {
    const left = seed + runsMax - next;
    if (left <= 0 || isOver()) return undefined;
    const chunk = { from: next, runs: Math.min(CHUNK_RUNS, left), trace: options.trace };
    next += chunk.runs;
    return chunk;
  };
  await Promise.all(Array.from({ length: threads }, () => work(takeChunk, take, isOver)));
  return { runs, steps, violated };
}

/** One lane of work, on one thread after another (2). */
async function work(
  takeChunk: () => Chunk | undefined,
  take: (told: Told) => void,
  isOver: () => boolean,
): Promise<void> {
  let worker: Worker | undefined;
  for (let chunk = takeChunk(); chunk !== undefined;) {
    worker ??= new Worker(new URL('seeds-thread.ts', import.meta.url), { resourceLimits: ROOM });
    const rest = await runChunk(worker, chunk, take, isOver);
    if (rest !== undefined) {
      await worker.terminate();
      worker = undefined;
    }
    chunk = isOver() ? undefined : rest !== undefined && rest.runs > 0 ? rest : takeChunk();
  }
  await worker?.terminate();
}

/** @returns what is left to do, where the thread is of no more use. */
function runChunk(
  worker: Worker,
  chunk: Chunk,
  take: (told: Told) => void,
  isOver: () => boolean,
): Promise<Chunk | undefined> {
  return new Promise((resolve) => {
    let { from, runs } = chunk;
    let watchdog: NodeJS.Timeout | undefined;
    const end = (isLost: boolean): void => {
      clearTimeout(watchdog);
      worker.off('error', failed).off('message', told);
      resolve(isLost ? { ...chunk, from, runs } : undefined);
    };
    const next = (one: Told): void => {
      clearTimeout(watchdog);
      watchdog = setTimeout(() => lost(`No run ends in ${HANG_MS} ms: one step goes on for ever.`), HANG_MS);
      take(one);
      from += 1;
      runs -= 1;
    };
    const lost = (detail: string): void => {
      next({ seed: from, steps: 0, violations: [{ law: 'liveness', detail, step: 0 }], trace: [] });
      end(true);
    };
    watchdog = setTimeout(() => lost(`No run ends in ${HANG_MS} ms: one step goes on for ever.`), HANG_MS);
    const failed = (error: Error): void => lost(error.message);
    const told = (one: Told): void => {
      next(one);
      if (runs === 0 || isOver()) end(runs > 0);
    };
    worker.on('error', failed).on('message', told);
    // oxlint-disable-next-line unicorn/require-post-message-target-origin -- a thread is no window
    worker.postMessage(chunk);
  });
}
