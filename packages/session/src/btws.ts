/**
 * Side questions (*btw*): asked, read, cancelled and kept on any node; answered by the node that was asked.
 *
 * A question is a stream of its own in the log (`btw-stream.ts`) with a consumer that its answerer holds. What follows from that:
 *
 * 1. The session hears nothing: no lease, no slot, no entry of its own. A question kept is one command of the session (`btw-keep`).
 * 2. Its name comes from who asks and the client id, so a retry on another node is the same question.
 * 3. Readers, cancels and the answer meet in the stream: no node needs to know which one answers.
 * 4. An answerer that died leaves a pending consumer: any node's sweep ends the question `interrupted`.
 * 5. A stream is gone `KEPT_MS` after its last use, and with its session.
 * 6. At most `BTWS_MAX` run for one subject in one session, and `PROCESS_BTWS_MAX` in one process.
 */
import { createHash } from 'node:crypto';
import {
  fault,
  turnIdOfItem,
  type BtwEnd,
  type BtwId,
  type BtwStart,
  type ClientId,
  type Command,
  type Cursor,
  type Fault,
  type SessionId,
  type Subject,
  type TurnId,
  type View,
} from '@holdfast/protocol';
import type { Log, LogRecord, Refused, StreamName } from '@holdfast/log';
import type { Agent } from './agent.ts';
import type { Blobs } from './blobs.ts';
import { answersBtws, BtwRun, type BtwAgent } from './btw-run.ts';
import { BTW_CONSUMER, BTW_TABLE, btwStreamOf, decodeBtw, encodeBtw } from './btw-stream.ts';
import type { Clock, Timer } from './clock.ts';
import { refused, SHUTTING_DOWN } from './refusal.ts';
import { streamOf } from './rows.ts';
import { conversationOf } from './run.ts';
import type { BtwAttachment, BtwService, Receipt, Result, SessionService } from './service.ts';

const BTWS_MAX = 4;
const PROCESS_BTWS_MAX = 256;
const KEPT_MS = 600_000;
const SWEEP_MS = 5_000;
const EXPIRE_MS = 60_000;
const SWEEP_PAGE = 256;
const RETRY_MS = 2_000;

export interface BtwPorts {
  readonly log: Log;
  readonly clock: Clock;
  readonly agents: ReadonlyMap<string, Agent>;
  readonly defaultAgent: string;
  readonly blobs: Blobs;
  readonly randomId: () => string;
  readonly holderId: () => string | undefined;
  readonly snapshot: SessionService['snapshot'];
  readonly submit: (sessionId: SessionId, command: Command) => Promise<Receipt>;
  readonly onError: (error: unknown) => void;
}

type Ask = Parameters<BtwService['ask']>[1];
type Asked = Result<{ readonly btwId: BtwId; readonly duplicate: boolean }>;

export class Btws implements BtwService {
  readonly #ports: BtwPorts;
  readonly #runs = new Set<BtwRun>();
  readonly #countByAsker = new Map<string, number>();
  /** Readers that are gone and whose leaving is on its way into the log. */
  readonly #leaving = new Set<Promise<unknown>>();
  readonly #timers = new Set<Timer>();
  #count = 0;
  #admits = true;
  #closed = false;

  constructor(ports: BtwPorts) {
    this.#ports = ports;
  }

  get running(): number {
    return this.#runs.size;
  }

  start(): void {
    this.#every(SWEEP_MS, () => this.#sweep());
    this.#every(EXPIRE_MS, () => this.#ports.log.expire());
  }

  // ── asking ──────────────────────────────────────────────────────────────────────────────────────────────────────────

