/**
 * Performs `settle`: from the end of a stream to the settled turn, against any server that can say how a run stands and hand
 * out a transcript. It trusts neither the server nor the functions that it is given.
 *
 * R1. The token is looked at first: before each call, and after it before its answer is used. Where it is not current nothing
 *     is asked and nothing is written (E6).
 * R2. A transcript is taken only where it holds the run's end and its revision is not below what is shown (E4). A server that
 *     says "ended" before its transcript does counts as `active`, for `LAGS_MAX` answers; then as `missing`.
 * R3. One request and one timer at most, and none after the end.
 * R4. Each call has a time limit, after which its signal is aborted and its answer ignored. A function of the server's
 *     (`status`, `snapshot`) that hangs, throws or returns nonsense counts as `error` and is asked again with back-off; one of
 *     the caller's (`seenRevision`, `restore`, `interrupt`, the token) ends the recovery as `failed`. Both are told (R111).
 */
import { FaultError } from '@holdfast/protocol/fault';

import type { Attachment } from './attachment.ts';
import { systemClock } from './clock.ts';
import type { Clock, Random } from './ports.ts';
import { systemRandom } from './random.ts';
import { RecoveryPace } from './recovery-pace.ts';
import {
  MISSING_MAX,
  SETTLE_IDLE,
  settle,
  type RecoveryEnd,
  type SettleEvent,
  type SettleState,
  type SettleStatus,
} from './settle.ts';

/** How a run stands at its server. */
export type RunStanding = 'active' | 'ended' | 'missing';

export interface SettledTranscript<T> {
  /** Grows with what the transcript holds; unrelated to the clock. */
  readonly revision: number;
  /** Whether it holds the end of the run. */
  readonly terminal: boolean;
  readonly value: T;
}

/**
 * What recovery needs of a server. A rejection means that the standing is not known; one with a `FaultError` that has
 * `retryAfterMs` is not asked again before that time. Both should heed `signal`; an answer that comes after it is ignored.
 */
export interface SettlePort<T> {
  status(signal: AbortSignal): Promise<RunStanding>;
  /** undefined: there is no transcript (yet). */
  snapshot(signal: AbortSignal): Promise<SettledTranscript<T> | undefined>;
}

export interface RecoveryOptions<T> {
  readonly port: SettlePort<T>;
  /** Who owns the view (`Attachments`). Recovery ends as `stale` as soon as it is not current. */
  readonly token: Attachment;
  /** Whether the agent has shown something in this turn: then the first question waits 180 ms. */
  readonly shown: boolean;
  /** Of what is shown now. */
  seenRevision(): number;
  /** Swaps what is shown, in place. Called at most once; a promise is awaited. */
  restore(value: T): unknown;
  /** The run is not to be found: show it as interrupted, with every character that was seen. Called at most once. */
  interrupt(): unknown;
  /** Hears of each call that hung, threw or returned nonsense. */
  onProblem?(problem: RecoveryProblem): void;
  /** Time limit of each call. Default 10,000. */
  readonly callMs?: number;
  /** Shared by all recoveries of one client and server. Default: one of its own. */
  readonly pace?: RecoveryPace;
  readonly clock?: Clock;
  readonly random?: Random;
}

export type RecoveryCall = 'status' | 'snapshot' | 'seenRevision' | 'restore' | 'interrupt' | 'token';

/** A call that did not do what it has to. */
export interface RecoveryProblem {
  readonly call: RecoveryCall;
  /** `invalid`: it returned a value that means nothing. */
  readonly how: 'timeout' | 'threw' | 'invalid';
  /** What was thrown; for the others an error that says what was expected. */
  readonly error: unknown;
}

