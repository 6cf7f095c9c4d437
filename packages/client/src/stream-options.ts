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
  const { body } = request;
  const { high, low } = marksOf(request);
  if (body !== undefined && typeof body !== 'string' && !(body instanceof Uint8Array))
    return invalid('body', body, 'a string or a Uint8Array');
  if (!isByteCount(high)) return invalid('highWaterBytes', high, BYTES);
  if (!isByteCount(low) || low > high)
    return invalid('lowWaterBytes', low, `${BYTES}, at most highWaterBytes (${high})`);
  return undefined;
}

const BYTES = 'a whole number of bytes';
const isByteCount = (value: unknown): boolean => Number.isSafeInteger(value) && (value as number) >= 0;

/** Of the readers of a body. Infinity is a limit that one may choose. @throws FaultError `invalid-request` */
export function checkLimits(limits: object): void {
  for (const [name, value] of Object.entries(limits) as [string, unknown][])
    if (value !== undefined && !(typeof value === 'number' && value >= 0))
      throw new FaultError(invalid(name, value, 'a number of 0 or more'));
}

const invalid = (name: string, value: unknown, wanted: string): Fault =>
  fault(
    'invalid-request',
    `${name} is ${typeof value === 'object' ? 'an object' : (value as number)}. Give ${wanted}.`,
  );
