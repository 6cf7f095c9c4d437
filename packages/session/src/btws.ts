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
  type BtwId,
  type BtwStart,
  type ClientId,
  type Command,
  type Cursor,
  type SessionId,
  type Subject,
} from '@holdfast/protocol';
import type { Log, StreamName } from '@holdfast/log';
import type { Agent } from './agent.ts';
import type { Blobs } from './blobs.ts';
import { answersBtws, BtwRun, type BtwAgent } from './btw-run.ts';
import {
  BTWS_MAX,
  faultOfStream,
  invalidCursor,
  NO_LEASE,
  notFound,
  NOTHING_TO_ASK_ABOUT,
  PROCESS_BTWS_MAX,
  tooMany,
  unfinished,
  unsupported,
} from './btw-refusal.ts';
import { BTW_CONSUMER, BTW_TABLE, btwStreamOf, encodeBtw, readStart, readWhole } from './btw-stream.ts';
import type { Clock } from './clock.ts';
import { refused, SHUTTING_DOWN } from './refusal.ts';
import { streamOf } from './rows.ts';
import { Past, type Told } from './told.ts';
import type { BtwAttachment, BtwService, Receipt, Result, SessionService } from './service.ts';

const KEPT_MS = 600_000;

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
  #count = 0;
  #admits = true;
  #closed = false;

  constructor(ports: BtwPorts) {
    this.#ports = ports;
  }

  get running(): number {
    return this.#runs.size;
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
    const first = await readStart(this.#ports.log, btwStreamOf(sessionId, btwId));
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
    const turnId = view.turn?.turnId ?? view.leaf;
    if (agent === undefined || !answersBtws(agent)) return { asked: refused(unsupported(view.agent ?? defaultAgent)) };
    if (turnId === null) return { asked: refused(NOTHING_TO_ASK_ABOUT) };
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
    const told = await new Past(log, sessionId, view).toldTo(view.turn?.turnId ?? view.leaf);
    const run = this.#run(stream, acquired.epoch, agent, sessionId, { ...told, model: view.model }, question);
    return { asked, run };
  }

  #run(
    stream: StreamName,
    epoch: number,
    agent: BtwAgent,
    sessionId: SessionId,
    { history: messages, earlierTurns, model }: Told & { readonly model: string | null },
    question: string,
  ): BtwRun {
    const { log, clock, blobs, onError } = this.#ports;
    const run = new BtwRun({
      log,
      clock,
      stream,
      epoch,
      agent,
      input: { sessionId, model, messages, earlierTurns, question },
      readBlob: (hash) => blobs.bytes(hash),
      onError,
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
    const whole = await readWhole(this.#ports.log, btwStreamOf(sessionId, btwId));
    if (whole.kind !== 'whole') return refused(faultOfStream(whole, btwId));
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
    const whole = await readWhole(this.#ports.log, btwStreamOf(sessionId, btwId));
    if (whole.kind !== 'whole') return refused(faultOfStream(whole, btwId));
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

  /** Another's question is not there. */
  async #find(
    sessionId: SessionId,
    btwId: BtwId,
    author: Subject,
  ): Promise<Result<{ readonly start: BtwStart; readonly at: number }>> {
    const first = await readStart(this.#ports.log, btwStreamOf(sessionId, btwId));
    if (first.kind !== 'start') return refused(faultOfStream(first, btwId));
    return first.start.author === author ? { ...first, kind: 'ok' } : refused(notFound(btwId));
  }

  /** Rule 5. Running ones hear of it by their streams' end. */
  async erase(sessionId: SessionId): Promise<void> {
    const { log } = this.#ports;
    const rows = await log.rows.list({ table: BTW_TABLE, group: sessionId, limit: Number.MAX_SAFE_INTEGER });
    for (const { stream } of rows) await log.delete(stream);
  }

  // ── the end ────────────────────────────────────────────────────────────────────────────────────────────────────────

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
    this.#interruptAll();
    for (const run of this.#runs) run.giveUp();
    await Promise.all([this.#allEnded(), ...this.#leaving]);
  }

  #interruptAll(): void {
    for (const run of this.#runs) run.end(SHUT_DOWN);
  }

  async #allEnded(): Promise<void> {
    await Promise.allSettled([...this.#runs].map((run) => run.ended));
  }
}

const SHUT_DOWN = {
  type: 'btw-end',
  outcome: 'interrupted',
  fault: 'shutdown',
  reason: 'The gateway shut down.',
} as const;

const btwIdOf = ({ author, clientId }: Ask): BtwId =>
  `b_${createHash('sha256').update(`${author}\n${clientId}`).digest('base64url').slice(0, 24)}` as BtwId;
