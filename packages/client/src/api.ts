/**
 * The client of a Holdfast gateway, as one uses it: types alone. `createClient` in `client.ts` makes one.
 *
 *   const client = createClient({ baseUrl: 'http://127.0.0.1:7420', token });
 *   const session = await client.createSession();
 *   const turn = await session.send('What is a holdfast?');
 *   for await (const part of turn) if (part.type === 'text') process.stdout.write(part.text);
 *   await client.close();
 *
 * 1. What a session shows is `session.store`: one immutable snapshot, changed by the session's log and by nothing else. A
 *    message that did not change is the same object as before.
 * 2. A session is followed while somebody subscribes to its store, waits for it or for one of its turns, and for a while
 *    afterwards (`lingerMs`). Nobody opens or closes a stream.
 * 3. `send` resolves when the message is safe in the outbox. It has one idempotency key for life: however often it goes out
 *    (reload, reconnect, retry), it is one message.
 * 4. A command's result is a value, also where it came too late (`{ kind: 'started' }`, `{ kind: 'closed', outcome }`).
 *    `createSession` and `turn.text()` throw `FaultError`, because their result is what one asked for or nothing.
 * 5. Hold what you use: the client, a session, a turn, a store or the end of a subscription, or wait for one of them. A client of
 *    which nothing is held is collected and its sockets close; the listeners that it calls do not count.
 * 6. Everything that is told here was durable in the gateway before; the outbox's items say themselves how far they are.
 */
import type { Answer, InputPart, PromptOutcome, Subject, TurnOutcome, Usage, WhenBusy } from '@holdfast/protocol/entry';
import type { Fault } from '@holdfast/protocol/fault';
import type { ClientId, MessageId, PromptId, SessionId, ToolId, TurnId } from '@holdfast/protocol/ids';
import type { Applied } from '@holdfast/protocol/judge';
import type { Hello } from '@holdfast/protocol/sse';
import type { SessionSummary } from '@holdfast/protocol/summary';
import type { Message, PromptPart, ToolPart, View } from '@holdfast/protocol/view';

import type { BtwClient } from './btw.ts';
import type { Credentials } from './credentials.ts';
import type { EventStream, EventStreamOptions } from './event-stream.ts';
import type { Frames } from './frames.ts';
import type { OutboxStore } from './outbox-store.ts';
import type { Ports } from './ports.ts';
import type { Transport } from './transport.ts';

// ── the client ──────────────────────────────────────────────────────────────────────────────────────────────────────

export interface ClientOptions {
  /** Of the gateway, with its path prefix if it has one: `https://example.org/holdfast`. In a page, '' is its own origin. */
  readonly baseUrl: string;
  /** A bearer token, or where to get one: asked before the first request and after a 401. Absent: a cookie carries it, or nobody asks. */
  readonly token?: string | (() => Promise<string>);
  /** Instead of `token`: rotation, sharing between tabs (`createCredentials`). */
  readonly credentials?: Credentials;
  /** Who this is. Absent: the gateway is asked (`GET /v1/me`) whose unsent messages these are, and tabs do not share a stream. */
  readonly subject?: Subject;
  /**
   * By default the sockets of `node:http` in Node, Bun and Deno, and `fetchTransport()` elsewhere. It is the client's from then on
   * and ends with it.
   */
  readonly transport?: Transport;
  /** Where unsent messages survive. IndexedDB in a browser, else memory; Node has `fileOutbox(path)`. */
  readonly outbox?: OutboxStore;
  /** Opens a stream in place of the client's own. */
  readonly openStream?: (options: EventStreamOptions) => EventStream;
  /**
   * `each`: a stream for each session, the default outside of browsers. `one`: all sessions on one socket, of which a gateway takes
   * 1,000 at a time. `shared`: the same for all tabs of a browser whose `subject` is the same (a browser has six sockets for a
   * gateway): the default in a page, where the `subject` is given and no `transport`. One subject means one set of rights.
   */
  readonly streams?: 'each' | 'one' | 'shared';
  /** How long a session is still followed when nobody looks any more. 30 s in a page, 1 s in a program; at most 8 sessions linger. */
  readonly lingerMs?: number;
  readonly ports?: Partial<Ports & { readonly frames: Frames }>;
  /** A listener of yours threw, or the outbox's store did. The client goes on. Default: the console. */
  readonly onError?: (error: unknown) => void;
  /** A stream was opened: what the gateway says of itself, its build for one. */
  readonly onHello?: (hello: Hello) => void;
}

