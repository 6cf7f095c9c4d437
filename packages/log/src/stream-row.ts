/** What is the same of a stream's row in the stores of SQL, and the state that it says. */
import type { StreamOptions, StreamState } from './port.ts';

export interface StreamRow {
  readonly name: string;
  readonly content_type: string;
  readonly head: number;
  readonly floor: number;
  /** SQLite has no booleans: 0 or 1. */
  readonly closed: boolean | number;
  readonly created_at: number;
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
    closed: Boolean(closed),
    createdAt: created_at,
    ...(ttl_ms === null ? {} : { ttlMs: ttl_ms }),
    ...(expires_at === null ? {} : { expiresAt: expires_at }),
  };
}

/** A stream that is asked for once more is the same one where it was made with the same. */
export function isMadeWith(row: StreamRow, options: Omit<StreamOptions, 'first'>): boolean {
  return (
    row.content_type === options.contentType &&
    row.ttl_ms === (options.ttlMs ?? null) &&
    row.expires_at === (options.expiresAt ?? null) &&
    row.fork_from === (options.fork?.from ?? null) &&
    row.fork_up_to === (options.fork?.upTo ?? null)
  );
}
