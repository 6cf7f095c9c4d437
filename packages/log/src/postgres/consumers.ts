/**
 * Consumers and holders in PostgreSQL.
 *
 * 1. Whoever changes a consumer holds its stream's row (schema rule 2): an append that checks a fence and an acquire that
 *    raises it come one after the other.
 * 2. A holder's lease is read `FOR SHARE`: a renewal that is under way counts.
 * 3. `behind` says `acked < head` or held: set by appends and acquires, cleared by the release that finds nothing left.
 * 4. What is asked for at once is one transaction (`group.ts`): a node that takes over a thousand sessions does it in one.
 * 5. What somebody holds and goes on holding is seen without a lock: each message makes its node ask, and must not stand in the way
 *    of the owner's next append. It is no less true: whoever appended before asking is seen by any release after (`behind`).
 */
import type { Client } from 'pg';
import type {
  AcquireVerdict,
  HeldConsumer,
  HolderVerdict,
  Release,
  ReleaseVerdict,
  RowChange,
  StreamName,
} from '../port.ts';
import { lockLines } from './append.ts';
import type { Connection, Steps } from './connection.ts';
import type { KnownLine } from './line.ts';
import { putRows, type Query } from './rows.ts';
import { NOW_MS } from './now.ts';

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

/** Rules 4 and 5. */
export async function acquireAll(
  connection: Connection,
  requests: readonly Acquire[],
): Promise<readonly AcquireVerdict[]> {
  const held = await connection.use((client) => lookHeld(client, requests));
  const open = requests.filter((_, place) => held.get(place) === undefined);
  const verdicts = open.length === 0 ? [] : await connection.steps(acquireSteps(open));
  let next = 0;
  return requests.map((_, place) => held.get(place) ?? (verdicts[next++] as AcquireVerdict));
}

/** Rule 5. @returns verdicts by the requests' places */
async function lookHeld(client: Client, requests: readonly Acquire[]): Promise<ReadonlyMap<number, AcquireVerdict>> {
  const { rows } = await client.query<{ place: number; holder: string; remaining: number }>({
    name: 'look-held',
    text: `SELECT w.place, h.id AS holder, h.lease_until - ${NOW_MS} AS remaining
           FROM unnest($1::text[], $2::text[], $3::text[]) WITH ORDINALITY AS w(stream, name, asking, place)
           JOIN streams s ON s.name = w.stream AND ${LIVING}
           JOIN consumers c ON c.stream_id = s.id AND c.name = w.name AND c.holder <> w.asking
           JOIN holders h ON h.id = c.holder
           WHERE EXISTS (SELECT 1 FROM holders mine WHERE mine.id = w.asking AND mine.lease_until > ${NOW_MS})`,
    values: transpose(
      requests.map(({ stream, consumer, holder }) => [stream, consumer, holder]),
      3,
    ),
  });
  return new Map(
    rows.flatMap(({ place, holder, remaining }) =>
      remaining > 0 ? [[place - 1, { kind: 'held', holder, remainingMs: remaining }] as const] : [],
    ),
  );
}

const acquireSteps = (requests: readonly Acquire[]): Steps<Leased, readonly AcquireVerdict[]> => ({
  read: async (client) => {
    const [locked, known, leaseOf] = await Promise.all([
      readLocked(client, requests),
      readConsumers(client, requests),
      readLeases(client, requests),
    ]);
    return { lines: locked, known, leaseOf };
  },
  write: (client, { lines, known, leaseOf }) => {
    const taken = new Map<string, readonly [number, string, number, string]>();
    const result = requests.map(({ stream, consumer, holder }): AcquireVerdict => {
      const line = lines.get(stream);
      if (line === undefined) return { kind: 'missing' };
      if (line.deleted) return { kind: 'deleted' };
      if (leaseOf(holder).remaining <= 0) return { kind: 'lost' };
      const key = keyOf(stream, consumer);
      const present = known.get(key) ?? { epoch: 0, acked: 0, holder: null };
      const other = present.holder === holder ? null : present.holder;
      const lease = other === null ? undefined : leaseOf(other);
      if (other !== null && lease !== undefined && lease.remaining > 0)
        return { kind: 'held', holder: other, remainingMs: lease.remaining };
      const epoch = present.epoch + 1;
      known.set(key, { ...present, epoch, holder });
      taken.set(key, [line.id, consumer, epoch, holder]);
      const previous = lease === undefined ? {} : ({ previous: lease.left ? 'ended' : 'expired' } as const);
      return { kind: 'acquired', epoch, acked: present.acked, head: line.head, ...previous };
    });
    return { result, written: taken.size === 0 ? Promise.resolve() : takeConsumers(client, [...taken.values()]) };
  },
});

