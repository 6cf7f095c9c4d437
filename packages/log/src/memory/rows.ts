/** Rows in memory: one map, and every question answered by filter and sort. Slow, and plainly right. */
import type { Row, RowChange, RowQuery, StreamName } from '../port.ts';
import { phrasesOf, wordsOf } from '../words.ts';
import type { Phrase } from '../words.ts';

interface KeptRow extends Row {
  readonly words: readonly string[];
}

export class MemoryRows {
  private readonly rowsByPlace = new Map<string, KeptRow>();
  private rev = 0;

  apply(stream: StreamName, changes: readonly RowChange[]): void {
    for (const change of changes) {
      const { table, key } = change;
      const place = placeOf(table, stream, key);
      const present = this.rowsByPlace.get(place);
      if (!('remove' in change)) {
        const { order, group, value, text = '' } = change;
        this.rev += 1;
        this.rowsByPlace.set(place, { stream, table, key, order, group, value, rev: this.rev, words: wordsOf(text) });
      } else if (present?.value !== undefined) {
        if (change.tombstone === true) this.bury(present);
        else this.rowsByPlace.delete(place);
      }
    }
  }

  /** L11: the rows are gone, `tombstones` and those of before excepted. */
  erase(
    stream: StreamName,
    tombstones: readonly { readonly table: string; readonly key: string; readonly group?: string }[],
  ): void {
    const present = new Map(this.rowsByPlace);
    for (const [place, row] of present) {
      if (row.stream === stream && row.value !== undefined) this.rowsByPlace.delete(place);
    }
    for (const { table, key, group } of tombstones) {
      const row = present.get(placeOf(table, stream, key));
      this.bury({ stream, table, key, order: row?.order ?? 0, group: group ?? row?.group });
    }
  }

  get(table: string, stream: StreamName, key: string): Row | undefined {
    const row = this.rowsByPlace.get(placeOf(table, stream, key));
    return row?.value === undefined ? undefined : publicRow(row);
  }

  list({ table, stream, group, before, after, direction = 'descending', limit }: RowQuery): Row[] {
    const found = this.filter(
      (row) =>
        row.value !== undefined &&
        row.table === table &&
        (stream === undefined || row.stream === stream) &&
        (group === undefined || row.group === group) &&
        (before === undefined || row.order < before) &&
        (after === undefined || row.order > after),
    );
    found.sort((a, b) => a.order - b.order || compare(a.stream, b.stream) || compare(a.key, b.key));
    if (direction === 'descending') found.reverse();
    return found.slice(0, limit).map(publicRow);
  }

  search(query: {
    readonly table: string;
    readonly words: string;
    readonly group?: string;
    readonly limit: number;
  }): Row[] {
    const phrases = phrasesOf(query.words);
    if (phrases.length === 0) return [];
    return this.filter(
      (row) =>
        row.value !== undefined &&
        row.table === query.table &&
        (query.group === undefined || row.group === query.group) &&
        phrases.every((phrase) => occurrences(row.words, phrase) > 0),
    )
      .map((row) => ({ row, score: score(row.words, phrases) }))
      .toSorted((a, b) => b.score - a.score || b.row.rev - a.row.rev)
      .slice(0, query.limit)
      .map(({ row }) => publicRow(row));
  }

  changes(query: {
    readonly table: string;
    readonly after: number;
    readonly group?: string;
    readonly limit: number;
  }): Row[] {
    return this.filter(
      (row) =>
        row.table === query.table && row.rev > query.after && (query.group === undefined || row.group === query.group),
    )
      .toSorted((a, b) => a.rev - b.rev)
      .slice(0, query.limit)
      .map(publicRow);
  }

  lastRev(table: string): number {
    return this.filter((row) => row.table === table).reduce((last, { rev }) => Math.max(last, rev), 0);
  }

  private bury(row: Omit<Row, 'value' | 'rev'>): void {
    const { stream, table, key, order, group } = row;
    this.rev += 1;
    const tombstone = { stream, table, key, order, group, value: undefined, rev: this.rev, words: [] };
    this.rowsByPlace.set(placeOf(table, stream, key), tombstone);
  }

  private filter(wanted: (row: KeptRow) => boolean): KeptRow[] {
    return [...this.rowsByPlace.values()].filter(wanted);
  }
}

function placeOf(table: string, stream: StreamName, key: string): string {
  return JSON.stringify([table, stream, key]);
}

function publicRow({ stream, table, key, order, group, value, rev }: KeptRow): Row {
  return { stream, table, key, order, group, value, rev };
}

function compare(a: string, b: string): number {
  return a < b ? -1 : Number(a > b);
}

/** Rare among few words is better than rare among many. */
function score(words: readonly string[], phrases: readonly Phrase[]): number {
  return phrases.reduce((sum, phrase) => sum + occurrences(words, phrase), 0) / Math.sqrt(words.length);
}

function occurrences(words: readonly string[], { words: phrase, prefix }: Phrase): number {
  let count = 0;
  for (let from = 0; from + phrase.length <= words.length; from += 1) {
    const fits = phrase.every((word, index) => {
      const here = words[from + index] ?? '';
      return prefix && index === phrase.length - 1 ? here.startsWith(word) : here === word;
    });
    if (fits) count += 1;
  }
  return count;
}
