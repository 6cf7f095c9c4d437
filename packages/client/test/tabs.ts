/** Tabs of one browser, in one process: a channel that delivers later, locks that can be stolen, a server that answers by itself. */
import type { SessionId } from '@holdfast/protocol/ids';
import { encodeFrame, type ChangeStream, type OpenStream } from '@holdfast/protocol/sse';

import type { EventStream, Place, StreamState } from '../src/event-stream.ts';
import type { Hint, Lifecycle } from '../src/ports.ts';
import { openSharedStream, type TabChannel } from '../src/shared-stream.ts';
import { FakeLog, FakeReader, FakeWire, type FakeExchange, type HandClock } from './fakes.ts';

/** What is posted arrives in a later turn, in order, at every other channel that is open then. */
export class ChannelHub {
  posted = 0;
  readonly #channels = new Set<{ owner: FakeTab; listener: (event: { data: unknown }) => void }>();

  open(owner: FakeTab): TabChannel {
    const member = { owner, listener: (_event: { data: unknown }): void => {} };
    this.#channels.add(member);
    const channel = {
      postMessage: (data: unknown) => {
        if (!this.#channels.has(member)) throw new Error('InvalidStateError: the channel is closed');
        if (++this.posted > 20_000) throw new Error(`a storm: ${JSON.stringify(data)}`);
        const copy = structuredClone(data);
        setImmediate(() => {
          if (owner.crashed) return;
          for (const other of this.#channels) {
            if (other !== member && !other.owner.crashed) other.listener({ data: copy });
          }
        });
      },
      addEventListener: (_type: string, listener: (event: { data: unknown }) => void) => (member.listener = listener),
      close: () => this.#channels.delete(member),
    };
    return channel;
  }

  get members(): number {
    return this.#channels.size;
  }
}

interface Request {
  readonly owner: FakeTab;
  readonly run: () => void;
  readonly reject: (error: Error) => void;
}

/** One lock: its holder, its queue. Callbacks and rejections come in a later turn, as in a browser. */
export class FakeLocks {
  #holder: Request | undefined;
  readonly #queue: Request[] = [];

  of(owner: FakeTab): LockManager {
    const ask = (_name: string, { signal, steal }: LockOptions, callback: () => unknown): Promise<unknown> =>
      new Promise((resolve, reject) => {
        const run = async (): Promise<void> => {
          resolve(await callback());
          this.#free(request);
        };
        const request: Request = { owner, reject, run: () => void run() };
        signal?.addEventListener('abort', () => {
          const at = this.#queue.indexOf(request);
          if (at !== -1) this.#queue.splice(at, 1);
          reject(new DOMException('given up', 'AbortError'));
        });
        if (steal === true && this.#holder !== undefined) {
          const robbed = this.#holder;
          setImmediate(() => {
            if (!robbed.owner.crashed) robbed.reject(new DOMException('stolen', 'AbortError'));
          });
        }
        if (steal === true || this.#holder === undefined) this.#grant(request);
        else this.#queue.push(request);
      });
    return { request: ask } as unknown as LockManager;
  }

  crashed(owner: FakeTab): void {
    if (this.#holder?.owner === owner) this.#free(this.#holder);
  }

  #grant(request: Request): void {
    this.#holder = request;
    setImmediate(() => (request.owner.crashed ? this.#free(request) : request.run()));
  }

  #free(request: Request): void {
    if (this.#holder !== request) return;
    const next = this.#queue.shift();
    if (next === undefined) this.#holder = undefined;
    else this.#grant(next);
  }
}

const REFUSED = {
  request: () => Promise.reject(new DOMException('Access is denied in this context.', 'SecurityError')),
} as unknown as LockManager;

/** Answers every request by itself, and tells its readers of what is appended. */
export class AutoServer {
  readonly wire: FakeWire = new FakeWire();
  readonly #logs = new Map<string, FakeLog>();
  readonly #readers = new Map<FakeExchange, Map<string, number>>();

  log(sessionId: string): FakeLog {
    let log = this.#logs.get(sessionId);
    if (log === undefined) this.#logs.set(sessionId, (log = new FakeLog(sessionId)));
    return log;
  }

  get live(): number {
    return this.wire.live.filter((it) => this.#readers.has(it)).length;
  }

  dropAll(): void {
    for (const it of this.wire.live) it.lose();
  }

  /** Whatever there is to answer or to tell, now. */
  serve(): void {
    for (const exchange of this.wire.live) if (!exchange.answered) this.#answer(exchange);
    for (const [exchange, told] of this.#readers) {
      if (exchange.cancelled || exchange.over) this.#readers.delete(exchange);
      else for (const id of told.keys()) this.#tell(exchange, told, id);
    }
  }

  #answer(exchange: FakeExchange): void {
    const body = JSON.parse(String(exchange.request.body)) as OpenStream & ChangeStream;
    const streamId = /\/v1\/events\/(\d+)$/.exec(exchange.path)?.[1];
    if (streamId === undefined) {
      exchange.head(200);
      const id = String(this.wire.exchanges.indexOf(exchange));
      exchange.say(
        encodeFrame({
          event: 'hello',
          data: JSON.stringify({ protocol: 1, build: '', heartbeatMs: 15_000, streamId: id }),
        }),
      );
      const told = new Map<string, number>();
      this.#readers.set(exchange, told);
      this.#attach(exchange, told, body.cursors);
      return;
    }
    const reader = this.wire.exchanges[Number(streamId)];
    const told = reader === undefined ? undefined : this.#readers.get(reader);
    exchange.head(told === undefined ? 404 : 204, 'text/plain');
    exchange.end();
    if (reader === undefined || told === undefined) return;
    for (const id of body.remove ?? []) told.delete(id);
    this.#attach(reader, told, body.add ?? {});
  }

  #attach(exchange: FakeExchange, told: Map<string, number>, cursors: Readonly<Record<string, string | null>>): void {
    for (const [id, cursor] of Object.entries(cursors)) {
      if (cursor === null) exchange.say(this.log(id).snapshotFrame());
      told.set(id, cursor === null ? this.log(id).head : Number.parseInt(cursor, 10));
      this.#tell(exchange, told, id);
    }
    exchange.send();
  }

  #tell(exchange: FakeExchange, told: Map<string, number>, id: string): void {
    const log = this.log(id);
    for (let seq = (told.get(id) ?? log.head) + 1; seq <= log.head; seq++) {
      exchange.say(log.entryFrame(seq, `${id}/`));
      told.set(id, seq);
    }
    exchange.send();
  }
}

/** A browser with its tabs. */
export interface FakeBrowser {
  readonly clock: HandClock;
  readonly server: AutoServer;
  readonly hub: ChannelHub;
  /** Undefined: a plain-http origin. `refused`: they are there and may not be used. */
  readonly locks: FakeLocks | 'refused' | undefined;
}

export class FakeTab implements Lifecycle {
  readonly #browser: FakeBrowser;
  readonly stream: EventStream;
  readonly readers: Map<SessionId, FakeReader> = new Map();
  readonly errors: unknown[] = [];
  readonly #listeners = new Set<(hint: Hint) => void>();
  #visible: boolean;
  crashed = false;
  closed = false;

