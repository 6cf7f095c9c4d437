/**
 * The main thread's end of a worker: calls gather for a tick, go in one message, and are answered in one.
 *
 * 1. A worker that dies fails every call under way and every later one; the process should end, and a restart recovers.
 * 2. Bodies of records are copied once into the batch's buffer, which is moved, not cloned.
 * 3. What belongs to a call (`note`) is handed to `onAnswers` with its answer, a whole batch at once, before any caller hears.
 */
import { once } from 'node:events';
import { Worker } from 'node:worker_threads';
import { fault, FaultError } from '@holdfast/protocol';
import type { Answer, Batch, Call } from './messages.ts';
import type { Greeting } from './serve.ts';

interface Waiting<N> {
  readonly note: N | undefined;
  readonly resolve: (value: unknown) => void;
  readonly reject: (error: unknown) => void;
}

export interface Noted<N> {
  readonly answer: Answer;
  readonly note: N;
}

export class WorkerClient<C, N = never> {
  readonly #worker: Worker;
  readonly #now: () => number;
  readonly #waiting = new Map<number, Waiting<N>>();
  #calls: Call<C>[] = [];
  #bodies: Uint8Array[] = [];
  #nextId = 0;
  #dead: Error | undefined;
  readonly #onAnswers: ((noted: readonly Noted<N>[]) => void) | undefined;

  private constructor(worker: Worker, now: () => number, onAnswers?: (noted: readonly Noted<N>[]) => void) {
    this.#worker = worker;
    this.#now = now;
    this.#onAnswers = onAnswers;
    worker.on('message', (answers: readonly Answer[]) => this.#take(answers));
    worker.on('error', (error: Error) => this.#die(error));
    worker.on('exit', () => this.#die(closed()));
    worker.unref();
  }

  /** Resolves when the worker has opened what it needs. @throws FaultError what kept it from that */
  static async open<C, N = never>(
    file: URL,
    dir: string,
    now: () => number,
    onAnswers?: (noted: readonly Noted<N>[]) => void,
  ): Promise<WorkerClient<C, N>> {
    const worker = new Worker(file, { workerData: { dir } });
    const [greeting] = (await once(worker, 'message')) as [Greeting];
    if (greeting.kind === 'open') return new WorkerClient<C, N>(worker, now, onAnswers);
    await worker.terminate();
    throw greeting.kind === 'refused' ? new FaultError(greeting.fault) : new Error(greeting.bug);
  }

  call<T>(call: C, bodies: readonly Uint8Array[] = [], note?: N): Promise<T> {
    return new Promise<T>((resolve, reject) => {
      if (this.#dead !== undefined) {
        reject(this.#dead);
        return;
      }
      const id = ++this.#nextId;
      this.#waiting.set(id, { note, resolve: resolve as (value: unknown) => void, reject });
      if (this.#calls.length === 0) {
        this.#worker.ref();
        queueMicrotask(() => this.#post());
      }
      this.#calls.push({ id, call });
      // One by one: arguments go on the stack, and an imported session may have hundreds of thousands.
      for (const body of bodies) this.#bodies.push(body);
    });
  }

  async close(): Promise<void> {
    this.#dead ??= closed();
    // Its exit is waited for: a process with nothing else to do would end before it.
    this.#worker.ref();
    await this.#worker.terminate();
  }

  #post(): void {
    const bytes = new Uint8Array(this.#bodies.reduce((sum, body) => sum + body.byteLength, 0));
    let offset = 0;
    for (const body of this.#bodies) {
      bytes.set(body, offset);
      offset += body.byteLength;
    }
    const batch: Batch<C> = { now: this.#now(), calls: this.#calls, bytes };
    this.#calls = [];
    this.#bodies = [];
    this.#worker.postMessage(batch, [bytes.buffer]);
  }

  #take(answers: readonly Answer[]): void {
    this.#onAnswers?.(
      answers.flatMap((answer) => {
        const note = this.#waiting.get(answer.id)?.note;
        return note === undefined ? [] : [{ answer, note }];
      }),
    );
    for (const answer of answers) {
      const waiting = this.#waiting.get(answer.id);
      this.#waiting.delete(answer.id);
      if ('value' in answer) waiting?.resolve(answer.value);
      else waiting?.reject('fault' in answer ? new FaultError(answer.fault) : new Error(answer.bug));
    }
    if (this.#waiting.size === 0 && this.#dead === undefined) this.#worker.unref();
  }

  #die(error: Error): void {
    this.#dead ??= error;
    for (const { reject } of this.#waiting.values()) reject(this.#dead);
    this.#waiting.clear();
  }
}

const closed = (): FaultError => new FaultError(fault('shutting-down', 'The log was closed. Open it again to go on.'));
