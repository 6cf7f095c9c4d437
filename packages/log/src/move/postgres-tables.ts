/** The tables of a PostgreSQL log, to be read in order. The transaction that makes them of one moment is the caller's. */
import { FaultError } from '@holdfast/protocol';
import type { Client } from 'pg';
import { faultOfError } from '../postgres/refusal.ts';
import type { MovedConsumer, MovedKey, MovedProducer, MovedRow, MovedStream, Tables } from './port.ts';
import { searchable } from './searchable.ts';

const LIST_MAX = 1_000;
const RECORDS_MAX = 2_000;
const RECORD_BYTES_MAX = 1024 * 1024;

export class PostgresTables implements Tables {
  readonly #client: Client;

  constructor(client: Client) {
    this.#client = client;
  }

  async streams(from: number): ReturnType<Tables['streams']> {
    const rows = await this.#all<MovedStream & { readonly id: number }>(
      `SELECT id, name, content_type AS "contentType", head, floor, closed, deleted, created_at AS "createdAt",
         touched_at AS "touchedAt", ttl_ms AS "ttlMs", expires_at AS "expiresAt", fork_from AS "forkFrom",
         fork_up_to AS "forkUpTo"
       FROM streams WHERE id >= $1 ORDER BY id LIMIT ${LIST_MAX}`,
      [from],
    );
    return rows.map(({ id, ...stream }) => ({ id, stream }));
  }

  async records(id: number, after: number): ReturnType<Tables['records']> {
    const [page] = await this.#all<{ first: number; last: number; body: Uint8Array }>(
      'SELECT first, last, body FROM pages WHERE stream_id = $1 AND last > $2 ORDER BY first LIMIT 1',
      [id, after],
    );
    const records = await this.#all<{ seq: number; at: number; bytes: Uint8Array }>(
      `SELECT seq, at, bytes FROM (
         SELECT seq, at, bytes, sum(octet_length(bytes)) OVER (ORDER BY seq) - octet_length(bytes) AS before FROM (
           SELECT seq, at, body AS bytes FROM records WHERE stream_id = $1 AND seq > $2 AND seq < $3
           ORDER BY seq LIMIT ${RECORDS_MAX}
         ) few
       ) sized WHERE before < ${RECORD_BYTES_MAX} ORDER BY seq`,
      [id, after, page?.first ?? Number.MAX_SAFE_INTEGER],
    );
    if (records.length > 0) return { kind: 'records', records };
    return page === undefined ? undefined : { kind: 'page', ...page };
  }

  keys(id: number, after: string): Promise<readonly MovedKey[]> {
    return this.#all(
      `SELECT id, hash, first, last FROM keys WHERE stream_id = $1 AND id COLLATE "C" > $2
       ORDER BY id COLLATE "C" LIMIT ${LIST_MAX}`,
      [id, after],
    );
  }

  producers(id: number, after: string): Promise<readonly MovedProducer[]> {
    return this.#all(
      `SELECT id, epoch, seq, first, last FROM producers WHERE stream_id = $1 AND id COLLATE "C" > $2
       ORDER BY id COLLATE "C" LIMIT ${LIST_MAX}`,
      [id, after],
    );
  }

  consumers(id: number, after: string): Promise<readonly MovedConsumer[]> {
    return this.#all(
      `SELECT name, epoch, acked, wake_at AS "wakeAt", behind FROM consumers WHERE stream_id = $1 AND name COLLATE "C" > $2
       ORDER BY name COLLATE "C" LIMIT ${LIST_MAX}`,
      [id, after],
    );
  }

  async rows(id: number, afterTable: string, afterKey: string): Promise<readonly MovedRow[]> {
    const rows = await this.#all<MovedRow>(
      `SELECT tbl AS "table", key, ord AS "order", grp AS "group", value, rev,
         ARRAY(SELECT u.lexeme FROM unnest(words) u, unnest(u.positions) place ORDER BY place, u.lexeme COLLATE "C") AS words
       FROM rows WHERE stream_id = $1 AND (tbl COLLATE "C", key COLLATE "C") > ($2, $3)
       ORDER BY tbl COLLATE "C", key COLLATE "C" LIMIT ${LIST_MAX}`,
      [id, afterTable, afterKey],
    );
    return rows.map((row) => ({ ...row, words: searchable(row.words) }));
  }

  async lastRev(): Promise<number> {
    const [row] = await this.#all<{ rev: number }>(
      'SELECT CASE WHEN is_called THEN last_value ELSE 0 END AS rev FROM row_revs',
      [],
    );
    return row?.rev ?? 0;
  }

  async #all<T extends object>(text: string, values: readonly unknown[]): Promise<readonly T[]> {
    try {
      return (await this.#client.query<T>(text, [...values])).rows;
    } catch (error) {
      throw new FaultError(faultOfError(error), { cause: error });
    }
  }
}
