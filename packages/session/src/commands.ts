/**
 * The way in: commands become entries, and their receipts are read off the log.
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
  type Command,
  type EntryBody,
  type Fault,
  summaryOf,
  type SessionId,
  type SessionSummary,
  type Subject,
  type View,
} from '@holdfast/protocol';
import type { Append, Log } from '@holdfast/log';
import type { BlobReferences } from './blob-references.ts';
import type { Blobs } from './blobs.ts';
import type { Clock } from './clock.ts';
import { importedSession } from './import.ts';
import type { Lists } from './lists.ts';
import type { Expectation, LiveSession, LiveSessions } from './live.ts';
import { faultOf, refused, SHUTTING_DOWN } from './refusal.ts';
import { attachmentRows, filesOf, BLOB_TABLE, sessionRow, SESSION_TABLE, streamOf } from './rows.ts';
import { decodeEntry, encodeEntry, type Receipt, type Result } from './service.ts';
import { Past } from './told.ts';
import type { Views } from './views.ts';

const READ_RETRY_MS = 100;

type Key = NonNullable<Append['key']>;

export interface CommandPorts {
  readonly log: Log;
  readonly clock: Clock;
  readonly lives: LiveSessions;
  readonly views: Views;
  readonly lists: Lists;
  readonly blobs: Blobs;
  readonly references: BlobReferences;
  readonly onError: (error: unknown) => void;
  readonly queueMax: number;
  /** There may be work for this session. */
  readonly wake: (sessionId: SessionId) => void;
}

export class Commands {
  readonly #log: Log;
  readonly #clock: Clock;
  readonly #lives: LiveSessions;
  readonly #views: Views;
  readonly #lists: Lists;
  readonly #blobs: Blobs;
  readonly #references: BlobReferences;
  readonly #onError: (error: unknown) => void;
  readonly #queueMax: number;
  readonly #wake: (sessionId: SessionId) => void;
  readonly #closing = new AbortController();
  /** Messages on their way into a session's log. */
  readonly #arriving = new Map<SessionId, number>();
  #admits = true;

  constructor({ log, clock, lives, views, lists, blobs, references, queueMax, wake, onError }: CommandPorts) {
    this.#log = log;
    this.#clock = clock;
    this.#lives = lives;
    this.#views = views;
    this.#lists = lists;
    this.#blobs = blobs;
    this.#references = references;
    this.#onError = onError;
    this.#queueMax = queueMax;
    this.#wake = wake;
  }

  /** Nothing new is admitted any more; what is under way gets its receipt. */
  shut(): void {
    this.#admits = false;
  }

  /** Receipts that could not be read are given up. */
  close(): void {
    this.shut();
    this.#closing.abort();
  }

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
    first: Append & { readonly key: Key },
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
        this.#wake(sessionId);
        return { kind: 'ok', summary, created: true };
      case 'exists':
        return this.#sameSession(sessionId, first.key);
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
    const { records, rows, summary } = await importedSession(open, entries, at, () => this.#clock.sleep(0));
    const hash = createHash('sha256');
    for (const record of records) hash.update(record);
    const key = { id: open.clientId, hash: hash.digest('base64url') };
    return this.#createWith(open, { records, rows, key }, summary);
  }

