/** The feed over a list that is long already: what it asks the store for. */
import { expect, test } from 'vitest';
import type { SessionId } from '@holdfast/protocol';
import { systemClock, type FeedItem, type SessionService } from '@holdfast/session';
import { Feed } from '../src/stream/feed.ts';
import type { Reader } from '../src/stream/reader.ts';

const LONG = 100_000;

class List implements Pick<SessionService, 'feed' | 'feedRevision' | 'watchFeed'> {
  readonly asked: number[] = [];
  #last = LONG;
  #onChange: () => void = () => undefined;

  feed({ after, limit }: { readonly after: number; readonly limit: number }): Promise<readonly FeedItem[]> {
    this.asked.push(after);
    const length = Math.min(limit, this.#last - after);
    return Promise.resolve(Array.from({ length }, (_, index) => itemAt(after + index + 1)));
  }
  feedRevision(): Promise<number> {
    return Promise.resolve(this.#last);
  }
  watchFeed(onChange: () => void): () => void {
    this.#onChange = onChange;
    return () => void (this.#onChange = () => undefined);
  }
  change(): void {
    this.#last += 1;
    this.#onChange();
  }
}

const itemAt = (rev: number): FeedItem => ({ kind: 'deleted', rev, sessionId: `s${rev}` as SessionId, owner: 'alice' });

test('R59: a long list is not read to know its revision, nor to follow it from there', async () => {
  const list = new List();
  const onError = (error: unknown): never => {
    throw error;
  };
  const feed = new Feed({ service: list, clock: systemClock, everyMs: 0, onError });
  expect(await feed.revisionNow()).toBe(LONG);
  expect(list.asked).toEqual([]);

  let heard = '';
  const reader = { offer: (bytes: Buffer) => void (heard += bytes.toString()) } as unknown as Reader;
  const follow = async (): Promise<void> => {
    list.asked.length = 0;
    const after = await feed.revisionNow();
    const lane = feed.lane(reader, undefined, after);
    lane.start();
    list.change();
    await expect.poll(() => heard).toContain(`feed/${after + 1}`);
    expect(Math.min(...list.asked)).toBeGreaterThanOrEqual(after);
    lane.close();
  };
  await follow();
  // Nobody reads while the list goes on: the next reader begins where it stands then.
  for (let n = 0; n < 5; n += 1) list.change();
  await follow();
});
