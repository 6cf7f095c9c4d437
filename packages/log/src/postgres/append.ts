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
import { admit, type KnownAppend, type KnownProducer, type Line } from '../admission.ts';
import type { Append, AppendVerdict, LogRecord, StreamName } from '../port.ts';
import { logRecords } from '../record.ts';
import { booleans, byteas, numbers, texts } from './array.ts';
import type { Steps } from './connection.ts';
import { putRows } from './rows.ts';
import { NOW_MS } from './schema.ts';

export interface Request {
  readonly stream: StreamName;
  readonly append: Append;
}

/** What was committed, for readers: in the order of the requests. */
export interface Commit {
  readonly stream: StreamName;
  readonly records: readonly LogRecord[];
  readonly closed: boolean;
}

export interface BatchResult {
  readonly verdicts: readonly AppendVerdict[];
  readonly commits: readonly Commit[];
  readonly hasRows: boolean;
}

/** A stream inside the transaction, with what this batch has done to it. */
export class LockedLine implements Line {
  readonly id: number;
  readonly deleted: boolean;
  head: number;
  closed: boolean;
  // Made when they are needed: most lines have one of them, and each batch makes its lines anew.
  #epochs: Map<string, number> | undefined;
  #keys: Map<string, KnownAppend> | undefined;
  #producers: Map<string, KnownProducer> | undefined;

  constructor(row: LineRow) {
    this.id = row.id;
    this.deleted = row.gone;
    this.head = row.head;
    this.closed = row.closed;
  }

