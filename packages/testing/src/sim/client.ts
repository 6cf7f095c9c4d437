/**
 * A client of a run: it works off its operations, over a network that loses requests and responses and doubles requests, and
 * asks again under the same client id until it has a receipt.
 *
 * C1  What it refers to (a turn, a prompt, a message) it takes from what it saw a little while ago: it is often too late.
 * C2  A retry may draw a new message id, as a gateway does for a request that names none: the first one counts.
 * C3  A request that is refused has put nothing into the log (R24).
 * C4  A queue is called full only if it was so at a moment since it was asked, with all that was on its way.
 * C5  A turn that it refers to may have left the window long ago.
 */
import {
  turnIdOf,
  type Answer,
  type BtwId,
  type ClientId,
  type Command,
  type MessageId,
  type SessionId,
  type View,
} from '@holdfast/protocol';
import type { Receipt } from '@holdfast/session';
import { pastOf, pastTurns } from './past.ts';
import type { Op, Plan } from './plan.ts';
import type { Incarnation, SimNode } from './node.ts';
import type { Process, Scheduler } from './scheduler.ts';
import type { WatchedStore } from './store.ts';

const TIMEOUT_MS = 4_000;
const RETRY_MS = 150;
/** What is allowed for always has the longest way to go. */
const ANSWERS = ['once', 'always', 'session', 'always', 'deny', 'always'] as const;

/** One that a process works on, or will: also long after its client has given it up. */
export interface Request {
  readonly process: Process;
}

export interface ClientWorld {
  readonly plan: Plan;
  readonly scheduler: Scheduler;
  readonly outside: Process;
  readonly nodes: readonly SimNode[];
  readonly store: WatchedStore;
  readonly receipts: Receipted[];
  networkShare: number;
  readonly requests: Set<Request>;
  newId(prefix: string): string;
  violate(law: string, detail: string): void;
}

export interface Receipted {
  readonly sessionId: SessionId;
  readonly author: string;
  readonly sent: Command;
  readonly receipt: Extract<Receipt, { kind: 'ok' }>;
  /** Sent after the receipt of the client's command before it had come. */
  readonly inOrder: boolean;
}

type Content = Command extends infer C ? (C extends Command ? Omit<C, 'clientId' | 'author'> : never) : never;

export class SimClient {
  readonly author: string;
  /** Requests without a receipt so far. */
  open = 0;
  isDone = false;
  readonly #world: ClientWorld;
  #allAwaited = true;

  constructor(author: string, world: ClientWorld) {
    this.author = author;
    this.#world = world;
  }

  async work(ops: readonly Op[], sessions: readonly SessionId[]): Promise<void> {
    for (const op of ops) {
      const sessionId = sessions[op.session % sessions.length];
      if (sessionId === undefined) break;
      const seen = this.#world.store.truthOf(sessionId).view;
      await this.#sleep(op.afterMs, 'think');
      const content = this.#contentOf(op, op.roll < 0.5 ? seen : this.#world.store.truthOf(sessionId).view);
      if (content === undefined) continue;
      const sent = this.submit(sessionId, content);
      // A person who presses stop twice means all of it.
      if (content.type === 'stop' && op.roll < 0.4) {
        this.#allAwaited = false;
        void this.submit(sessionId, { ...content, queue: 'clear' });
      }
      if (op.waits) await sent;
      else this.#allAwaited = false;
    }
    this.isDone = true;
  }

