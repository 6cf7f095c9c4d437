/**
 * A writer: one connection, natural group commit. What is asked for while a batch commits goes into the next one.
 *
 * 1. Jobs of one lane take effect in the order in which they were asked for; a stream always has the same lane (L5).
 * 2. A batch that fails for a reason other than the connection is tried append by append, so that only the culprit is refused.
 * 3. Readers of this process are told before an append resolves (L7).
 */
import { fault, FaultError, type Fault } from '@holdfast/protocol';
import type { AppendVerdict, Refused } from '../port.ts';
import { appendBatch, type BatchResult, type Request } from './append.ts';
import type { Connection } from './connection.ts';

const BATCH_APPENDS_MAX = 1_000;
const BATCH_BYTES_MAX = 4 * 1024 * 1024;

interface Job {
  readonly request: Request;
  readonly resolve: (verdict: AppendVerdict) => void;
}

export class Lane {
  readonly #connection: Connection;
  readonly #onCommitted: (result: BatchResult) => void;
  #jobs: Job[] = [];
  #draining = false;

  constructor(connection: Connection, onCommitted: (result: BatchResult) => void) {
    this.#connection = connection;
    this.#onCommitted = onCommitted;
  }

  append(request: Request): Promise<AppendVerdict> {
    return new Promise((resolve) => {
      this.#jobs.push({ request, resolve });
      if (!this.#draining) void this.#drain();
    });
  }

  /** After what was asked before. */
  async close(): Promise<void> {
    await this.#connection.close();
  }

  async #drain(): Promise<void> {
    this.#draining = true;
    // What the same tick asks for belongs to the first batch.
    await Promise.resolve();
    while (this.#jobs.length > 0) await this.#commit(this.#takeBatch());
    this.#draining = false;
  }

  #takeBatch(): readonly Job[] {
    let bytes = 0;
    let end = 0;
    while (end < this.#jobs.length && end < BATCH_APPENDS_MAX && bytes < BATCH_BYTES_MAX) {
      for (const record of this.#jobs[end]?.request.append.records ?? []) bytes += record.byteLength;
      end += 1;
    }
    return this.#jobs.splice(0, end);
  }

  async #commit(jobs: readonly Job[]): Promise<void> {
    try {
      const result = await this.#connection.transaction((client) =>
        appendBatch(
          client,
          jobs.map((job) => job.request),
        ),
      );
      this.#onCommitted(result);
      for (const [index, job] of jobs.entries()) job.resolve(result.verdicts[index] ?? { kind: 'missing' });
    } catch (error) {
      if (jobs.length > 1 && !isConnectionError(error)) for (const job of jobs) await this.#commit([job]);
      else for (const job of jobs) job.resolve(unavailable(error));
    }
  }
}

/** What PostgreSQL says when it refuses an operation for a reason of its own (SQLSTATE classes 53, 57, 58, 08 and read-only). */
export function isConnectionError(error: unknown): boolean {
  const code = error instanceof Error && 'code' in error ? String(error.code) : '';
  return !/^[0-9A-Z]{5}$/.test(code) || /^(08|53|57|58|25006)/.test(code);
}

export function faultOfError(error: unknown): Fault {
  if (error instanceof FaultError) return error.fault;
  const code = error instanceof Error && 'code' in error ? String(error.code) : '';
  const said = error instanceof Error ? error.message : String(error);
  if (code === '53100')
    return fault('storage-full', 'The disk of the PostgreSQL server is full. Nothing was stored; make room there.', {
      retryAfterMs: 2_000,
    });
  return fault('storage-unavailable', `The PostgreSQL server did not do it: ${said}`, { retryAfterMs: 1_000 });
}

export const unavailable = (error: unknown): Extract<Refused, { kind: 'unavailable' }> => ({
  kind: 'unavailable',
  fault: faultOfError(error),
});
