/**
 * What a batch writes: decided purely, append by append; and its statements, for whoever holds the locks.
 */
import type { Client } from 'pg';
import { admit } from '../admission.ts';
import type { Append, AppendVerdict, LogRecord, RowChange, StreamName } from '../port.ts';
import { logRecords } from '../record.ts';
import { booleans, byteas, numbers, texts } from './array.ts';
import type { KnownLine } from './line.ts';
import { putRows } from './rows.ts';

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

/** How an append left its stream. */
export interface Head {
  readonly stream: StreamName;
  readonly id: number;
  readonly head: number;
  readonly closed: boolean;
  readonly fence: Append['fence'];
  readonly producer: Append['producer'];
}

export interface BatchResult {
  readonly verdicts: readonly AppendVerdict[];
  readonly commits: readonly Commit[];
  /** The last of a stream's stands. */
  readonly heads: readonly Head[];
  readonly hasRows: boolean;
}

interface Admitted {
  readonly kind: 'admitted';
  readonly request: Request;
  readonly id: number;
  readonly first: number;
  readonly last: number;
  readonly closed: boolean;
}
type Decided = Admitted | { readonly kind: 'refused'; readonly verdict: AppendVerdict };

export type RecordRow = readonly [line: number, seq: number, body: Uint8Array];
export type KeyRow = readonly [line: number, id: string, hash: string, first: number, last: number];
export type ProducerRow = readonly [line: number, id: string, epoch: number, seq: number, first: number, last: number];

export class Writes {
  readonly #decided: Decided[] = [];
  readonly #touched = new Set<KnownLine>();
  readonly #producers = new Map<string, ProducerRow>();
  readonly records: RecordRow[] = [];
  readonly keys: KeyRow[] = [];
  readonly rows: (readonly [line: number, change: RowChange])[] = [];

  /** @returns whether it was admitted */
  decide(request: Request, line: KnownLine | undefined): boolean {
    const decided = decide(request, line);
    this.#decided.push(decided);
    if (decided.kind === 'refused' || line === undefined) return false;
    this.#take(decided, line);
    return true;
  }

  /** In the order of their ids, as they are locked. */
  get lines(): readonly KnownLine[] {
    return [...this.#touched].toSorted((a, b) => a.id - b.id);
  }

  get producers(): readonly ProducerRow[] {
    return [...this.#producers.values()];
  }

  /** @param at when it was written, by the server's clock */
  result(at: number): BatchResult {
    const commits: Commit[] = [];
    const heads: Head[] = [];
    const verdicts = this.#decided.map((decided): AppendVerdict => {
      if (decided.kind === 'refused') return decided.verdict;
      const { id, first, last, closed } = decided;
      const { stream, append } = decided.request;
      commits.push({ stream, records: logRecords(first, at, append.records), closed });
      heads.push({ stream, id, head: last, closed, fence: append.fence, producer: append.producer });
      return { kind: 'appended', first, last, at };
    });
    return { verdicts, commits, heads, hasRows: this.rows.length > 0 };
  }

  #take({ request: { append }, first, last, closed }: Admitted, line: KnownLine): void {
    const { key, producer, rows = [], records } = append;
    const { id } = line;
    for (const [index, body] of records.entries()) this.records.push([id, first + index, body]);
    for (const change of rows) this.rows.push([id, change]);
    if (key !== undefined) {
      line.noteKey(key.id, { first, last, hash: key.hash });
      this.keys.push([id, key.id, key.hash, first, last]);
    }
    if (producer !== undefined) {
      line.noteProducer(producer.id, { ...producer, first, last });
      this.#producers.set(`${id}/${producer.id}`, [id, producer.id, producer.epoch, producer.seq, first, last]);
    }
    line.head = last;
    line.closed = closed;
    this.#touched.add(line);
  }
}

function decide(request: Request, line: KnownLine | undefined): Decided {
  if (line === undefined) return { kind: 'refused', verdict: { kind: 'missing' } };
  if (line.deleted) return { kind: 'refused', verdict: { kind: 'deleted' } };
  const admission = admit(line, request.append);
  if (admission.kind !== 'admitted') return { kind: 'refused', verdict: admission };
  return { ...admission, request, id: line.id, closed: line.closed || request.append.close === true };
}

/** For who holds the locks, under which it was decided. All statements are sent when it returns. */
export async function write(client: Client, writes: Writes, at: number): Promise<void> {
  const { lines, records, keys, producers, rows } = writes;
  if (lines.length === 0) return;
  const batch = client.query({
    name: 'write-batch',
    text: `WITH heads AS (
             UPDATE streams s SET head = v.head, closed = v.closed, touched_at = $1
             FROM unnest($2::bigint[], $3::bigint[], $4::boolean[]) AS v(id, head, closed) WHERE s.id = v.id
           ), behind AS (
             UPDATE consumers c SET behind = true WHERE c.stream_id = ANY($2::bigint[]) AND NOT c.behind
           ), bodies AS (
             INSERT INTO records (stream_id, seq, at, body)
             SELECT v.line, v.seq, $1, v.body FROM unnest($5::bigint[], $6::bigint[], $7::bytea[]) AS v(line, seq, body)
           ), keyed AS (
             INSERT INTO keys (stream_id, id, hash, first, last)
             SELECT * FROM unnest($8::bigint[], $9::text[], $10::text[], $11::bigint[], $12::bigint[])
           )
           INSERT INTO producers (stream_id, id, epoch, seq, first, last)
           SELECT * FROM unnest($13::bigint[], $14::text[], $15::bigint[], $16::bigint[], $17::bigint[], $18::bigint[])
           ON CONFLICT (stream_id, id) DO UPDATE
             SET epoch = excluded.epoch, seq = excluded.seq, first = excluded.first, last = excluded.last`,
    values: [at, ...lineColumns(lines), ...recordColumns(records), ...keyColumns(keys), ...producerColumns(producers)],
  });
  await Promise.all([batch, ...rows.map(([line, change]) => putRows(client, line, [change]))]);
}

// ── as columns, for `unnest` ────────────────────────────────────────────────────────────────────────────────────────────

export const lineColumns = (lines: readonly KnownLine[]): readonly string[] => [
  numbers(lines.map(({ id }) => id)),
  numbers(lines.map(({ head }) => head)),
  booleans(lines.map(({ closed }) => closed)),
];

export const recordColumns = (records: readonly RecordRow[]): readonly string[] => [
  numbers(records.map(([line]) => line)),
  numbers(records.map(([, seq]) => seq)),
  byteas(records.map(([, , body]) => body)),
];

export const keyColumns = (keys: readonly KeyRow[]): readonly string[] => [
  numbers(keys.map(([line]) => line)),
  texts(keys.map(([, id]) => id)),
  texts(keys.map(([, , hash]) => hash)),
  numbers(keys.map(([, , , first]) => first)),
  numbers(keys.map(([, , , , last]) => last)),
];

export const producerColumns = (producers: readonly ProducerRow[]): readonly string[] => [
  numbers(producers.map(([line]) => line)),
  texts(producers.map(([, id]) => id)),
  numbers(producers.map(([, , epoch]) => epoch)),
  numbers(producers.map(([, , , seq]) => seq)),
  numbers(producers.map(([, , , , first]) => first)),
  numbers(producers.map(([, , , , , last]) => last)),
];
