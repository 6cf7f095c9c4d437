/**
 * Appends in batches: one transaction for many streams, a verdict for each append.
 *
 * Stages: lock the streams' rows in id order → read what else decides (epochs, keys, producers), which the locks now guard →
 * admit each append in order, purely (`admission.ts`) → write everything admitted in one statement → commit.
 *
 * 1. The second read is a statement of its own: it sees what was committed while the first waited for its locks.
 * 2. A refused append has written nothing and its neighbours do not notice it (L5).
 */
import type { Client } from 'pg';
import type { StreamName } from '../port.ts';
import { texts } from './array.ts';
import type { Steps } from './connection.ts';
import { KnownLine, type LineFacts } from './line.ts';
import { NOW_MS } from './now.ts';
import { write, Writes, type BatchResult, type Request } from './writes.ts';

interface LineRow extends LineFacts {
  readonly name: string;
  readonly now: number;
}

/** Also used by whoever else changes what belongs to a stream (schema rule 2). */
export async function lockLines(
  client: Client,
  names: readonly StreamName[],
): Promise<{ readonly lines: Map<StreamName, KnownLine>; readonly now: number }> {
  const { rows } = await client.query<LineRow>({
    name: 'lock-lines',
    // As sub-queries the time is asked for once, not once a row.
    text: `SELECT id, name, head, closed, (SELECT ${NOW_MS}) AS now,
             deleted OR coalesce(least(expires_at, touched_at + ttl_ms) <= (SELECT ${NOW_MS}), false) AS gone
           FROM streams WHERE name = ANY($1) ORDER BY id FOR NO KEY UPDATE`,
    values: [texts([...new Set(names)])],
  });
  const lines = new Map(rows.map((row) => [row.name, new KnownLine(row)]));
  return { lines, now: Math.max(0, ...rows.map((row) => row.now)) };
}

/** A batch as a transaction in two round trips: what decides is read with `BEGIN`, what was admitted is sent with `COMMIT`. */
export const batchSteps = (requests: readonly Request[]): Steps<Known, BatchResult> => ({
  read: async (client) => {
    const locked = lockLines(
      client,
      requests.map((request) => request.stream),
    );
    const [{ lines, now }, deciders] = await Promise.all([locked, readDeciders(client, requests)]);
    note(deciders, lines);
    return { lines, now };
  },
  write: (client, { lines, now }) => {
    const writes = new Writes();
    for (const request of requests) writes.decide(request, lines.get(request.stream));
    return { result: writes.result(now), written: write(client, writes, now) };
  },
});

/** Within a transaction that does more. */
export async function appendBatch(client: Client, requests: readonly Request[]): Promise<BatchResult> {
  const { read, write } = batchSteps(requests);
  const { result, written } = write(client, await read(client));
  await written;
  return result;
}

interface Known {
  readonly lines: ReadonlyMap<StreamName, KnownLine>;
  readonly now: number;
}

/** What decides about one request: what is not there is null. */
interface DeciderRow {
  readonly place: number;
  readonly fence: number | null;
  readonly key_first: number | null;
  readonly key_last: number;
  readonly key_hash: string;
  readonly epoch: number | null;
  readonly seq: number;
  readonly first: number;
  readonly last: number;
}

/** Stage 2. */
async function readDeciders(client: Client, requests: readonly Request[]): Promise<readonly Decider[]> {
  const asking = requests.filter(({ append: { fence, key, producer } }) => fence ?? key ?? producer);
  if (asking.length === 0) return [];
  const { rows } = await client.query<DeciderRow>({
    name: 'read-deciders',
    // LIMIT 1 keeps each look-up an index look-up: joined freely, the planner may read a whole table of keys.
    text: `SELECT w.place, f.epoch AS fence, k.first AS key_first, k.last AS key_last, k.hash AS key_hash,
             p.epoch, p.seq, p.first, p.last
           FROM unnest($1::text[], $2::text[], $3::text[], $4::text[]) WITH ORDINALITY AS w(stream, fence, key, producer, place)
           JOIN LATERAL (SELECT id FROM streams WHERE name = w.stream LIMIT 1) s ON true
           LEFT JOIN LATERAL (SELECT epoch FROM consumers WHERE stream_id = s.id AND name = w.fence LIMIT 1) f ON true
           LEFT JOIN LATERAL (SELECT first, last, hash FROM keys WHERE stream_id = s.id AND keys.id = w.key LIMIT 1) k ON true
           LEFT JOIN LATERAL (SELECT epoch, seq, first, last FROM producers WHERE stream_id = s.id AND producers.id = w.producer LIMIT 1) p ON true`,
    values: [
      texts(asking.map(({ stream }) => stream)),
      texts(asking.map(({ append }) => append.fence?.consumer)),
      texts(asking.map(({ append }) => append.key?.id)),
      texts(asking.map(({ append }) => append.producer?.id)),
    ],
  });
  return rows.flatMap((row) => {
    const request = asking[row.place - 1];
    return request === undefined ? [] : [{ request, row }];
  });
}

interface Decider {
  readonly request: Request;
  readonly row: DeciderRow;
}

function note(deciders: readonly Decider[], lines: ReadonlyMap<StreamName, KnownLine>): void {
  for (const { request, row } of deciders) {
    const line = lines.get(request.stream);
    const { fence, key, producer } = request.append;
    if (fence !== undefined && row.fence !== null) line?.noteEpoch(fence.consumer, row.fence);
    if (key !== undefined && row.key_first !== null)
      line?.noteKey(key.id, { first: row.key_first, last: row.key_last, hash: row.key_hash });
    if (producer !== undefined && row.epoch !== null)
      line?.noteProducer(producer.id, { epoch: row.epoch, seq: row.seq, first: row.first, last: row.last });
  }
}
