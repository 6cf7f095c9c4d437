/**
 * `createClient`: puts the parts together and owns them (`api.ts` says what it is to its users).
 *
 * 1. A session's object is the same for as long as anybody holds it; the client itself holds it only while it is followed.
 * 2. At most `LINGER_MAX` sessions linger; the one that was left first is ended first.
 * 3. Closing ends everything it has begun and resolves when that is gone.
 * 4. Who holds a session, a turn, a store or the end of a subscription holds the client; so does who waits for one of them.
 *    Nothing else does, no listener, stream or page: a dropped client is collected, and what it had open is closed (B7).
 */
import type { Fault } from '@holdfast/protocol/fault';
import { ID_PATTERN, type SessionId } from '@holdfast/protocol/ids';
import type { SessionSummary } from '@holdfast/protocol/summary';

import type {
  AgentInfo,
  CallOptions,
  ClientInspection,
  ClientOptions,
  ConnectionState,
  CreateSessionOptions,
  FilePart,
  HoldfastClient,
  Result,
  Session,
  TurnEndNotice,
  UploadOptions,
} from './api.ts';
import type { BtwClient } from './btw.ts';
import { Cell } from './cell.ts';
import { systemClock } from './clock.ts';
import { createCredentials, type Credentials } from './credentials.ts';
import type { StreamState } from './event-stream.ts';
import { fetchTransport } from './fetch-wire.ts';
import { pageFrames } from './frames.ts';
import { idbOutbox } from './idb-outbox.ts';
import { openStreams } from './late-streams.ts';
import { pageLifecycle } from './lifecycle.ts';
import { liveIfThere, loadActions } from './live-part.ts';
import { newId } from './new-id.ts';
import { Outbox } from './outbox.ts';
import { memoryOutbox } from './outbox-store.ts';
import type { Ports } from './ports.ts';
import { systemRandom } from './random.ts';
import { CLOSED, Requests } from './requests.ts';
import { LiveSession, type SessionContext } from './session.ts';
import type { Recoveries } from './session-recovery.ts';
import { LiveSessionList } from './session-list.ts';
import { share } from './share.ts';
import type { Streams } from './streams.ts';
import { tell } from './tell.ts';
import type { Transport } from './transport.ts';
import { weakly } from './weakly.ts';

/** A program ends soon after its last turn. */
const LINGER_MS = typeof document === 'undefined' ? 1_000 : 30_000;
const LINGER_MAX = 8;
const WORST_FIRST: readonly ConnectionState['kind'][] = ['closed', 'offline', 'waiting', 'connecting', 'live'];

interface CreateClient {
  (options: ClientOptions): HoldfastClient;
  /** `makeTransport`: the platform's, for options without one. */
  (options: ClientOptions, makeTransport: () => Transport): HoldfastClient;
}

export const createClient: CreateClient = (options: ClientOptions, makeTransport: () => Transport = fetchTransport) =>
  new Client(options, makeTransport);

const endAll = (ends: readonly (() => void)[]): void => ends.forEach((end) => end());

/** Rule 4. The streams see to themselves. */
const dropped = new FinalizationRegistry(endAll);

