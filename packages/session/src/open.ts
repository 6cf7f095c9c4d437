/**
 * Builds the session service (`service.ts`) from a log, a clock and agents.
 *
 *  1. `submit` appends, then reads its receipt off the fold at the command's own seq, then wakes the owner. Whoever owns the
 *     session sees the command in the log; waking is a hint (the sweep finds what a lost hint leaves).
 *  2. What is refused before the append changed nothing; nothing after it can fail the call (R24): a receipt that cannot be
 *     read at once is read again.
 *  3. The queue's bound counts what is queued and what is on its way in this process.
 */
import { createHash } from 'node:crypto';
import {
  EMPTY_VIEW,
  fault,
  FaultError,
  fold,
  isCommand,
  judge,
  START,
  turnIdOf,
  type Command,
  type Cursor,
  type EntryBody,
  type Fault,
  type MessageId,
  type SessionId,
  type Subject,
  type TurnId,
  type TurnNode,
  type View,
} from '@holdfast/protocol';
import type { Append, Log, Refused, Row, SubscribeOptions } from '@holdfast/log';
import type { Agent } from './agent.ts';
import { Blobs } from './blobs.ts';
import { systemClock, type Clock } from './clock.ts';
import { Grants } from './grants.ts';
import { importedSession } from './import.ts';
import { LiveSessions, type Expectation, type LiveSession, type NotLive } from './live.ts';
import { Ownership } from './ownership.ts';
import {
  BLOB_TABLE,
  decodeRow,
  loadTurn,
  sessionIdOf,
  sessionRow,
  SESSION_TABLE,
  streamOf,
  summaryOf,
  TURN_TABLE,
} from './rows.ts';
import {
  decodeEntry,
  encodeEntry,
  type Attachment,
  type FeedItem,
  type MessagePage,
  type Place,
  type Receipt,
  type Result,
  type SessionService,
  type SessionSummary,
} from './service.ts';

export interface SessionServiceOptions {
  readonly log: Log;
  readonly agents: readonly Agent[];
  /** The agent of sessions that name none. Default: the first. */
  readonly defaultAgent?: string;
  readonly clock?: Clock;
  /** Text that was never used before; names holders. */
  readonly randomId: () => string;
  readonly queueMax?: number;
  readonly turnsMax?: number;
  readonly leaseMs?: number;
  readonly sweepMs?: number;
  readonly onError?: (error: unknown) => void;
}

const QUEUE_MAX = 1_000;
const TURNS_MAX = 256;
const LEASE_MS = 10_000;
const SWEEP_MS = 500;

export async function openSessionService(options: SessionServiceOptions): Promise<SessionService> {
  const service = new Sessions(options);
  await service.start();
  return service;
}

const tagOf = ({ seq, tag }: Cursor | Place): SubscribeOptions =>
  seq === START.seq || tag === undefined ? {} : { tag };

class Sessions implements SessionService {
  readonly agents: ReadonlyMap<string, Agent>;
  readonly #log: Log;
  readonly #lives: LiveSessions;
  readonly #ownership: Ownership;
  readonly #grants: Grants;
  readonly #blobs: Blobs;
  readonly #clock: Clock;
  readonly #closing = new AbortController();
  readonly #queueMax: number;
  /** Messages on their way into a session's log. */
  readonly #arriving = new Map<SessionId, number>();
  #admits = true;

