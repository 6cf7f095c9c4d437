/** Byte streams that survive one expired token (A10, `authorize.ts`). */
import { authorized, onAbort } from './authorize.ts';
import { openByteStream, type ByteStreamRequest, type ByteStreamResponse } from './byte-stream.ts';
import { systemClock } from './clock.ts';
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
export function openWithCredentials(
  connection: Connection,
  request: ByteStreamRequest,
  credentials?: Credentials,
): Promise<AuthorizedResponse> {
  const ended = new AbortController();
  const end = (): void => ended.abort();
  const ends = [connection.onClose(end), request.signal === undefined ? end : onAbort(request.signal, end)];
  return authorized(
    credentials,
    ended.signal,
    (authorization) => openByteStream(connection, { ...request, headers: { ...request.headers, ...authorization } }),
    drain,
  ).finally(() => ends.forEach((unlisten) => unlisten()));
}

const DRAIN_BYTES_MAX = 65_536;
const DRAIN_MS_MAX = 1_000;

/** Above the limits a new socket is cheaper than the rest. A body that breaks off says no less than its status did. */
async function drain({ body }: ByteStreamResponse): Promise<void> {
  const limit = systemClock.after(DRAIN_MS_MAX, () => body.cancel());
  await body.text(DRAIN_BYTES_MAX).catch(() => '');
  limit.cancel();
}
