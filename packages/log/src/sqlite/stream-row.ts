/** A stream's row, as writer and reader find it. */
import type { StreamState } from '../port.ts';

export interface StreamRow {
  readonly id: number;
  readonly name: string;
  readonly content_type: string;
  readonly head: number;
  readonly floor: number;
  readonly closed: number;
  readonly deleted: number;
  readonly created_at: number;
  readonly touched_at: number;
  readonly ttl_ms: number | null;
  readonly expires_at: number | null;
  readonly fork_from: string | null;
  readonly fork_up_to: number | null;
}

export function stateOf(row: StreamRow): StreamState {
  const { name, content_type, head, floor, closed, created_at, ttl_ms, expires_at } = row;
  return {
    stream: name,
    contentType: content_type,
    head,
    floor,
    closed: closed === 1,
    createdAt: created_at,
    ...(ttl_ms === null ? {} : { ttlMs: ttl_ms }),
    ...(expires_at === null ? {} : { expiresAt: expires_at }),
  };
}
