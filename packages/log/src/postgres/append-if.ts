/**
 * A batch in one statement, which is done where everything is as its node remembers it, and not at all where anything is not.
 *
 * It is a function in the database, so that locking, comparing and writing are one round trip and each of its statements sees what was
 * committed before it.
 *
 * 1. The update of the heads is the lock (schema rule 2), taken in the order of the ids as everybody takes it: no plan but a walk along the
 *    index is allowed. Where it had to wait it compares what it waited for.
 * 2. Epochs and producers are compared by statements after it: under the lock.
 * 3. A key that is there is met by its index. A mark that is not older is left alone (`connection.ts`, rule 6).
 * 4. Whatever is not as remembered undoes all of it and makes it null: no error, so nothing in the server's log.
 * 5. Outside of its flight's transaction it does nothing: the `BEGIN` before it was refused, and its node would not learn what became of it.
 * 6. A stream is known by its name: after a failover that lost streams their ids are given again.
 * 7. Its name and parameters are for good, as nodes of other versions call it: one that does otherwise has another name.
 */
import type { Client } from 'pg';
import { booleans, byteas, numbers, texts } from './array.ts';
import type { Guess } from './guess.ts';
import { NOW_MS } from './now.ts';
import { vectorOf } from './rows.ts';
import { keyColumns, lineColumns, producerColumns, recordColumns, type Writes } from './writes.ts';

/** Of one transaction of one connection (`connection.ts`, rule 3). */
export interface Mark {
  readonly id: string;
  readonly number: number;
}

/** What the transaction of a flight is told apart by (rule 5). */
export const flightOf = ({ id, number }: Mark): string => `${id}/${number}`;

/** Says in the function that something is different. */
const DIFFERENT = 'HF001';

/**
 * A row's place in the arrays, which are sorted by stream. (Joined with `unnest`, a plan that was made while a table had three rows reads all
 * of it for each element, long after it has grown.)
 */
const STREAM = 'width_bucket(s.id, ids)';
const CONSUMER = 'width_bucket(c.stream_id, ids)';
const PRODUCER = 'width_bucket(p.stream_id, producer_lines)';

