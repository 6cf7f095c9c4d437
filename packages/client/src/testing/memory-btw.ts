/**
 * Side questions of a session in memory: asked once for a client id, streamed, cancelled, kept.
 *
 * 1. One that nobody reads is not cancelled: this gateway has no clock.
 */
import type { BtwEnd, BtwEvent, BtwOutcome } from '@holdfast/protocol/btw';
import { fault } from '@holdfast/protocol/fault';
import type { BtwId, ClientId } from '@holdfast/protocol/ids';

import { json, refuse, SUBJECT, type Answer } from './memory-answers.ts';
import type { MemoryLog } from './memory-log.ts';
import type { Stream } from './memory-stream.ts';

/** What is answered to a side question. Each `await` in it is a pause of the stream. */
export type BtwScript = (question: string) => string | AsyncIterable<string>;

export class MemoryBtws {
  readonly #log: MemoryLog;
  readonly #script: BtwScript;
  readonly #byId = new Map<string, MemoryBtw>();

  constructor(log: MemoryLog, script: BtwScript) {
    this.#log = log;
    this.#script = script;
  }

  ask(clientId: ClientId, question: string): Answer {
    const { view } = this.#log;
    const turnId = view.turn?.turnId ?? view.leaf;
    if (turnId === null) return refuse(fault('turn-not-found', 'The session has no turn yet to ask about.'));
    const btwId = `b_${clientId}` as BtwId;
    const known = this.#byId.get(btwId);
    const btw =
      known ??
      new MemoryBtw({ type: 'btw-start', btwId, author: SUBJECT, question, agent: 'script', turnId }, this.#script);
    this.#byId.set(btwId, btw);
    return { kind: 'stream', start: (stream) => btw.tell(stream, 0) };
  }

  route(method: string, id: string, verb: string, after: string | null): Answer {
    const btw = this.#byId.get(id);
    if (btw === undefined) return refuse(fault('btw-not-found', `There is no side question ${id}.`));
    if (method === 'GET') return btw.read(Number.parseInt(after ?? '0', 10));
    if (method === 'DELETE') {
      const { outcome } = btw;
      btw.end({ type: 'btw-end', outcome: 'cancelled' });
      return json(200, { btwId: id, result: outcome === undefined ? 'cancelling' : 'already-ended', outcome });
    }
    return verb === 'keep' ? this.#keep(btw) : refuse(fault('route-not-found', `There is no ${method} of btw here.`));
  }

  #keep({ start, outcome, text }: MemoryBtw): Answer {
    const { btwId, question, agent, turnId } = start;
    if (outcome !== 'completed')
      return refuse(fault('btw-unfinished', 'It has no whole answer.', { facts: { state: outcome ?? 'running' } }));
    const { seq, duplicate } = this.#log.submit({
      type: 'btw-keep',
      clientId: `keep:${btwId}` as ClientId,
      author: SUBJECT,
      btwId,
      turnId,
      question,
      answer: text,
      agent,
      askedAt: this.#log.view.updatedAt ?? '',
    });
    return json(200, { btwId, result: 'kept', seq, duplicate });
  }
}

class MemoryBtw {
  readonly start: Extract<BtwEvent, { type: 'btw-start' }>;
  readonly #events: BtwEvent[];
  readonly #streams = new Set<Stream>();
  outcome: BtwOutcome | undefined;

  constructor(start: MemoryBtw['start'], script: BtwScript) {
    this.start = start;
    this.#events = [start];
    void this.#answer(script(start.question));
  }

  get text(): string {
    return this.#events.map((event) => (event.type === 'btw-delta' ? event.text : '')).join('');
  }

  read(after: number): Answer {
    if (this.outcome !== undefined && after >= this.#events.length) return json(204, undefined);
    return { kind: 'stream', start: (stream) => this.tell(stream, after) };
  }

  tell(stream: Stream, after: number): void {
    for (let at = after; at < this.#events.length; at += 1) this.#frame(stream, at);
    if (this.outcome !== undefined) return stream.complete();
    this.#streams.add(stream);
    stream.ended(() => this.#streams.delete(stream));
  }

  end(end: BtwEnd): void {
    if (this.outcome !== undefined) return;
    this.outcome = end.outcome;
    this.#append(end);
    for (const stream of this.#streams) stream.complete();
  }

  async #answer(script: string | AsyncIterable<string>): Promise<void> {
    for await (const text of typeof script === 'string' ? [script] : script) {
      if (this.outcome !== undefined) return;
      this.#append({ type: 'btw-delta', text });
    }
    this.end({ type: 'btw-end', outcome: 'completed' });
  }

  #append(event: BtwEvent): void {
    this.#events.push(event);
    for (const stream of this.#streams) this.#frame(stream, this.#events.length - 1);
  }

  #frame(stream: Stream, at: number): void {
    const event = this.#events[at];
    if (event !== undefined) stream.frame(event.type, event, `${at + 1}.00000000`);
  }
}
