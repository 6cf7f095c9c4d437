/**
 * Which streams the client has open: one for all that is followed (`one`), or one for each session (`each`).
 *
 * L1. Who follows has a lane and is told of that session alone. Its end is the value that `follow` returned; after it the
 *     lane hears nothing.
 * L2. A lane's place is where its own handler stopped, so a stream can be replaced by another at any time.
 * L3. A stream that nobody needs has ended. One that stopped for want of credentials goes on when there are new ones.
 * L4. A stream's tasks hold who is told weakly. So a client of which nobody holds anything is collected while it reads, its
 *     streams with it, and those are closed then (B7).
 */
import { retryOf, type Fault } from '@holdfast/protocol/fault';
import type { Entry } from '@holdfast/protocol/entry';
import type { SessionId } from '@holdfast/protocol/ids';
import type { Hello, SnapshotFrame } from '@holdfast/protocol/sse';

import type { EventStream, EventStreamHandlers, StreamState } from './event-stream.ts';
import type { Place, StreamTarget } from './places.ts';

export interface Lane {
  snapshot(frame: SnapshotFrame): void;
  entry(entry: Entry, cursor: string): void;
  /** Not followed any more: deleted, not there, not allowed. */
  gone(reason: Fault): void;
  /** Frames come through: the stream's greeting did. */
  reads(): void;
  state(state: StreamState): void;
}

export interface FeedLane {
  item(data: unknown, revision: number): void;
  state(state: StreamState): void;
}

export interface Streams {
  readonly count: number;
  /** @returns the end of it. */
  follow(sessionId: SessionId, place: Place, lane: Lane): () => void;
  /** The session list: its changes after a revision; null: all rows first. @returns the end of it. */
  feed(lane: FeedLane, after: number | null): () => void;
  nudge(): void;
  /** There are new credentials. */
  resume(): void;
  close(): Promise<void>;
}

export interface StreamsOptions {
  readonly open: (target: StreamTarget, handlers: EventStreamHandlers) => EventStream;
  readonly onState: (states: readonly StreamState[]) => void;
  readonly onError: (error: unknown) => void;
  readonly onHello?: (hello: Hello) => void;
}

interface Followed {
  place: Place;
  readonly lane: Lane;
}

/** What every stream of ours needs: its state told, its end waited for. */
class OpenStreams {
  readonly #options: StreamsOptions;
  /** Each with its handlers, which are held by nobody else (L4). */
  readonly #open = new Map<EventStream, EventStreamHandlers>();
  readonly #closing = new Set<Promise<void>>();

  constructor(options: StreamsOptions) {
    this.#options = options;
  }

  get count(): number {
    return this.#open.size;
  }

  open(target: StreamTarget, handlers: EventStreamHandlers): EventStream {
    const own: EventStreamHandlers = {
      error: this.#options.onError,
      ...handlers,
      hello: (hello) => {
        handlers.hello?.(hello);
        this.#options.onHello?.(hello);
      },
      state: (state) => {
        handlers.state?.(state);
        this.#tell();
      },
    };
    const stream = this.#options.open(target, weakly(own));
    this.#open.set(stream, own);
    stream.start();
    return stream;
  }

