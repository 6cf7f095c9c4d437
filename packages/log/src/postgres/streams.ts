/**
 * Streams in PostgreSQL: making, reading, forking, erasing and dropping the old.
 *
 * 1. A page is read in one statement: head, floor and records are of one moment.
 * 2. A fork copies its parent's records: deleting or truncating the parent cannot touch it (L13).
 * 3. An erased stream keeps its row, as the tombstone that keeps its name and its epochs from coming again (L3, L11).
 */
import type { Client } from 'pg';
import { boundsOf, type ReadBounds } from '../limits.ts';
import { PageCache, unpackPage } from '../page.ts';
import type {
  AppendVerdict,
  CreateVerdict,
  LogRecord,
  ReadRange,
  ReadVerdict,
  StreamName,
  StreamOptions,
  StreamState,
} from '../port.ts';
import { logRecord } from '../record.ts';
import { isMadeWith, stateOf, type StreamRow } from '../stream-row.ts';
import { appendBatch, lockLines } from './append.ts';
import type { BatchResult } from './writes.ts';
import { eraseRows, type Query } from './rows.ts';
import { NOW_MS } from './now.ts';

interface PostgresStreamRow extends StreamRow {
  readonly id: number;
  readonly closed: boolean;
  readonly deleted: boolean;
}

const EXPIRED = `(coalesce(s.expires_at, 9e18::bigint) <= ${NOW_MS} OR coalesce(s.touched_at + s.ttl_ms, 9e18::bigint) <= ${NOW_MS})`;
const COLUMNS = `s.id, s.name, s.content_type, s.head, s.floor, s.closed, (s.deleted OR ${EXPIRED}) AS deleted, s.created_at, s.ttl_ms, s.expires_at, s.fork_from, s.fork_up_to`;

export async function stat(
  query: Query,
  stream: StreamName,
): Promise<
  { readonly kind: 'state'; readonly state: StreamState } | { readonly kind: 'missing' } | { readonly kind: 'deleted' }
> {
  const [row] = await query<PostgresStreamRow>(`SELECT ${COLUMNS} FROM streams s WHERE name = $1`, [stream], 'stat');
  if (row === undefined) return { kind: 'missing' };
  return row.deleted ? { kind: 'deleted' } : { kind: 'state', state: stateOf(row) };
}

export async function create(
  client: Client,
  stream: StreamName,
  options: StreamOptions,
): Promise<{ readonly verdict: CreateVerdict; readonly appended?: BatchResult }> {
  const { contentType, ttlMs, expiresAt, fork, consumers = [], first } = options;
  const parent = fork === undefined ? undefined : (await lockLines(client, [fork.from])).lines.get(fork.from);
  const inserted = await client.query<{ id: number }>(
    `INSERT INTO streams (name, content_type, created_at, touched_at, ttl_ms, expires_at, fork_from, fork_up_to)
     VALUES ($1, $2, ${NOW_MS}, ${NOW_MS}, $3, $4, $5, $6) ON CONFLICT (name) DO NOTHING RETURNING id`,
    [stream, contentType, ttlMs ?? null, expiresAt ?? null, fork?.from ?? null, fork?.upTo ?? null],
  );
  const id = inserted.rows[0]?.id;
  if (id === undefined) return { verdict: await present(client, stream, options) };
  if (fork !== undefined) {
    const refusal =
      parent === undefined || parent.deleted
        ? ({ kind: 'fork-missing' } as const)
        : fork.upTo > parent.head
          ? ({ kind: 'fork-beyond-head', head: parent.head } as const)
          : undefined;
    if (refusal !== undefined || parent === undefined) {
      await client.query('DELETE FROM streams WHERE id = $1', [id]);
      return { verdict: refusal ?? { kind: 'fork-missing' } };
    }
    await copyRecords(client, parent.id, id, fork.upTo);
  }
  for (const consumer of consumers)
    await client.query('INSERT INTO consumers (stream_id, name, behind) VALUES ($1, $2, true) ON CONFLICT DO NOTHING', [
      id,
      consumer,
    ]);
  const appended = first === undefined ? undefined : await appendBatch(client, [{ stream, append: first }]);
  const state = await stat(async (text, values) => (await client.query(text, [...values])).rows, stream);
  if (state.kind !== 'state') throw new Error('A stream that was just made is there.');
  const firstVerdict: AppendVerdict | undefined = appended?.verdicts[0];
  return {
    verdict: { kind: 'created', state: state.state, ...(firstVerdict === undefined ? {} : { first: firstVerdict }) },
    ...(appended === undefined ? {} : { appended }),
  };
}

