/**
 * The session list as a stream: one follower of the store for all readers of this process.
 *
 * Stages: a change in the store marks the feed as behind; it reads on, keeps what it read, and wakes its lanes. A lane
 * takes from what is kept; one whose place is older reads the store itself, page by page, until it is not. With its first lane
 * the feed begins at the store's latest change: what was before it, it never reads.
 *
 * 1. A change is read once, whoever waits for it, and at most every `everyMs`.
 * 2. The last `KEPT_MAX` changes are kept, and nothing at all while there are no lanes.
 * 3. A reader sees the latest state of each of its sessions after every change of it, in order of revision, and nobody else's.
 * 4. A place that is not of this store's history (R55: beyond its end, or before a failover or a restore) is answered by `resync`, then
 *    everything. So is a reader that was attached meanwhile.
 */
import { historyOf } from '@holdfast/log';
import type { Subject } from '@holdfast/protocol';
import type { Clock, FeedItem, SessionService, Timer } from '@holdfast/session';
import { encodeControl } from './encode.ts';
import type { Lane, Reader } from './reader.ts';

const KEPT_MAX = 1_000;
const PAGE = 500;
const EVERY_MS = 50;
/** No session has this id. */
const FEED_KEY = '/feed';

export interface FeedOptions {
  readonly service: Pick<SessionService, 'feed' | 'feedRevision' | 'watchFeed'>;
  readonly clock: Clock;
  readonly everyMs?: number;
  onError(error: unknown): void;
}

type FeedState =
  /** Nobody reads. */
  { readonly kind: 'idle' } | { readonly kind: 'following'; readonly stop: () => void };

export class Feed {
  readonly #options: FeedOptions;
  readonly #lanes = new Set<FeedLane>();
  #state: FeedState = { kind: 'idle' };
  #kept: FeedItem[] = [];
  /** Changes after this revision are kept. */
  #floor = 0;
  /** Read up to here; undefined: it begins anew. */
  #rev: number | undefined;
  #behind = false;
  #reading = false;
  #timer: Timer | undefined;

  constructor(options: FeedOptions) {
    this.#options = options;
  }

  lane(reader: Reader, owner: Subject | undefined, after: number): Lane {
    return new FeedLane(this, reader, owner, after);
  }

