/**
 * What survives one expired token (A10): an open by any means, which is done once more where the first answer is a 401.
 *
 * P1. The 401 is let go of (its body read to the end, so that its socket can be used again), one refresh runs, the request
 *     goes out once more on the same connection. A second 401 is `auth-refused`, as is a refused refresh; a refresh that did
 *     not get through is `auth-unavailable`, worth a retry.
 *     Who ends the open, by its signal or by closing the connection, does not wait for the refresh (R114).
 * P2. Nothing else is retried here: who calls decides, by the fault's advice.
 */
import { fault, FaultError, type Fault } from '@holdfast/protocol/fault';

import type { Credentials } from './credentials.ts';

export type Authorized<T> = T & {
  /** The one that was accepted. */
  readonly token: string | undefined;
};

/** `letGo` never rejects; without it there is nothing left of a response. */
export async function authorized<T extends { readonly status: number }>(
  credentials: Credentials | undefined,
  signal: AbortSignal | undefined,
  open: (authorization: Readonly<Record<string, string>>) => Promise<T>,
  letGo?: (refused: T) => unknown,
): Promise<Authorized<T>> {
  const token = credentials?.token();
  const first = await open(headersOf(token));
  if (first.status !== 401 || credentials === undefined) return { ...first, token };

  await letGo?.(first);
  const outcome = await untilAborted(credentials.refresh(token, signal), signal);
  if (outcome.kind !== 'renewed') throw new FaultError(outcome.fault);
  const second = await open(headersOf(outcome.token));
  if (second.status !== 401) return { ...second, token: outcome.token };

  void letGo?.(second);
  throw new FaultError(fault('auth-refused', 'The gateway refused the renewed token. Sign in again.'));
}

export const CANCELLED: Fault = fault('cancelled', 'The request was cancelled.');

const headersOf = (token: string | undefined): Readonly<Record<string, string>> =>
  token === undefined ? {} : { authorization: `Bearer ${token}` };

/** A refresh belongs to everybody and goes on; who was cancelled does not wait for it. */
function untilAborted<T>(task: Promise<T>, signal: AbortSignal | undefined): Promise<T> {
  if (signal === undefined) return task;
  return new Promise((resolve, reject) => {
    const unlisten = onAbort(signal, () => reject(new FaultError(CANCELLED)));
    void task.then(resolve, reject).finally(unlisten);
  });
}

/** Calls back at once where it was aborted before. @returns the end of listening. */
export function onAbort(signal: AbortSignal, callback: () => void): () => void {
  if (signal.aborted) callback();
  else signal.addEventListener('abort', callback);
  return () => signal.removeEventListener('abort', callback);
}
