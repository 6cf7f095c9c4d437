/**
 * Derived rows in PostgreSQL.
 *
 * 1. They are written inside the transaction of the append or release they follow from, under the stream's lock.
 * 2. A change is committed without a rev and gets it after: `sequence` numbers what is committed under one advisory lock, so
 *    that revs become visible in their order although transactions commit in any. It never waits for a writer (it skips what is
 *    locked: that is numbered next time), so it can be in no deadlock with one.
 */
import type { Client } from 'pg';
import type { Row, RowChange, RowQuery, StreamName } from '../port.ts';
import { phrasesOf, wordsOf } from '../words.ts';

const SEQUENCE_LOCK = 0x68_66_72_76;
const POSITIONS_MAX = 16_383;
const LEXEME_BYTES_MAX = 2_000;

/** With a name the server keeps the plan: for look-ups by key, whose plan no value changes. */
export type Query = <T extends object>(
  text: string,
  values: readonly unknown[],
  name?: string,
) => Promise<readonly T[]>;

interface StoredRow {
  readonly stream: string;
  readonly tbl: string;
  readonly key: string;
  readonly ord: number;
  readonly grp: string | null;
  readonly value: Uint8Array | null;
  readonly rev: number | null;
}

const COLUMNS = 's.name AS stream, r.tbl, r.key, r.ord, r.grp, r.value, r.rev';
const FROM = 'FROM rows r JOIN streams s ON s.id = r.stream_id';

/** All statements are sent when it returns, in the order of the changes. */
export async function putRows(client: Client, line: number, changes: readonly RowChange[]): Promise<void> {
  await Promise.all(
    changes.map((change) =>
      'remove' in change
        ? removeRow(client, line, change.table, change.key, change.tombstone === true)
        : putRow(client, line, change),
    ),
  );
}

async function putRow(
  client: Client,
  line: number,
  { table, key, order, group, value, text }: Exclude<RowChange, { remove: true }>,
): Promise<void> {
  await client.query({
    name: 'put-row',
    text: `INSERT INTO rows (stream_id, tbl, key, ord, grp, value, words) VALUES ($1, $2, $3, $4, $5, $6, $7::tsvector)
           ON CONFLICT (stream_id, tbl, key) DO UPDATE
             SET ord = excluded.ord, grp = excluded.grp, value = excluded.value, words = excluded.words, rev = NULL`,
    values: [line, table, key, order, group ?? null, value, vectorOf(text ?? '')],
  });
}

async function removeRow(client: Client, line: number, table: string, key: string, tombstone: boolean): Promise<void> {
  const text = tombstone
    ? `UPDATE rows SET value = NULL, words = '', rev = NULL WHERE stream_id = $1 AND tbl = $2 AND key = $3 AND value IS NOT NULL`
    : `DELETE FROM rows WHERE stream_id = $1 AND tbl = $2 AND key = $3 AND value IS NOT NULL`;
  await client.query(text, [line, table, key]);
}

/** L11: the rows are gone, `tombstones` and those of before excepted. */
export async function eraseRows(
  client: Client,
  line: number,
  tombstones: readonly { readonly table: string; readonly key: string; readonly group?: string }[],
): Promise<void> {
  for (const { table, key, group } of tombstones) {
    await client.query(
      `INSERT INTO rows (stream_id, tbl, key, ord, grp, value, words) VALUES ($1, $2, $3, 0, $4, NULL, '')
       ON CONFLICT (stream_id, tbl, key) DO UPDATE SET grp = coalesce($4, rows.grp), value = NULL, words = '', rev = NULL`,
      [line, table, key, group ?? null],
    );
  }
  await client.query('DELETE FROM rows WHERE stream_id = $1 AND value IS NOT NULL', [line]);
}

/** Rule 2. @returns whether anything was numbered */
export async function sequence(client: Client): Promise<void> {
  await client.query('SELECT pg_advisory_xact_lock($1)', [SEQUENCE_LOCK]);
  await client.query(
    `UPDATE rows SET rev = nextval('row_revs')
     WHERE (stream_id, tbl, key) IN (SELECT stream_id, tbl, key FROM rows WHERE rev IS NULL FOR UPDATE SKIP LOCKED)`,
  );
}

