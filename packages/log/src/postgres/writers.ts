/**
 * The writers of a node: a few connections with natural group commit. What is asked for while a batch commits goes into a later one.
 *
 * Stages: an append waits → a free connection takes what is worth a transaction → one transaction, in one round trip where its streams
 * are as this node left them (`guess.ts`), in two where they are not (`append.ts`) → readers here → the verdicts.
 *
 * 1. Appends to one stream take effect in the order in which they were asked for: none is taken while an earlier one is under way (L5).
 * 2. A batch that fails for a reason other than the connection is tried append by append, so that only the culprit is refused.
 * 3. Readers of this process are told before an append resolves (L7).
 * 4. A transaction costs as much as ten appends in it. So where many are under way, another connection begins only with as much as is
 *    worth one; where few are, or where those under way take long (a lock, a slow server), it begins at once.
 */
import type { AppendVerdict } from '../port.ts';
import { appendIf } from './append-if.ts';
import { batchSteps } from './append.ts';
import type { BatchResult, Request } from './writes.ts';
import type { Connection } from './connection.ts';
import { Heads } from './guess.ts';
import { isConnectionError, unavailable } from './refusal.ts';
import { pause } from './wait-clock.ts';

const BATCH_APPENDS_MAX = 1_000;
const BATCH_BYTES_MAX = 4 * 1024 * 1024;
/** Rule 4, by the weight of an append: what each costs beside its records, and its records. */
const WORTH_A_TRANSACTION = 160;
const FEW = 32;
const APPEND_WEIGHT = 4;
const SLOW_MS = 50;

interface Job {
  readonly request: Request;
  readonly weight: number;
  readonly resolve: (verdict: AppendVerdict) => void;
}

export class Writers {
  readonly #free: Connection[];
  readonly #all: readonly Connection[];
  readonly #onCommitted: (result: BatchResult) => void;
  readonly #heads = new Heads();
  #waiting: Job[] = [];
  /** Streams with appends under way (rule 1). */
  readonly #busy = new Set<string>();
  /** What is under way and not slow, by weight. */
  #underWay = 0;
  #planned = false;

  constructor(connections: readonly Connection[], onCommitted: (result: BatchResult) => void) {
    this.#all = connections;
    this.#free = [...connections];
    this.#onCommitted = onCommitted;
  }

  append(request: Request): Promise<AppendVerdict> {
    return new Promise((resolve) => {
      this.#waiting.push({ request, weight: APPEND_WEIGHT + request.append.records.length, resolve });
      this.#plan();
    });
  }

  /** After what was asked before. */
  async close(): Promise<void> {
    await Promise.all(this.#all.map((connection) => connection.close()));
  }

  /** What the same tick asks for belongs together. */
  #plan(): void {
    if (this.#planned) return;
    this.#planned = true;
    queueMicrotask(() => {
      this.#planned = false;
      this.#begin();
    });
  }

  #begin(): void {
    while (this.#free.length > 0) {
      const ready = this.#waiting.filter((job) => !this.#busy.has(job.request.stream));
      const weight = ready.reduce((sum, job) => sum + job.weight, 0);
      if (weight === 0 || (this.#underWay > FEW && weight < WORTH_A_TRANSACTION)) return;
      const jobs = new Set(takeBatch(ready, Math.max(WORTH_A_TRANSACTION, weight / this.#free.length)));
      this.#waiting = this.#waiting.filter((job) => !jobs.has(job));
      void this.#run(this.#free.pop() as Connection, [...jobs]);
    }
  }

  async #run(connection: Connection, jobs: readonly Job[]): Promise<void> {
    const streams = new Set(jobs.map((job) => job.request.stream));
    for (const stream of streams) this.#busy.add(stream);
    const done = this.#count(jobs.reduce((sum, job) => sum + job.weight, 0));
    await this.#commit(connection, jobs);
    done();
    for (const stream of streams) this.#busy.delete(stream);
    this.#free.push(connection);
    this.#plan();
  }

  /** Rule 4. @returns it is no longer under way */
  #count(weight: number): () => void {
    let counted = true;
    const uncount = (): void => {
      if (counted) this.#underWay -= weight;
      counted = false;
    };
    this.#underWay += weight;
    void pause(SLOW_MS).then(() => {
      uncount();
      this.#plan();
    });
    return uncount;
  }

  async #commit(connection: Connection, jobs: readonly Job[]): Promise<void> {
    const requests = jobs.map((job) => job.request);
    try {
      const result = (await this.#guess(connection, requests)) ?? (await connection.steps(batchSteps(requests)));
      this.#heads.note(result.heads);
      this.#onCommitted(result);
      for (const [index, job] of jobs.entries()) job.resolve(result.verdicts[index] ?? { kind: 'missing' });
    } catch (error) {
      if (jobs.length > 1 && !isConnectionError(error)) for (const job of jobs) await this.#commit(connection, [job]);
      else for (const job of jobs) job.resolve(unavailable(error));
    }
  }

  async #guess(connection: Connection, requests: readonly Request[]): Promise<BatchResult | undefined> {
    const guess = this.#heads.guess(requests);
    if (guess === undefined) return undefined;
    const at = await connection
      .flight((client, mark) => appendIf(client, mark, guess))
      .catch((error: unknown) => {
        this.#heads.forget(requests);
        throw error;
      });
    if (at !== undefined) return guess.writes.result(at);
    this.#heads.forget(requests);
    return undefined;
  }
}

function takeBatch(jobs: readonly Job[], weightMax: number): readonly Job[] {
  let weight = 0;
  let bytes = 0;
  let end = 0;
  while (end < jobs.length && end < BATCH_APPENDS_MAX && weight < weightMax && bytes < BATCH_BYTES_MAX) {
    const job = jobs[end] as Job;
    for (const record of job.request.append.records) bytes += record.byteLength;
    weight += job.weight;
    end += 1;
  }
  return jobs.slice(0, end);
}