export interface HoldfastClient {
  /** The list of sessions, newest change first, live while subscribed to. */
  readonly sessions: SessionList;
  /** How the connection stands, over all streams. */
  readonly connection: Readable<ConnectionState>;
  /** The same object for an id for as long as somebody holds or follows it. It need not exist in the gateway yet. */
  session(id: string): Session;
  /** @throws FaultError. Without a fault the session exists, once, however often the request went out. */
  createSession(options?: CreateSessionOptions & CallOptions): Promise<Session>;
  /** @throws FaultError */
  agents(options?: CallOptions): Promise<readonly AgentInfo[]>;
  /** Stores a file and gives the part to send along, in `parts` of `send`. @throws FaultError */
  upload(content: Uint8Array | Blob, options?: UploadOptions): Promise<FilePart>;
  /** The bytes that an `upload` stored, or a tool wrote: by the hash of their part. @throws FaultError */
  download(hash: string, options?: CallOptions): Promise<Blob>;
  /**
   * Side questions of one view, over this client's sockets and credentials: `(await client.btw()).ask(sessionId, question)`. Its
   * `close` ends its question alone; it ends with this client. @throws FaultError
   */
  btw(): Promise<BtwClient>;
  /** Any other route of the gateway, with its token and its problems read. Retries only what is a GET. */
  call(
    method: string,
    path: string,
    json?: unknown,
    options?: CallOptions,
  ): Promise<Result<{ readonly body: unknown }>>;
  /**
   * Hears of the end of every turn of the sessions that are followed, once for each (R73): sounds, notifications. After a
   * reconnect it hears of those that ended meanwhile. @returns the end of the subscription.
   */
  onTurnEnd(listener: (end: TurnEndNotice) => void): () => void;
  /** What it holds right now, as plain JSON: for a bug report, a debug page, a leak test. */
  inspect(): ClientInspection;
  /** The person is there (came back, pressed a button): do not sit out pauses. */
  nudge(): void;
  /** Final. Resolves when every stream, timer and socket is gone. Unsent messages stay in the outbox's store. */
  close(): Promise<void>;
  /** The same, for `await using`. */
  [Symbol.asyncDispose](): Promise<void>;
}

export interface CallOptions {
  /** Gives the call up: its fault is `cancelled`. What had arrived at the gateway by then was done. */
  readonly signal?: AbortSignal | undefined;
}

export interface UploadOptions extends CallOptions {
  /** A `File` has a name of its own; `file` otherwise. */
  readonly name?: string;
  /** A `Blob` may have one of its own; `application/octet-stream` otherwise. */
  readonly mediaType?: string;
  /** Hears how much of it has gone out: at its beginning, at its end, and in between where the platform can say. */
  readonly onProgress?: (sentBytes: number, totalBytes: number) => void;
}

export type FilePart = Extract<InputPart, { readonly type: 'file' }>;

/** What `useSyncExternalStore` wants. The snapshot is the same object until something changes. */
export interface Readable<T> {
  readonly getSnapshot: () => T;
  /** The very first one: what a server renders, and a page that takes over from it. */
  readonly getServerSnapshot: () => T;
  /** @returns the end of the subscription. */
  readonly subscribe: (listener: () => void) => () => void;
}

export type ConnectionState =
  /** Nobody follows anything. */
  | { readonly kind: 'idle' }
  | { readonly kind: 'connecting' }
  /** Told as it happens. Where the part of the client that streams could not be loaded: asked for every second. */
  | { readonly kind: 'live' }
  /** Between two attempts; `retryAt` in milliseconds of the clock. */
  | { readonly kind: 'waiting'; readonly retryAt: number; readonly fault: Fault }
  /** The platform says that there is no network. */
  | { readonly kind: 'offline'; readonly fault: Fault }
  /** For good: `auth-refused` wants new credentials, without a fault the client was closed. */
  | { readonly kind: 'closed'; readonly fault?: Fault };

export interface CreateSessionOptions {
  /** Yours, for a retry across processes. Absent: one is made. */
  readonly id?: string;
  readonly title?: string;
  readonly agent?: string;
  readonly model?: string;
}

export interface AgentInfo {
  readonly name: string;
  readonly description: string;
  readonly resumable: boolean;
  readonly default: boolean;
  /** null: not known. */
  readonly models: readonly string[] | null;
}

