/**
 * Requests that survive one expired token (A10).
 *
 * P1. A 401 is drained (up to 64 KiB, so that its socket can be used again), one refresh runs, the request goes out once
 *     more on the same connection. A second 401 is `auth-refused`, as is a refused refresh; a refresh that did not get
 *     through is `auth-unavailable`, worth a retry.
 * P2. Nothing else is retried here: who calls decides, by the fault's advice.
 */
import type { ByteStreamRequest, ByteStreamResponse } from './byte-stream.ts';
import type { Credentials } from './credentials.ts';
import type { Connection } from './transport.ts';

export interface PostRequest extends Omit<ByteStreamRequest, 'method' | 'body'> {
  /** Sent as JSON. */
  readonly json?: unknown;
}

/** @throws FaultError `cancelled`, `disconnected`, `auth-refused`, `auth-unavailable`. Any status but 401 resolves. */
export declare function streamPostWithRetry(
  connection: Connection,
  request: PostRequest,
  credentials: Credentials,
): Promise<ByteStreamResponse>;

/** The same for any method and body. */
export declare function openWithCredentials(
  connection: Connection,
  request: ByteStreamRequest,
  credentials: Credentials,
): Promise<ByteStreamResponse>;