  constructor(options: SessionServiceOptions) {
    const { log, agents, clock = systemClock } = options;
    const [first] = agents;
    if (first === undefined) throw new Error('A session service needs at least one agent.');
    this.agents = new Map(agents.map((agent) => [agent.name, agent]));
    this.#log = log;
    this.#clock = clock;
    this.#lives = new LiveSessions(log, clock);
    this.#grants = new Grants(log);
    this.#blobs = new Blobs(log);
    this.#queueMax = options.queueMax ?? QUEUE_MAX;
    this.#ownership = new Ownership({
      log,
      clock,
      lives: this.#lives,
      ports: {
        log,
        clock,
        agents: this.agents,
        defaultAgent: options.defaultAgent ?? first.name,
        grants: this.#grants,
        blobs: this.#blobs,
      },
      newHolderId: options.randomId,
      leaseMs: options.leaseMs ?? LEASE_MS,
      sweepMs: options.sweepMs ?? SWEEP_MS,
      turnsMax: options.turnsMax ?? TURNS_MAX,
      onError: options.onError ?? (() => undefined),
    });
  }

  start(): Promise<void> {
    return this.#ownership.start();
  }

  // ── commands ────────────────────────────────────────────────────────────────────────────────────────────────────────

  async create(
    open: Extract<Command, { type: 'session-open' }>,
  ): Promise<Result<{ readonly summary: SessionSummary; readonly created: boolean }>> {
    if (!this.#admits) return refused(SHUTTING_DOWN);
    const { sessionId } = open;
    const bytes = encodeEntry(open);
    const at = new Date(await this.#log.now()).toISOString();
    const view = fold(EMPTY_VIEW, { ...open, seq: 1, at });
    const summary = summaryOf(sessionId, view);
    return this.#createWith(open, { records: [bytes], key: keyOf(open), rows: [sessionRow(summary, view)] }, summary);
  }

  async #createWith(
    open: Extract<Command, { type: 'session-open' }>,
    first: Append,
    summary: SessionSummary,
  ): Promise<Result<{ readonly summary: SessionSummary; readonly created: boolean }>> {
    const { sessionId } = open;
    const created = await this.#log.create(streamOf(sessionId), {
      contentType: 'application/json',
      consumers: ['run'],
      first,
    });
    switch (created.kind) {
      case 'created':
        this.#ownership.wake(sessionId);
        return { kind: 'ok', summary, created: true };
      case 'exists':
        return this.#sameSession(open);
      case 'fork-missing':
      case 'fork-beyond-head':
        return refused(fault('internal', 'A new session is no fork.'));
      default:
        return refused(faultOf(created, sessionId));
    }
  }

  async import(
    open: Extract<Command, { type: 'session-open' }>,
    entries: readonly EntryBody[],
  ): Promise<Result<{ readonly summary: SessionSummary; readonly created: boolean }>> {
    if (!this.#admits) return refused(SHUTTING_DOWN);
    const at = new Date(await this.#log.now()).toISOString();
    const { records, rows, summary } = importedSession(open, entries, at);
    return this.#createWith(open, { records, rows, key: keyOf(open) }, summary);
  }

  /** A retried creation finds its session; another's under the same id is a conflict. */
  async #sameSession(
    open: Extract<Command, { type: 'session-open' }>,
  ): Promise<Result<{ readonly summary: SessionSummary; readonly created: boolean }>> {
    const found = await this.#log.findKey(streamOf(open.sessionId), open.clientId);
    if (found === undefined || found.hash !== keyOf(open).hash) {
      return refused(
        fault('session-exists', `There is a session ${open.sessionId} already. Choose another id, or leave it out.`),
      );
    }
    const viewed = await this.snapshot(open.sessionId);
    return viewed.kind === 'ok'
      ? { kind: 'ok', summary: summaryOf(open.sessionId, viewed.view), created: false }
      : viewed;
  }

  async submit(sessionId: SessionId, command: Command): Promise<Receipt> {
    if (!this.#admits) return refused(SHUTTING_DOWN);
    const receipt = await this.#lives.with(sessionId, (live) => this.#submitTo(live, command));
    return receipt.kind === 'ok' || receipt.kind === 'fault' ? receipt : refused(faultOf(receipt, sessionId));
  }

  async #submitTo(live: LiveSession, command: Command): Promise<Receipt> {
    const { sessionId } = live;
    if (isMessage(command) && this.#isFull(live)) {
      const refusal = await this.#refusalOf(live, command);
      if (refusal !== undefined) return refused(refusal);
    }
    this.#arriving.set(sessionId, (this.#arriving.get(sessionId) ?? 0) + 1);
    const expectation = live.expect(command.clientId);
    try {
      return await this.#append(live, command, expectation);
    } finally {
      live.forget(expectation);
      const left = (this.#arriving.get(sessionId) ?? 1) - 1;
      if (left === 0) this.#arriving.delete(sessionId);
      else this.#arriving.set(sessionId, left);
    }
  }

  #isFull({ sessionId, view }: LiveSession): boolean {
    return waitingIn(view) + (this.#arriving.get(sessionId) ?? 0) >= this.#queueMax;
  }

  /** A retry of what was accepted gets its receipt, however full the queue is by now; and it is full if the log says so, not a view that lags. */
  async #refusalOf(live: LiveSession, command: Command): Promise<Fault | undefined> {
    const stream = streamOf(live.sessionId);
    if ((await this.#log.findKey(stream, command.clientId)) !== undefined) return undefined;
    const now = await this.#log.stat(stream);
    if (now.kind !== 'state') return faultOf(now, live.sessionId);
    await live.reached(now.state.head);
    return this.#isFull(live) ? queueFull(this.#queueMax) : undefined;
  }

  async #append(live: LiveSession, command: Command, expectation: Expectation): Promise<Receipt> {
    const { sessionId } = live;
    const verdict = await this.#log.append(streamOf(sessionId), {
      records: [encodeEntry(command)],
      key: keyOf(command),
    });
    switch (verdict.kind) {
      case 'appended':
        this.#ownership.wake(sessionId);
        return this.#receipt(live, verdict.first, false, expectation);
      case 'duplicate':
        return this.#receipt(live, verdict.first, true, expectation);
      case 'key-conflict':
        return refused(
          fault(
            'client-id-reused',
            `The client id ${command.clientId} was used for another command. A retry repeats the first one exactly; a new command needs a new id.`,
          ),
        );
      case 'missing':
      case 'deleted':
      case 'unavailable':
        return refused(faultOf(verdict, sessionId));
      case 'fenced':
      case 'producer-gap':
      case 'producer-stale':
      case 'closed':
        return refused(fault('internal', `A command was answered "${verdict.kind}".`));
    }
  }

  /** The fold at the command's own seq: at hand for a fresh one, made again from the log for an old one. */
  async #receipt(live: LiveSession, seq: number, duplicate: boolean, expectation: Expectation): Promise<Receipt> {
    await live.reached(seq);
    const known = expectation.judged ?? live.verdictAt(seq) ?? (await this.#verdictFromLog(live.sessionId, seq));
    if (known === undefined) return refused(fault('session-deleted', `Session ${live.sessionId} was deleted.`));
    return { kind: 'ok', seq, duplicate, ...known };
  }

  async #verdictFromLog(
    sessionId: SessionId,
    seq: number,
  ): Promise<{ readonly command: Command; readonly verdict: ReturnType<typeof judge> } | undefined> {
    let view: View = EMPTY_VIEW;
    for (;;) {
      const page = await this.#log.read(streamOf(sessionId), { after: view.seq, upTo: seq });
      if (page.kind === 'unavailable') {
        await this.#clock.sleep(READ_RETRY_MS, this.#closing.signal);
        if (this.#closing.signal.aborted) throw new FaultError(page.fault);
        continue;
      }
      if (page.kind !== 'page' || page.records.length === 0) return undefined;
      for (const record of page.records) {
        const entry = decodeEntry(record);
        if (entry.seq === seq) return isCommand(entry) ? { command: entry, verdict: judge(view, entry) } : undefined;
        view = fold(view, entry);
      }
    }
  }

  async delete(sessionId: SessionId): Promise<Result<object>> {
    const stream = streamOf(sessionId);
    const summary = await this.#summary(sessionId);
    if (summary.kind !== 'ok') return summary;
    const blobs = await this.#log.rows.list({ table: BLOB_TABLE, stream, limit: Number.MAX_SAFE_INTEGER });
    const erased = await this.#log.delete(stream, [
      { table: SESSION_TABLE, key: SESSION_TABLE, group: summary.summary.owner },
    ]);
    if (erased.kind !== 'erased') return refused(faultOf(erased, sessionId));
    for (const { key } of blobs) {
      const others = await this.#log.rows.list({ table: BLOB_TABLE, group: key, limit: 1 });
      if (others.length === 0) await this.#blobs.erase(key);
    }
    return { kind: 'ok' };
  }

  // ── views ───────────────────────────────────────────────────────────────────────────────────────────────────────────

  async ownerOf(sessionId: SessionId): Promise<Result<{ readonly owner: Subject }>> {
    const found = await this.#summary(sessionId);
    return found.kind === 'ok' ? { kind: 'ok', owner: found.summary.owner } : found;
  }

  async #summary(sessionId: SessionId): Promise<Result<{ readonly summary: SessionSummary }>> {
    const row = await this.#log.rows.get(SESSION_TABLE, streamOf(sessionId), SESSION_TABLE);
    if (row?.value !== undefined) return { kind: 'ok', summary: publicSummary(row) };
    const state = await this.#log.stat(streamOf(sessionId));
    return refused(faultOf(state.kind === 'state' ? { kind: 'missing' } : state, sessionId));
  }

  async snapshot(sessionId: SessionId): Promise<Result<{ readonly view: View; readonly cursor: Cursor }>> {
    const found = await this.#viewed(sessionId);
    return found.kind === 'ok' ? found : refused(faultOf(found, sessionId));
  }

  /** The view at the head of this moment: one that is followed here already may lag behind what other nodes have written. */
  #viewed(
    sessionId: SessionId,
  ): Promise<{ readonly kind: 'ok'; readonly view: View; readonly cursor: Cursor } | NotLive> {
    return this.#lives.with(sessionId, async (live) => {
      const now = await this.#log.stat(streamOf(sessionId));
      if (now.kind !== 'state') return now;
      await live.reached(now.state.head);
      return { kind: 'ok' as const, view: live.view, cursor: cursorOf(live) };
    });
  }

  async attach(sessionId: SessionId, after: Cursor | Place | undefined): Promise<Result<Attachment>> {
    const resync = after === undefined ? undefined : await this.#resyncReason(sessionId, after);
    if (typeof resync === 'object') return refused(faultOf(resync, sessionId));
    if (after !== undefined && resync === undefined)
      return { kind: 'ok', subscription: this.#log.subscribe(streamOf(sessionId), after.seq, tagOf(after)) };
    const viewed = await this.snapshot(sessionId);
    if (viewed.kind !== 'ok') return viewed;
    const { view, cursor } = viewed;
    const subscription = this.#log.subscribe(streamOf(sessionId), cursor.seq, tagOf(cursor));
    return { kind: 'ok', snapshot: { view, cursor }, subscription, ...(resync === undefined ? {} : { resync }) };
  }

  /** A cursor is served only if its record is there (R55, R60). */
  async #resyncReason(sessionId: SessionId, { seq, tag }: Cursor | Place): Promise<Attachment['resync'] | Refused> {
    const page = await this.#log.read(streamOf(sessionId), { after: Math.max(0, seq - 1), limit: 1 });
    if (page.kind === 'truncated') return 'cursor-too-old';
    if (page.kind !== 'page') return page;
    if (seq === START.seq) return undefined;
    if (seq > page.head) return 'cursor-ahead';
    return tag === undefined || page.records[0]?.tag === tag ? undefined : 'cursor-unknown';
  }

  async turn(sessionId: SessionId, turnId: TurnId): ReturnType<SessionService['turn']> {
    const found = await this.#viewed(sessionId);
    if (found.kind !== 'ok') return refused(faultOf(found, sessionId));
    const inWindow = turnInView(found.view, turnId);
    if (inWindow !== undefined) return inWindow;
    const row = await loadTurn(this.#log, sessionId, turnId);
    if (row === undefined) return refused(fault('turn-not-found', `Session ${sessionId} has no turn ${turnId}.`));
    return { kind: 'ok', node: row.node, messages: row.messages, active: false, state: 'ended' };
  }

  async messages(
    sessionId: SessionId,
    page: { readonly before?: TurnId; readonly around?: MessageId; readonly limit: number },
  ): Promise<Result<MessagePage>> {
    const viewed = await this.snapshot(sessionId);
    if (viewed.kind !== 'ok') return viewed;
    const from = await this.#pageStart(sessionId, viewed.view, page);
    if (from === 'unknown')
      return refused(fault('message-not-found', `Session ${sessionId} has no such message or turn.`));
    const turns: { readonly node: TurnNode; readonly messages: MessagePage['turns'][number]['messages'] }[] = [];
    let next = from;
    while (next !== null && turns.length < page.limit) {
      const found = await this.turn(sessionId, next);
      if (found.kind !== 'ok') break;
      turns.push({ node: found.node, messages: found.messages });
      next = found.node.parent;
    }
    const before = next === null ? null : (turns.at(-1)?.node.turnId ?? null);
    return { kind: 'ok', turns: turns.toReversed(), before };
  }

  /** The newest turn of a page; null where nothing lies before. */
  async #pageStart(
    sessionId: SessionId,
    view: View,
    { before, around }: { readonly before?: TurnId; readonly around?: MessageId },
  ): Promise<TurnId | null | 'unknown'> {
    if (around !== undefined) {
      const message = [...view.messages, ...view.offPath].find((other) => other.id === around);
      const turnId = message?.turnId ?? turnIdOf(around);
      const found = await this.turn(sessionId, turnId);
      return found.kind === 'ok' ? turnId : 'unknown';
    }
    const edge = before ?? view.turns[0]?.turnId;
    if (edge === undefined) return null;
    const found = await this.turn(sessionId, edge);
    return found.kind === 'ok' ? found.node.parent : 'unknown';
  }

  // ── the list ────────────────────────────────────────────────────────────────────────────────────────────────────────

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
    return { sessions: rows.map(publicSummary), next: rows.length < limit || last === undefined ? null : last.order };
  }

  async #search(words: string, group: { readonly group?: string }, limit: number): Promise<readonly SessionSummary[]> {
    const [titled, said] = await Promise.all([
      this.#log.rows.search({ table: SESSION_TABLE, words, limit, ...group }),
      this.#log.rows.search({ table: TURN_TABLE, words, limit: limit * 4, ...group }),
    ]);
    const streams = [...new Set([...titled, ...said].map((row) => row.stream))].slice(0, limit);
    const rows = await Promise.all(streams.map((stream) => this.#log.rows.get(SESSION_TABLE, stream, SESSION_TABLE)));
    return rows.filter((row) => row?.value !== undefined).map((row) => publicSummary(row as Row));
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
        : { kind: 'session', rev: row.rev, summary: publicSummary(row) },
    );
  }

  watchFeed(onChange: () => void): () => void {
    return this.#log.rows.watch(onChange);
  }

  // ── grants, blobs, the end ──────────────────────────────────────────────────────────────────────────────────────────

  grants(owner: Subject): ReturnType<SessionService['grants']> {
    return this.#grants.list(owner);
  }

  revokeGrant(owner: Subject, tool: string): Promise<boolean> {
    return this.#grants.revoke(owner, tool);
  }

  putBlob(
    _owner: Subject,
    mediaType: string,
    chunks: AsyncIterable<Uint8Array>,
  ): ReturnType<SessionService['putBlob']> {
    return this.#blobs.put(mediaType, chunks);
  }

  getBlob(hash: string): ReturnType<SessionService['getBlob']> {
    return this.#blobs.get(hash);
  }

  stats(): ReturnType<SessionService['stats']> {
    return { running: this.#ownership.running, live: this.#lives.size, waitingForSlot: this.#ownership.waiting };
  }

  async drain(budgetMs: number): Promise<void> {
    this.#admits = false;
    await this.#ownership.drain(budgetMs);
  }

  async close(): Promise<void> {
    this.#admits = false;
    this.#closing.abort();
    await this.#ownership.close();
    this.#lives.close();
  }
}