export const APPEND_IF: string = `
  CREATE FUNCTION append_if(
    connection text, its_mark bigint,
    ids bigint[], heads bigint[], closing boolean[], names text[],
    heads_before bigint[], fences text[], epochs bigint[],
    record_lines bigint[], record_seqs bigint[], bodies bytea[],
    key_lines bigint[], key_ids text[], key_hashes text[], key_firsts bigint[], key_lasts bigint[],
    producer_lines bigint[], producer_ids text[], producer_epochs bigint[], producer_seqs bigint[], producer_firsts bigint[],
    producer_lasts bigint[], producer_epochs_before bigint[], producer_seqs_before bigint[],
    row_lines bigint[], row_tables text[], row_keys text[], row_orders float8[], row_groups text[], row_values bytea[],
    row_words text[], row_tombstones boolean[]
  ) RETURNS bigint LANGUAGE plpgsql
  SET plan_cache_mode = force_generic_plan SET enable_seqscan = off SET enable_bitmapscan = off
  AS $$
  DECLARE
    now_ms bigint := ${NOW_MS};
    changed bigint;
    fenced bigint;
    idle boolean;
  BEGIN
    IF current_setting('holdfast.flight', true) IS DISTINCT FROM concat(connection, '/', its_mark) THEN RETURN NULL; END IF;

    UPDATE streams s SET head = heads[${STREAM}], closed = closing[${STREAM}], touched_at = now_ms
      WHERE s.id = ANY(ids) AND s.name = names[${STREAM}] AND s.head = heads_before[${STREAM}] AND NOT s.closed AND NOT s.deleted
        AND coalesce(least(s.expires_at, s.touched_at + s.ttl_ms) > now_ms, true);
    GET DIAGNOSTICS changed = ROW_COUNT;
    IF changed <> cardinality(ids) THEN RAISE SQLSTATE '${DIFFERENT}'; END IF;

    SELECT count(*) FILTER (WHERE c.name = fences[${CONSUMER}] AND c.epoch = epochs[${CONSUMER}]), bool_or(NOT c.behind)
      INTO fenced, idle FROM consumers c WHERE c.stream_id = ANY(ids);
    IF fenced <> cardinality(array_remove(fences, NULL)) THEN RAISE SQLSTATE '${DIFFERENT}'; END IF;
    IF idle THEN UPDATE consumers c SET behind = true WHERE c.stream_id = ANY(ids) AND NOT c.behind; END IF;

    INSERT INTO records (stream_id, seq, at, body)
      SELECT v.line, v.seq, now_ms, v.body FROM unnest(record_lines, record_seqs, bodies) AS v(line, seq, body);
    IF cardinality(key_lines) > 0 THEN
      INSERT INTO keys (stream_id, id, hash, first, last)
        SELECT * FROM unnest(key_lines, key_ids, key_hashes, key_firsts, key_lasts);
    END IF;

    IF cardinality(producer_lines) > 0 THEN
      UPDATE producers p
        SET epoch = producer_epochs[${PRODUCER}], seq = producer_seqs[${PRODUCER}],
          first = producer_firsts[${PRODUCER}], last = producer_lasts[${PRODUCER}]
        WHERE p.stream_id = ANY(producer_lines) AND p.id = producer_ids[${PRODUCER}]
          AND p.epoch = producer_epochs_before[${PRODUCER}] AND p.seq = producer_seqs_before[${PRODUCER}];
      GET DIAGNOSTICS changed = ROW_COUNT;
      IF changed <> cardinality(producer_lines) THEN RAISE SQLSTATE '${DIFFERENT}'; END IF;
    END IF;

    FOR i IN 1..cardinality(row_lines) LOOP
      IF row_orders[i] IS NOT NULL THEN
        INSERT INTO rows (stream_id, tbl, key, ord, grp, value, words) VALUES
          (row_lines[i], row_tables[i], row_keys[i], row_orders[i], row_groups[i], row_values[i], row_words[i]::tsvector)
          ON CONFLICT (stream_id, tbl, key) DO UPDATE
            SET ord = excluded.ord, grp = excluded.grp, value = excluded.value, words = excluded.words, rev = NULL;
      ELSIF row_tombstones[i] THEN
        UPDATE rows SET value = NULL, words = '', rev = NULL
          WHERE stream_id = row_lines[i] AND tbl = row_tables[i] AND key = row_keys[i] AND value IS NOT NULL;
      ELSE
        DELETE FROM rows
          WHERE stream_id = row_lines[i] AND tbl = row_tables[i] AND key = row_keys[i] AND value IS NOT NULL;
      END IF;
    END LOOP;

    UPDATE marks SET mark = its_mark, at = to_timestamp(now_ms / 1000.0) WHERE id = connection AND mark < its_mark;
    IF NOT FOUND THEN RAISE SQLSTATE '${DIFFERENT}'; END IF;
    RETURN now_ms;
  EXCEPTION WHEN SQLSTATE '${DIFFERENT}' OR unique_violation THEN RETURN NULL;
  END $$;
`;

const PARAMETERS = Array.from({ length: 33 }, (_, index) => `$${index + 1}`).join(', ');

/**
 * @param mark left with what is written
 * @returns when it was written; undefined: something was different, and nothing was
 */
export async function appendIf(client: Client, mark: Mark, { before, writes }: Guess): Promise<number | undefined> {
  // In order, as all arrays that are searched.
  const producers = writes.producers.toSorted(([a], [b]) => a - b);
  const remembered = new Map(before.map(({ id, producer }) => [id, producer]));
  const { rows } = await client.query<{ at: number | null }>({
    name: 'append-if',
    text: `SELECT append_if(${PARAMETERS}) AS at`,
    values: [
      mark.id,
      mark.number,
      ...lineColumns(writes.lines),
      texts(before.map(({ stream }) => stream)),
      numbers(before.map(({ head }) => head)),
      texts(before.map(({ fence }) => fence?.consumer)),
      numbers(before.map(({ fence }) => fence?.epoch ?? 0)),
      ...recordColumns(writes.records),
      ...keyColumns(writes.keys),
      ...producerColumns(producers),
      numbers(producers.map(([line]) => remembered.get(line)?.epoch ?? -1)),
      numbers(producers.map(([line]) => remembered.get(line)?.seq ?? -1)),
      ...rowColumns(writes.rows),
    ],
  });
  return rows[0]?.at ?? undefined;
}

function rowColumns(rows: Writes['rows']): readonly string[] {
  const changes = rows.map(([, change]) => change);
  const puts = changes.map((change) => ('remove' in change ? undefined : change));
  return [
    numbers(rows.map(([line]) => line)),
    texts(changes.map(({ table }) => table)),
    texts(changes.map(({ key }) => key)),
    texts(puts.map((put) => put && String(put.order))),
    texts(puts.map((put) => put?.group)),
    byteas(puts.map((put) => put?.value)),
    texts(puts.map((put) => put && vectorOf(put.text ?? ''))),
    booleans(changes.map((change) => 'remove' in change && change.tombstone === true)),
  ];
}