  async create(sessionId: SessionId, agent: string): Promise<void> {
    const clientId = this.#world.newId('c') as ClientId;
    await this.#untilAnswered(`create ${sessionId}`, async ({ service }) => {
      const open = { type: 'session-open', sessionId, clientId, author: this.author, agent } as const;
      const past = pastOf(this.author, this.#world.plan.past);
      const created = past.length === 0 ? await service.create(open) : await service.import(open, past);
      if (created.kind === 'ok') return created;
      return this.#isPassing(created.fault.kind) ? undefined : this.#refused(created.fault.kind);
    });
  }

  /** Resolves with the receipt. */
  async submit(sessionId: SessionId, content: Content): Promise<void> {
    const { receipts } = this.#world;
    const inOrder = this.#allAwaited;
    const base = { ...content, clientId: this.#world.newId('c') as ClientId, author: this.author } as Command;
    this.open += 1;
    let tries = 0;
    let underWay = 0;
    const isIn = (): boolean => this.#world.store.hasKey(sessionId, base.clientId);
    const receipt = await this.#untilAnswered<Receipt>(`submit ${sessionId}`, async ({ service }) => {
      tries += 1;
      underWay += 1;
      const [flight, wasIn, wasAlone] = [tries, isIn(), underWay === 1];
      const { head } = this.#world.store.truthOf(sessionId);
      // C2.
      const drawn =
        tries > 1 && 'messageId' in base && isDrawn(base) ? { messageId: this.#world.newId('m') as MessageId } : {};
      const answer = await service.submit(sessionId, { ...base, ...drawn }).finally(() => (underWay -= 1));
      if (answer.kind === 'ok') return answer;
      // C3.
      if (!wasIn && wasAlone && flight === tries && isIn())
        this.#world.violate('R24', `${base.clientId} is in the log, and its request fails: ${answer.fault.kind}.`);
      if (answer.fault.kind === 'session-not-found' && head > 0)
        this.#world.violate('R4', `${sessionId} at ${head} is not found.`);
      if (answer.fault.kind === 'queue-full') this.#judgeFull(sessionId, head);
      if (answer.fault.kind === 'queue-full' && !isIn()) return answer;
      return this.#isPassing(answer.fault.kind) ? undefined : this.#refused(answer.fault.kind);
    });
    this.open -= 1;
    if (receipt?.kind === 'ok') receipts.push({ sessionId, author: this.author, sent: base, receipt, inOrder });
  }

  /** C4. */
  #judgeFull(sessionId: SessionId, askedAt: number): void {
    const { store, plan, requests } = this.#world;
    const most = Math.max(...store.truthOf(sessionId).waiting.slice(Math.max(0, askedAt - 1)));
    if (most + requests.size - 1 < plan.queueMax)
      this.#world.violate('queue', `${sessionId} is called full with ${most} waiting since ${askedAt}.`);
  }

  #isPassing(kind: string): boolean {
    return (
      kind === 'storage-unavailable' ||
      kind === 'shutting-down' ||
      kind === 'internal' ||
      kind === 'queue-full' ||
      kind === 'session-not-found'
    );
  }

  #refused(kind: string): undefined {
    this.#world.violate('refusal', `A valid request was refused for good: ${kind}.`);
  }

  async #untilAnswered<T>(label: string, ask: (node: Incarnation) => Promise<T | undefined>): Promise<T | undefined> {
    for (let tries = 0; tries < 400; tries += 1) {
      const up = this.#someNode();
      const answer = up === undefined ? undefined : await this.#overNetwork(label, up.process, () => ask(up));
      if (answer !== undefined) return answer;
      await this.#sleep(RETRY_MS, 'retry');
    }
    this.#world.violate('refusal', `${label} had no answer after 400 tries.`);
    return undefined;
  }

  #someNode(): Incarnation | undefined {
    const up = this.#world.nodes.map((node) => node.up).filter((node) => node !== undefined);
    return up[this.#world.scheduler.draw(Math.max(1, up.length))];
  }

  /** A request and its response; undefined where the client hears nothing, or nothing of use. */
  async #overNetwork<T>(label: string, process: Process, ask: () => Promise<T | undefined>): Promise<T | undefined> {
    const { scheduler, outside, networkShare } = this.#world;
    const isBad = (): boolean => networkShare > 0 && scheduler.random() < networkShare;
    const heard = Promise.withResolvers<T | undefined>();
    const timer = scheduler.after(outside, TIMEOUT_MS, () => heard.resolve(undefined), 'timeout');
    const request = async (): Promise<void> => {
      const underWay: Request = { process };
      this.#world.requests.add(underWay);
      await scheduler.step(outside, label);
      const isLost = isBad();
      const answer = isLost ? undefined : await ask().catch(() => undefined);
      this.#world.requests.delete(underWay);
      if (isLost) return;
      await scheduler.step(outside, `${label} answer`);
      if (!isBad()) heard.resolve(answer);
    };
    void request();
    if (isBad()) void request();
    const answer = await heard.promise;
    timer.cancel();
    return answer;
  }

  #sleep(ms: number, label: string): Promise<void> {
    return this.#world.scheduler.sleep(this.#world.outside, ms, label);
  }

  /** C1. @returns undefined where there is nothing to do it to. */
  #contentOf(op: Op, view: View): Content | undefined {
    const messageId = this.#world.newId('m') as MessageId;
    const text = `${this.author} says ${messageId}`;
    const of = <T>(choices: readonly T[]): T | undefined => choices[Math.floor(op.roll * choices.length)];
    const turnId = view.turn?.turnId ?? view.turns.at(-1)?.turnId;
    // C5. Another digit of the roll: the choice among them is as even as among all.
    const isOld = view.earlierTurns > 0 && Math.floor(op.roll * 1_000) % 2 === 0;
    const settled = isOld ? of(pastTurns(this.#world.plan.past)) : of(view.turns)?.turnId;
    const waiting = of([...view.queue, ...(view.turn?.steers ?? [])])?.messageId;
    switch (op.kind) {
      case 'message': {
        const place = op.branch ? { after: settled ?? null } : {};
        return { type: 'message', messageId, text, whenBusy: op.whenBusy, merge: op.merge, ...place };
      }
      case 'steer':
        return turnId && { type: 'steer', messageId, text, turnId };
      case 'edit':
        return waiting && { type: 'message-edit', messageId: waiting, text: `${text} (edited)` };
      case 'withdraw':
        return waiting && { type: 'message-withdraw', messageId: waiting };
      case 'order':
        return { type: 'queue-order', messageIds: view.queue.map((item) => item.messageId).toReversed() };
      case 'stop': {
        const partial = op.partial === 'default' ? {} : { partial: op.partial };
        // By the id in a receipt, before its turn has begun.
        const queued = of(view.queue)?.messageId;
        if (queued !== undefined && op.roll >= 0.5)
          return { type: 'stop', turnId: turnIdOf(queued), queue: 'keep', ...partial };
        return turnId && { type: 'stop', turnId, queue: op.queue, ...partial };
      }
      case 'answer': {
        const prompt = of(view.prompts);
        const answer: Answer = ANSWERS[Math.floor(op.roll * 64) % ANSWERS.length] ?? 'deny';
        return (
          prompt && {
            type: 'prompt-answer',
            promptId: prompt.promptId,
            answer: prompt.kind === 'approval' ? answer : text,
          }
        );
      }
      case 'tool-result': {
        const toolId = of(view.turn?.openTools ?? []);
        return toolId && { type: 'tool-result', toolId, ok: op.roll < 0.8, output: text };
      }
      case 'regenerate':
        return settled && { type: 'regenerate', messageId, turnId: settled };
      case 'switch':
        return settled && { type: 'branch-switch', turnId: settled };
      case 'keep': {
        const btwId = this.#world.newId('b') as BtwId;
        const [question, askedAt] = [`${text}?`, view.updatedAt ?? ''];
        return settled && { type: 'btw-keep', btwId, turnId: settled, question, answer: text, agent: 'plain', askedAt };
      }
      case 'set':
        if (op.roll >= 0.8) return { type: 'mark-unread', readSeq: Math.floor(view.seq / 2) };
        return op.roll < 0.4
          ? { type: 'session-set', title: text }
          : { type: 'session-set', pinned: op.roll < 0.6, readSeq: view.seq };
    }
  }
}

const isDrawn = (command: Command): boolean =>
  command.type === 'message' || command.type === 'steer' || command.type === 'regenerate';
