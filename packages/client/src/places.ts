/**
 * Where a stream stands in each session it follows, and what a frame means there.
 *
 * P1. A place moves only by what is handed out: a snapshot, or the entry right after it. So a new attempt from the places
 *     misses nothing and repeats nothing.
 * P2. Sequences are per session and have no holes: an entry before its turn is loss (R56), a `gap`, and who reads decides; one
 *     from behind is a repetition and is dropped. What is ahead of a replay that was asked for is no loss: it comes again.
 * P3. A snapshot that was asked for never takes a session back; a `resync` may, the log itself went back (R60).
 * P4. Entries of a session that is not followed (any more), or whose snapshot is still to come, are dropped.
 */
import type { Entry } from '@holdfast/protocol/entry';
import { fault, type Fault } from '@holdfast/protocol/fault';
import type { SessionId } from '@holdfast/protocol/ids';
import type { ChangeStream, Goodbye, Hello, OpenStream, SnapshotFrame } from '@holdfast/protocol/sse';
import type { SseEvent } from '@holdfast/protocol/sse-decode';

/** Entries after it are wanted; null: a snapshot first. */
export type Place = string | null;

export type StreamTarget =
  | { readonly kind: 'session'; readonly sessionId: SessionId; readonly place: Place }
  | {
      readonly kind: 'sessions';
      readonly places?: Readonly<Record<SessionId, Place>>;
      /** The feed from this revision; null: from its present state; absent: no feed. */
      readonly feed?: number | null;
    };

export type Meaning =
  | { readonly kind: 'hello'; readonly hello: Hello }
  | { readonly kind: 'snapshot'; readonly frame: SnapshotFrame }
  | { readonly kind: 'entry'; readonly sessionId: SessionId; readonly entry: Entry; readonly cursor: string }
  | { readonly kind: 'feed'; readonly data: unknown; readonly revision: number }
  | { readonly kind: 'goodbye'; readonly goodbye: Goodbye }
  | { readonly kind: 'gap'; readonly sessionId: SessionId; readonly fault: Fault }
  | { readonly kind: 'nothing' }
  | { readonly kind: 'broken'; readonly fault: Fault };

export interface PlacesRequest {
  readonly path: string;
  readonly method: 'GET' | 'POST';
  readonly body?: string;
}

const NOTHING: Meaning = { kind: 'nothing' };
const UNKNOWN_SEQ = -1;

interface SessionPlace {
  cursor: Place;
  /** Of the cursor; `UNKNOWN_SEQ` where a snapshot is to come. */
  seq: number;
  /** It went back, and its replay has not come. */
  replayed: boolean;
}

export class Places {
  /** The one session of a `session` target. */
  readonly #only: SessionId | undefined;
  readonly #places = new Map<SessionId, SessionPlace>();
  #feed: number | null | undefined;
  /** What the server has not been told yet. */
  #added = new Set<SessionId>();
  #removed = new Set<SessionId>();
  #feedMoved = false;

  constructor(target: StreamTarget) {
    if (target.kind === 'session') {
      this.#only = target.sessionId;
      this.#set(target.sessionId, target.place);
    } else {
      this.#feed = target.feed;
      for (const [id, place] of Object.entries(target.places ?? {})) this.#set(id as SessionId, place);
    }
  }