/** Rule 2. */
async function copyRecords(client: Client, from: number, to: number, upTo: number): Promise<void> {
  // In one statement, so of one moment: packing does not wait for the parent's lock.
  const { rows } = await client.query<StoredPage>(
    `WITH paged AS (
       INSERT INTO pages (stream_id, first, last, body)
       SELECT $2, first, last, body FROM pages WHERE stream_id = $1 AND last <= $3
     ), plain AS (
       INSERT INTO records (stream_id, seq, at, body)
       SELECT $2, seq, at, body FROM records WHERE stream_id = $1 AND seq <= $3
     )
     SELECT first, last, body FROM pages WHERE stream_id = $1 AND first <= $3 AND last > $3`,
    [from, to, upTo],
  );
  // A page that reaches beyond the fork gives only its part, as records.
  for (const { first, body } of rows) {
    const part = unpackPage(first, body).filter((record) => record.seq <= upTo);
    await client.query(
      'INSERT INTO records (stream_id, seq, at, body) SELECT $1, v.seq, v.at, v.body FROM unnest($2::bigint[], $3::bigint[], $4::bytea[]) AS v(seq, at, body)',
      [to, part.map(({ seq }) => seq), part.map(({ at }) => at), part.map(({ bytes }) => bytes)],
    );
  }
  await client.query(
    'UPDATE streams SET head = $3::bigint, floor = least($3::bigint, (SELECT floor FROM streams WHERE id = $1)) WHERE id = $2',
    [from, to, upTo],
  );
}

async function present(client: Client, stream: StreamName, options: StreamOptions): Promise<CreateVerdict> {
  const { rows } = await client.query<PostgresStreamRow>(`SELECT ${COLUMNS} FROM streams s WHERE name = $1`, [stream]);
  const [row] = rows;
  if (row === undefined || row.deleted) return { kind: 'deleted' };
  return { kind: 'exists', state: stateOf(row), same: isMadeWith(row, options) };
}

interface StoredPage {
  readonly first: number;
  readonly last: number;
  readonly body: Uint8Array;
}

/** A record, or a page of them; neither where there is nothing to read. */
interface PieceRow extends PostgresStreamRow {
  readonly seq: number | null;
  readonly last: number | null;
  readonly at: number;
  readonly body: Uint8Array;
}

/** Pages of one read: what they hold is more than the bytes that a reader asks for by default. */
const PAGES_MAX = 10;

export async function read(
  query: Query,
  stream: StreamName,
  range: ReadRange,
  cache: PageCache = new PageCache(),
): Promise<ReadVerdict> {
  const { after, upTo, limit, bytesMax } = boundsOf(range, Number.MAX_SAFE_INTEGER);
  const rows = await query<PieceRow>(
    `WITH s AS (SELECT * FROM streams WHERE name = $1)
     SELECT ${COLUMNS}, r.seq, r.last, r.at, r.body FROM s LEFT JOIN LATERAL (
       (SELECT first AS seq, last, 0::bigint AS at, body FROM pages
        WHERE stream_id = s.id AND last > $2 AND first <= least($3, $2 + $4) ORDER BY first LIMIT ${PAGES_MAX})
       UNION ALL
       SELECT seq, NULL, at, body FROM (
         SELECT seq, at, body, sum(octet_length(body)) OVER (ORDER BY seq) - octet_length(body) AS before FROM (
           SELECT seq, at, body FROM records WHERE stream_id = s.id AND seq > $2 AND seq <= least($3, s.head) ORDER BY seq LIMIT $4
         ) few
       ) sized WHERE before < $5
     ) r ON true ORDER BY r.seq`,
    [stream, after, upTo, limit, bytesMax],
    'read',
  );
  const [row] = rows;
  if (row === undefined) return { kind: 'missing' };
  if (row.deleted) return { kind: 'deleted' };
  if (row.ttl_ms !== null) await query(`UPDATE streams SET touched_at = ${NOW_MS} WHERE id = $1`, [row.id]);
  if (after < row.floor) return { kind: 'truncated', floor: row.floor, head: row.head };
  const unpack: Unpack = (first, body) => cache.unpack(row.id, first, body);
  const records = bounded(rows, unpack, { after, upTo: Math.min(upTo, row.head), limit, bytesMax });
  return { kind: 'page', records, head: row.head, closed: row.closed };
}