export interface Recovery {
  readonly state: SettleState;
  /** Resolves with how it ended; never rejects. */
  readonly ended: Promise<RecoveryEnd>;
  /** The last one: the reason where it ended as `failed`. */
  readonly problem: RecoveryProblem | undefined;
  /** The real terminal event came, or the stream is back. */
  terminal(): void;
  /** The network or the person came back: do not sit out a pause. Allowed in every state and as often as one likes. */
  hint(): void;
}

const CALL_MS = 10_000;
/** Half a minute, at the machine's pace. */
const LAGS_MAX = 40;

/**
 * Brings a view whose stream ended in mid-run to the settled run. Nothing is shown, cleared or replaced before there is an
 * answer, and nothing after another attachment has taken the view.
 *
 * @example Against a server that is not Holdfast:
 * ```ts
 * const attachments = new Attachments();
 * const recovery = startRecovery<Chat>({
 *   port: {
 *     async status(signal) {
 *       const response = await fetch(`/api/runs/${runId}`, { signal });
 *       if (response.status === 404) return 'missing';
 *       if (!response.ok) throw new Error(`HTTP ${response.status}`);
 *       return (await response.json()).done ? 'ended' : 'active';
 *     },
 *     async snapshot(signal) {
 *       const chat = await (await fetch(`/api/chats/${chatId}`, { signal })).json();
 *       return { revision: chat.version, terminal: chat.lastRun === runId && chat.idle, value: chat };
 *     },
 *   },
 *   token: attachments.attach(chatId, runId),
 *   shown: answer.text !== '',
 *   seenRevision: () => view.version,
 *   restore: (chat) => view.replace(chat),
 *   interrupt: () => view.markInterrupted(runId),
 *   onProblem: ({ call, how, error }) => console.warn(`recovery: ${call} ${how}`, error),
 * });
 * addEventListener('online', () => recovery.hint());
 * if ((await recovery.ended) === 'failed') console.error(recovery.problem);
 * ```
 * @throws RangeError where `callMs` is not a positive number.
 */
export function startRecovery<T>(options: RecoveryOptions<T>): Recovery {
  const { callMs = CALL_MS } = options;
  if (!(callMs > 0)) throw new RangeError(`callMs is ${callMs}. It is a time limit in milliseconds, above 0.`);
  return new RunRecovery(options, callMs);
}

type Answered = Omit<Extract<SettleEvent, { kind: 'answered' }>, 'kind' | 'roll'>;

const STALE: Answered = { status: 'stale' };
const FAILED: Answered = { status: 'failed' };

type Result<V> = { readonly kind: 'value'; readonly value: V } | Failure;
type Failure = { readonly kind: 'problem'; readonly answer: Answered };

/** Its answer is ignored, whatever it is. */
const GIVEN_UP: Failure = { kind: 'problem', answer: STALE };

class RunRecovery<T> implements Recovery {
  readonly #options: RecoveryOptions<T>;
  readonly #callMs: number;
  readonly #clock: Clock;
  readonly #pace: RecoveryPace;
  readonly ended: Promise<RecoveryEnd>;
  #tellEnd: (how: RecoveryEnd) => void = () => {};
  #lags = 0;
  /** `restore` or `interrupt` is under way. */
  #writes = false;
  /** Ends what the state owns (S6). */
  #disown: () => void = () => {};
  state: SettleState = SETTLE_IDLE;
  problem: RecoveryProblem | undefined;

