/** Parts as rows of a SQLite log. A transaction is the caller's. */
import type { Database, Statement } from 'better-sqlite3';
import type { MovedRow, MovedStream, Part } from './port.ts';

export class SqliteWriter {
  readonly #statements: ReturnType<typeof prepare>;
  #stream: { readonly name: string; readonly id: number } | undefined;

  constructor(db: Database) {
    this.#statements = prepare(db);
  }

  put(part: Part): void {
    const { record, page, key, producer, consumer } = this.#statements;
    if (part.kind === 'stream') return this.#putStream(part.stream);
    const id = this.#idOf(part.name);
    switch (part.kind) {
      case 'records':
        for (const { seq, at, bytes } of part.records) record.run(id, seq, at, bytes);
        return undefined;
      case 'page':
        return void page.run(id, part.first, part.last, part.body);
      case 'keys':
        for (const { id: name, hash, first, last } of part.keys) key.run(id, name, hash, first, last);
        return undefined;
      case 'producers':
        for (const { id: name, epoch, seq, first, last } of part.producers)
          producer.run(id, name, epoch, seq, first, last);
        return undefined;
      case 'consumers':
        for (const { name, epoch, acked, wakeAt, behind } of part.consumers)
          consumer.run(id, name, epoch, acked, wakeAt, behind ? 1 : 0);
        return undefined;
      case 'rows':
        for (const row of part.rows) this.#putRow(id, row);
        return undefined;
    }
  }

  #putStream(stream: MovedStream): void {
    const { name, contentType, head, floor, closed, deleted, createdAt, touchedAt } = stream;
    const made = this.#statements.stream.run(
      name,
      contentType,
      head,
      floor,
      closed ? 1 : 0,
      deleted ? 1 : 0,
      createdAt,
      touchedAt,
      stream.ttlMs,
      stream.expiresAt,
      stream.forkFrom,
      stream.forkUpTo,
    );
    this.#stream = { name, id: Number(made.lastInsertRowid) };
  }

  #putRow(id: number, { table, key, order, group, value, rev, words }: MovedRow): void {
    const made = this.#statements.row.run(id, table, key, order, group, value, rev);
    if (words.length > 0) this.#statements.words.run(Number(made.lastInsertRowid), words.join(' '));
  }

  #idOf(name: string): number {
    if (this.#stream?.name !== name) {
      const { id } = this.#statements.find.get(name) as { readonly id: number };
      this.#stream = { name, id };
    }
    return this.#stream.id;
  }
}

type Values = (string | number | null | Uint8Array)[];

function prepare(
  db: Database,
): Readonly<
  Record<'find' | 'stream' | 'record' | 'page' | 'key' | 'producer' | 'consumer' | 'row' | 'words', Statement<Values>>
> {
  const insert = (into: string, count: number): Statement<Values> =>
    db.prepare(`INSERT INTO ${into} VALUES (${Array.from({ length: count }, () => '?').join(', ')})`);
  return {
    find: db.prepare('SELECT id FROM streams WHERE name = ?'),
    stream: insert(
      `streams (name, content_type, head, floor, closed, deleted, created_at, touched_at, ttl_ms, expires_at,
         fork_from, fork_up_to)`,
      12,
    ),
    record: insert('records (stream_id, seq, at, body)', 4),
    page: insert('pages (stream_id, first, last, body)', 4),
    key: insert('keys (stream_id, id, hash, first, last)', 5),
    producer: insert('producers (stream_id, id, epoch, seq, first, last)', 6),
    consumer: insert('consumers (stream_id, name, epoch, acked, wake_at, behind)', 6),
    row: insert('rows (stream_id, tbl, key, ord, grp, value, rev)', 7),
    words: insert('row_words (rowid, words)', 2),
  };
}