// ── helpers ───────────────────────────────────────────────────────────────────────────────────────────────────────────

const READ_RETRY_MS = 100;

const refused = (value: Fault): { readonly kind: 'fault'; readonly fault: Fault } => ({ kind: 'fault', fault: value });

const SHUTTING_DOWN: Fault = fault(
  'shutting-down',
  'The gateway is shutting down. Send the same request again in a moment.',
  { retryAfterMs: 1_000 },
);

const queueFull = (queueMax: number): Fault =>
  fault('queue-full', `${queueMax} messages wait in this session. Send it again when some have been answered.`, {
    retryAfterMs: 2_000,
    facts: { queueMax },
  });

/** What waits for its turn, or to be taken by the running one. */
const waitingIn = (view: View): number => view.queue.length + (view.turn?.steers.length ?? 0);

const isMessage = (command: Command): boolean =>
  command.type === 'message' || command.type === 'regenerate' || command.type === 'steer';

const cursorOf = (live: LiveSession): Cursor => ({ seq: live.view.seq, tag: live.view.seq === 0 ? 0 : live.tag });

/** A retry repeats its content, but not the ids that were drawn for it. */
function keyOf(command: Command): { readonly id: string; readonly hash: string } {
  const drawn = 'messageId' in command && command.type !== 'message-edit' && command.type !== 'message-withdraw';
  const content = drawn ? { ...command, messageId: undefined } : command;
  return { id: command.clientId, hash: createHash('sha256').update(JSON.stringify(content)).digest('base64url') };
}

