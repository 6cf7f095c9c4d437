/**
 * Parts as rows of a PostgreSQL log, one statement a table. A transaction is the caller's.
 *
 * 1. Streams get their ids in the order in which they come, as they had them in the source.
 * 2. A page stays a page: both stores pack alike. The draft is a new database, whose nodes all read pages (decision 14).
 */
import type { Client } from 'pg';
import type { Part } from './port.ts';
import { vectorOf } from './searchable.ts';

interface Column {
  readonly name: string;
  readonly type: string;
}

/** `name type, …` */
function columnsOf(text: string): readonly Column[] {
  return text.split(', ').map((column) => {
    const [name = '', type = 'bigint'] = column.split(' ');
    return { name, type };
  });
}

const STREAMS = columnsOf(
  'name text, content_type text, head, floor, closed boolean, deleted boolean, created_at, touched_at, ttl_ms, expires_at, fork_from text, fork_up_to',
);
const TABLES = {
  records: columnsOf('stream_id, seq, at, body bytea'),
  pages: columnsOf('stream_id, first, last, body bytea'),
  keys: columnsOf('stream_id, id text, hash text, first, last'),
  producers: columnsOf('stream_id, id text, epoch, seq, first, last'),
  consumers: columnsOf('stream_id, name text, epoch, acked, wake_at, behind boolean'),
  rows: columnsOf('stream_id, tbl text, key text, ord float8, grp text, value bytea, rev, words text'),
};

export class PostgresWriter {
  readonly #client: Client;

  constructor(client: Client) {
    this.#client = client;
  }

  async put(parts: readonly Part[]): Promise<void> {
    await this.#putStreams(parts);
    const ids = await this.#idsOf(parts);
    const rows: Record<keyof typeof TABLES, unknown[][]> = {
      records: [],
      pages: [],
      keys: [],
      producers: [],
      consumers: [],
      rows: [],
    };
    for (const part of parts) {
      const id = ids.get(part.name);
      if (part.kind === 'stream') continue;
      if (part.kind === 'page') rows.pages.push([id, part.first, part.last, part.body]);
      else if (part.kind === 'records')
        rows.records.push(...part.records.map(({ seq, at, bytes }) => [id, seq, at, bytes]));
      else if (part.kind === 'keys')
        rows.keys.push(...part.keys.map((key) => [id, key.id, key.hash, key.first, key.last]));
      else if (part.kind === 'producers')
        rows.producers.push(...part.producers.map((it) => [id, it.id, it.epoch, it.seq, it.first, it.last]));
      else if (part.kind === 'consumers')
        rows.consumers.push(...part.consumers.map((it) => [id, it.name, it.epoch, it.acked, it.wakeAt, it.behind]));
      else
        rows.rows.push(
          ...part.rows.map((it) => [id, it.table, it.key, it.order, it.group, it.value, it.rev, vectorOf(it.words)]),
        );
    }
    for (const table of Object.keys(TABLES) as (keyof typeof TABLES)[])
      await this.#insert(table, TABLES[table], rows[table]);
  }

  /** Rule 1. */
  async #putStreams(parts: readonly Part[]): Promise<void> {
    const streams = parts
      .filter((part) => part.kind === 'stream')
      .map(({ stream }) => [
        stream.name,
        stream.contentType,
        stream.head,
        stream.floor,
        stream.closed,
        stream.deleted,
        stream.createdAt,
        stream.touchedAt,
        stream.ttlMs,
        stream.expiresAt,
        stream.forkFrom,
        stream.forkUpTo,
      ]);
    await this.#insert('streams', STREAMS, streams);
  }

  async #idsOf(parts: readonly Part[]): Promise<ReadonlyMap<string, number>> {
    const { rows } = await this.#client.query<{ id: number; name: string }>(
      'SELECT id, name FROM streams WHERE name = ANY($1)',
      [[...new Set(parts.map((part) => part.name))]],
    );
    return new Map(rows.map(({ id, name }) => [name, id]));
  }

  async #insert(table: string, columns: readonly Column[], rows: readonly (readonly unknown[])[]): Promise<void> {
    if (rows.length === 0) return;
    const names = columns.map(({ name }) => name).join(', ');
    const selected = columns.map(({ name }) => (name === 'words' ? 'v.words::tsvector' : `v.${name}`)).join(', ');
    const arrays = columns.map(({ type }, index) => `$${index + 1}::${type}[]`).join(', ');
    await this.#client.query(
      `INSERT INTO ${table} (${names}) SELECT ${selected}
       FROM unnest(${arrays}) WITH ORDINALITY AS v(${names}, place) ORDER BY v.place`,
      columns.map((_, index) => rows.map((row) => row[index])),
    );
  }
}