const takeConsumers = (
  client: Client,
  taken: readonly (readonly [number, string, number, string])[],
): Promise<unknown> =>
  client.query({
    name: 'take-consumers',
    text: `INSERT INTO consumers (stream_id, name, epoch, holder, behind)
           SELECT v.line, v.name, v.epoch, v.holder, true
           FROM unnest($1::bigint[], $2::text[], $3::bigint[], $4::text[]) AS v(line, name, epoch, holder)
           ON CONFLICT (stream_id, name) DO UPDATE SET epoch = excluded.epoch, holder = excluded.holder, behind = true`,
    values: transpose(taken, 4),
  });

export interface ReleaseRequest {
  readonly stream: StreamName;
  readonly consumer: string;
  readonly release: Release;
}

export const releaseAll = (
  connection: Connection,
  requests: readonly ReleaseRequest[],
): Promise<readonly ReleaseVerdict[]> => connection.steps(releaseSteps(requests));

const releaseSteps = (requests: readonly ReleaseRequest[]): Steps<Held, readonly ReleaseVerdict[]> => ({
  read: async (client) => {
    const [lines, known] = await Promise.all([readLocked(client, requests), readConsumers(client, requests)]);
    return { lines, known };
  },
  write: (client, { lines, known }) => {
    const freed: (readonly [number, string, number, number | null])[] = [];
    const rows: (readonly [number, readonly RowChange[]])[] = [];
    const result = requests.map(
      ({ stream, consumer, release: { epoch, upTo, wakeAt, rows: changes } }): ReleaseVerdict => {
        const line = lines.get(stream);
        if (line === undefined) return { kind: 'missing' };
        if (line.deleted) return { kind: 'deleted' };
        const present = known.get(keyOf(stream, consumer));
        if (present === undefined || present.holder === null || present.epoch !== epoch) return { kind: 'lost' };
        if (upTo !== line.head) return { kind: 'behind', head: line.head };
        // A second release of the same finds it gone.
        known.set(keyOf(stream, consumer), { ...present, holder: null });
        freed.push([line.id, consumer, upTo, wakeAt ?? null]);
        if (changes !== undefined) rows.push([line.id, changes]);
        return { kind: 'released' };
      },
    );
    const writing = freed.length === 0 ? [] : [freeConsumers(client, freed)];
    return {
      result,
      written: Promise.all([...writing, ...rows.map(([line, changes]) => putRows(client, line, changes))]),
    };
  },
});

const freeConsumers = (
  client: Client,
  freed: readonly (readonly [number, string, number, number | null])[],
): Promise<unknown> =>
  client.query({
    name: 'free-consumers',
    text: `UPDATE consumers c SET acked = v.acked, holder = NULL, wake_at = v.wake, behind = false
           FROM unnest($1::bigint[], $2::text[], $3::bigint[], $4::bigint[]) AS v(line, name, acked, wake)
           WHERE c.stream_id = v.line AND c.name = v.name`,
    values: transpose(freed, 4),
  });

interface Held {
  readonly lines: ReadonlyMap<StreamName, KnownLine>;
  readonly known: Map<string, ConsumerRow>;
}

interface Lease {
  /** Milliseconds by the store's clock; at or below 0 where it has expired. */
  readonly remaining: number;
  readonly left: boolean;
}

interface Leased extends Held {
  readonly leaseOf: (holder: string) => Lease;
}

interface Named {
  readonly stream: StreamName;
  readonly consumer: string;
}

/** Rows as columns, for `unnest`. */
function transpose(rows: readonly (readonly unknown[])[], width: number): unknown[][] {
  return Array.from({ length: width }, (_, column) => rows.map((row) => row[column]));
}