export interface TurnEndNotice {
  readonly sessionId: SessionId;
  readonly turnId: TurnId;
  readonly outcome: TurnOutcome;
  readonly seq: number;
}

export type Result<T> = ({ readonly kind: 'ok' } & T) | Refusal;
/** The gateway did not do it, or nobody knows: `retryOf(fault.kind)` says what helps. */
export interface Refusal {
  readonly kind: 'fault';
  readonly fault: Fault;
}

export interface ClientInspection {
  readonly connection: ConnectionState['kind'];
  readonly streams: number;
  readonly listed: number;
  readonly requests: number;
  readonly sessions: readonly {
    readonly sessionId: SessionId;
    readonly status: SessionStatus;
    readonly followed: boolean;
    readonly subscribers: number;
    readonly seq: number;
    readonly messages: number;
    readonly outbox: number;
    readonly recovery: string;
  }[];
}

// ── the list ────────────────────────────────────────────────────────────────────────────────────────────────────────

export interface SessionListState {
  readonly status: 'loading' | 'ready';
  /** By `updatedAt`, the newest first; at most 10,000. */
  readonly rows: readonly SessionSummary[];
  /** Whether `more()` would find older ones. */
  readonly more: boolean;
  /** What the last `search` found; null while none is on. */
  readonly search: { readonly query: string; readonly rows: readonly SessionSummary[]; readonly busy: boolean } | null;
  /** Why the last page or search could not be had. */
  readonly fault: Fault | null;
}

export interface SessionList extends Readable<SessionListState> {
  /** Reads the next older page. */
  more(): Promise<void>;
  /** Sets `search`; a later one replaces it, '' ends it. */
  search(query: string): Promise<void>;
}

// ── a session ───────────────────────────────────────────────────────────────────────────────────────────────────────

export type SessionStatus =
  /** Nothing is known yet. */
  | 'loading'
  | 'ready'
  /** The gateway has no such session, or does not show it to this subject. */
  | 'missing'
  | 'deleted';

export interface SessionState {
  readonly sessionId: SessionId;
  readonly status: SessionStatus;
  /** The fold of the log: `messages` of the last turns, `queue`, open `prompts`, the running `turn`. */
  readonly view: View;
  /** Older pages that were read, and then the view's: the active branch, oldest first. */
  readonly messages: readonly Message[];
  readonly earlier: EarlierState;
  /** Sends that the view does not show yet, oldest first. */
  readonly outbox: readonly OutboxItem[];
  readonly connection: ConnectionState;
}

export interface EarlierState {
  /** Whether `earlier()` would find something. */
  readonly more: boolean;
  readonly busy: boolean;
  /** Turns are missing between the older pages and the view: too many were read, or `around` jumped. `latest()` closes it. */
  readonly gap: boolean;
  readonly fault: Fault | null;
}

export type OutboxItemState =
  /** On its way, or waits for its turn. */
  | 'sending'
  /** The gateway has it; the view will show it in a moment. */
  | 'accepted'
  /** It went out and nobody knows whether it arrived, or the gateway is not there. It is sent again by itself. */
  | 'unconfirmed'
  /** The gateway does not take it. `retry` or `discard` is up to the person. */
  | 'refused';

export interface OutboxItem {
  readonly clientId: ClientId;
  readonly sessionId: SessionId;
  readonly text: string;
  readonly parts: readonly InputPart[];
  readonly whenBusy: WhenBusy;
  readonly merge?: boolean;
  readonly after?: TurnId | null;
  /** When it was sent, in milliseconds of this device. */
  readonly at: number;
  readonly state: OutboxItemState;
  /** Why it is `unconfirmed` or `refused`. */
  readonly fault?: Fault;
  /** The receipt, once it is `accepted`. */
  readonly receipt?: Receipt;
}

export interface Receipt {
  readonly messageId: MessageId;
  readonly seq: number;
  /** The turn that it starts; a steer has none of its own yet. */
  readonly turnId?: TurnId;
  /** How many turns come before it. */
  readonly position: number;
  readonly applied: Applied;
  readonly duplicate: boolean;
}

