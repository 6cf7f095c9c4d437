/** What a response that is no success means: its problem details (RFC 9457), or the best reading of its status. */
import type { Fault } from '@holdfast/protocol/fault';

import type { ByteStreamResponse } from './byte-stream.ts';

/** Reads the body (at most 64 KiB of it) and ends it. Heeds `Retry-After`. Never rejects. */
export declare function faultOfResponse(response: ByteStreamResponse): Promise<Fault>;
