/** Derived rows in SQLite: written inside the writer's transaction, read on the reader's connection. */
import type { Database, Statement } from 'better-sqlite3';
import type { Row, RowChange, RowQuery, StreamName } from '../port.ts';
import { revIn, revWithin } from '../rev.ts';
import { storedHistory } from './timeline.ts';
import { phrasesOf, wordsOf } from '../words.ts';

interface StoredRow {
  readonly stream: string;
  readonly tbl: string;
  readonly key: string;
  readonly ord: number;
  readonly grp: string | null;
  readonly value: Uint8Array | null;
  readonly rev: number;
}

interface PresentRow {
  readonly id: number;
  readonly buried: number;
  readonly ord: number;
  readonly grp: string | null;
}

export class RowWriter {
  readonly #find: Statement<[number, string, string]>;
  readonly #insert: Statement<[number, string, string, number, string | null, Uint8Array | null, number]>;
  readonly #update: Statement<[number, string | null, Uint8Array | null, number, number]>;
  readonly #delete: Statement<[number]>;
  readonly #ofStream: Statement<[number]>;
  readonly #addWords: Statement<[number, string]>;
  readonly #dropWords: Statement<[number]>;
  readonly #lastRev: Statement<[]>;
  readonly #setRev: Statement<[number]>;
  #rev: number;
  #flushedRev: number;

  constructor(db: Database) {
    this.#find = db.prepare(
      'SELECT id, value IS NULL AS buried, ord, grp FROM rows WHERE stream_id = ? AND tbl = ? AND key = ?',
    );
    this.#insert = db.prepare(
      'INSERT INTO rows (stream_id, tbl, key, ord, grp, value, rev) VALUES (?, ?, ?, ?, ?, ?, ?)',
    );
    this.#update = db.prepare('UPDATE rows SET ord = ?, grp = ?, value = ?, rev = ? WHERE id = ?');
    this.#delete = db.prepare('DELETE FROM rows WHERE id = ?');
    this.#ofStream = db.prepare('SELECT id FROM rows WHERE stream_id = ? AND value IS NOT NULL');
    this.#addWords = db.prepare('INSERT INTO row_words (rowid, words) VALUES (?, ?)');
    this.#dropWords = db.prepare('DELETE FROM row_words WHERE rowid = ?');
    this.#lastRev = db.prepare(`SELECT value AS rev FROM counters WHERE name = 'rev'`);
    this.#setRev = db.prepare(`UPDATE counters SET value = ? WHERE name = 'rev'`);
    this.#rev = this.#storedRev();
    this.#flushedRev = this.#rev;
  }

  get rev(): number {
    return this.#rev;
  }

  /** Before the commit: revs never come again, not even those of rows that are gone. */
  flush(): void {
    if (this.#rev !== this.#flushedRev) this.#setRev.run(this.#rev);
    this.#flushedRev = this.#rev;
  }

  /** After a rollback: what was counted did not happen. */
  forget(): void {
    this.#rev = this.#storedRev();
    this.#flushedRev = this.#rev;
  }

  apply(streamId: number, changes: readonly RowChange[]): void {
    for (const change of changes) {
      if (!('remove' in change)) this.#put(streamId, change);
      else this.#remove(streamId, change.table, change.key, change.tombstone === true);
    }
  }

  /** L11: the rows are gone, `tombstones` and those of before excepted. */
  erase(
    streamId: number,
    tombstones: readonly { readonly table: string; readonly key: string; readonly group?: string }[],
  ): void {
    for (const { table, key, group } of tombstones) {
      const present = this.#row(streamId, table, key);
      if (present === undefined) this.#insert.run(streamId, table, key, 0, group ?? null, null, this.#nextRev());
      else this.#bury(present.id, present.ord, group ?? present.grp);
    }
    for (const { id } of this.#ofStream.all(streamId) as readonly { readonly id: number }[]) this.#drop(id);
  }

  #put(streamId: number, { table, key, order, group, value, text }: Exclude<RowChange, { remove: true }>): void {
    const present = this.#row(streamId, table, key);
    let id = present?.id;
    if (id === undefined)
      id = Number(this.#insert.run(streamId, table, key, order, group ?? null, value, this.#nextRev()).lastInsertRowid);
    else {
      this.#update.run(order, group ?? null, value, this.#nextRev(), id);
      this.#dropWords.run(id);
    }
    const words = wordsOf(text ?? '');
    if (words.length > 0) this.#addWords.run(id, words.join(' '));
  }

  #remove(streamId: number, table: string, key: string, tombstone: boolean): void {
    const present = this.#row(streamId, table, key);
    if (present === undefined || present.buried === 1) return;
    if (tombstone) this.#bury(present.id, present.ord, present.grp);
    else this.#drop(present.id);
  }

  #bury(id: number, order: number, group: string | null): void {
    this.#update.run(order, group, null, this.#nextRev(), id);
    this.#dropWords.run(id);
  }

  #drop(id: number): void {
    this.#delete.run(id);
    this.#dropWords.run(id);
  }

  #row(streamId: number, table: string, key: string): PresentRow | undefined {
    return this.#find.get(streamId, table, key) as PresentRow | undefined;
  }

  #nextRev(): number {
    this.#rev += 1;
    return this.#rev;
  }

  #storedRev(): number {
    return (this.#lastRev.get() as { readonly rev: number }).rev;
  }
}

