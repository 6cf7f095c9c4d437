/**
 * Side questions: about a running conversation, answered on a connection of their own (C1–C3).
 *
 *   const btws = new BtwClient({ baseUrl, credentials });
 *   const btw = btws.ask(sessionId, 'Why that way?');
 *   for await (const text of btw) process.stdout.write(text);
 *   await btw.keep();
 *
 * A `BtwClient` is one view's: a panel, a prompt. It is apart from `createClient`, so that who asks no questions loads nothing of it.
 *
 * 1. One question at a time: asking another cancels the one before, and `close` whatever is left.
 * 2. Each attempt has its own connection, in the task that reads it (B1). One that broke is followed by another, from the last
 *    cursor; with one client id for all of them, so the question is asked once (C3: a 401 is survived as in A10).
 * 3. A cancel is told to the gateway: at once, or as soon as the question's name is known. It is over here at once.
 * 4. After the end of a question nothing of it is left but its state.
 */
import type { BtwEvent, BtwOutcome } from '@holdfast/protocol/btw';
import { fault, FaultError, type Fault } from '@holdfast/protocol/fault';
import type { BtwId } from '@holdfast/protocol/ids';
import type { Goodbye } from '@holdfast/protocol/sse';
import type { SseEvent } from '@holdfast/protocol/sse-decode';

import type { Readable, Result } from './api.ts';
import { outcomeOf, startAttempt, type Attempt, type AttemptOptions, type Outcome } from './attempt.ts';
import { backoffMs } from './backoff.ts';
import { Cell } from './cell.ts';
import { systemClock } from './clock.ts';
import { createCredentials, type Credentials } from './credentials.ts';
import { fetchTransport } from './fetch-wire.ts';
import { pageFrames, type Frames } from './frames.ts';
import { silentLifecycle } from './lifecycle.ts';
import { newId } from './new-id.ts';
import { faultOfGoodbye } from './places.ts';
import type { Clock, Random } from './ports.ts';
import { systemRandom } from './random.ts';
import { CLOSED, Requests } from './requests.ts';
import type { Transport } from './transport.ts';

export interface BtwClientOptions {
  readonly baseUrl: string;
  readonly token?: string;
  /** Instead of `token`: those of the client beside it, so that both renew once. */
  readonly credentials?: Credentials;
  /** The platform's by default, as for `createClient`. It is this client's and ends with it. */
  readonly transport?: Transport;
  readonly ports?: { readonly clock?: Clock; readonly random?: Random; readonly frames?: Frames };
  /** A listener of yours threw. */
  readonly onError?: (error: unknown) => void;
}

export interface BtwState {
  readonly question: string;
  /** The answer so far. */
  readonly text: string;
  /** `refused`: the gateway does not take it, or it could not be reached any more. The others are the gateway's. */
  readonly status: 'asking' | 'answering' | 'refused' | BtwOutcome;
  /** Why it was `refused` or has `failed`, in the gateway's words where it said some. */
  readonly fault: Fault | undefined;
  readonly kept: boolean;
}

/** A question. Iterating gives the answer piece by piece; leaving the loop cancels it. */
export interface Btw extends AsyncIterable<string> {
  readonly store: Readable<BtwState>;
  /** The whole answer. @throws FaultError where there is none. */
  text(): Promise<string>;
  /** Idempotent; nothing is told afterwards. */
  cancel(): void;
  /** Puts question and answer into the transcript, once, however often it is called. Not before the answer is whole. */
  keep(): Promise<Result<object>>;
}

const FIRST_PAUSE_MS = 500;
const PAUSE_MS_MAX = 5_000;
/** Failures in a row. The gateway cancels what nobody has read for ten seconds. */
const TRIES = 6;

interface Context {
  readonly transport: Transport;
  readonly baseUrl: string;
  readonly credentials: Credentials | undefined;
  readonly clock: Clock;
  readonly random: Random;
  readonly frames: Frames;
  readonly requests: Requests;
  readonly onError: (error: unknown) => void;
}

export class BtwClient {
  readonly #context: Context;
  #current: Question | undefined;
  #isClosed = false;
  readonly #running = new Set<Question>();

  constructor(options: BtwClientOptions) {
    const { token, transport = fetchTransport(), ports = {}, onError = console.error } = options;
    const { clock = systemClock, random = systemRandom } = ports;
    const credentials = options.credentials ?? (token === undefined ? undefined : createCredentials({ token }));
    const baseUrl = options.baseUrl.replace(/\/+$/, '');
    const frames = ports.frames ?? pageFrames(clock);
    const requests = new Requests({
      transport,
      baseUrl,
      credentials,
      ports: { clock, random, lifecycle: silentLifecycle },
    });
    this.#context = { transport, baseUrl, credentials, clock, random, frames, requests, onError };
  }

