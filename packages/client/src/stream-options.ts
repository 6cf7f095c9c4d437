/** The options of byte streams, checked where they come in (R112): a fault names the option and its value. */
import { fault, FaultError, type Fault } from '@holdfast/protocol/fault';

import type { ByteStreamRequest } from './byte-stream.ts';

const MIB = 1024 * 1024;

type Marks = Pick<ByteStreamRequest, 'highWaterBytes' | 'lowWaterBytes'>;

export function marksOf({ highWaterBytes: high = MIB, lowWaterBytes: low = Math.floor(high / 4) }: Marks): {
  readonly high: number;
  readonly low: number;
} {
  return { high, low };
}

export function faultOfRequest(request: ByteStreamRequest): Fault | undefined {
  const { url, body, signal } = request;
  const { high, low } = marksOf(request);
  if (typeof url !== 'string') return invalid('url', url, 'a string');
  if (body !== undefined && typeof body !== 'string' && !(body instanceof Uint8Array))
    return invalid('body', body, 'a string or a Uint8Array');
  if (signal !== undefined && typeof signal.addEventListener !== 'function')
    return invalid('signal', signal, 'an AbortSignal');
  if (!isByteCount(high)) return invalid('highWaterBytes', high, 'a whole number of bytes');
  if (!isByteCount(low)) return invalid('lowWaterBytes', low, 'a whole number of bytes');
  if (low > high) return invalid('lowWaterBytes', low, `at most highWaterBytes, which is ${high}`);
  return undefined;
}

const isByteCount = (value: unknown): boolean => Number.isSafeInteger(value) && (value as number) >= 0;

/** Of the readers of a body. Infinity is a limit that one may choose. @throws FaultError `invalid-request` */
export function checkLimits(limits: object): void {
  for (const [name, value] of Object.entries(limits) as [string, unknown][])
    if (value !== undefined && !(typeof value === 'number' && value >= 0))
      throw new FaultError(invalid(name, value, 'a number of 0 or more'));
}

const invalid = (name: string, value: unknown, wanted: string): Fault =>
  fault('invalid-request', `The option ${name} is ${describe(value)}. Give ${wanted}.`);

const describe = (value: unknown): string =>
  typeof value === 'object' && value !== null ? 'an object' : String(value);