  /** @returns whether the server has to be told. */
  add(sessionId: SessionId, place: Place): boolean {
    if (this.#places.has(sessionId)) return false;
    if (this.#only !== undefined)
      throw new TypeError('A stream of one session follows no other. Open one of sessions.');
    this.#set(sessionId, place);
    this.#added.add(sessionId);
    return true;
  }

  remove(sessionId: SessionId): boolean {
    if (!this.#places.delete(sessionId)) return false;
    if (!this.#added.delete(sessionId)) this.#removed.add(sessionId);
    return true;
  }

  /** By the server: there is nothing to tell it. */
  drop(sessionId: SessionId): void {
    this.#places.delete(sessionId);
    this.#added.delete(sessionId);
  }

  /** The request of a new attempt. It tells everything, so nothing is left to tell. */
  request(): PlacesRequest {
    this.#added.clear();
    this.#removed.clear();
    this.#feedMoved = false;
    for (const place of this.#places.values()) place.replayed = false;
    if (this.#only !== undefined) {
      const cursor = this.#places.get(this.#only)?.cursor ?? null;
      return { path: `/v1/sessions/${this.#only}/events${cursor === null ? '' : `?after=${cursor}`}`, method: 'GET' };
    }
    const body: OpenStream = { cursors: this.all, ...(this.#feed === undefined ? {} : { feed: this.#feed }) };
    return { path: '/v1/events', method: 'POST', body: JSON.stringify(body) };
  }

  /** What has changed since the last `request` or `change`, for the server of the running stream. */
  change(): ChangeStream | undefined {
    const feed = this.#feedMoved && this.#feed !== undefined ? { feed: this.#feed } : {};
    if (this.#added.size === 0 && this.#removed.size === 0 && !this.#feedMoved) return undefined;
    const add = Object.fromEntries([...this.#added].map((id) => [id, this.#places.get(id)?.cursor ?? null]));
    const remove = [...this.#removed];
    this.#added.clear();
    this.#removed.clear();
    this.#feedMoved = false;
    return { add, remove, ...feed };
  }

  /** Undefined where it is not followed. */
  at(sessionId: SessionId): Place | undefined {
    return this.#places.get(sessionId)?.cursor;
  }

  /** All of them. */
  get all(): Readonly<Record<SessionId, Place>> {
    return Object.fromEntries([...this.#places].map(([id, { cursor }]) => [id, cursor]));
  }

  get feed(): number | null | undefined {
    return this.#feed;
  }

  /** Of the feed too, or anew: what comes after the revision; null: as it is, then its changes. */
  moveFeed(revision: number | null): void {
    this.#feed = revision;
    this.#feedMoved = true;
  }

  /** Goes on elsewhere; null: from a snapshot. */
  move(sessionId: SessionId, place: Place): void {
    this.#set(sessionId, place, true);
    this.#added.add(sessionId);
  }

  /** Every session asks for a snapshot next: nobody knows which place was wrong. */
  forget(): void {
    for (const id of this.#places.keys()) this.#set(id, null);
    if (this.#feed !== undefined) this.#feed = null;
  }

  read({ id, event, data }: SseEvent): Meaning {
    try {
      if (id === undefined) return this.#readControl(event, data);
      if (event === 'feed') return this.#readFeed(id, data);
      return this.#readEntry(id, data);
    } catch (error) {
      this.forget();
      return broken(`A frame '${event}' is not what it should be: ${String(error)}`);
    }
  }

  #readControl(event: string, data: string): Meaning {
    switch (event) {
      case 'hello':
        return { kind: 'hello', hello: JSON.parse(data) as Hello };
      case 'snapshot':
      case 'resync':
        return this.#readSnapshot(JSON.parse(data) as SnapshotFrame, event === 'resync');
      case 'goodbye':
        return { kind: 'goodbye', goodbye: JSON.parse(data) as Goodbye };
      default:
        return NOTHING;
    }
  }

  #readSnapshot(frame: SnapshotFrame, forced: boolean): Meaning {
    const place = this.#places.get(frame.sessionId);
    if (place === undefined) return NOTHING;
    if (!forced && seqOf(frame.cursor) <= place.seq) return NOTHING; // P3
    this.#set(frame.sessionId, frame.cursor);
    return { kind: 'snapshot', frame };
  }

  #readFeed(id: string, data: string): Meaning {
    if (this.#feed === undefined) return NOTHING;
    const revision = Number(id.slice('feed/'.length));
    this.#feed = revision;
    return { kind: 'feed', data: JSON.parse(data), revision };
  }

  #readEntry(id: string, data: string): Meaning {
    const slash = id.indexOf('/');
    const sessionId = slash === -1 ? this.#only : (id.slice(0, slash) as SessionId);
    const place = sessionId === undefined ? undefined : this.#places.get(sessionId);
    if (sessionId === undefined || place === undefined || place.seq === UNKNOWN_SEQ) return NOTHING; // P4
    const cursor = slash === -1 ? id : id.slice(slash + 1);
    const entry = JSON.parse(data) as Entry;
    // The cursor begins with the same number, as text.
    const { seq } = entry;
    if (seq <= place.seq) return NOTHING; // P2
    if (seq !== place.seq + 1) {
      if (place.replayed) return NOTHING;
      const detail = `Session ${sessionId} went on at ${seq} after ${place.seq}.`;
      return { kind: 'gap', sessionId, fault: fault('protocol-error', detail) };
    }
    place.cursor = cursor; // P1
    place.seq = seq;
    place.replayed = false;
    return { kind: 'entry', sessionId, entry, cursor };
  }

  #set(sessionId: SessionId, cursor: Place, replayed: boolean = false): void {
    this.#places.set(sessionId, { cursor, seq: cursor === null ? UNKNOWN_SEQ : seqOf(cursor), replayed });
  }
}

/** What a goodbye means: for good, or worth another try. */
export function faultOfGoodbye({ reason, retryAfterMs, fault: kind }: Goodbye): Fault {
  const byReason = reason === 'session-deleted' ? reason : reason === 'session-refused' ? 'forbidden' : 'disconnected';
  const more = retryAfterMs === undefined ? {} : { retryAfterMs };
  return fault(kind ?? byReason, `The server ended the stream: ${reason}.`, more);
}

/** Of `seq.tag`, or `0`. */
export function seqOf(cursor: string): number {
  const seq = Number.parseInt(cursor, 10);
  if (Number.isNaN(seq)) throw new TypeError(`'${cursor}' is no cursor`);
  return seq;
}

const broken = (detail: string): Meaning => ({ kind: 'broken', fault: fault('protocol-error', detail) });
