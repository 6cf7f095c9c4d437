/**
 * Takes the words of deleted rows out of the search index for good.
 *
 * FTS5 marks a deleted row and leaves its words in the file until the segments that hold them are merged with others. So a pass merges all
 * of them into one, a few pages at a time, between other work. How far it is stands in the database, beside what it does.
 *
 *   clean ─want─▶ wanted ─step─▶ running ─last step─▶ clean        running ─want─▶ running again ─last step─▶ wanted
 */
import type { Database, Statement } from 'better-sqlite3';

/** In pages: some milliseconds. */
const STEP_PAGES = 16;
/** Fewer changes than this and the merge had nothing to do (FTS5's own rule). */
const CHANGES_MIN = 2;

const WANTED = 1;
const RUNNING = 2;

export class WordsPurge {
  readonly #get: Statement<[]>;
  readonly #set: Statement<[number]>;
  readonly #merge: Statement<[number]>;
  readonly #changes: Statement<[]>;

  constructor(db: Database) {
    this.#get = db.prepare(`SELECT value FROM counters WHERE name = 'purge'`).pluck();
    this.#set = db.prepare(
      `INSERT INTO counters VALUES ('purge', ?) ON CONFLICT (name) DO UPDATE SET value = excluded.value`,
    );
    this.#merge = db.prepare(`INSERT INTO row_words (row_words, rank) VALUES ('merge', ?)`);
    this.#changes = db.prepare('SELECT total_changes()').pluck();
  }

  /** Something was deleted. */
  want(): void {
    const state = this.#state();
    if ((state & WANTED) === 0) this.#set.run(state | WANTED);
  }

  /** @returns whether there is more to do */
  step(): boolean {
    const state = this.#state();
    if (state === 0) return false;
    if ((state & RUNNING) === 0) {
      // A negative number begins a merge of all segments.
      this.#merge.run(-STEP_PAGES);
      this.#set.run(RUNNING);
      return true;
    }
    const before = this.#changes.get() as number;
    this.#merge.run(STEP_PAGES);
    if ((this.#changes.get() as number) - before < CHANGES_MIN) this.#set.run(state & WANTED);
    return true;
  }

  #state(): number {
    return (this.#get.get() as number | undefined) ?? 0;
  }
}
