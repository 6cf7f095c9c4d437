/**
 * A record as readers get it. It is shared: every reader of a stream in this process is handed the same object, so
 * that what is derived from it (a frame of the wire) can be kept per record.
 *
 * 1. `bytes` is never written again by anybody, neither by the caller who appended it nor by a reader.
 * 2. The tag is computed when it is first asked for: a fold over 100,000 records never needs one.
 *    (It is a getter, so a spread copy of a record has none.)
 */
import { crc32 } from 'node:zlib';
import type { LogRecord } from './port.ts';

class SharedRecord implements LogRecord {
  readonly seq: number;
  readonly at: number;
  readonly bytes: Uint8Array;
  private knownTag: number | undefined = undefined;

  constructor(seq: number, at: number, bytes: Uint8Array) {
    this.seq = seq;
    this.at = at;
    this.bytes = bytes;
  }

  get tag(): number {
    return (this.knownTag ??= crc32(this.bytes));
  }
}

export function logRecord(seq: number, at: number, bytes: Uint8Array): LogRecord {
  return new SharedRecord(seq, at, bytes);
}

/** The records of one append, numbered from `first`. */
export function logRecords(first: number, at: number, bodies: readonly Uint8Array[]): LogRecord[] {
  return bodies.map((bytes, index) => new SharedRecord(first + index, at, bytes));
}
