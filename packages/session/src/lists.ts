/**
 * The list of sessions, from its rows alone: no log is read for it.
 *
 *  1. A line is what the owner last committed; the feed tells each change after a revision once, oldest first, deletions too.
 *  2. A search finds titles and what was said, best first, each session once.
 */
import type { SessionId, SessionSummary, Subject } from '@holdfast/protocol';
import type { Log, Row } from '@holdfast/log';
import { faultOf, refused } from './refusal.ts';
import { sessionIdOf, SESSION_TABLE, streamOf, summaryIn, TURN_TABLE } from './rows.ts';
import type { FeedItem, Result, SessionService } from './service.ts';

export class Lists {
  readonly #log: Log;

  constructor(log: Log) {
    this.#log = log;
  }

  async ownerOf(sessionId: SessionId): Promise<Result<{ readonly owner: Subject }>> {
    const found = await this.summary(sessionId);
    return found.kind === 'ok' ? { kind: 'ok', owner: found.summary.owner } : found;
  }

  async summary(sessionId: SessionId): Promise<Result<{ readonly summary: SessionSummary }>> {
    const row = await this.#log.rows.get(SESSION_TABLE, streamOf(sessionId), SESSION_TABLE);
    if (row?.value !== undefined) return { kind: 'ok', summary: summaryIn(row) };
    const state = await this.#log.stat(streamOf(sessionId));
    return refused(faultOf(state.kind === 'state' ? { kind: 'missing' } : state, sessionId));
  }

  async list(query: {
    readonly owner?: Subject;
    readonly words?: string;
    readonly before?: number;
    readonly limit: number;
  }): ReturnType<SessionService['list']> {
    const { owner, words, before, limit } = query;
    const group = owner === undefined ? {} : { group: owner };
    if (words !== undefined && words.trim() !== '')
      return { sessions: await this.#search(words, group, limit), next: null };
    const rows = await this.#log.rows.list({
      table: SESSION_TABLE,
      limit,
      ...group,
      ...(before === undefined ? {} : { before }),
    });
    const last = rows.at(-1);
    return { sessions: rows.map(summaryIn), next: rows.length < limit || last === undefined ? null : last.order };
  }

  async #search(words: string, group: { readonly group?: string }, limit: number): Promise<readonly SessionSummary[]> {
    const [titled, said] = await Promise.all([
      this.#log.rows.search({ table: SESSION_TABLE, words, limit, ...group }),
      this.#log.rows.search({ table: TURN_TABLE, words, limit: limit * 4, ...group }),
    ]);
    const streams = [...new Set([...titled, ...said].map((row) => row.stream))].slice(0, limit);
    const rows = await Promise.all(streams.map((stream) => this.#log.rows.get(SESSION_TABLE, stream, SESSION_TABLE)));
    return rows.filter((row) => row?.value !== undefined).map((row) => summaryIn(row as Row));
  }

  async feed({
    owner,
    after,
    limit,
  }: {
    readonly owner?: Subject;
    readonly after: number;
    readonly limit: number;
  }): Promise<readonly FeedItem[]> {
    const rows = await this.#log.rows.changes({
      table: SESSION_TABLE,
      after,
      limit,
      ...(owner === undefined ? {} : { group: owner }),
    });
    return rows.map((row) =>
      row.value === undefined
        ? { kind: 'deleted', rev: row.rev, sessionId: sessionIdOf(row.stream), owner: row.group ?? '' }
        : { kind: 'session', rev: row.rev, summary: summaryIn(row) },
    );
  }

  feedRevision(): Promise<number> {
    return this.#log.rows.lastRev(SESSION_TABLE);
  }

  watchFeed(onChange: () => void): () => void {
    return this.#log.rows.watch(onChange);
  }
}
