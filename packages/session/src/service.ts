/**
 * The session service port: all that a gateway needs to know of sessions. `openSessionService` in `open.ts` builds it.
 *
 * 1. No side door (R8): every protocol, every verb appends a command through `submit`.
 * 2. A command that was accepted is durable before its receipt (R25), and a retry gets the first receipt (R23). Whatever is refused
 *    changed nothing; nothing after acceptance fails the call (R24).
 * 3. `attach` is atomic: a snapshot at seq S and a tail that begins at S + 1 (R52).
 */
import {
  fault,
  FaultError,
  type BtwId,
  type BtwOutcome,
  type ClientId,
  type Command,
  type Cursor,
  type EntryBody,
  type Fault,
  type Message,
  type MessageId,
  type SessionId,
  type SessionSummary,
  type Subject,
  type TurnId,
  type TurnNode,
  type Verdict,
  type View,
} from '@holdfast/protocol';
import type { LogRecord, Subscription } from '@holdfast/log';
import type { Agent } from './agent.ts';

export type Result<T> = ({ readonly kind: 'ok' } & T) | { readonly kind: 'fault'; readonly fault: Fault };

/** What became of a command. `duplicate`: it had been accepted before; `verdict` is the first one. */
export type Receipt = Result<{
  readonly seq: number;
  readonly duplicate: boolean;
  readonly verdict: Verdict;
  readonly command: Command;
}>;

export type FeedItem =
  | { readonly kind: 'session'; readonly rev: number; readonly summary: SessionSummary }
  | { readonly kind: 'deleted'; readonly rev: number; readonly sessionId: SessionId; readonly owner: Subject };

/** A seq that is known to be this log's. */
export interface Place {
  readonly seq: number;
  readonly tag?: undefined;
}

export interface Attachment {
  /** Undefined: the reader's cursor is served, no snapshot is needed. */
  readonly snapshot?: { readonly view: View; readonly cursor: Cursor };
  /** Why a snapshot is served although a cursor was given. */
  readonly resync?: 'cursor-unknown' | 'cursor-too-old' | 'cursor-ahead';
  readonly subscription: Subscription;
}

/** A page of settled turns, oldest first, with the edges to read on from. Large turns make it end before its limit. */
export interface MessagePage {
  readonly turns: readonly { readonly node: TurnNode; readonly messages: readonly Message[] }[];
  /** Pass as `before` to read the page before this one; null at the beginning. */
  readonly before: TurnId | null;
}

export interface BtwAttachment {
  /** What the reader has is all there is. */
  readonly isOver: boolean;
  /** Of the question's own stream; whoever hands it on leaves out what is no `BtwEvent` (`btwEventOf`). */
  readonly subscription: Subscription;
  /** To be called once, when the reader is gone: a question that nobody reads for ten seconds is cancelled. */
  leave(): void;
}

/** Side questions (`btws.ts`). A question is its asker's alone: to others it is not there. */
export interface BtwService {
  /** With the same client id it is the same question, however often it is asked, and whichever node hears it. */
  ask(
    sessionId: SessionId,
    ask: { readonly clientId: ClientId; readonly author: Subject; readonly question: string },
  ): Promise<Result<{ readonly btwId: BtwId; readonly duplicate: boolean }>>;
  attach(
    sessionId: SessionId,
    btwId: BtwId,
    author: Subject,
    after: Cursor | undefined,
  ): Promise<Result<BtwAttachment>>;
  cancel(
    sessionId: SessionId,
    btwId: BtwId,
    author: Subject,
  ): Promise<Result<{ readonly result: 'cancelling' | 'already-ended'; readonly outcome?: BtwOutcome }>>;
  /** Puts question and answer into the session's log, once. Only a whole answer can be kept (`btw-unfinished`). */
  keep(
    sessionId: SessionId,
    btwId: BtwId,
    author: Subject,
  ): Promise<Result<{ readonly seq: number; readonly duplicate: boolean }>>;
}