export interface SendOptions {
  /** What to do while a turn runs. `queue` by default. */
  readonly whenBusy?: WhenBusy;
  readonly parts?: readonly InputPart[];
  /** May share one turn with neighbours of the same author that ask for it too. */
  readonly merge?: boolean;
  /** Start a branch after this turn; null: at the root. */
  readonly after?: TurnId | null;
  /** Yours, to send the same message again from another process. Absent: one is made. */
  readonly clientId?: string;
}

export interface SetOptions {
  readonly title?: string;
  readonly pinned?: boolean;
  readonly archived?: boolean;
  readonly agent?: string;
  readonly model?: string;
  readonly readSeq?: number;
}

export interface Session {
  readonly id: SessionId;
  readonly store: Readable<SessionState>;
  /** Resolves with the first state that is not `loading`. @throws FaultError where it cannot be had, with refused credentials for one. */
  ready(options?: CallOptions): Promise<SessionState>;

  /** Resolves when the message is safe in the outbox; the gateway's answer is `turn.admission`. */
  send(text: string, options?: SendOptions): Promise<Turn>;
  /** A turn by its id, from its start: one that runs, waits or has ended. */
  turn(turnId: TurnId): Turn;
  /** Sends an outbox item again, now. */
  retry(clientId: ClientId): void;
  /** Forgets an outbox item. `unconfirmed` ones may have arrived all the same: then the view shows it. */
  discard(clientId: ClientId): void;

  /** The running turn by default. `queue: 'clear'` withdraws what waits, too. */
  stop(options?: StopOptions): Promise<StopResult>;
  steer(text: string, options?: SteerOptions): Promise<SteerResult>;
  answer(promptId: PromptId, answer: Answer, options?: CallOptions): Promise<AnswerResult>;
  /** The result of a tool that you run. It ends the tool's part. */
  toolResult(toolId: ToolId, result: ToolOutput, options?: CallOptions): Promise<ToolResultResult>;
  edit(messageId: MessageId, text: string, options?: CallOptions): Promise<ChangeResult<'edited'>>;
  withdraw(messageId: MessageId, options?: CallOptions): Promise<ChangeResult<'withdrawn'>>;
  /** The named ones take each other's places, in this order. */
  reorder(messageIds: readonly MessageId[], options?: CallOptions): Promise<ReorderResult>;
  /** Answers the turn of this message again, on a branch of its own. */
  regenerate(messageId: MessageId, options?: CallOptions): Promise<RegenerateResult>;
  switchBranch(turnId: TurnId, options?: CallOptions): Promise<SwitchResult>;

  rename(title: string, options?: CallOptions): Promise<DoneResult>;
  set(changes: SetOptions, options?: CallOptions): Promise<DoneResult>;
  /** Entries after `readSeq` count as unread again. Default: from the last turn's end on. */
  markUnread(readSeq?: number, options?: CallOptions): Promise<DoneResult>;
  delete(options?: CallOptions): Promise<DoneResult>;

  /** Reads the page before the oldest message that is shown. */
  earlier(options?: CallOptions): Promise<PageResult>;
  /** Shows the page around an old message (of a search, a link) in place of the older pages. */
  around(messageId: MessageId, options?: CallOptions): Promise<PageResult>;
  /** Drops the older pages. They are read again by `earlier`. */
  latest(): void;
}

// ── a turn ──────────────────────────────────────────────────────────────────────────────────────────────────────────

/**
 * The answer to a message. Iterating begins at the turn's start, whenever one begins; a slow reader gets larger pieces, not
 * a longer backlog. Leaving the loop leaves the turn running: `stop()` stops it.
 */
export interface Turn extends AsyncIterable<TurnPart> {
  readonly sessionId: SessionId;
  /** Of the message; undefined where the turn was taken up by its id. */
  readonly clientId: ClientId | undefined;
  /** What the gateway made of the message. Never rejects. */
  readonly admission: Promise<Admission>;
  /** Never rejects. */
  readonly done: Promise<TurnEnd>;
  /** The whole answer. @throws FaultError unless the turn completed; what there is of the text is in its `facts.text`. */
  text(): Promise<string>;
  /** Stops it, or withdraws its message while that waits. */
  stop(options?: Omit<StopOptions, 'turnId'>): Promise<StopResult | ChangeResult<'withdrawn'>>;
}