  /** Rule 1. */
  ask(sessionId: string, question: string): Btw {
    this.#current?.cancel();
    const asked = new Question(this.#context, sessionId, question, this.#isClosed);
    this.#current = asked;
    this.#running.add(asked);
    void asked.ended.finally(() => this.#running.delete(asked));
    return asked;
  }

  /** Resolves when nothing is left: a question that runs is cancelled, and the gateway told. */
  async close(): Promise<void> {
    this.#isClosed = true;
    this.#current?.cancel();
    await Promise.all([...this.#running].map((asked) => asked.ended));
    this.#context.requests.close();
    this.#context.transport.close();
  }
}

class Question implements Btw {
  readonly ended: Promise<void>;
  readonly #context: Context;
  readonly #path: string;
  readonly #clientId = newId('q');
  readonly #cell: Cell<BtwState>;
  #attempt: Attempt | undefined;
  #state: BtwState;
  #btwId: BtwId | undefined;
  #cursor: string | undefined;
  #failures = 0;
  #tellNews: () => void = () => {};
  #news = this.#nextNews();
  #endPause: () => void = () => {};

  constructor(context: Context, sessionId: string, question: string, isClosed: boolean) {
    this.#context = context;
    this.#path = `/v1/sessions/${encodeURIComponent(sessionId)}/btw`;
    const standing = isClosed ? ({ status: 'refused', fault: CLOSED } as const) : ASKING;
    this.#state = { question, text: '', kept: false, ...standing };
    const { frames, onError } = context;
    this.#cell = new Cell({ frames, onError, build: () => this.#state });
    this.ended = this.#run();
  }

  get store(): Readable<BtwState> {
    return this.#cell;
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<string, undefined> {
    let told = 0;
    try {
      for (;;) {
        const news = this.#news;
        const { text } = this.#state;
        if (text.length > told) {
          yield text.slice(told);
          told = text.length;
        } else if (this.#isOver) return;
        else await news;
      }
    } finally {
      this.cancel();
    }
  }

  async text(): Promise<string> {
    while (!this.#isOver) await this.#news;
    const { status, text, fault: why } = this.#state;
    if (status === 'completed' || status === 'limit') return text;
    throw new FaultError(why ?? fault('cancelled', `The side question ended ${status}.`));
  }

  cancel(): void {
    if (this.#isOver) return;
    this.#set({ status: 'cancelled' });
    // Rule 3: one whose name is not known yet is read up to it.
    if (this.#btwId !== undefined) this.#attempt?.end();
    this.#endPause();
  }

  async keep(): Promise<Result<object>> {
    if (this.#btwId === undefined) return { kind: 'fault', fault: UNFINISHED };
    const path = `${this.#path}/${this.#btwId}/keep`;
    const answer = await this.#context.requests.call('POST', path, { repeatable: true });
    if (answer.kind === 'fault') return answer;
    this.#set({ kept: true });
    return { kind: 'ok' };
  }

  get #isOver(): boolean {
    return this.#state.status !== 'asking' && this.#state.status !== 'answering';
  }

  #set(change: Partial<BtwState>): void {
    this.#state = { ...this.#state, ...change };
    this.#cell.touch();
    this.#tellNews();
    this.#news = this.#nextNews();
  }

  #nextNews(): Promise<void> {
    return new Promise((resolve) => (this.#tellNews = resolve));
  }

  // ── the task ────────────────────────────────────────────────────────────────────────────────────────────────────────

  async #run(): Promise<void> {
    while (!this.#isOver) {
      this.#attempt = this.#start();
      const outcome = await this.#attempt.outcome;
      if (this.#isOver) break;
      const why = outcome.kind === 'drained' ? GONE : outcome.fault;
      this.#failures += 1;
      // Somebody who waits for one of their own questions is told so.
      if (outcome.kind !== 'retryable' || why.kind === 'too-many-btws' || this.#failures === TRIES)
        this.#set({ status: 'refused', fault: why });
      else await this.#pause(why.retryAfterMs ?? this.#pauseMs());
    }
    if (this.#state.status === 'cancelled') await this.#tellCancel();
  }

  /** Rule 2. */
  #start(): Attempt {
    const { transport, baseUrl, credentials, clock } = this.#context;
    return startAttempt({
      transport,
      baseUrl,
      credentials,
      clock,
      request: this.#request(),
      opened: () => {},
      receive: (event) => this.#take(event),
    });
  }

  #request(): AttemptOptions['request'] {
    if (this.#btwId !== undefined) return { path: `${this.#path}/${this.#btwId}?after=${this.#cursor}`, method: 'GET' };
    const body = { question: this.#state.question, clientId: this.#clientId };
    return { path: this.#path, method: 'POST', body: JSON.stringify(body) };
  }

  /** @returns why to end the attempt, if so. */
  #take({ id, event, data }: SseEvent): Outcome | undefined {
    if (event === 'goodbye') return outcomeOf(faultOfGoodbye(JSON.parse(data) as Goodbye));
    if (id === undefined || !event.startsWith('btw-')) return undefined;
    this.#cursor = id;
    this.#failures = 0;
    const told = JSON.parse(data) as BtwEvent;
    if (told.type === 'btw-start') this.#btwId = told.btwId;
    if (this.#isOver) return DRAINED;
    if (told.type === 'btw-start') this.#set({ status: 'answering' });
    if (told.type === 'btw-delta') this.#set({ text: this.#state.text + told.text });
    if (told.type !== 'btw-end') return undefined;
    const { outcome, reason, fault: kind } = told;
    this.#set({ status: outcome, fault: kind === undefined ? undefined : fault(kind, reason ?? kind) });
    return DRAINED;
  }

  /** Rule 3. What does not get through, the gateway finds out by itself. */
  async #tellCancel(): Promise<void> {
    if (this.#btwId !== undefined)
      await this.#context.requests.call('DELETE', `${this.#path}/${this.#btwId}`, { repeatable: true });
  }

  #pauseMs(): number {
    return backoffMs(this.#failures - 1, FIRST_PAUSE_MS, PAUSE_MS_MAX) * (0.5 + this.#context.random() / 2);
  }

  #pause(ms: number): Promise<void> {
    return new Promise((resolve) => {
      const timer = this.#context.clock.after(ms, resolve);
      this.#endPause = () => {
        timer.cancel();
        resolve();
      };
    });
  }
}

const ASKING = { status: 'asking', fault: undefined } as const;
const DRAINED: Outcome = { kind: 'drained' };
const UNFINISHED = fault('btw-unfinished', 'There is no answer yet. Keep it when it is whole.');
const GONE = fault('btw-not-found', 'The gateway has nothing more of this side question.');