  constructor(options: RecoveryOptions<T>, callMs: number) {
    this.#options = options;
    this.#callMs = callMs;
    this.#clock = options.clock ?? systemClock;
    this.#pace = options.pace ?? new RecoveryPace(this.#clock);
    this.ended = new Promise((resolve) => (this.#tellEnd = resolve));
    this.#post({ kind: 'stream-end', shown: options.shown });
  }

  terminal(): void {
    this.#post({ kind: 'terminal' });
  }

  hint(): void {
    if (this.#writes) return; // It would be written twice.
    this.#pace.hint();
    this.#post({ kind: 'hint' });
  }

  #post(event: SettleEvent): void {
    const next = settle(this.state, event);
    if (next === this.state) return;
    const disown = this.#disown;
    this.#disown = () => {};
    this.state = next;
    disown();
    if (next.kind === 'ended') return this.#tellEnd(next.how);
    const own = next.kind === 'waiting' ? this.#wait(next.delayMs) : this.#ask();
    // A port function that calls back at once may have changed the state already.
    if (this.state === next) this.#disown = own;
    else own();
  }

  #wait(delayMs: number): () => void {
    const timer = this.#clock.after(delayMs, () => this.#post({ kind: 'due' }));
    return () => timer.cancel();
  }

  #ask(): () => void {
    const abort = new AbortController();
    const leave = this.#pace.enter(() => {
      const answer = this.#attempt(abort.signal).catch((error: unknown) => this.#threw('snapshot', error));
      void answer.then((it) => this.#answered(it, abort.signal));
    });
    return () => {
      abort.abort();
      leave();
    };
  }

  /** The answer to a question that was given up is ignored (R3). */
  #answered(answer: Answered, signal: AbortSignal): void {
    if (signal.aborted) return;
    const roll = rollOf(this.#options.random ?? systemRandom);
    if (answer.status === 'error') this.#pace.failed(roll, answer.adviceMs);
    else if (answer.status !== 'stale' && answer.status !== 'failed') this.#pace.passed();
    this.#post({ kind: 'answered', ...answer, roll });
  }

  async #attempt(signal: AbortSignal): Promise<Answered> {
    const { port } = this.#options;
    const before = this.#disowned(); // R1
    if (before !== undefined) return before;
    const standing = await this.#call('status', signal, (own) => port.status(own), readStanding);
    const lost = this.#disowned();
    if (lost !== undefined) return lost;
    if (standing.kind === 'problem') return standing.answer;
    if (standing.value === 'missing') return this.#missing(signal);
    if (standing.value === 'active') return { status: 'active' };
    return this.#take(signal);
  }

  async #take(signal: AbortSignal): Promise<Answered> {
    const { port } = this.#options;
    const read = await this.#call(
      'snapshot',
      signal,
      (own) => port.snapshot(own),
      (it) => readTranscript<T>(it),
    );
    const lost = this.#disowned();
    if (lost !== undefined) return lost;
    if (read.kind === 'problem') return read.answer;
    const transcript = read.value;
    if (transcript?.terminal !== true) return this.#lag(signal);
    const seen = this.#seenRevision();
    if (seen.kind === 'problem') return seen.answer;
    if (transcript.revision < seen.value) return this.#lag(signal);
    return this.#write('restore', signal, 'restored', () => this.#options.restore(transcript.value));
  }

  /** R2. */
  #lag(signal: AbortSignal): Answered | Promise<Answered> {
    return ++this.#lags <= LAGS_MAX ? { status: 'active' } : this.#missing(signal);
  }

  /** S3: the tenth in a row is shown before it counts. */
  async #missing(signal: AbortSignal): Promise<Answered> {
    const { state } = this;
    const isLast = state.kind === 'asking' && state.counts.missings + 1 === MISSING_MAX;
    if (!isLast) return { status: 'missing' };
    return this.#write('interrupt', signal, 'missing', () => this.#options.interrupt());
  }

  async #write(
    call: 'restore' | 'interrupt',
    signal: AbortSignal,
    status: SettleStatus,
    run: () => unknown,
  ): Promise<Answered> {
    this.#writes = !signal.aborted;
    const done = await this.#call(call, signal, run, (value) => value);
    this.#writes = false;
    return done.kind === 'problem' ? done.answer : { status };
  }

  /** Why nothing may be asked or written, if so (R1). */
  #disowned(): Answered | undefined {
    try {
      return this.#options.token.isCurrent ? undefined : STALE;
    } catch (error) {
      return this.#threw('token', error);
    }
  }

  #seenRevision(): Result<number> {
    try {
      const value: unknown = this.#options.seenRevision();
      if (isRevision(value)) return { kind: 'value', value };
      throw new InvalidAnswer(value, 'a number');
    } catch (error) {
      return { kind: 'problem', answer: this.#threw('seenRevision', error) };
    }
  }

  /** R4. Ends with its answer, at its time limit, or where `whole` is aborted: before that, nothing is called at all. */
  #call<V>(
    call: RecoveryCall,
    whole: AbortSignal,
    run: (signal: AbortSignal) => unknown,
    read: (value: unknown) => V,
  ): Promise<Result<V>> {
    if (whole.aborted) return Promise.resolve(GIVEN_UP);
    const own = new AbortController();
    return new Promise((resolve) => {
      const end = (result: Result<V>): void => {
        timer.cancel();
        whole.removeEventListener('abort', giveUp);
        resolve(result);
      };
      const giveUp = (): void => {
        end(GIVEN_UP);
        own.abort();
      };
      const timer = this.#clock.after(this.#callMs, () => {
        const error = new Error(`${call} has not answered in ${this.#callMs} ms.`);
        end({ kind: 'problem', answer: this.#fail({ call, how: 'timeout', error }) });
        own.abort();
      });
      whole.addEventListener('abort', giveUp);
      void (async () => read(await run(own.signal)))().then(
        (value) => end({ kind: 'value', value }),
        (error: unknown) => {
          // What was given up, or has reached its limit, fails late, if at all.
          if (!own.signal.aborted) end({ kind: 'problem', answer: this.#threw(call, error) });
        },
      );
    });
  }

  #threw(call: RecoveryCall, error: unknown): Answered {
    return this.#fail({ call, how: error instanceof InvalidAnswer ? 'invalid' : 'threw', error });
  }

  #fail(problem: RecoveryProblem): Answered {
    this.problem = problem;
    try {
      this.#options.onProblem?.(problem);
    } catch (error) {
      console.error(error);
    }
    if (problem.call !== 'status' && problem.call !== 'snapshot') return FAILED;
    const adviceMs = adviceOf(problem.error);
    return adviceMs === undefined ? { status: 'error' } : { status: 'error', adviceMs };
  }
}