  epochOf(consumer: string): number {
    return this.#epochs?.get(consumer) ?? 0;
  }
  findKey(id: string): KnownAppend | undefined {
    return this.#keys?.get(id);
  }
  findProducer(id: string): KnownProducer | undefined {
    return this.#producers?.get(id);
  }
  noteEpoch(consumer: string, epoch: number): void {
    (this.#epochs ??= new Map()).set(consumer, epoch);
  }
  noteKey(id: string, known: KnownAppend): void {
    (this.#keys ??= new Map()).set(id, known);
  }
  noteProducer(id: string, known: KnownProducer): void {
    (this.#producers ??= new Map()).set(id, known);
  }
}

interface LineRow {
  readonly id: number;
  readonly name: string;
  readonly head: number;
  readonly closed: boolean;
  /** Deleted or expired. */
  readonly gone: boolean;
  readonly now: number;
}

/** Also used by whoever else changes what belongs to a stream (schema rule 2). */
export async function lockLines(
  client: Client,
  names: readonly StreamName[],
): Promise<{ readonly lines: Map<StreamName, LockedLine>; readonly now: number }> {
  const { rows } = await client.query<LineRow>({
    name: 'lock-lines',
    // As sub-queries the time is asked for once, not once a row.
    text: `SELECT id, name, head, closed, (SELECT ${NOW_MS}) AS now,
             deleted OR coalesce(least(expires_at, touched_at + ttl_ms) <= (SELECT ${NOW_MS}), false) AS gone
           FROM streams WHERE name = ANY($1) ORDER BY id FOR NO KEY UPDATE`,
    values: [texts([...new Set(names)])],
  });
  const lines = new Map(rows.map((row) => [row.name, new LockedLine(row)]));
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
    const writes = new Writes(now);
    const verdicts = requests.map((request) => writes.decide(request, lines.get(request.stream)));
    const result = { verdicts, commits: writes.commits, hasRows: writes.rows.length > 0 };
    return { result, written: writes.write(client, lines) };
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
  readonly lines: ReadonlyMap<StreamName, LockedLine>;
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

function note(deciders: readonly Decider[], lines: ReadonlyMap<StreamName, LockedLine>): void {
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

/** Stages 3 and 4. */
class Writes {
  readonly commits: Commit[] = [];
  readonly rows: { readonly id: number; readonly changes: NonNullable<Append['rows']> }[] = [];
  readonly #now: number;
  readonly #records: { readonly line: number[]; readonly seq: number[]; readonly body: Uint8Array[] } = {
    line: [],
    seq: [],
    body: [],
  };
  readonly #keys: [number, string, string, number, number][] = [];
  readonly #producers = new Map<string, [number, string, number, number, number, number]>();
  readonly #touched = new Set<StreamName>();

  constructor(now: number) {
    this.#now = now;
  }

  decide({ stream, append }: Request, line: LockedLine | undefined): AppendVerdict {
    if (line === undefined) return { kind: 'missing' };
    if (line.deleted) return { kind: 'deleted' };
    const admission = admit(line, append);
    if (admission.kind !== 'admitted') return admission;
    const { first, last } = admission;
    const { key, producer, rows = [], records } = append;
    for (const [index, body] of records.entries()) {
      this.#records.line.push(line.id);
      this.#records.seq.push(first + index);
      this.#records.body.push(body);
    }
    if (key !== undefined) {
      line.noteKey(key.id, { first, last, hash: key.hash });
      this.#keys.push([line.id, key.id, key.hash, first, last]);
    }
    if (producer !== undefined) {
      line.noteProducer(producer.id, { ...producer, first, last });
      this.#producers.set(`${line.id}/${producer.id}`, [
        line.id,
        producer.id,
        producer.epoch,
        producer.seq,
        first,
        last,
      ]);
    }
    if (rows.length > 0) this.rows.push({ id: line.id, changes: rows });
    line.head = last;
    line.closed ||= append.close === true;
    this.#touched.add(stream);
    this.commits.push({ stream, records: logRecords(first, this.#now, records), closed: line.closed });
    return { kind: 'appended', first, last, at: this.#now };
  }

  /** All statements are sent when it returns. */
  write(client: Client, lines: ReadonlyMap<StreamName, LockedLine>): Promise<unknown> {
    if (this.commits.length === 0) return Promise.resolve();
    const batch = this.#writeBatch(client, lines);
    return Promise.all([batch, ...this.rows.map(({ id, changes }) => putRows(client, id, changes))]);
  }

  async #writeBatch(client: Client, lines: ReadonlyMap<StreamName, LockedLine>): Promise<void> {
    const touched = [...this.#touched].map((name) => lines.get(name)).filter((line) => line !== undefined);
    const keys = this.#keys;
    const producers = [...this.#producers.values()];
    const { line, seq, body } = this.#records;
    await client.query({
      name: 'write-batch',
      text: `WITH heads AS (
               UPDATE streams s SET head = v.head, closed = v.closed, touched_at = $4
               FROM unnest($1::bigint[], $2::bigint[], $3::boolean[]) AS v(id, head, closed) WHERE s.id = v.id
             ), behind AS (
               UPDATE consumers c SET behind = true WHERE c.stream_id = ANY($1::bigint[]) AND NOT c.behind
             ), bodies AS (
               INSERT INTO records (stream_id, seq, at, body)
               SELECT v.line, v.seq, $4, v.body FROM unnest($5::bigint[], $6::bigint[], $7::bytea[]) AS v(line, seq, body)
             ), keyed AS (
               INSERT INTO keys (stream_id, id, hash, first, last)
               SELECT * FROM unnest($8::bigint[], $9::text[], $10::text[], $11::bigint[], $12::bigint[])
             )
             INSERT INTO producers (stream_id, id, epoch, seq, first, last)
             SELECT * FROM unnest($13::bigint[], $14::text[], $15::bigint[], $16::bigint[], $17::bigint[], $18::bigint[])
             ON CONFLICT (stream_id, id) DO UPDATE
               SET epoch = excluded.epoch, seq = excluded.seq, first = excluded.first, last = excluded.last`,
      values: [
        numbers(touched.map((one) => one.id)),
        numbers(touched.map((one) => one.head)),
        booleans(touched.map((one) => one.closed)),
        this.#now,
        numbers(line),
        numbers(seq),
        byteas(body),
        numbers(keys.map(([id]) => id)),
        texts(keys.map(([, key]) => key)),
        texts(keys.map(([, , hash]) => hash)),
        numbers(keys.map(([, , , first]) => first)),
        numbers(keys.map(([, , , , last]) => last)),
        numbers(producers.map(([id]) => id)),
        texts(producers.map(([, producer]) => producer)),
        numbers(producers.map(([, , epoch]) => epoch)),
        numbers(producers.map(([, , , number]) => number)),
        numbers(producers.map(([, , , , first]) => first)),
        numbers(producers.map(([, , , , , last]) => last)),
      ],
    });
  }
}
