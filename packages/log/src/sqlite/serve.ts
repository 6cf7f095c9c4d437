/** A worker's loop: takes a batch of calls, answers them in one message. */
import { parentPort, receiveMessageOnPort } from 'node:worker_threads';
import { FaultError, type Fault } from '@holdfast/protocol';
import type { Answer, Batch } from './messages.ts';
import { ofDatabase } from './refusal.ts';

export interface Answers {
  readonly answers: readonly Answer[];
  readonly transfer?: ArrayBuffer[];
}

/** The first message of a worker: it is open, or why it is not. */
export type Greeting =
  | { readonly kind: 'open' }
  | { readonly kind: 'refused'; readonly fault: Fault }
  | { readonly kind: 'broken'; readonly bug: string };

/**
 * @param dir the data directory
 * @param open opens what the worker needs of it, and gives what answers calls: all that has come in, together.
 */
export function serve<C>(dir: string, open: () => (batches: readonly Batch<C>[]) => Answers): void {
  const port = parentPort;
  if (port === null) throw new Error('This file is a worker.');
  const greet = (greeting: Greeting): void => port.postMessage(greeting);
  let run: ReturnType<typeof open>;
  try {
    run = open();
  } catch (thrown) {
    const error = ofDatabase(dir, thrown);
    if (error instanceof FaultError) greet({ kind: 'refused', fault: error.fault });
    else greet({ kind: 'broken', bug: error instanceof Error ? (error.stack ?? error.message) : String(error) });
    return;
  }
  greet({ kind: 'open' });
  port.on('message', (first: Batch<C>) => {
    const batches = [first];
    // Natural group commit: what has come in by now is answered together.
    for (let more = receiveMessageOnPort(port); more !== undefined; more = receiveMessageOnPort(port))
      batches.push(more.message as Batch<C>);
    const { answers, transfer = [] } = run(batches);
    port.postMessage(answers, transfer);
  });
}

export const answerOf = (id: number, run: () => unknown): Answer => {
  try {
    return { id, value: run() };
  } catch (error) {
    return refusal(id, error);
  }
};

export function refusal(id: number, error: unknown): Answer {
  if (error instanceof FaultError) return { id, fault: error.fault };
  return { id, bug: error instanceof Error ? (error.stack ?? error.message) : String(error) };
}