  constructor(browser: FakeBrowser, visible: boolean) {
    this.#browser = browser;
    this.#visible = visible;
    const { clock, server, hub, locks } = browser;
    this.stream = openSharedStream({
      name: 'shared',
      transport: server.wire.transport(),
      baseUrl: 'http://fake',
      target: { kind: 'sessions' },
      handlers: {
        snapshot: (frame) => this.#reader(frame.sessionId)?.snapshot(frame),
        entry: (id, entry) => this.#reader(id)?.entry(entry),
        error: (error) => this.errors.push(error),
      },
      channel: () => hub.open(this),
      locks: locks === 'refused' ? REFUSED : (locks?.of(this) ?? null),
      ports: {
        // A crashed tab's timers are gone with it.
        clock: {
          now: () => clock.now(),
          after: (delayMs, callback) => clock.after(delayMs, () => (this.crashed ? undefined : callback())),
        },
        random: () => 0.5,
        lifecycle: this,
      },
    });
  }

  get alive(): boolean {
    return !this.crashed && !this.closed;
  }

  get state(): StreamState {
    return this.stream.state;
  }

  follow(id: SessionId, place: Place): void {
    const reader = new FakeReader();
    if (place !== null) reader.seq = Number.parseInt(place, 10);
    if (!this.readers.has(id)) this.readers.set(id, reader);
    this.stream.add(id, place);
  }

  unfollow(id: SessionId): void {
    this.readers.delete(id);
    this.stream.remove(id);
  }

  show(visible: boolean): void {
    this.#visible = visible;
    for (const listener of this.#listeners) listener(visible ? 'visible' : 'hidden');
  }

  /** The process is gone: no goodbye, its sockets and locks are the system's to close. */
  crash(): void {
    this.crashed = true;
    if (this.#browser.locks instanceof FakeLocks) this.#browser.locks.crashed(this);
    void this.stream.close();
  }

  async close(): Promise<void> {
    this.closed = true;
    await this.stream.close();
  }

  visible(): boolean {
    return this.#visible;
  }

  subscribe(listener: (hint: Hint) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  #reader(id: SessionId): FakeReader | undefined {
    return this.crashed ? undefined : this.readers.get(id);
  }
}