  async ask(sessionId: SessionId, ask: Ask): Promise<Asked> {
    if (!this.#admits) return refused(SHUTTING_DOWN);
    const btwId = btwIdOf(ask);
    const before = await this.#askedBefore(sessionId, btwId, ask);
    if (before !== undefined) return before;
    const asker = `${sessionId}/${ask.author}`;
    const ofAsker = this.#countByAsker.get(asker) ?? 0;
    if (ofAsker >= BTWS_MAX || this.#count >= PROCESS_BTWS_MAX) return refused(tooMany(ofAsker));
    this.#count += 1;
    this.#countByAsker.set(asker, ofAsker + 1);
    const release = (): void => this.#release(asker);
    try {
      const begun = await this.#begin(sessionId, btwId, ask);
      if (begun.run === undefined) release();
      else void begun.run.ended.catch(this.#ports.onError).finally(release);
      return begun.asked;
    } catch (error) {
      release();
      throw error;
    }
  }

  #release(asker: string): void {
    this.#count -= 1;
    const left = (this.#countByAsker.get(asker) ?? 1) - 1;
    if (left === 0) this.#countByAsker.delete(asker);
    else this.#countByAsker.set(asker, left);
  }

  /** Rule 2. */
  async #askedBefore(sessionId: SessionId, btwId: BtwId, { question }: Ask): Promise<Asked | undefined> {
    const first = await this.#first(sessionId, btwId);
    if (first.kind === 'missing') return undefined;
    if (first.kind !== 'start') return refused(faultOfStream(first, btwId));
    if (first.start.question === question) return { kind: 'ok', btwId, duplicate: true };
    return refused(
      fault('client-id-reused', 'The client id was used for another question. A new question needs a new id.'),
    );
  }

  async #begin(
    sessionId: SessionId,
    btwId: BtwId,
    ask: Ask,
  ): Promise<{ readonly asked: Asked; readonly run?: BtwRun }> {
    const { log, agents, defaultAgent, holderId, snapshot } = this.#ports;
    const found = await snapshot(sessionId);
    if (found.kind === 'fault') return { asked: found };
    const { view } = found;
    const agent = agents.get(view.agent ?? defaultAgent);
    const turnId = turnAskedAbout(view);
    if (agent === undefined || !answersBtws(agent)) return { asked: refused(unsupported(view.agent ?? defaultAgent)) };
    if (turnId === undefined) return { asked: refused(NOTHING_TO_ASK_ABOUT) };
    const holder = holderId();
    if (holder === undefined) return { asked: refused(NO_LEASE) };
    const { author, question } = ask;
    const start: BtwStart = { type: 'btw-start', btwId, author, question, agent: agent.name, turnId };
    const stream = btwStreamOf(sessionId, btwId);
    const created = await log.create(stream, {
      contentType: 'application/json',
      consumers: [BTW_CONSUMER],
      ttlMs: KEPT_MS,
      first: {
        records: [encodeBtw(start)],
        rows: [{ table: BTW_TABLE, key: btwId, order: 0, group: sessionId, value: new Uint8Array() }],
      },
    });
    if (created.kind === 'unavailable') return { asked: refused(created.fault) };
    if (created.kind !== 'created')
      return { asked: (await this.#askedBefore(sessionId, btwId, ask)) ?? refused(notFound(btwId)) };
    // A session that was deleted meanwhile has not seen this stream (rule 5).
    const now = await log.stat(streamOf(sessionId));
    if (now.kind === 'deleted') await log.delete(stream);
    const asked = { kind: 'ok', btwId, duplicate: false } as const;
    const acquired = await log.consumers.acquire(stream, BTW_CONSUMER, holder);
    // Whoever has it, or finds it, ends it (rule 4).
    if (acquired.kind !== 'acquired') return { asked };
    const run = this.#run(stream, acquired.epoch, agent, sessionId, view, question);
    return { asked, run };
  }

  #run(stream: StreamName, epoch: number, agent: BtwAgent, sessionId: SessionId, view: View, question: string): BtwRun {
    const { log, clock, blobs } = this.#ports;
    const { model, earlierTurns } = view;
    const run = new BtwRun({
      log,
      clock,
      stream,
      epoch,
      agent,
      input: { sessionId, model, messages: conversationOf(view), earlierTurns, question },
      readBlob: (hash) => blobs.bytes(hash),
    });
    this.#runs.add(run);
    void run.ended.catch(() => undefined).finally(() => this.#runs.delete(run));
    if (this.#closed) run.giveUp();
    return run;
  }

  // ── reading, cancelling, keeping ────────────────────────────────────────────────────────────────────────────────────

  async attach(
    sessionId: SessionId,
    btwId: BtwId,
    author: Subject,
    after: Cursor | undefined,
  ): Promise<Result<BtwAttachment>> {
    const found = await this.#find(sessionId, btwId, author);
    if (found.kind === 'fault') return found;
    const { log, randomId } = this.#ports;
    const stream = btwStreamOf(sessionId, btwId);
    const seq = after?.seq ?? 0;
    const place = await log.read(stream, { after: Math.max(0, seq - 1), limit: 1 });
    if (place.kind === 'truncated') return refused(invalidCursor(btwId));
    if (place.kind !== 'page') return refused(faultOfStream(place, btwId));
    if (seq > 0 && place.records[0]?.tag !== after?.tag) return refused(invalidCursor(btwId));
    const reader = randomId();
    const isRead = !place.closed && (await this.#note(stream, { type: 'btw-join', reader }));
    const subscription = log.subscribe(stream, seq, seq === 0 || after === undefined ? {} : { tag: after.tag });
    const leave = (): void => {
      subscription.cancel();
      if (isRead) this.#leave(stream, reader);
    };
    return { kind: 'ok', isOver: place.closed && seq >= place.head, subscription, leave };
  }

  #leave(stream: StreamName, reader: string): void {
    const left = this.#note(stream, { type: 'btw-leave', reader }).catch(this.#ports.onError);
    this.#leaving.add(left);
    void left.finally(() => this.#leaving.delete(left));
  }

  /** Rule 3. @returns false where the question has ended, or cannot be told. */
  async #note(stream: StreamName, entry: Parameters<typeof encodeBtw>[0]): Promise<boolean> {
    return (await this.#ports.log.append(stream, { records: [encodeBtw(entry)] })).kind === 'appended';
  }

  async cancel(sessionId: SessionId, btwId: BtwId, author: Subject): ReturnType<BtwService['cancel']> {
    const found = await this.#find(sessionId, btwId, author);
    if (found.kind === 'fault') return found;
    const noted = await this.#ports.log.append(btwStreamOf(sessionId, btwId), {
      records: [encodeBtw({ type: 'btw-cancel' })],
    });
    if (noted.kind === 'appended') return { kind: 'ok', result: 'cancelling' };
    if (noted.kind !== 'closed') return refused(noted.kind === 'unavailable' ? noted.fault : notFound(btwId));
    const whole = await this.#whole(sessionId, btwId);
    if (whole.kind === 'fault') return whole;
    return { kind: 'ok', result: 'already-ended', ...(whole.end === undefined ? {} : { outcome: whole.end.outcome }) };
  }

  async keep(sessionId: SessionId, btwId: BtwId, author: Subject): ReturnType<BtwService['keep']> {
    const clientId = `keep:${btwId}` as ClientId;
    const found = await this.#find(sessionId, btwId, author);
    if (found.kind === 'fault') {
      // The question may be gone; what was kept stays.
      const kept = await this.#ports.log.findKey(streamOf(sessionId), clientId);
      return kept === undefined ? found : { kind: 'ok', seq: kept.first, duplicate: true };
    }
    const whole = await this.#whole(sessionId, btwId);
    if (whole.kind === 'fault') return whole;
    if (whole.end?.outcome !== 'completed' && whole.end?.outcome !== 'limit')
      return refused(unfinished(btwId, whole.end));
    const { question, agent, turnId } = found.start;
    const { answer } = whole;
    const askedAt = new Date(found.at).toISOString();
    const command = { type: 'btw-keep', clientId, author, btwId, turnId, question, answer, agent, askedAt } as const;
    const receipt = await this.#ports.submit(sessionId, command);
    return receipt.kind === 'fault' ? receipt : { kind: 'ok', seq: receipt.seq, duplicate: receipt.duplicate };
  }

  // ── streams ─────────────────────────────────────────────────────────────────────────────────────────────────────────

  async #first(
    sessionId: SessionId,
    btwId: BtwId,
  ): Promise<{ readonly kind: 'start'; readonly start: BtwStart; readonly at: number } | Refused> {
    const page = await this.#ports.log.read(btwStreamOf(sessionId, btwId), { after: 0, limit: 1 });
    if (page.kind !== 'page') return page.kind === 'truncated' ? { kind: 'missing' } : page;
    const [record] = page.records;
    const start = record === undefined ? undefined : decodeBtw(record);
    return record === undefined || start?.type !== 'btw-start'
      ? { kind: 'missing' }
      : { kind: 'start', start, at: record.at };
  }

  /** Another's question is not there. */
  async #find(
    sessionId: SessionId,
    btwId: BtwId,
    author: Subject,
  ): Promise<Result<{ readonly start: BtwStart; readonly at: number }>> {
    const first = await this.#first(sessionId, btwId);
    if (first.kind !== 'start') return refused(faultOfStream(first, btwId));
    return first.start.author === author ? { ...first, kind: 'ok' } : refused(notFound(btwId));
  }

  async #whole(
    sessionId: SessionId,
    btwId: BtwId,
  ): Promise<Result<{ readonly answer: string; readonly end: BtwEnd | undefined }>> {
    const records: LogRecord[] = [];
    for (;;) {
      const page = await this.#ports.log.read(btwStreamOf(sessionId, btwId), { after: records.length });
      if (page.kind === 'truncated') return refused(notFound(btwId));
      if (page.kind !== 'page') return refused(faultOfStream(page, btwId));
      if (page.records.length === 0) break;
      records.push(...page.records);
    }
    const entries = records.map(decodeBtw);
    const end = entries.at(-1);
    const answer = entries.map((entry) => (entry.type === 'btw-delta' ? entry.text : '')).join('');
    return { kind: 'ok', answer, end: end?.type === 'btw-end' ? end : undefined };
  }