class InvalidAnswer extends TypeError {
  constructor(value: unknown, expected: string) {
    super(`It returned ${textOf(value)}. Expected: ${expected}.`);
  }
}

/** @throws InvalidAnswer */
function readStanding(value: unknown): RunStanding {
  if (value === 'active' || value === 'ended' || value === 'missing') return value;
  throw new InvalidAnswer(value, "'active', 'ended' or 'missing'");
}

/** @throws InvalidAnswer */
function readTranscript<T>(value: unknown): SettledTranscript<T> | undefined {
  if (value === undefined) return undefined;
  const { revision, terminal } = (value ?? {}) as Partial<SettledTranscript<T>>;
  if (isRevision(revision) && typeof terminal === 'boolean') return value as SettledTranscript<T>;
  throw new InvalidAnswer(value, 'undefined, or { revision: number, terminal: boolean, value }');
}

const isRevision = (value: unknown): value is number => typeof value === 'number' && !Number.isNaN(value);

function adviceOf(error: unknown): number | undefined {
  const ms = error instanceof FaultError ? error.fault.retryAfterMs : undefined;
  return ms !== undefined && ms >= 0 ? ms : undefined;
}

/** Outside of [0, 1) it would make pauses negative, endless or none. */
function rollOf(random: Random): number {
  try {
    const roll = random();
    return roll >= 0 && roll < 1 ? roll : 0.5;
  } catch {
    return 0.5;
  }
}

/** For an error's text; `String` of an object without a prototype throws. */
function textOf(value: unknown): string {
  try {
    return JSON.stringify(value) ?? typeof value;
  } catch {
    return typeof value;
  }
}
