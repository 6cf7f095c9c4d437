/**
 * One side question while it is answered: what the agent says goes to the question's stream, until it ends.
 *
 * 1. It ends once, by whatever comes first: the agent's end, a cancel, nobody reading, the limits, the process's end. Then the
 *    agent's signal is aborted, and whatever it says afterwards goes nowhere.
 * 2. Who reads is in the stream (`btw-join`, `btw-leave`), so readers may come and go on any node.
 * 3. What came at about the same time is one delta; all that came is durable before the end, in one append with it.
 * 4. A stale fence or a deleted stream ends it without a word: somebody else has said the last one.
 * 5. After `ended` it has no timer and no reader.
 */
import type { BtwEnd } from '@holdfast/protocol';
import type { AppendVerdict, Log, StreamName } from '@holdfast/log';
import { checkEnd, checkEvent, endOfThrow } from './agent-fault.ts';
import type { Agent, BtwContext, BtwInput, RunEnd } from './agent.ts';
import { BTW_CONSUMER, decodeBtw, encodeBtw, type BtwEntry } from './btw-stream.ts';
import type { Clock, Timer } from './clock.ts';
import { WINDOW_MS } from './delta-window.ts';

/** A question that nobody has read for so long is cancelled. */
export const ALONE_MS = 10_000;
export const ANSWER_MS_MAX = 120_000;
export const ANSWER_CHARS_MAX: number = 64 * 1024;
const STORE_RETRY_MS = 100;

export type BtwAgent = Agent & Required<Pick<Agent, 'btw'>>;
export const answersBtws = (agent: Agent): agent is BtwAgent => agent.btw !== undefined;

export interface BtwRunOptions {
  readonly log: Log;
  readonly clock: Clock;
  readonly stream: StreamName;
  readonly epoch: number;
  readonly agent: BtwAgent;
  readonly input: BtwInput;
  readonly readBlob: BtwContext['readBlob'];
  /** The agent made an error. */
  readonly onError: (error: unknown) => void;
}

export class BtwRun {
  /** Resolves when nothing of it is left. */
  readonly ended: Promise<void>;
  readonly #options: BtwRunOptions;
  readonly #agent = new AbortController();
  readonly #readers = new Set<string>();
  #alone: Timer | undefined;
  #end: BtwEnd | 'silent' | undefined;
  #text = '';
  #chars = 0;
  #appends = 0;
  #news = Promise.withResolvers<void>();
  #retries = true;

  constructor(options: BtwRunOptions) {
    this.#options = options;
    this.ended = this.#run();
  }

  /** Rule 1. */
  end(end: BtwEnd): void {
    this.#finish(end);
  }

  /** The process ends: a store that does not answer is not asked again. */
  giveUp(): void {
    this.#retries = false;
    this.#finish('silent');
  }