  /** Rule 5. Running ones hear of it by their streams' end. */
  async erase(sessionId: SessionId): Promise<void> {
    const { log } = this.#ports;
    const rows = await log.rows.list({ table: BTW_TABLE, group: sessionId, limit: Number.MAX_SAFE_INTEGER });
    for (const { stream } of rows) await log.delete(stream);
  }

  // ── what others left, and the end ───────────────────────────────────────────────────────────────────────────────────

  /** Rule 4. */
  async #sweep(): Promise<void> {
    const { log, holderId } = this.#ports;
    const holder = holderId();
    if (holder === undefined || !this.#admits) return;
    const nowMs = await log.now();
    for (const stream of await log.consumers.pending(BTW_CONSUMER, { limit: SWEEP_PAGE })) {
      const found = await log.stat(stream);
      // One that was created this moment is about to be taken by who was asked.
      if (found.kind !== 'state' || nowMs - found.state.createdAt < SWEEP_MS) continue;
      const acquired = await log.consumers.acquire(stream, BTW_CONSUMER, holder);
      if (acquired.kind === 'acquired') await this.#interrupt(stream, acquired.epoch, found.state.head);
    }
  }

  async #interrupt(stream: StreamName, epoch: number, head: number): Promise<void> {
    const { log } = this.#ports;
    const end = { ...INTERRUPTED, fault: 'owner-lost', reason: 'The process that answered it died.' } as const;
    const fence = { consumer: BTW_CONSUMER, epoch };
    const said = await log.append(stream, { records: [encodeBtw(end)], fence, close: true });
    const upTo = said.kind === 'appended' ? said.last : head;
    await log.consumers.release(stream, BTW_CONSUMER, { epoch, upTo });
  }

  /** Nothing new is asked; what is being answered may end within the budget. */
  async drain(budgetMs: number): Promise<void> {
    this.#admits = false;
    const hurry = this.#ports.clock.after(budgetMs, () => this.#interruptAll());
    await this.#allEnded();
    hurry.cancel();
  }

  async close(): Promise<void> {
    this.#admits = false;
    this.#closed = true;
    for (const timer of this.#timers) timer.cancel();
    this.#timers.clear();
    this.#interruptAll();
    await Promise.all([this.#allEnded(), ...this.#leaving]);
  }

  #interruptAll(): void {
    for (const run of this.#runs) run.end({ ...INTERRUPTED, fault: 'shutdown', reason: 'The gateway shut down.' });
  }

  async #allEnded(): Promise<void> {
    await Promise.allSettled([...this.#runs].map((run) => run.ended));
  }

  #every(ms: number, run: () => Promise<unknown>): void {
    if (this.#closed) return;
    const timer = this.#ports.clock.after(ms, () => {
      this.#timers.delete(timer);
      void run()
        .catch(this.#ports.onError)
        .finally(() => this.#every(ms, run));
    });
    this.#timers.add(timer);
  }
}

const INTERRUPTED = { type: 'btw-end', outcome: 'interrupted' } as const;

const btwIdOf = ({ author, clientId }: Ask): BtwId =>
  `b_${createHash('sha256').update(`${author}\n${clientId}`).digest('base64url').slice(0, 24)}` as BtwId;

const turnAskedAbout = ({ turn, leaf, queue }: View): TurnId | undefined => {
  const [next] = queue;
  return turn?.turnId ?? leaf ?? (next === undefined ? undefined : turnIdOfItem(next));
};

const notFound = (btwId: BtwId): Fault =>
  fault('btw-not-found', `There is no side question ${btwId} here, or not any more. Ask it again.`);

const faultOfStream = (gone: Refused, btwId: BtwId): Fault =>
  gone.kind === 'unavailable' ? gone.fault : notFound(btwId);

const unfinished = (btwId: BtwId, end: BtwEnd | undefined): Fault =>
  fault(
    'btw-unfinished',
    end === undefined
      ? `The side question ${btwId} is still being answered. Keep it when its answer is whole.`
      : `The side question ${btwId} ended ${end.outcome}. Only a whole answer can be kept; ask it again.`,
    { facts: { state: end?.outcome ?? 'running' } },
  );

const unsupported = (agent: string): Fault =>
  fault('btw-unsupported', `The agent ${agent} answers no side questions. Send it as a message instead.`);

const tooMany = (ofAsker: number): Fault =>
  fault(
    'too-many-btws',
    ofAsker >= BTWS_MAX
      ? `${BTWS_MAX} side questions of yours are being answered in this session. Cancel one, or wait.`
      : `${PROCESS_BTWS_MAX} side questions are being answered here. Wait a moment.`,
    { retryAfterMs: RETRY_MS, facts: { btwsMax: BTWS_MAX } },
  );

const invalidCursor = (btwId: BtwId): Fault =>
  fault('invalid-cursor', `The cursor names no record of ${btwId}. Read it from its start: leave the cursor out.`);

const NOTHING_TO_ASK_ABOUT: Fault = fault(
  'turn-not-found',
  'The session has no turn yet to ask about. Send a message first.',
);

const NO_LEASE: Fault = fault('storage-unavailable', 'This process has no lease on the store. Ask again in a moment.', {
  retryAfterMs: RETRY_MS,
});