const keyOf = (stream: StreamName, consumer: string): string => `${stream}\n${consumer}`;

/** Sent first: what is read after it is of the moment when the locks are there (rule 1). */
async function readLocked(client: Client, requests: readonly Named[]): Promise<ReadonlyMap<StreamName, KnownLine>> {
  const { lines } = await lockLines(
    client,
    requests.map((request) => request.stream),
  );
  return lines;
}

const namesOf = (requests: readonly Named[]): readonly unknown[][] =>
  transpose(
    requests.map(({ stream, consumer }) => [stream, consumer]),
    2,
  );

/** LIMIT 1 keeps each look-up an index look-up, as in `append.ts`. */
const NAMED = `unnest($1::text[], $2::text[]) AS w(stream, name),
  LATERAL (SELECT id FROM streams WHERE streams.name = w.stream LIMIT 1) s,
  LATERAL (SELECT epoch, acked, holder FROM consumers WHERE stream_id = s.id AND consumers.name = w.name LIMIT 1) c`;

async function readConsumers(client: Client, requests: readonly Named[]): Promise<Map<string, ConsumerRow>> {
  const { rows } = await client.query<ConsumerRow & { readonly stream: string; readonly name: string }>({
    name: 'read-consumers',
    text: `SELECT w.stream, w.name, c.epoch, c.acked, c.holder FROM ${NAMED}`,
    values: [...namesOf(requests)],
  });
  return new Map(rows.map(({ stream, name, ...row }) => [keyOf(stream, name), row]));
}

/** Rule 2: of those who ask, and of those who hold. In the order of their ids, as streams are locked. */
async function readLeases(client: Client, requests: readonly Acquire[]): Promise<(id: string) => Lease> {
  const { rows } = await client.query<Lease & { readonly id: string }>({
    name: 'read-leases',
    text: `SELECT id, lease_until - ${NOW_MS} AS remaining, lease_until = 0 AS left FROM holders
           WHERE id = ANY($3::text[] || ARRAY(SELECT c.holder FROM ${NAMED})) ORDER BY id FOR SHARE`,
    values: [...namesOf(requests), [...new Set(requests.map((request) => request.holder))]],
  });
  const leases = new Map(rows.map((row) => [row.id, row]));
  return (id) => leases.get(id) ?? { remaining: 0, left: true };
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

/**
 * L10. A holder that left has the lease 0 and stays lost. What others acquired is looked up after the renewal is committed: from
 * then on no other holder can acquire it.
 */
export async function renew(
  query: Query,
  id: string,
  leaseMs: number,
  held: readonly HeldConsumer[],
): Promise<HolderVerdict> {
  const renewed = await query<{ id: string }>(
    `INSERT INTO holders (id, lease_until) VALUES ($1, ${NOW_MS} + $2)
     ON CONFLICT (id) DO UPDATE SET lease_until = ${NOW_MS} + $2 WHERE holders.lease_until > 0 RETURNING id`,
    [id, leaseMs],
  );
  if (renewed.length === 0) return { kind: 'lost' };
  return { kind: 'alive', taken: held.length === 0 ? [] : await takenOf(query, held) };
}

async function takenOf(query: Query, held: readonly HeldConsumer[]): Promise<readonly StreamName[]> {
  const rows = await query<{ stream: string }>(
    `SELECT w.stream FROM unnest($1::text[], $2::text[], $3::bigint[]) AS w(stream, name, epoch),
       LATERAL (SELECT id FROM streams WHERE streams.name = w.stream LIMIT 1) s,
       LATERAL (SELECT epoch FROM consumers WHERE stream_id = s.id AND consumers.name = w.name LIMIT 1) c
     WHERE c.epoch <> w.epoch`,
    transpose(
      held.map(({ stream, consumer, epoch }) => [stream, consumer, epoch]),
      3,
    ),
  );
  return rows.map((row) => row.stream);
}

export async function leave(query: Query, id: string): Promise<void> {
  await query(`INSERT INTO holders (id, lease_until) VALUES ($1, 0) ON CONFLICT (id) DO UPDATE SET lease_until = 0`, [
    id,
  ]);
}
