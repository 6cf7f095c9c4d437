/**
 * Requests that survive one expired token (A10).
 *
 * P1. A 401 is drained (up to 64 KiB, so that its socket can be used again), one refresh runs, the request goes out once
 *     more on the same connection. A second 401 is `auth-refused`, as is a refused refresh; a refresh that did not get
 *     through is `auth-unavailable`, worth a retry.
 * P2. Nothing else is retried here: who calls decides, by the fault's advice.
 */
import { fault, FaultError } from '@holdfast/protocol/fault';

import { openByteStream, type ByteStreamRequest, type ByteStreamResponse, type SafeByteStream } from './byte-stream.ts';
import type { Credentials } from './credentials.ts';
import type { Connection } from './transport.ts';

export interface PostRequest extends Omit<ByteStreamRequest, 'method' | 'body'> {
  /** Sent as JSON. */
  readonly json?: unknown;
}

export interface AuthorizedResponse extends ByteStreamResponse {
  /** The one that was accepted. */
  readonly token: string | undefined;
}

/** @throws FaultError `cancelled`, `disconnected`, `auth-refused`, `auth-unavailable`. Any status but 401 resolves. */
export function streamPostWithRetry(
  connection: Connection,
  { json, ...request }: PostRequest,
  credentials?: Credentials,
): Promise<AuthorizedResponse> {
  const post = { ...request, method: 'POST' };
  if (json === undefined) return openWithCredentials(connection, post, credentials);
  const headers = { 'content-type': 'application/json', ...request.headers };
  return openWithCredentials(connection, { ...post, headers, body: JSON.stringify(json) }, credentials);
}

/** The same for any method and body. */
export async function openWithCredentials(
  connection: Connection,
  request: ByteStreamRequest,
  credentials?: Credentials,
): Promise<AuthorizedResponse> {
  const token = credentials?.token();
  const first = await openByteStream(connection, withToken(request, token));
  if (first.status !== 401 || credentials === undefined) return { ...first, token };

  await drain(first.body);
  const outcome = await untilAborted(credentials.refresh(token), request.signal);
  if (outcome.kind !== 'renewed') throw new FaultError(outcome.fault);
  const second = await openByteStream(connection, withToken(request, outcome.token));
  if (second.status !== 401) return { ...second, token: outcome.token };

  second.body.cancel();
  throw new FaultError(fault('auth-refused', 'The gateway refused the renewed token too. Sign in again.'));
}

function withToken(request: ByteStreamRequest, token: string | undefined): ByteStreamRequest {
  if (token === undefined) return request;
  return { ...request, headers: { ...request.headers, authorization: `Bearer ${token}` } };
}

const DRAIN_BYTES_MAX = 65_536;

/** Above the limit a new socket is cheaper than the rest of the body. */
async function drain(body: SafeByteStream): Promise<void> {
  let bytes = 0;
  for await (const chunk of body) {
    bytes += chunk.length;
    if (bytes > DRAIN_BYTES_MAX) break;
  }
}

/** A refresh belongs to everybody and goes on; who was cancelled does not wait for it. */
function untilAborted<T>(task: Promise<T>, signal: AbortSignal | undefined): Promise<T> {
  if (signal === undefined) return task;
  return new Promise((resolve, reject) => {
    const onAbort = (): void => reject(new FaultError(fault('cancelled', 'Cancelled while the token was renewed.')));
    if (signal.aborted) return onAbort();
    signal.addEventListener('abort', onAbort);
    void task.then(resolve, reject).finally(() => signal.removeEventListener('abort', onAbort));
  });
}