const COLUMNS = 's.name AS stream, r.tbl, r.key, r.ord, r.grp, r.value, r.rev';
const FROM = 'FROM rows r JOIN streams s ON s.id = r.stream_id';

export class RowReader {
  readonly #db: Database;
  readonly #history: number;
  readonly #statements = new Map<string, Statement>();

  constructor(db: Database) {
    this.#db = db;
    this.#history = storedHistory(db);
  }

  get(table: string, stream: StreamName, key: string): Row | undefined {
    return this.#all(`SELECT ${COLUMNS} ${FROM} WHERE s.name = ? AND r.tbl = ? AND r.key = ? AND r.value IS NOT NULL`, [
      stream,
      table,
      key,
    ])[0];
  }

  list({ table, stream, group, before, after, direction = 'descending', limit }: RowQuery): readonly Row[] {
    const way = direction === 'descending' ? 'DESC' : 'ASC';
    const conditions = ['r.tbl = ?', 'r.value IS NOT NULL'];
    const values: unknown[] = [table];
    for (const [condition, value] of [
      ['r.stream_id = (SELECT id FROM streams WHERE name = ?)', stream],
      ['r.grp = ?', group],
      ['r.ord < ?', before],
      ['r.ord > ?', after],
    ] as const) {
      if (value === undefined) continue;
      conditions.push(condition);
      values.push(value);
    }
    const text = `SELECT ${COLUMNS} ${FROM} WHERE ${conditions.join(' AND ')} ORDER BY r.ord ${way}, s.name ${way}, r.key ${way} LIMIT ?`;
    return this.#all(text, [...values, limit]);
  }

  search({
    table,
    words,
    group,
    limit,
  }: {
    readonly table: string;
    readonly words: string;
    readonly group?: string;
    readonly limit: number;
  }): readonly Row[] {
    const query = queryOf(words);
    if (query === undefined) return [];
    const inGroup = group === undefined ? '' : 'AND r.grp = ?';
    return this.#all(
      `SELECT ${COLUMNS} FROM row_words w JOIN rows r ON r.id = w.rowid JOIN streams s ON s.id = r.stream_id
       WHERE w.row_words MATCH ? AND r.tbl = ? AND r.value IS NOT NULL ${inGroup} ORDER BY bm25(row_words), r.rev DESC LIMIT ?`,
      [query, table, ...(group === undefined ? [] : [group]), limit],
    );
  }

  changes({
    table,
    after,
    group,
    limit,
  }: {
    readonly table: string;
    readonly after: number;
    readonly group?: string;
    readonly limit: number;
  }): readonly Row[] {
    const inGroup = group === undefined ? '' : 'AND r.grp = ?';
    return this.#all(`SELECT ${COLUMNS} ${FROM} WHERE r.rev > ? AND r.tbl = ? ${inGroup} ORDER BY r.rev LIMIT ?`, [
      revWithin(this.#history, after),
      table,
      ...(group === undefined ? [] : [group]),
      limit,
    ]);
  }

  lastRev(table: string): number {
    // By the index of revs, from its end.
    const last = this.#statement('SELECT rev FROM rows WHERE tbl = ? ORDER BY rev DESC LIMIT 1').get(table);
    return revIn(this.#history, (last as { readonly rev: number } | undefined)?.rev ?? 0);
  }

  #all(text: string, values: readonly unknown[]): readonly Row[] {
    return (this.#statement(text).all(...values) as readonly StoredRow[]).map((row) => publicRow(row, this.#history));
  }

  #statement(text: string): Statement {
    let statement = this.#statements.get(text);
    if (statement === undefined) this.#statements.set(text, (statement = this.#db.prepare(text)));
    return statement;
  }
}

function publicRow({ stream, tbl, key, ord, grp, value, rev }: StoredRow, history: number): Row {
  const shown = { group: grp ?? undefined, value: value ?? undefined, rev: revIn(history, rev) };
  return { stream, table: tbl, key, order: ord, ...shown };
}

/** Words are letters and digits: quoting them leaves nothing of FTS5's syntax. */
function queryOf(words: string): string | undefined {
  const phrases = phrasesOf(words).map(({ words: phrase, prefix }) => `"${phrase.join(' ')}"${prefix ? ' *' : ''}`);
  return phrases.length === 0 ? undefined : phrases.join(' AND ');
}