function publicSummary(row: Row): SessionSummary {
  const { checkpointSeq: _internal, ...summary } = decodeRow<SessionSummary & { readonly checkpointSeq?: number }>(row);
  return summary;
}

function faultOf(refusal: NotLive, sessionId: SessionId): Fault {
  switch (refusal.kind) {
    case 'missing':
      return fault('session-not-found', `There is no session ${sessionId}.`);
    case 'deleted':
      return fault('session-deleted', `Session ${sessionId} was deleted.`);
    case 'unavailable':
      return refusal.fault;
  }
}

function turnInView(
  view: View,
  turnId: TurnId,
): Extract<Awaited<ReturnType<SessionService['turn']>>, { kind: 'ok' }> | undefined {
  const node = view.turns.find((other) => other.turnId === turnId);
  if (node === undefined) return undefined;
  const ids = new Set([...node.messageIds, node.messageId]);
  const messages = [...view.messages, ...view.offPath].filter((message) => ids.has(message.id));
  const running = view.turn?.turnId === turnId ? view.turn : undefined;
  if (running === undefined) return { kind: 'ok', node, messages, active: false, state: 'ended' };
  const { lastSeq, lastEvent, state } = running;
  return { kind: 'ok', node: { ...node, lastSeq, lastEvent }, messages, active: true, state };
}
