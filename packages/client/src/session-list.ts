/**
 * The session list: a first page, then every change as it comes, older pages when asked for.
 *
 * 1. A row is replaced only by one that knows more of its session (`seq`), whichever came first, page or change (R59).
 * 2. What was deleted stays deleted: a page that was on its way does not bring it back.
 * 3. After a failover that lost changes all rows come anew, and none of before is kept (PROTOCOL 3.11).
 * 4. It is live while somebody subscribes: the first page tells the feed's revision, and what is followed is the feed after it
 *    (the whole of it only where the page cannot be read). Who subscribes again goes on from where the feed was left.
 * 5. At `ROWS_MAX` the oldest rows are dropped; `more` reads them again.
 */
import type { Fault } from '@holdfast/protocol/fault';
import type { SessionId } from '@holdfast/protocol/ids';
import type { SessionSummary } from '@holdfast/protocol/summary';

import type { SessionList, SessionListState } from './api.ts';
import { Cell } from './cell.ts';
import type { StreamState } from './event-stream.ts';
import type { Frames } from './frames.ts';
import type { Requests } from './requests.ts';
import { share } from './share.ts';
import type { Streams } from './streams.ts';

const ROWS_MAX = 10_000;
const PAGE_ROWS = 50;

export interface SessionListOptions {
  readonly requests: Requests;
  readonly streams: Streams;
  readonly frames: Frames;
  readonly onError: (error: unknown) => void;
}

/** The wire's feed item. */
type FeedItem =
  | { readonly type: 'session'; readonly summary: SessionSummary }
  | { readonly type: 'deleted'; readonly sessionId: SessionId }
  /** What was told before is of a history that was taken back; all rows follow. */
  | { readonly type: 'resync' };

export class LiveSessionList implements SessionList {
  readonly #options: SessionListOptions;
  readonly #cell: Cell<SessionListState>;
  readonly #rows = new Map<SessionId, SessionSummary>();
  readonly #deleted = new Set<SessionId>();
  #status: SessionListState['status'] = 'loading';
  /** The next older page; null: there is none. */
  #next: number | null = null;
  #reading: Promise<void> | undefined;
  #search: SessionListState['search'] = null;
  #fault: Fault | null = null;
  /** Of the feed, up to which the rows are known; undefined: none was read. */
  #revision: number | undefined;
  #isWatched = false;
  #isClosed = false;
  #endFeed: (() => void) | undefined;

  constructor(options: SessionListOptions) {
    this.#options = options;
    this.#cell = new Cell({
      frames: options.frames,
      build: (last) => this.#build(last),
      onError: options.onError,
      watched: (readers) => this.#watched(readers),
    });
  }

  readonly getSnapshot = (): SessionListState => this.#cell.getSnapshot();
  readonly getServerSnapshot = (): SessionListState => this.#cell.getServerSnapshot();
  readonly subscribe = (listener: () => void): (() => void) => this.#cell.subscribe(listener);

  get size(): number {
    return this.#rows.size;
  }

  async more(): Promise<void> {
    if (this.#status === 'loading' || this.#next !== null) await this.#readPage();
  }

  async search(query: string): Promise<void> {
    const words = query.trim();
    const mine = words === '' ? null : { query, rows: this.#search?.rows ?? [], busy: true };
    this.#search = mine;
    // A fault is of the last try, and this is another.
    this.#fault = null;
    this.#cell.touch();
    if (mine === null) return;
    const answer = await this.#options.requests.get(`/v1/sessions?limit=${PAGE_ROWS}&q=${encodeURIComponent(words)}`);
    if (this.#search !== mine) return; // A later one replaced it.
    let { rows } = mine;
    if (answer.kind === 'fault') this.#fault = answer.fault;
    else ({ sessions: rows } = answer.body as { sessions: readonly SessionSummary[] });
    this.#search = { query, rows, busy: false };
    this.#cell.touch();
  }

  /** What this client itself knows of a session. */
  learn(summary: SessionSummary): void {
    this.#put(summary);
    this.#cell.touch();
  }

  /** Final. */
  close(): void {
    this.#isClosed = true;
    this.#watched(0);
  }

  #watched(readers: number): void {
    this.#isWatched = readers > 0 && !this.#isClosed;
    if (this.#isWatched) return void this.#follow();
    this.#endFeed?.();
    this.#endFeed = undefined;
  }

  /** 4. */
  async #follow(): Promise<void> {
    if (this.#revision === undefined) await this.#readPage();
    if (!this.#isWatched || this.#endFeed !== undefined) return;
    const item = (data: unknown, revision: number): void => this.#item(data as FeedItem, revision);
    const state = ({ kind }: StreamState): void => {
      // The gateway is there again, and what it was asked for at first is still wanted.
      if (kind === 'reading' && this.#status === 'loading') void this.#readPage();
    };
    this.#endFeed = this.#options.streams.feed({ item, state }, this.#revision ?? null);
  }

  #item(item: FeedItem, revision: number): void {
    this.#revision = revision;
    if (item.type === 'session') this.#put(item.summary);
    if (item.type === 'deleted') {
      this.#deleted.add(item.sessionId);
      const [oldest] = this.#deleted;
      if (this.#deleted.size > ROWS_MAX && oldest !== undefined) this.#deleted.delete(oldest);
      this.#rows.delete(item.sessionId);
    }
    if (item.type === 'resync') {
      this.#rows.clear();
      this.#deleted.clear();
    }
    this.#cell.touch();
  }

  #readPage(): Promise<void> {
    this.#reading ??= this.#askPage().finally(() => (this.#reading = undefined));
    return this.#reading;
  }

  async #askPage(): Promise<void> {
    const cursor = this.#next === null ? '' : `&cursor=${this.#next}`;
    const answer = await this.#options.requests.get(`/v1/sessions?limit=${PAGE_ROWS}${cursor}`);
    this.#fault = answer.kind === 'fault' ? answer.fault : null;
    if (answer.kind === 'ok') {
      const { sessions, next, revision } = answer.body as {
        readonly sessions: readonly SessionSummary[];
        readonly next: number | null;
        readonly revision?: number;
      };
      this.#revision ??= revision;
      for (const summary of sessions) this.#put(summary);
      // Reading the first page again does not forget how far the others have got.
      if (this.#status === 'loading' || cursor !== '') this.#next = next;
      this.#status = 'ready';
    }
    this.#cell.touch();
  }

  #put(summary: SessionSummary): void {
    const known = this.#rows.get(summary.sessionId);
    if (this.#deleted.has(summary.sessionId) || (known !== undefined && known.seq > summary.seq)) return;
    this.#rows.set(summary.sessionId, share(known, summary));
    if (this.#rows.size <= ROWS_MAX) return;
    const oldest = [...this.#rows.values()].reduce((a, b) => (a.updatedAt <= b.updatedAt ? a : b));
    this.#rows.delete(oldest.sessionId);
  }

  #build(last: SessionListState | undefined): SessionListState {
    const rows = [...this.#rows.values()].toSorted((a, b) =>
      a.updatedAt === b.updatedAt ? 0 : a.updatedAt < b.updatedAt ? 1 : -1,
    );
    const next: SessionListState = {
      status: this.#status,
      rows,
      more: this.#next !== null,
      search: this.#search,
      fault: this.#fault,
    };
    const sameRows = last?.rows.length === rows.length && rows.every((row, index) => row === last.rows[index]);
    return sameRows ? { ...next, rows: last.rows } : next;
  }
}