export interface SessionService {
  readonly agents: ReadonlyMap<string, Agent>;
  readonly btws: BtwService;
  create(
    open: Extract<Command, { type: 'session-open' }>,
  ): Promise<Result<{ readonly summary: SessionSummary; readonly created: boolean }>>;
  /** A new session of another one's entries (`import.ts`). The opening's client id names the import, for retries. */
  import(
    open: Extract<Command, { type: 'session-open' }>,
    entries: readonly EntryBody[],
  ): Promise<Result<{ readonly summary: SessionSummary; readonly created: boolean }>>;
  /** Appends a command; see rule 2. */
  submit(sessionId: SessionId, command: Command): Promise<Receipt>;
  /** The owner of a session, for the right to see it. */
  ownerOf(sessionId: SessionId): Promise<Result<{ readonly owner: Subject }>>;
  snapshot(sessionId: SessionId): Promise<Result<{ readonly view: View; readonly cursor: Cursor }>>;
  /** A place without a tag is one that the caller got from a view here, not from a client: its record is not checked. */
  attach(sessionId: SessionId, after: Cursor | Place | undefined): Promise<Result<Attachment>>;
  /** Turns of the active branch before a turn (default: before the window), or around a message. */
  messages(
    sessionId: SessionId,
    page: { readonly before?: TurnId; readonly around?: MessageId; readonly limit: number },
  ): Promise<Result<MessagePage>>;
  /** A turn, in the window or settled long ago. */
  turn(
    sessionId: SessionId,
    turnId: TurnId,
  ): Promise<
    Result<{
      readonly node: TurnNode;
      readonly active: boolean;
      readonly state: 'running' | 'parked' | 'ended';
      readonly messages: readonly Message[];
    }>
  >;
  list(query: {
    readonly owner?: Subject;
    readonly words?: string;
    readonly before?: number;
    readonly limit: number;
  }): Promise<{ readonly sessions: readonly SessionSummary[]; readonly next: number | null }>;
  /** Changes of the session list after a revision, oldest first; waits for nothing. `watchFeed` says when to look again. */
  feed(query: {
    readonly owner?: Subject;
    readonly after: number;
    readonly limit: number;
  }): Promise<readonly FeedItem[]>;
  /** The revision of the list's latest change, whoever owns the session. */
  feedRevision(): Promise<number>;
  watchFeed(onChange: () => void): () => void;
  delete(sessionId: SessionId): Promise<Result<object>>;
  /** Always-grants of a subject. */
  grants(
    owner: Subject,
  ): Promise<readonly { readonly tool: string; readonly grantedAt: string; readonly by: Subject }[]>;
  revokeGrant(owner: Subject, tool: string): Promise<boolean>;
  putBlob(
    owner: Subject,
    mediaType: string,
    chunks: AsyncIterable<Uint8Array>,
  ): Promise<Result<{ readonly hash: string; readonly bytes: number }>>;
  /** @param reader a subject that may not read everything: what it uploaded and what its sessions hold */
  getBlob(
    hash: string,
    reader?: Subject,
  ): Promise<
    Result<{ readonly mediaType: string; readonly bytes: number; readonly chunks: AsyncIterable<Uint8Array> }>
  >;
  /** Numbers for metrics. */
  stats(): { readonly running: number; readonly live: number; readonly waitingForSlot: number; readonly btws: number };
  /** No new turns; running ones may finish until the budget ends, then they end `interrupted: shutdown`. Resolves when none runs. */
  drain(budgetMs: number): Promise<void>;
  close(): Promise<void>;
}

/** Decodes a record; used wherever a log becomes entries again. @throws FaultError where it is not what was written */
export function decodeEntry(record: LogRecord): EntryBody & { readonly seq: number; readonly at: string } {
  // The parsed object is nobody else's yet: it is filled in, not copied.
  return Object.assign(parsed(record), { seq: record.seq, at: timeOf(record.at) });
}

function parsed({ seq, bytes }: LogRecord): EntryBody {
  try {
    return JSON.parse(decoder.decode(bytes)) as EntryBody;
  } catch (cause) {
    const detail = `Entry ${seq} of the session cannot be read: the database was damaged. Restore a backup, or delete the session.`;
    throw new FaultError(fault('storage-unavailable', detail), { cause });
  }
}

/** Records that were committed together have one time, and come together. */
let latest = { ms: Number.NaN, iso: '' };
function timeOf(ms: number): string {
  if (latest.ms !== ms) latest = { ms, iso: new Date(ms).toISOString() };
  return latest.iso;
}

const decoder = new TextDecoder();
const encoder = new TextEncoder();
export const encodeEntry = (body: EntryBody): Uint8Array => encoder.encode(JSON.stringify(body));
