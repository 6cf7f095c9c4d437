/**
 * A reader's place in a log: `seq.tag`, where the tag is the CRC-32 of the record at that seq.
 *
 * 1. A cursor names a record, not a number: after a restore or a lost failover the number may come again with another
 *    record, and then the tag does not match and the reader gets a `resync` (R60), never somebody else's tail.
 * 2. `0` is the place before the first record; it names no record and has no tag.
 */

export interface Cursor {
  /** Entries after this one are wanted. */
  readonly seq: number;
  /** CRC-32 (ISO 3309) of the record's stored bytes; 0 at seq 0. */
  readonly tag: number;
}

export const START: Cursor = { seq: 0, tag: 0 };

const CURSOR_PATTERN = /^(0|[1-9]\d{0,14})\.([0-9a-f]{8})$/;

export function formatCursor({ seq, tag }: Cursor): string {
  return seq === 0 ? '0' : `${seq}.${tag.toString(16).padStart(8, '0')}`;
}

/** @returns undefined where the text is no cursor. Whether its record exists is for the log to say. */
export function parseCursor(text: string): Cursor | undefined {
  if (text === '0') return START;
  const match = CURSOR_PATTERN.exec(text);
  if (match === null) return undefined;
  const seq = Number(match[1]);
  return seq === 0 ? undefined : { seq, tag: Number.parseInt(match[2] ?? '', 16) };
}