  async #run(): Promise<void> {
    const { log, clock, stream } = this.#options;
    const subscription = log.subscribe(stream, 0);
    const limit = clock.after(ANSWER_MS_MAX, () =>
      this.#finish({ type: 'btw-end', outcome: 'limit', reason: 'The answer took longer than two minutes.' }),
    );
    this.#watchReaders();
    const heard = this.#listen(subscription);
    // An agent that does not heed its signal is left behind.
    void this.#ask();
    try {
      await this.#write();
    } finally {
      limit.cancel();
      this.#finish('silent');
      subscription.cancel();
      await heard;
      this.#alone?.cancel();
    }
  }

  #finish(end: BtwEnd | 'silent'): void {
    if (this.#end !== undefined) return;
    this.#end = end;
    this.#agent.abort();
    this.#news.resolve();
  }

  // ── the agent ───────────────────────────────────────────────────────────────────────────────────────────────────────

  async #ask(): Promise<void> {
    const { agent, input, clock, readBlob, onError } = this.#options;
    try {
      const events = agent.btw(input, { signal: this.#agent.signal, clock, readBlob });
      for (;;) {
        const next = await events.next();
        if (next.done === true) return this.#finish(endOf(checkEnd(next.value)));
        if (this.#end === undefined) this.#take(checkEvent(next.value).text);
        if (this.#end !== undefined) return void (await events.return({ outcome: 'completed' }));
      }
    } catch (error) {
      const { name } = agent;
      const isNews = this.#end === undefined;
      this.#finish(endOf(endOfThrow(error, name)));
      if (isNews) onError(new Error(`The agent "${name}" made an error in a side question.`, { cause: error }));
    }
  }

  #take(text: string): void {
    this.#text += text.slice(0, ANSWER_CHARS_MAX - this.#chars);
    this.#chars += text.length;
    this.#news.resolve();
    if (this.#chars > ANSWER_CHARS_MAX)
      this.#finish({ type: 'btw-end', outcome: 'limit', reason: `The answer has ${ANSWER_CHARS_MAX} characters.` });
  }

  // ── its stream ──────────────────────────────────────────────────────────────────────────────────────────────────────

  /** Rule 3. */
  async #write(): Promise<void> {
    const { clock, log, stream, epoch } = this.#options;
    for (;;) {
      await this.#news.promise;
      this.#news = Promise.withResolvers<void>();
      const end = this.#end;
      if (end === 'silent') return;
      const text: readonly BtwEntry[] = this.#text === '' ? [] : [{ type: 'btw-delta', text: this.#text }];
      this.#text = '';
      const verdict = await this.#append(end === undefined ? text : [...text, end], end !== undefined);
      // Rule 4.
      if (verdict.kind !== 'appended' && verdict.kind !== 'duplicate') return;
      if (end !== undefined)
        return void (await log.consumers.release(stream, BTW_CONSUMER, { epoch, upTo: verdict.last }));
      await clock.sleep(WINDOW_MS, this.#agent.signal);
    }
  }

  async #append(entries: readonly BtwEntry[], close: boolean): Promise<AppendVerdict> {
    const { log, clock, stream, epoch } = this.#options;
    const append = {
      records: entries.map(encodeBtw),
      fence: { consumer: BTW_CONSUMER, epoch },
      // The repeat of an append that arrived is that append.
      producer: { id: BTW_CONSUMER, epoch, seq: this.#appends++ },
      close,
    };
    for (;;) {
      const verdict = await log.append(stream, append);
      if (verdict.kind !== 'unavailable' || !this.#retries) return verdict;
      await clock.sleep(STORE_RETRY_MS);
    }
  }

  /** Rule 2. */
  async #listen(subscription: ReturnType<Log['subscribe']>): Promise<void> {
    for (;;) {
      const delivery = await subscription.next();
      if (delivery.kind !== 'records') return this.#finish('silent');
      for (const record of delivery.records) this.#hear(decodeBtw(record));
      this.#watchReaders();
    }
  }

  #hear(entry: BtwEntry): void {
    if (entry.type === 'btw-join') this.#readers.add(entry.reader);
    if (entry.type === 'btw-leave') this.#readers.delete(entry.reader);
    if (entry.type === 'btw-cancel') this.#finish({ type: 'btw-end', outcome: 'cancelled' });
  }

  #watchReaders(): void {
    if (this.#readers.size > 0 || this.#end !== undefined) {
      this.#alone?.cancel();
      this.#alone = undefined;
    } else
      this.#alone ??= this.#options.clock.after(ALONE_MS, () =>
        this.#finish({ type: 'btw-end', outcome: 'cancelled', reason: 'Nobody read it any more.' }),
      );
  }
}

function endOf(end: RunEnd): BtwEnd {
  switch (end.outcome) {
    case 'completed':
      return { type: 'btw-end', outcome: 'completed' };
    case 'limit':
      return { type: 'btw-end', outcome: 'limit', reason: end.reason };
    case 'failed':
      return { type: 'btw-end', outcome: 'failed', fault: end.fault, reason: end.reason };
    case 'parked':
      return { type: 'btw-end', outcome: 'failed', fault: 'agent-crashed', reason: 'A side question asks nobody.' };
  }
}