  /** A retried creation finds its session; another's under the same id is a conflict. */
  async #sameSession(
    sessionId: SessionId,
    key: Key,
  ): Promise<Result<{ readonly summary: SessionSummary; readonly created: boolean }>> {
    const found = await this.#log.findKey(streamOf(sessionId), key.id);
    if (found === undefined || found.hash !== key.hash) {
      return refused(
        fault('session-exists', `There is a session ${sessionId} already. Choose another id, or leave it out.`),
      );
    }
    const viewed = await this.#views.snapshot(sessionId);
    return viewed.kind === 'ok' ? { kind: 'ok', summary: summaryOf(sessionId, viewed.view), created: false } : viewed;
  }

  async submit(sessionId: SessionId, command: Command): Promise<Receipt> {
    if (!this.#admits) return refused(SHUTTING_DOWN);
    const receipt = await this.#lives.with(sessionId, (live) => this.#submitTo(live, command));
    return receipt.kind === 'ok' || receipt.kind === 'fault' ? receipt : refused(faultOf(receipt, sessionId));
  }

  async #submitTo(live: LiveSession, command: Command): Promise<Receipt> {
    const { sessionId } = live;
    if (isMessage(command) && this.#isFull(live)) {
      const look = await this.#lookAtHead(live, command);
      if (typeof look === 'object') return refused(look);
      // In one step with taking a place: many may have looked at once.
      if (look === 'new' && this.#isFull(live)) return refused(queueFull(this.#queueMax));
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
  async #lookAtHead(live: LiveSession, command: Command): Promise<'retry' | 'new' | Fault> {
    const stream = streamOf(live.sessionId);
    if ((await this.#log.findKey(stream, command.clientId)) !== undefined) return 'retry';
    const now = await this.#log.stat(stream);
    if (now.kind !== 'state') return faultOf(now, live.sessionId);
    await live.reached(now.state.head);
    return 'new';
  }

  async #append(live: LiveSession, command: Command, expectation: Expectation): Promise<Receipt> {
    const { sessionId } = live;
    const placed = await this.#placed(live, command);
    if ('detail' in placed) return refused(placed);
    const missing = await this.#missingFile(sessionId, command);
    if (missing !== undefined) return refused(missing);
    await live.admits();
    const verdict = await this.#log.append(streamOf(sessionId), {
      records: [encodeEntry(placed)],
      key: keyOf(command),
      rows: attachmentRows(command),
    });
    switch (verdict.kind) {
      case 'appended':
        this.#wake(sessionId);
        void this.#references.takeOver(command.author, filesOf(command)).catch(this.#onError);
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
      case 'behind':
        return refused(fault('internal', `A command was answered "${verdict.kind}".`));
    }
  }

  /** What it names in the log, before the view's window too, goes with it (R76). */
  async #placed({ sessionId, view }: LiveSession, command: Command): Promise<Command | Fault> {
    try {
      return await new Past(this.#log, sessionId, view).withPlaces(command);
    } catch (error) {
      if (error instanceof FaultError) return error.fault;
      throw error;
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

  /** A message is refused if a file that it names is not there; a retry of one that was accepted is not. */
  async #missingFile(sessionId: SessionId, command: Command): Promise<Fault | undefined> {
    for (const hash of filesOf(command)) {
      const has = await this.#blobs.has(hash);
      if (typeof has === 'object') return has;
      const isOwn = has && (await this.#references.mayName(command.author, sessionId, hash, (id) => this.#ownerOf(id)));
      if (isOwn) continue;
      const isRetry = (await this.#log.findKey(streamOf(sessionId), command.clientId)) !== undefined;
      return isRetry
        ? undefined
        : fault(
            'blob-not-found',
            `There is no blob ${hash.slice(0, 80)}. Upload the file, then send the message again.`,
          );
    }
    return undefined;
  }

  async #ownerOf(sessionId: SessionId): Promise<Subject | undefined> {
    const found = await this.#lists.ownerOf(sessionId);
    return found.kind === 'ok' ? found.owner : undefined;
  }

  async delete(sessionId: SessionId): Promise<Result<object>> {
    const stream = streamOf(sessionId);
    const summary = await this.#lists.summary(sessionId);
    if (summary.kind !== 'ok') return summary;
    const files = await this.#log.rows.list({ table: BLOB_TABLE, stream, limit: Number.MAX_SAFE_INTEGER });
    const erased = await this.#log.delete(stream, [
      { table: SESSION_TABLE, key: SESSION_TABLE, group: summary.summary.owner },
    ]);
    if (erased.kind !== 'erased') return refused(faultOf(erased, sessionId));
    await this.#references.release(files.map(({ key }) => key));
    return { kind: 'ok' };
  }
}

const queueFull = (queueMax: number): Fault =>
  fault('queue-full', `${queueMax} messages wait in this session. Send it again when some have been answered.`, {
    retryAfterMs: 2_000,
    facts: { queueMax },
  });

/** What waits for its turn, or to be taken by the running one. */
const waitingIn = (view: View): number => view.queue.length + (view.turn?.steers.length ?? 0);

const isMessage = (command: Command): boolean =>
  command.type === 'message' || command.type === 'regenerate' || command.type === 'steer';

/** A retry repeats its content, but not the ids that were drawn for it. */
function keyOf(command: Command): Key {
  const drawn = 'messageId' in command && command.type !== 'message-edit' && command.type !== 'message-withdraw';
  // Neither the id that admission drew nor the author's rights of the moment are the author's words.
  const content = {
    ...command,
    ...(drawn ? { messageId: undefined } : {}),
    ...('right' in command ? { right: undefined } : {}),
  };
  return { id: command.clientId, hash: createHash('sha256').update(JSON.stringify(content)).digest('base64url') };
}