class Client implements HoldfastClient {
  readonly sessions: LiveSessionList;
  readonly connection: Cell<ConnectionState>;
  readonly #options: ClientOptions;
  readonly #context: SessionContext;
  readonly #requests: Requests;
  readonly #streams: Streams;
  readonly #outbox: Outbox;
  readonly #btws = new Set<BtwClient>();
  readonly #known = new Map<SessionId, WeakRef<LiveSession>>();
  readonly #forget = new FinalizationRegistry<SessionId>((id) => {
    if (this.#known.get(id)?.deref() === undefined) this.#known.delete(id);
  });
  /** Rule 1: held while followed. */
  readonly #followed = new Set<LiveSession>();
  readonly #lingering = new Set<LiveSession>();
  readonly #turnEndListeners = new Set<(end: TurnEndNotice) => void>();
  readonly #ends: readonly (() => void)[];
  #states: readonly StreamState[] = [];
  #offline: boolean;
  #closed: Fault | undefined;

  constructor(options: ClientOptions, makeTransport: () => Transport) {
    this.#options = options;
    const ports: Ports = {
      clock: systemClock,
      random: systemRandom,
      lifecycle: pageLifecycle(),
      ...options.ports,
    };
    const frames = options.ports?.frames ?? pageFrames(ports.clock);
    const { onError = (error) => console.error(error) } = options;
    const credentials = options.credentials ?? credentialsFrom(options.token);
    const transport = options.transport ?? makeTransport();
    const baseUrl = options.baseUrl.replace(/\/+$/, '');
    const base = { transport, baseUrl, ports, ...(credentials === undefined ? {} : { credentials }) };

    this.#offline = (globalThis.navigator?.onLine as boolean | undefined) === false;
    this.#requests = new Requests({ transport, baseUrl, credentials, ports });
    this.#streams = openStreams({
      ...options,
      base,
      requests: this.#requests,
      onError,
      onState: (states) => this.#streamStates(states),
    });
    this.connection = new Cell({ frames, onError, build: (last) => this.#connectionState(last) });
    this.sessions = new LiveSessionList({ requests: this.#requests, streams: this.#streams, frames, onError });
    const store = options.outbox ?? (typeof indexedDB === 'undefined' ? undefined : idbOutbox());
    this.#outbox = new Outbox({
      store: store ?? memoryOutbox(),
      requests: this.#requests,
      ports,
      baseUrl,
      // What dies with this process is nobody else's.
      subject: options.subject ?? (store === undefined ? '' : undefined),
      isFollowed: (id) => (this.#known.get(id)?.deref()?.follower.state ?? 'no') !== 'no',
      onChange: (id) => {
        const session = this.#known.get(id)?.deref();
        session?.model.touch();
        session?.follower.look();
      },
      onRestored: () => this.#alive.forEach(({ model }) => model.outboxRestored()),
      onError,
    });
    this.#context = this.#makeContext(ports, frames, onError);
    this.#ends = Client.#listen(weakly(this), ports, credentials, transport);
    dropped.register(this, this.#ends, this);
    void this.#outbox.restore();
  }

  /** Apart from all that knows `this` (rule 4): what is made here is held by what outlives the client. */
  static #listen(
    ifHeld: (use: (client: Client) => void) => void,
    { lifecycle }: Ports,
    credentials: Credentials | undefined,
    transport: Transport,
  ): (() => void)[] {
    return [
      lifecycle.subscribe((hint) => ifHeld((client) => client.#hint(hint))),
      credentials?.subscribe(() => ifHeld((client) => client.#renewed())) ?? ((): void => {}),
      () => transport.close(),
    ];
  }

  session(text: string): LiveSession {
    if (typeof text !== 'string' || !ID_PATTERN.test(text))
      throw new TypeError(`'${text}' is no session id: it does not match ${ID_PATTERN}.`);
    const id = text as SessionId;
    const known = this.#known.get(id)?.deref();
    if (known !== undefined) return known;
    const session = new LiveSession(id, this.#context);
    this.#known.set(id, new WeakRef(session));
    this.#forget.register(session, id);
    return session;
  }

  async createSession({ id = newId('s'), signal, ...rest }: CreateSessionOptions & CallOptions = {}): Promise<Session> {
    const session = this.session(id);
    const json = { sessionId: id, ...rest };
    const made = await this.#requests.need<{ session: SessionSummary }>('POST', '/v1/sessions', { json, signal });
    this.sessions.learn(made.session);
    session.follower.expect();
    return session;
  }

  agents(options: CallOptions = {}): Promise<readonly AgentInfo[]> {
    return loadActions().then((it) => it.agents(this.#requests, options));
  }

  upload(content: Uint8Array | Blob, options: UploadOptions = {}): Promise<FilePart> {
    return loadActions().then((it) => it.upload(this.#requests, content, options));
  }

  download(hash: string, options: CallOptions = {}): Promise<Blob> {
    return loadActions().then((it) => it.download(this.#requests, hash, options));
  }

  async btw(): Promise<BtwClient> {
    const btws = (await loadActions()).openBtw(this.#requests);
    this.#btws.add(btws);
    return btws;
  }

  call(
    method: string,
    path: string,
    json?: unknown,
    { signal }: CallOptions = {},
  ): Promise<Result<{ readonly body: unknown }>> {
    return this.#requests.call(method, path, { repeatable: method === 'GET', json, signal });
  }

  onTurnEnd(listener: (end: TurnEndNotice) => void): () => void {
    this.#turnEndListeners.add(listener);
    return () => this.#turnEndListeners.delete(listener);
  }

  inspect(): ClientInspection {
    return {
      connection: this.connection.getSnapshot().kind,
      streams: this.#streams.count,
      listed: this.sessions.size,
      requests: this.#requests.pending,
      sessions: this.#alive.map(({ id, model, follower }) => ({
        sessionId: id,
        status: model.status,
        followed: follower.state !== 'no',
        subscribers: model.cell.readers,
        seq: model.view.seq,
        messages: model.cell.getSnapshot().messages.length,
        outbox: this.#outbox.items(id).length,
        recovery: follower.recoveryState,
      })),
    };
  }

  nudge(): void {
    this.#streams.nudge();
    this.#outbox.hint();
    this.#followed.forEach(({ follower }) => follower.hint());
  }

  async close(): Promise<void> {
    if (this.#closed !== undefined) return;
    this.#closed = CLOSED;
    const btws = [...this.#btws].map((it) => it.close());
    this.#requests.close();
    this.sessions.close();
    this.#followed.forEach(({ follower }) => follower.end());
    await Promise.all([this.#outbox.close(), this.#streams.close(), ...btws]);
    dropped.unregister(this);
    endAll(this.#ends);
    this.#alive.forEach(({ model }) => model.touch());
    this.connection.touch();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  // ── sessions ──────────────────────────────────────────────────────────────────────────────────────────────────────

  get #alive(): LiveSession[] {
    return [...this.#known.values()].map((ref) => ref.deref()).filter((it) => it !== undefined);
  }

  #makeContext(ports: Ports, frames: SessionContext['frames'], onError: (error: unknown) => void): SessionContext {
    // No function of this scope, which knows `this` (rule 4): a recovery outlives a client that was dropped.
    const own = { requests: this.#requests, list: this.sessions, ports, onError };
    let recoveries: Recoveries | undefined;
    return {
      requests: this.#requests,
      streams: this.#streams,
      outbox: this.#outbox,
      ports,
      recoveryOf: (model) => (recoveries ??= liveIfThere()?.openRecoveries(own))?.(model),
      frames,
      lingerMs: this.#options.lingerMs ?? LINGER_MS,
      connectionOf: (state) => this.#connectionOf(state),
      onTurnEnd: (end) => tell(this.#turnEndListeners, onError, end),
      onError,
      onFollowed: (session, followed) => {
        if (followed) this.#followed.add(session);
        else this.#followed.delete(session);
        this.#lingering.delete(session);
      },
      onLinger: (session) => this.#linger(session),
      closed: () => this.#closed,
    };
  }

  /** Rule 2. */
  #linger(session: LiveSession): void {
    this.#lingering.delete(session);
    this.#lingering.add(session);
    for (const oldest of this.#lingering) {
      if (this.#lingering.size <= LINGER_MAX) return;
      this.#lingering.delete(oldest);
      if (oldest.follower.state === 'lingering') oldest.follower.end();
    }
  }

  // ── how the connection stands ─────────────────────────────────────────────────────────────────────────────────────

  #streamStates(states: readonly StreamState[]): void {
    const wasLive = this.#states.some((state) => state.kind === 'reading');
    this.#states = states;
    if (!wasLive && states.some((state) => state.kind === 'reading')) this.#outbox.hint();
    this.connection.touch();
  }

  /** The worst of the streams': what one person has to know. */
  #connectionState(last: ConnectionState | undefined): ConnectionState {
    if (this.#closed !== undefined) return { kind: 'closed' };
    const all = this.#states.map((state) => this.#connectionOf(state));
    const [worst = { kind: 'idle' }] = WORST_FIRST.flatMap((kind) => all.filter((state) => state.kind === kind));
    return share(last, worst);
  }

  #connectionOf(state: StreamState): ConnectionState {
    switch (state.kind) {
      case 'idle':
        return state.fault === undefined ? { kind: 'idle' } : { kind: 'closed', fault: state.fault };
      case 'connecting':
        return { kind: 'connecting' };
      case 'reading':
        return { kind: 'live' };
      case 'waiting':
        return this.#offline
          ? { kind: 'offline', fault: state.fault }
          : { kind: 'waiting', retryAt: this.#context.ports.clock.now() + state.delayMs, fault: state.fault };
      case 'closed':
        return { kind: 'closed' };
    }
  }

  #hint(hint: 'online' | 'offline' | 'visible' | 'hidden'): void {
    if (hint === 'online' || hint === 'offline') {
      this.#offline = hint === 'offline';
      this.connection.touch();
    }
    if (hint === 'online' || hint === 'visible') this.nudge();
  }

  #renewed(): void {
    this.#streams.resume();
    this.#outbox.credentialsChanged();
    // What was not shown to whoever was signed in may be shown now.
    this.#alive.forEach(({ follower }) => follower.expect());
  }
}

function credentialsFrom(token: ClientOptions['token']): Credentials | undefined {
  if (token === undefined) return undefined;
  if (typeof token === 'string') return createCredentials({ token });
  return createCredentials({ refresh: async () => ({ kind: 'renewed', token: await token() }) });
}