  /** @returns the changes after a revision that are at hand; undefined where the store must be asked. */
  keptAfter(rev: number): readonly FeedItem[] | undefined {
    if (rev < this.#floor) return undefined;
    return this.#kept.slice(this.#kept.findLastIndex((item) => item.rev <= rev) + 1);
  }

  read(owner: Subject | undefined, after: number): Promise<readonly FeedItem[]> {
    return this.#options.service.feed({ ...(owner === undefined ? {} : { owner }), after, limit: PAGE });
  }

  /** The store's revision as of now: never before what was read of it. */
  async revisionNow(): Promise<number> {
    return Math.max(this.#rev ?? 0, await this.#options.service.feedRevision());
  }

  join(lane: FeedLane): void {
    this.#lanes.add(lane);
    if (this.#state.kind === 'following') return;
    this.#state = { kind: 'following', stop: this.#options.service.watchFeed(() => this.#changed()) };
    this.#changed();
  }

  leave(lane: FeedLane): void {
    this.#lanes.delete(lane);
    if (this.#lanes.size > 0 || this.#state.kind === 'idle') return;
    this.#state.stop();
    this.#state = { kind: 'idle' };
    this.#timer?.cancel();
    this.#timer = undefined;
    this.#rev = undefined;
    this.#forget(0);
  }

  fail(error: unknown): void {
    this.#options.onError(error);
  }

  #changed(): void {
    this.#behind = true;
    if (!this.#reading && this.#timer === undefined) void this.#readOn();
  }

  async #readOn(): Promise<void> {
    this.#reading = true;
    try {
      while (this.#behind) {
        this.#behind = false;
        while (await this.#readPage(this.#state));
      }
    } catch (error) {
      this.fail(error);
    }
    this.#reading = false;
    for (const lane of this.#lanes) lane.wake();
    if (this.#state.kind === 'following') this.#rest();
  }

  /** What comes after its lanes have left is nothing. @returns whether there may be more */
  async #readPage(state: FeedState): Promise<boolean> {
    if (state.kind === 'idle') return false;
    const after = this.#rev;
    if (after === undefined) {
      const now = await this.revisionNow();
      if (this.#state === state) this.#forget((this.#rev = now));
      return false;
    }
    const page = await this.read(undefined, after);
    const last = page.at(-1);
    if (this.#state !== state || last === undefined) return false;
    if (historyOf(last.rev) !== historyOf(after)) this.#forget(last.rev); // Rule 4.
    this.#rev = last.rev;
    this.#kept.push(...page);
    const dropped = this.#kept.splice(0, Math.max(0, this.#kept.length - KEPT_MAX)).at(-1);
    if (dropped !== undefined) this.#floor = dropped.rev;
    return page.length === PAGE;
  }

  /** Lanes that are older ask the store. */
  #forget(floor: number): void {
    this.#kept = [];
    this.#floor = floor;
  }

  /** Rule 1. */
  #rest(): void {
    this.#timer = this.#options.clock.after(this.#options.everyMs ?? EVERY_MS, () => {
      this.#timer = undefined;
      if (this.#behind) void this.#readOn();
    });
  }
}

class FeedLane implements Lane {
  readonly key: string = FEED_KEY;
  readonly #feed: Feed;
  readonly #reader: Reader;
  readonly #owner: Subject | undefined;
  /** From the first revision on a reader wants what there is, not what was deleted. */
  #skipsDeleted: boolean;
  #after: number;
  #state: 'waiting' | 'busy' | 'closed' = 'busy';

  constructor(feed: Feed, reader: Reader, owner: Subject | undefined, after: number) {
    this.#feed = feed;
    this.#reader = reader;
    this.#owner = owner;
    this.#after = after;
    this.#skipsDeleted = after === 0;
  }

  start(): void {
    this.#feed.join(this);
    void this.#catchUp();
  }

  close(): void {
    this.#state = 'closed';
    this.#feed.leave(this);
  }

  wake(): void {
    if (this.#state === 'waiting') this.#continue();
  }

  sent(): void {
    this.#continue();
  }

  #continue(): void {
    if (this.#state === 'closed') return;
    const kept = this.#feed.keptAfter(this.#after);
    if (kept === undefined) return void this.#catchUp();
    this.#skipsDeleted = false;
    this.#state = 'waiting';
    this.#send(kept);
  }

  /** From the store, until what the feed keeps follows. */
  async #catchUp(): Promise<void> {
    this.#state = 'busy';
    try {
      const upTo = await this.#feed.revisionNow();
      if (this.#after > upTo || (this.#after > 0 && historyOf(this.#after) !== historyOf(upTo)))
        return this.#beginAnew();
      const items = this.#after === upTo ? [] : await this.#feed.read(this.#owner, this.#after);
      if (this.#isClosed()) return;
      // There is nothing more of this owner up to there.
      if (items.length < PAGE) this.#after = upTo;
      if (!this.#send(items)) this.#continue();
    } catch (error) {
      this.#feed.fail(error);
      if (!this.#isClosed()) this.#state = 'waiting';
    }
  }

  /** Rule 4. It goes on when that was sent. */
  #beginAnew(): void {
    if (this.#isClosed()) return;
    this.#after = 0;
    this.#skipsDeleted = true;
    this.#reader.offer(RESYNC, this);
  }

  #isClosed(): boolean {
    return this.#state === 'closed';
  }

  /** @returns whether there was anything; then it goes on when that was sent. */
  #send(items: readonly FeedItem[]): boolean {
    this.#after = Math.max(this.#after, items.at(-1)?.rev ?? 0);
    const mine = items.filter((item) => this.#isMine(item));
    if (mine.length === 0) return false;
    this.#state = 'busy';
    this.#reader.offer(Buffer.concat(mine.map(frameOf)), this);
    return true;
  }

  #isMine(item: FeedItem): boolean {
    if (item.kind === 'deleted' && this.#skipsDeleted) return false;
    const owner = item.kind === 'deleted' ? item.owner : item.summary.owner;
    return this.#owner === undefined || owner === this.#owner;
  }
}

/** Its id is the place before everything: who breaks off after it begins anew. */
const RESYNC = encodeControl({ id: 'feed/0', event: 'feed', data: JSON.stringify({ type: 'resync' }) });

/** On the wire it is `type`, as everything there. */
function frameOf({ kind, ...facts }: FeedItem): Buffer {
  return encodeControl({ id: `feed/${facts.rev}`, event: 'feed', data: JSON.stringify({ type: kind, ...facts }) });
}