export type TurnPart =
  | { readonly type: 'start'; readonly turnId: TurnId; readonly messageId: MessageId }
  /** What was added since the last one. */
  | { readonly type: 'text'; readonly text: string }
  | { readonly type: 'thinking'; readonly text: string }
  /** Whenever a tool's state changes. `added`: what its output grew by. */
  | { readonly type: 'tool'; readonly tool: ToolPart; readonly added: string }
  /** When it opens (`outcome: null`) and when it closes. Answer by `session.answer`. */
  | { readonly type: 'prompt'; readonly prompt: PromptPart }
  | { readonly type: 'steer'; readonly messageId: MessageId; readonly text: string }
  | { readonly type: 'data'; readonly name: string; readonly data: unknown }
  /** The last one, unless the turn was lost: then the iterator throws `FaultError`. */
  | { readonly type: 'end'; readonly end: TurnEnd };

export type Admission =
  | ({ readonly kind: 'accepted' } & Receipt)
  /** For the turn of an id there is nothing to admit. */
  | { readonly kind: 'known' }
  | { readonly kind: 'refused'; readonly fault: Fault }
  | { readonly kind: 'discarded' }
  /**
   * The gateway has not answered, and will not before something changes: the client was closed, or the credentials were refused
   * (`fault` says which). The outbox still has the message.
   */
  | { readonly kind: 'unconfirmed'; readonly fault: Fault };

export type TurnEnd =
  | {
      readonly kind: 'ended';
      readonly turnId: TurnId;
      readonly outcome: TurnOutcome;
      readonly text: string;
      readonly message: Message;
      readonly reason?: string;
      readonly fault?: Fault;
      readonly usage?: Usage;
    }
  /** The message was taken out of the queue before its turn began. */
  | { readonly kind: 'withdrawn' }
  | { readonly kind: 'discarded' }
  | { readonly kind: 'refused'; readonly fault: Fault }
  /** Nobody can say any more: the session was deleted, the client closed, the turn is unknown. */
  | { readonly kind: 'lost'; readonly fault: Fault };

// ── results ─────────────────────────────────────────────────────────────────────────────────────────────────────────

export interface ToolOutput {
  readonly ok: boolean;
  readonly output: string;
}

export interface SteerOptions extends CallOptions {
  /** The running one by default. */
  readonly turnId?: TurnId | undefined;
}

export interface StopOptions extends CallOptions {
  readonly turnId?: TurnId | undefined;
  /** What becomes of the queue: `keep` by default. */
  readonly queue?: 'keep' | 'clear';
  /** What becomes of the text so far: `keep` by default. */
  readonly partial?: 'keep' | 'discard';
}

export type StopResult =
  | { readonly kind: 'stopping' | 'already-stopping'; readonly turnId: TurnId }
  | { readonly kind: 'already-ended'; readonly turnId: TurnId; readonly outcome: TurnOutcome | null }
  /** No turn runs, or there is no such turn. */
  | { readonly kind: 'not-found' }
  | Refusal;
export type SteerResult = ({ readonly kind: 'accepted' } & Receipt) | { readonly kind: 'not-found' } | Refusal;
export type AnswerResult =
  | { readonly kind: 'answered' }
  /** Somebody was faster, or it expired: what is on record. */
  | {
      readonly kind: 'closed';
      readonly outcome: PromptOutcome;
      readonly answer?: Answer;
      readonly by?: Subject;
    }
  | { readonly kind: 'not-found' }
  | Refusal;
export type ToolResultResult = { readonly kind: 'taken' } | { readonly kind: 'not-open' } | Refusal;
export type ChangeResult<Done extends string> =
  | { readonly kind: Done }
  /** Too late: its turn has begun. */
  | { readonly kind: 'started'; readonly turnId?: TurnId; readonly outcome?: TurnOutcome | null }
  | { readonly kind: 'not-found' }
  | Refusal;
export type ReorderResult = { readonly kind: 'ordered'; readonly messageIds: readonly MessageId[] } | Refusal;
export type RegenerateResult =
  | { readonly kind: 'accepted'; readonly turn: Turn; readonly receipt: Receipt }
  | { readonly kind: 'not-found' }
  | Refusal;
export type SwitchResult =
  | { readonly kind: 'switched'; readonly leaf: TurnId | null }
  | { readonly kind: 'not-found' }
  | Refusal;
export type DoneResult = { readonly kind: 'done' } | Refusal;
export type PageResult =
  /** `turns` were added; `more` says whether there are older ones still. */
  { readonly kind: 'page'; readonly turns: number; readonly more: boolean } | { readonly kind: 'nothing' } | Refusal;
