/**
 * Consumers and holders in PostgreSQL.
 *
 * 1. Whoever changes a consumer holds its stream's row (schema rule 2): an append that checks a fence and an acquire that
 *    raises it come one after the other.
 * 2. A holder's lease is read `FOR SHARE`: a renewal that is under way counts.
 * 3. `behind` says `acked < head` or held: set by appends and acquires, cleared by the release that finds nothing left.
 */
import type { Client } from 'pg';
import type { AcquireVerdict, HolderVerdict, Release, ReleaseVerdict, StreamName } from '../port.ts';
import { lockLines } from './append.ts';
import { putRows, type Query } from './rows.ts';
import { NOW_MS } from './schema.ts';

interface ConsumerRow {
  readonly epoch: number;
  readonly acked: number;
  readonly holder: string | null;
}

export async function acquire(
  client: Client,
  stream: StreamName,
  consumer: string,
  holder: string,
): Promise<AcquireVerdict> {
  const { lines } = await lockLines(client, [stream]);
  const line = lines.get(stream);
  if (line === undefined) return { kind: 'missing' };
  if (line.deleted) return { kind: 'deleted' };
  const found = await client.query<ConsumerRow>(
    'SELECT epoch, acked, holder FROM consumers WHERE stream_id = $1 AND name = $2',
    [line.id, consumer],
  );
  const present = found.rows[0];
  const leases = await client.query<{ id: string; remaining: number }>(
    `SELECT id, lease_until - ${NOW_MS} AS remaining FROM holders WHERE id = ANY($1) FOR SHARE`,
    [[holder, present?.holder ?? holder]],
  );
  const remainingOf = (id: string): number => leases.rows.find((lease) => lease.id === id)?.remaining ?? 0;
  if (remainingOf(holder) <= 0) return { kind: 'lost' };
  if (present?.holder != null && present.holder !== holder && remainingOf(present.holder) > 0) {
    return { kind: 'held', holder: present.holder, remainingMs: remainingOf(present.holder) };
  }
  const taken = await client.query<ConsumerRow>(
    `INSERT INTO consumers (stream_id, name, epoch, holder, behind) VALUES ($1, $2, 1, $3, true)
     ON CONFLICT (stream_id, name) DO UPDATE SET epoch = consumers.epoch + 1, holder = $3, behind = true RETURNING epoch, acked, holder`,
    [line.id, consumer, holder],
  );
  return { kind: 'acquired', epoch: taken.rows[0]?.epoch ?? 0, acked: taken.rows[0]?.acked ?? 0, head: line.head };
}

export async function release(
  client: Client,
  stream: StreamName,
  consumer: string,
  { epoch, upTo, wakeAt, rows = [] }: Release,
): Promise<ReleaseVerdict> {
  const { lines } = await lockLines(client, [stream]);
  const line = lines.get(stream);
  if (line === undefined) return { kind: 'missing' };
  if (line.deleted) return { kind: 'deleted' };
  const found = await client.query<ConsumerRow>(
    'SELECT epoch, acked, holder FROM consumers WHERE stream_id = $1 AND name = $2',
    [line.id, consumer],
  );
  const present = found.rows[0];
  if (present === undefined || present.holder === null || present.epoch !== epoch) return { kind: 'lost' };
  if (upTo !== line.head) return { kind: 'behind', head: line.head };
  await client.query(
    'UPDATE consumers SET acked = $3, holder = NULL, wake_at = $4, behind = false WHERE stream_id = $1 AND name = $2',
    [line.id, consumer, upTo, wakeAt ?? null],
  );
  await putRows(client, line.id, rows);
  return { kind: 'released' };
}

const FREE = `NOT EXISTS (SELECT 1 FROM holders h WHERE h.id = c.holder AND h.lease_until > ${NOW_MS})`;
const LIVING = `NOT s.deleted AND coalesce(s.expires_at, 9e18::bigint) > ${NOW_MS} AND coalesce(s.touched_at + s.ttl_ms, 9e18::bigint) > ${NOW_MS}`;

export async function pending(
  query: Query,
  consumer: string,
  { limit, after = '' }: { readonly limit: number; readonly after?: StreamName },
): Promise<readonly StreamName[]> {
  const rows = await query<{ name: string }>(
    `SELECT s.name FROM consumers c JOIN streams s ON s.id = c.stream_id
     WHERE c.name = $1 AND s.name > $2 AND ${LIVING} AND ${FREE}
       AND ((c.behind AND c.acked < s.head) OR c.wake_at <= ${NOW_MS})
     ORDER BY s.name LIMIT $3`,
    [consumer, after, limit],
  );
  return rows.map((row) => row.name);
}

export async function nextWakeMs(query: Query, consumer: string): Promise<number | undefined> {
  const [row] = await query<{ left: number | null }>(
    `SELECT min(c.wake_at) - ${NOW_MS} AS left FROM consumers c JOIN streams s ON s.id = c.stream_id
     WHERE c.name = $1 AND c.wake_at IS NOT NULL AND ${LIVING} AND ${FREE}`,
    [consumer],
  );
  return row?.left == null ? undefined : Math.max(0, row.left);
}

/** L10: an expired lease is not prolonged. */
export async function renew(query: Query, id: string, leaseMs: number): Promise<HolderVerdict> {
  const renewed = await query<{ id: string }>(
    `INSERT INTO holders (id, lease_until) VALUES ($1, ${NOW_MS} + $2)
     ON CONFLICT (id) DO UPDATE SET lease_until = ${NOW_MS} + $2 WHERE holders.lease_until > ${NOW_MS} RETURNING id`,
    [id, leaseMs],
  );
  return renewed.length === 1 ? { kind: 'alive' } : { kind: 'lost' };
}

export async function leave(query: Query, id: string): Promise<void> {
  await query(`INSERT INTO holders (id, lease_until) VALUES ($1, 0) ON CONFLICT (id) DO UPDATE SET lease_until = 0`, [
    id,
  ]);
}