  end(stream: EventStream): void {
    if (!this.#open.delete(stream)) return;
    const closing = stream.close().finally(() => this.#closing.delete(closing));
    this.#closing.add(closing);
    this.#tell();
  }

  nudge(): void {
    for (const stream of this.#open.keys()) stream.nudge();
  }

  /** L3. */
  resume(): void {
    for (const stream of this.#open.keys()) {
      const { state } = stream;
      if (state.kind === 'idle' && state.fault !== undefined && retryOf(state.fault.kind) === 'auth') stream.start();
    }
  }

  async close(): Promise<void> {
    for (const stream of this.#open.keys()) this.end(stream);
    await Promise.all(this.#closing);
  }

  #tell(): void {
    this.#options.onState([...this.#open.keys()].map((stream) => stream.state));
  }
}

/** L4. */
function weakly(handlers: EventStreamHandlers): EventStreamHandlers {
  const ref = new WeakRef(handlers);
  return {
    snapshot: (frame) => ref.deref()?.snapshot(frame),
    entry: (sessionId, entry, cursor) => ref.deref()?.entry(sessionId, entry, cursor),
    feed: (data, revision) => ref.deref()?.feed?.(data, revision),
    hello: (hello) => ref.deref()?.hello?.(hello),
    gone: (sessionId, reason) => ref.deref()?.gone?.(sessionId, reason),
    state: (state) => ref.deref()?.state?.(state),
    error: (error) => ref.deref()?.error?.(error),
  };
}

/** The session is no more, or not ours: that is about the session. Anything else is about the connection. */
const isAboutSession = ({ kind }: Fault): boolean =>
  kind === 'session-not-found' || kind === 'session-deleted' || kind === 'forbidden';

function streamOfEach(streams: OpenStreams, sessionId: SessionId, place: Place, lane: Lane): () => void {
  const stream = streams.open(
    { kind: 'session', sessionId, place },
    {
      snapshot: (frame) => lane.snapshot(frame),
      entry: (_sessionId, entry, cursor) => lane.entry(entry, cursor),
      hello: () => lane.reads(),
      state: (state) => {
        if (state.kind === 'idle' && state.fault !== undefined && isAboutSession(state.fault)) lane.gone(state.fault);
        else lane.state(state);
      },
    },
  );
  return () => streams.end(stream);
}

const feedHandlers = (lane: () => FeedLane | undefined): Pick<EventStreamHandlers, 'feed'> => ({
  feed: (data, revision) => lane()?.item(data, revision),
});

export function openEachStream(options: StreamsOptions): Streams {
  const streams = new OpenStreams(options);
  return {
    get count() {
      return streams.count;
    },
    follow: (sessionId, place, lane) => streamOfEach(streams, sessionId, place, lane),
    feed(lane, after) {
      const stream = streams.open(
        { kind: 'sessions', feed: after },
        { ...feedHandlers(() => lane), state: (state) => lane.state(state), snapshot() {}, entry() {} },
      );
      return () => streams.end(stream);
    },
    nudge: () => streams.nudge(),
    resume: () => streams.resume(),
    close: () => streams.close(),
  };
}

export function openOneStream(options: StreamsOptions): Streams {
  return new OneStream(options);
}

class OneStream implements Streams {
  readonly #streams: OpenStreams;
  readonly #followed = new Map<SessionId, Followed>();
  #feed: { readonly lane: FeedLane; revision: number | null } | undefined;
  #stream: EventStream | undefined;

  constructor(options: StreamsOptions) {
    this.#streams = new OpenStreams(options);
  }

  get count(): number {
    return this.#streams.count;
  }

  follow(sessionId: SessionId, place: Place, lane: Lane): () => void {
    const followed: Followed = { place, lane };
    this.#followed.set(sessionId, followed);
    if (this.#stream === undefined) this.#open();
    else {
      this.#stream.add(sessionId, place);
      lane.state(this.#stream.state);
    }
    return () => {
      if (this.#followed.get(sessionId) !== followed) return;
      this.#followed.delete(sessionId);
      this.#stream?.remove(sessionId);
      this.#endIfIdle();
    };
  }

  feed(lane: FeedLane, after: number | null): () => void {
    const feed = { lane, revision: after };
    this.#feed = feed;
    if (this.#stream === undefined) this.#open();
    else {
      this.#stream.follow(after);
      lane.state(this.#stream.state);
    }
    return () => {
      if (this.#feed !== feed) return;
      // What it says from now on is heard by nobody.
      this.#feed = undefined;
      this.#endIfIdle();
    };
  }

  nudge(): void {
    this.#streams.nudge();
  }

  resume(): void {
    this.#streams.resume();
  }

  close(): Promise<void> {
    this.#stream = undefined;
    return this.#streams.close();
  }

  #open(): void {
    const places = Object.fromEntries([...this.#followed].map(([id, { place }]) => [id, place]));
    const feed = this.#feed === undefined ? {} : { feed: this.#feed.revision };
    this.#stream = this.#streams.open(
      { kind: 'sessions', places, ...feed },
      {
        snapshot: (frame) => {
          const followed = this.#followed.get(frame.sessionId);
          if (followed === undefined) return;
          followed.place = frame.cursor;
          followed.lane.snapshot(frame);
        },
        entry: (sessionId, entry, cursor) => {
          const followed = this.#followed.get(sessionId);
          if (followed === undefined) return;
          followed.place = cursor;
          followed.lane.entry(entry, cursor);
        },
        feed: (data, revision) => {
          if (this.#feed === undefined) return;
          this.#feed.revision = revision;
          this.#feed.lane.item(data, revision);
        },
        hello: () => {
          for (const { lane } of this.#followed.values()) lane.reads();
        },
        gone: (sessionId, reason) => {
          const followed = this.#followed.get(sessionId);
          this.#followed.delete(sessionId);
          followed?.lane.gone(reason);
          this.#endIfIdle(); // L3, R99
        },
        state: (state) => {
          for (const { lane } of this.#followed.values()) lane.state(state);
          this.#feed?.lane.state(state);
        },
      },
    );
  }

  /** L3. */
  #endIfIdle(): void {
    if (this.#followed.size > 0 || this.#feed !== undefined || this.#stream === undefined) return;
    this.#streams.end(this.#stream);
    this.#stream = undefined;
  }
}