type Unpack = (first: number, body: Uint8Array) => readonly LogRecord[];

/** At most the bounds, but at least one. */
function bounded(
  rows: readonly PieceRow[],
  unpack: Unpack,
  { after, upTo, limit, bytesMax }: ReadBounds,
): readonly LogRecord[] {
  const records: LogRecord[] = [];
  let bytes = 0;
  let pages = 0;
  for (const { seq, last, at, body } of rows) {
    if (seq === null) break;
    // Where there are more pages than were read, the records after them do not follow.
    if (last === null && pages === PAGES_MAX) break;
    if (last !== null) pages += 1;
    const held = last === null ? [logRecord(seq, at, body)] : unpack(seq, body);
    for (let index = Math.max(0, after + 1 - seq); index < held.length; index += 1) {
      const record = held[index] as LogRecord;
      bytes += record.bytes.byteLength;
      if (record.seq > upTo) return records;
      if (records.length > 0 && (bytes > bytesMax || records.length >= limit)) return records;
      records.push(record);
    }
  }
  return records;
}

export async function erase(
  client: Client,
  stream: StreamName,
  tombstones: readonly { readonly table: string; readonly key: string; readonly group?: string }[],
): Promise<{ readonly kind: 'erased' | 'missing' | 'deleted' }> {
  const { lines } = await lockLines(client, [stream]);
  const line = lines.get(stream);
  if (line === undefined) return { kind: 'missing' };
  const found = await client.query<{ deleted: boolean }>('SELECT deleted FROM streams WHERE id = $1', [line.id]);
  if (found.rows[0]?.deleted === true) return { kind: 'deleted' };
  await eraseLine(client, line.id, line.deleted ? [] : tombstones);
  return { kind: line.deleted ? 'deleted' : 'erased' };
}

async function eraseLine(client: Client, id: number, tombstones: Parameters<typeof eraseRows>[2]): Promise<void> {
  for (const table of ['records', 'pages', 'keys', 'producers', 'consumers'])
    await client.query(`DELETE FROM ${table} WHERE stream_id = $1`, [id]);
  await eraseRows(client, id, tombstones);
  await client.query('UPDATE streams SET deleted = true WHERE id = $1', [id]);
}

/** @returns the streams whose time has come, now erased */
export async function expire(client: Client): Promise<readonly StreamName[]> {
  const { rows } = await client.query<{ id: number; name: string }>(
    `SELECT s.id, s.name FROM streams s WHERE NOT s.deleted AND ${EXPIRED} ORDER BY id FOR NO KEY UPDATE LIMIT 100`,
  );
  for (const { id } of rows) await eraseLine(client, id, []);
  return rows.map((row) => row.name);
}

export async function truncate(client: Client, stream: StreamName, upTo: number): Promise<void> {
  const { lines } = await lockLines(client, [stream]);
  const line = lines.get(stream);
  if (line === undefined || line.deleted) return;
  const floor = Math.min(upTo, line.head);
  await client.query('UPDATE streams SET floor = greatest(floor, $2) WHERE id = $1', [line.id, floor]);
  await client.query('DELETE FROM records WHERE stream_id = $1 AND seq <= $2', [line.id, floor]);
  // After the records: a page that was being made of them is there by now.
  await client.query('DELETE FROM pages WHERE stream_id = $1 AND last <= $2', [line.id, floor]);
}
