/** The bounds that every store keeps; the port's documentation names them. */
import type { ReadRange, StreamName } from './port.ts';

export const streamNameLengthMax = 512;
const readLimitMax = 10_000;
const readBytesMaxDefault = 1024 * 1024;

export interface ReadBounds {
  readonly after: number;
  readonly upTo: number;
  readonly limit: number;
  readonly bytesMax: number;
}

/** The range with its defaults; `head` is the stream's. */
export function boundsOf(range: ReadRange, head: number): ReadBounds {
  return {
    after: range.after,
    upTo: Math.min(range.upTo ?? head, head),
    limit: Math.min(range.limit ?? readLimitMax, readLimitMax),
    bytesMax: range.bytesMax ?? readBytesMaxDefault,
  };
}

/** A name that breaks the rule is a bug of the caller, not an answer. */
export function checkStreamName(stream: string): void {
  if (stream.length === 0 || stream.length > streamNameLengthMax) {
    throw new RangeError(`A stream's name has 1 to ${streamNameLengthMax} characters; this one has ${stream.length}.`);
  }
}

/** What kind of stream it is: the first part of its name. */
export const kindOf = (stream: StreamName): string => stream.slice(0, Math.max(0, stream.indexOf('/')));