export async function getRow(query: Query, table: string, stream: StreamName, key: string): Promise<Row | undefined> {
  const [row] = await query<StoredRow>(
    `SELECT ${COLUMNS} ${FROM} WHERE s.name = $1 AND r.tbl = $2 AND r.key = $3 AND r.value IS NOT NULL`,
    [stream, table, key],
    'get-row',
  );
  return row === undefined ? undefined : publicRow(row);
}

export async function listRows(
  query: Query,
  { table, stream, group, before, after, direction = 'descending', limit }: RowQuery,
): Promise<readonly Row[]> {
  const way = direction === 'descending' ? 'DESC' : 'ASC';
  const rows = await query<StoredRow>(
    `SELECT ${COLUMNS} ${FROM}
     WHERE r.tbl = $1 AND r.value IS NOT NULL
       AND ($2::text IS NULL OR s.name = $2) AND ($3::text IS NULL OR r.grp = $3)
       AND ($4::double precision IS NULL OR r.ord < $4) AND ($5::double precision IS NULL OR r.ord > $5)
     ORDER BY r.ord ${way}, s.name COLLATE "C" ${way}, r.key COLLATE "C" ${way} LIMIT $6`,
    [table, stream ?? null, group ?? null, before ?? null, after ?? null, limit],
  );
  return rows.map(publicRow);
}

export async function searchRows(
  query: Query,
  {
    table,
    words,
    group,
    limit,
  }: { readonly table: string; readonly words: string; readonly group?: string; readonly limit: number },
): Promise<readonly Row[]> {
  const wanted = queryOf(words);
  if (wanted === undefined) return [];
  const rows = await query<StoredRow>(
    `SELECT ${COLUMNS} ${FROM}
     WHERE r.tbl = $1 AND r.value IS NOT NULL AND ($3::text IS NULL OR r.grp = $3) AND r.words @@ $2::tsquery
     ORDER BY ts_rank(r.words, $2::tsquery, 2) DESC, r.rev DESC NULLS FIRST LIMIT $4`,
    [table, wanted, group ?? null, limit],
  );
  return rows.map(publicRow);
}

export async function changedRows(
  query: Query,
  {
    table,
    after,
    group,
    limit,
  }: { readonly table: string; readonly after: number; readonly group?: string; readonly limit: number },
): Promise<readonly Row[]> {
  const rows = await query<StoredRow>(
    `SELECT ${COLUMNS} ${FROM} WHERE r.tbl = $1 AND r.rev > $2 AND ($3::text IS NULL OR r.grp = $3) ORDER BY r.rev LIMIT $4`,
    [table, after, group ?? null, limit],
  );
  return rows.map(publicRow);
}

export async function lastRev(query: Query, table: string): Promise<number> {
  const [last] = await query<{ rev: number }>(
    'SELECT rev FROM rows WHERE tbl = $1 AND rev IS NOT NULL ORDER BY rev DESC LIMIT 1',
    [table],
    'last-rev',
  );
  return last?.rev ?? 0;
}

function publicRow({ stream, tbl, key, ord, grp, value, rev }: StoredRow): Row {
  return { stream, table: tbl, key, order: ord, group: grp ?? undefined, value: value ?? undefined, rev: rev ?? 0 };
}

/** A text-search vector of our own words: the server's parser is not asked. Words are letters and digits, so quoting is safe. */
export function vectorOf(text: string): string {
  const positions = new Map<string, number[]>();
  for (const [index, word] of wordsOf(text).entries()) {
    if (word.length * 4 > LEXEME_BYTES_MAX) continue;
    const places = positions.get(word) ?? [];
    if (places.length < 255) places.push(Math.min(index + 1, POSITIONS_MAX));
    positions.set(word, places);
  }
  return [...positions].map(([word, places]) => `'${word}':${places.join(',')}`).join(' ');
}

function queryOf(words: string): string | undefined {
  const phrases = phrasesOf(words).map(({ words: phrase, prefix }) =>
    phrase.map((word, index) => `'${word}'${prefix && index === phrase.length - 1 ? ':*' : ''}`).join(' <-> '),
  );
  return phrases.length === 0 ? undefined : phrases.map((phrase) => `(${phrase})`).join(' & ');
}
