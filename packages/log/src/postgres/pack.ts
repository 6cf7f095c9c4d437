/**
 * Packing in PostgreSQL: the oldest unpacked records of a stream become one compressed page, lossless.
 *
 * 1. One page is one transaction: its records are locked, deleted, and the page is there. A crash leaves the one or the other.
 * 2. Writers are not disturbed: the stream's row is not locked. An advisory lock keeps two nodes from packing one stream.
 * 3. Pages come first in a stream, unpacked records after them: a page is always made of the lowest records.
 * 4. Nothing is packed before the database says that every node reads pages (`schema.ts`, rule 4).
 */
import type { Client } from 'pg';
import { PAGE_BYTES_MAX, PAGE_RECORDS_MAX, packPage } from '../page.ts';
import type { StreamName } from '../port.ts';
import { PAGES } from './schema.ts';

/** Fewer records than this are not worth a page. */
const PACK_RECORDS_MIN = 32;
const PACK_LOCK = 0x68_66_70_6b;

/** Packs one page. @returns bytes saved; undefined: there is nothing more to pack, or another node is at it */
export async function packOne(client: Client, stream: StreamName, upTo: number): Promise<number | undefined> {
  const found = await client.query<{ id: number }>(
    `SELECT id FROM streams WHERE name = $1 AND NOT deleted AND EXISTS (SELECT 1 FROM features WHERE name = $2)`,
    [stream, PAGES],
  );
  const id = found.rows[0]?.id;
  if (id === undefined) return undefined;
  const locked = await client.query<{ mine: boolean }>('SELECT pg_try_advisory_xact_lock($1, $2::int) AS mine', [
    PACK_LOCK,
    id % 2 ** 31,
  ]);
  if (locked.rows[0]?.mine !== true) return undefined;
  // The range first, by length alone: no more than a page's bodies are brought here.
  const range = await client.query<{ last: number | null }>(
    `SELECT max(seq) AS last FROM (
       SELECT seq, sum(octet_length(body)) OVER (ORDER BY seq) AS bytes, row_number() OVER (ORDER BY seq) AS place FROM (
         SELECT seq, body FROM records WHERE stream_id = $1 AND seq <= $2 ORDER BY seq LIMIT $3
       ) few
     ) sized WHERE bytes <= $4 OR place = 1`,
    [id, upTo, PAGE_RECORDS_MAX, PAGE_BYTES_MAX],
  );
  // Locked, they can neither be truncated nor erased before the page is there.
  const { rows } = await client.query<{ seq: number; at: number; bytes: Uint8Array }>(
    'SELECT seq, at, body AS bytes FROM records WHERE stream_id = $1 AND seq <= $2 ORDER BY seq FOR UPDATE',
    [id, range.rows[0]?.last ?? 0],
  );
  const first = rows[0]?.seq;
  const last = rows.at(-1)?.seq;
  if (first === undefined || last === undefined || rows.length < PACK_RECORDS_MIN) return undefined;
  // A page's seqs follow from its first: where one is missing, nothing is packed.
  if (last - first + 1 !== rows.length) return undefined;
  const body = packPage(rows);
  await client.query(
    `WITH gone AS (DELETE FROM records WHERE stream_id = $1 AND seq BETWEEN $2 AND $3)
     INSERT INTO pages (stream_id, first, last, body) VALUES ($1, $2, $3, $4)`,
    [id, first, last, body],
  );
  return rows.reduce((sum, row) => sum + row.bytes.byteLength, 0) - body.byteLength;
}
