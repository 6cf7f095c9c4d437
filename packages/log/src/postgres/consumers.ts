/**
 * Consumers and holders in PostgreSQL.
 *
 * 1. Whoever changes a consumer holds its stream's row (schema rule 2): an append that checks a fence and an acquire that
 *    raises it come one after the other.
 * 2. A holder's lease is read `FOR SHARE`: a renewal that is under way counts.
 * 3. `behind` says `acked < head` or held: set by appends and acquires, cleared by the release that finds nothing left.
 * 4. What is asked for at once is one transaction (`group.ts`): a node that takes over a thousand sessions does it in one.
 */
import type { Client } from 'pg';
import type { AcquireVerdict, HolderVerdict, Release, ReleaseVerdict, RowChange, StreamName } from '../port.ts';
import { lockLines, transpose, type LockedLine } from './append.ts';
import { putRows, type Query } from './rows.ts';
import { NOW_MS } from './schema.ts';

interface ConsumerRow {
  readonly epoch: number;
  readonly acked: number;
  readonly holder: string | null;
}

export interface Acquire {
  readonly stream: StreamName;
  readonly consumer: string;
  readonly holder: string;
}

/** Rule 4. */
export async function acquireAll(client: Client, requests: readonly Acquire[]): Promise<readonly AcquireVerdict[]> {
  const { lines } = await lockLines(
    client,
    requests.map((request) => request.stream),
  );
  const known = await readConsumers(client, requests, lines);
  const remainingOf = await readLeases(client, [
    ...requests.map((request) => request.holder),
    ...[...known.values()].map((row) => row.holder).filter((holder) => holder !== null),
  ]);
  const taken = new Map<string, readonly [number, string, number, string]>();
  const verdicts = requests.map(({ stream, consumer, holder }): AcquireVerdict => {
    const line = lines.get(stream);
    if (line === undefined) return { kind: 'missing' };
    if (line.deleted) return { kind: 'deleted' };
    if (remainingOf(holder) <= 0) return { kind: 'lost' };
    const present = known.get(keyOf(line.id, consumer)) ?? { epoch: 0, acked: 0, holder: null };
    if (present.holder !== null && present.holder !== holder && remainingOf(present.holder) > 0)
      return { kind: 'held', holder: present.holder, remainingMs: remainingOf(present.holder) };
    const epoch = present.epoch + 1;
    known.set(keyOf(line.id, consumer), { ...present, epoch, holder });
    taken.set(keyOf(line.id, consumer), [line.id, consumer, epoch, holder]);
    return { kind: 'acquired', epoch, acked: present.acked, head: line.head };
  });
  if (taken.size > 0)
    await client.query({
      name: 'take-consumers',
      text: `INSERT INTO consumers (stream_id, name, epoch, holder, behind)
             SELECT v.line, v.name, v.epoch, v.holder, true
             FROM unnest($1::bigint[], $2::text[], $3::bigint[], $4::text[]) AS v(line, name, epoch, holder)
             ON CONFLICT (stream_id, name) DO UPDATE SET epoch = excluded.epoch, holder = excluded.holder, behind = true`,
      values: transpose([...taken.values()], 4),
    });
  return verdicts;
}

export interface ReleaseRequest {
  readonly stream: StreamName;
  readonly consumer: string;
  readonly release: Release;
}

export async function releaseAll(
  client: Client,
  requests: readonly ReleaseRequest[],
): Promise<readonly ReleaseVerdict[]> {
  const { lines } = await lockLines(
    client,
    requests.map((request) => request.stream),
  );
  const known = await readConsumers(client, requests, lines);
  const freed: (readonly [number, string, number, number | null])[] = [];
  const rows: (readonly [number, readonly RowChange[]])[] = [];
  const verdicts = requests.map(
    ({ stream, consumer, release: { epoch, upTo, wakeAt, rows: changes } }): ReleaseVerdict => {
      const line = lines.get(stream);
      if (line === undefined) return { kind: 'missing' };
      if (line.deleted) return { kind: 'deleted' };
      const present = known.get(keyOf(line.id, consumer));
      if (present === undefined || present.holder === null || present.epoch !== epoch) return { kind: 'lost' };
      if (upTo !== line.head) return { kind: 'behind', head: line.head };
      // A second release of the same finds it gone.
      known.set(keyOf(line.id, consumer), { ...present, holder: null });
      freed.push([line.id, consumer, upTo, wakeAt ?? null]);
      if (changes !== undefined) rows.push([line.id, changes]);
      return { kind: 'released' };
    },
  );
  if (freed.length > 0)
    await client.query({
      name: 'free-consumers',
      text: `UPDATE consumers c SET acked = v.acked, holder = NULL, wake_at = v.wake, behind = false
             FROM unnest($1::bigint[], $2::text[], $3::bigint[], $4::bigint[]) AS v(line, name, acked, wake)
             WHERE c.stream_id = v.line AND c.name = v.name`,
      values: transpose(freed, 4),
    });
  for (const [line, changes] of rows) await putRows(client, line, changes);
  return verdicts;
}

const keyOf = (line: number, consumer: string): string => `${line}/${consumer}`;

async function readConsumers(
  client: Client,
  requests: readonly { readonly stream: StreamName; readonly consumer: string }[],
  lines: ReadonlyMap<StreamName, LockedLine>,
): Promise<Map<string, ConsumerRow>> {
  const wanted = requests.flatMap(({ stream, consumer }) => {
    const line = lines.get(stream);
    return line === undefined ? [] : [[line.id, consumer] as const];
  });
  const { rows } = await client.query<ConsumerRow & { readonly line: number; readonly name: string }>({
    name: 'read-consumers',
    // LIMIT 1 keeps each look-up an index look-up, as in `append.ts`.
    text: `SELECT w.line, w.name, c.epoch, c.acked, c.holder
           FROM (SELECT DISTINCT line, name FROM unnest($1::bigint[], $2::text[]) AS v(line, name)) w, LATERAL
             (SELECT epoch, acked, holder FROM consumers WHERE stream_id = w.line AND name = w.name LIMIT 1) c`,
    values: transpose(wanted, 2),
  });
  return new Map(rows.map(({ line, name, ...row }) => [keyOf(line, name), row]));
}

/** Rule 2. In the order of their ids, as streams are locked. */
async function readLeases(client: Client, ids: readonly string[]): Promise<(id: string) => number> {
  const { rows } = await client.query<{ id: string; remaining: number }>({
    name: 'read-leases',
    text: `SELECT id, lease_until - ${NOW_MS} AS remaining FROM holders WHERE id = ANY($1) ORDER BY id FOR SHARE`,
    values: [[...new Set(ids)]],
  });
  const remaining = new Map(rows.map((row) => [row.id, row.remaining]));
  return (id) => remaining.get(id) ?? 0;
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
