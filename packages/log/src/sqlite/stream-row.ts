/** A stream's row, as writer and reader find it. */
import type { StreamRow } from '../stream-row.ts';

export interface SqliteStreamRow extends StreamRow {
  readonly id: number;
  readonly deleted: number;
  readonly touched_at: number;
}
