/**
 * One request and its whole answer, as a value.
 *
 * 1. Whatever may be repeated is: a GET, and a command that carries its client id. It is tried again where the fault's advice
 *    says so, at most `TRIES` times and never longer than a person waits (`ADVICE_MS_MAX`); then the fault is the answer.
 * 2. A request that hears nothing for `TIMEOUT_MS`, and for as long as what it sends takes on a slow line, is given up: a half-open
 *    socket is no reason to wait for ever.
 * 3. Closing ends what is under way, with `cancelled`; so does the caller's signal.
 */
import { fault, FaultError, isRetryable, type Fault } from '@holdfast/protocol/fault';

import type { Result } from './api.ts';
import { ask, isSuccess } from './ask.ts';
import { authorized, CANCELLED, onAbort } from './authorize.ts';
import type { Credentials } from './credentials.ts';
import type { Ports } from './ports.ts';
import { faultOfAnswer, NO_GATEWAY } from './problem.ts';
import type { Transport } from './transport.ts';

const TRIES = 4;
const FIRST_PAUSE_MS = 300;
const ADVICE_MS_MAX = 5_000;
const TIMEOUT_MS = 30_000;
/** 128 kbit/s. */
const SLOW_BYTES_PER_MS = 16;

export type Answer = Result<{ readonly status: number; readonly body: unknown }>;

export interface RequestsOptions {
  readonly transport: Transport;
  readonly baseUrl: string;
  readonly credentials: Credentials | undefined;
  readonly ports: Ports;
}

export interface Call {
  readonly json?: unknown;
  readonly bytes?: Uint8Array;
  readonly mediaType?: string;
  readonly headers?: Readonly<Record<string, string>>;
  /** The answer to a second one is the answer to the first (rule 1). */
  readonly repeatable?: boolean;
  /** Rule 3. */
  readonly signal?: AbortSignal | undefined;
}

export class Requests {
  readonly options: RequestsOptions;
  /** What is under way and what is waited for, each as the way to end it. */
  readonly #ends = new Set<() => void>();
  #closed = false;
  pending = 0;

  constructor(options: RequestsOptions) {
    this.options = options;
  }

  get(path: string): Promise<Answer> {
    return this.call('GET', path, { repeatable: true });
  }

  async call(method: string, path: string, call: Call = {}): Promise<Answer> {
    this.pending++;
    try {
      for (let tries = 1; ; tries++) {
        const answer = await this.once(method, path, call);
        if (answer.kind === 'ok' || call.repeatable !== true || tries === TRIES) return answer;
        const pauseMs = this.#pauseMs(answer.fault, tries);
        if (pauseMs === undefined) return answer;
        await this.#pause(pauseMs, call.signal);
      }
    } finally {
      this.pending--;
    }
  }

  /** What is asked for or nothing: its body. @throws FaultError */
  async need<T>(method: string, path: string, call: Call = {}): Promise<T> {
    const answer = await this.call(method, path, { ...call, repeatable: true });
    if (answer.kind === 'fault') throw new FaultError(answer.fault);
    return answer.body as T;
  }

  /** Without trying again. Never rejects. */
  async once(
    method: string,
    path: string,
    { json, bytes, mediaType, headers = {}, signal }: Call = {},
  ): Promise<Answer> {
    if (this.#closed) return { kind: 'fault', fault: CLOSED };
    const { transport, baseUrl, credentials, ports } = this.options;
    const abort = new AbortController();
    const end = (): void => abort.abort();
    const timeout = ports.clock.after(TIMEOUT_MS + (bytes?.length ?? 0) / SLOW_BYTES_PER_MS, end);
    this.#ends.add(end);
    const unlisten = signal && onAbort(signal, end);
    const url = baseUrl + path;
    try {
      const body = json === undefined ? bytes : JSON.stringify(json);
      const type: Call['headers'] = body === undefined ? {} : { 'content-type': mediaType ?? 'application/json' };
      const answer = await authorized(credentials, abort.signal, (authorization) =>
        ask(transport.short, { url, method, headers: { ...headers, ...type, ...authorization }, body }, abort.signal),
      );
      if (!isSuccess(answer.status)) return { kind: 'fault', fault: faultOfAnswer(answer, url) };
      const { status, text } = answer;
      return { kind: 'ok', status, body: text === '' ? undefined : (JSON.parse(text) as unknown) };
    } catch (error) {
      if (signal?.aborted) return { kind: 'fault', fault: CANCELLED };
      return { kind: 'fault', fault: this.#faultOf(error, abort.signal.aborted, url) };
    } finally {
      timeout.cancel();
      unlisten?.();
      this.#ends.delete(end);
    }
  }

  close(): void {
    this.#closed = true;
    for (const end of this.#ends) end();
  }

  #faultOf(error: unknown, aborted: boolean, url: string): Fault {
    if (this.#closed) return CLOSED;
    if (aborted) return fault('idle-timeout', `${url} did not answer in time.`);
    if (error instanceof FaultError) return error.fault;
    return fault('protocol-error', `${NO_GATEWAY(url)} (${String(error)})`);
  }

  /** @returns undefined where another try does not help, or not soon. */
  #pauseMs(why: Fault, tries: number): number | undefined {
    if (!isRetryable(why) || this.#closed) return undefined;
    if (why.retryAfterMs !== undefined) return why.retryAfterMs > ADVICE_MS_MAX ? undefined : why.retryAfterMs;
    return FIRST_PAUSE_MS * 2 ** (tries - 1) * (0.5 + this.options.ports.random() / 2);
  }

  async #pause(ms: number, signal: AbortSignal | undefined): Promise<void> {
    const { promise, resolve } = withResolvers();
    const timer = this.options.ports.clock.after(ms, resolve);
    this.#ends.add(resolve);
    const unlisten = signal && onAbort(signal, resolve);
    await promise;
    timer.cancel();
    unlisten?.();
    this.#ends.delete(resolve);
  }
}

function withResolvers(): { readonly promise: Promise<void>; readonly resolve: () => void } {
  let resolve = (): void => {};
  const promise = new Promise<void>((done) => (resolve = done));
  return { promise, resolve };
}

/** What whoever waits on a client hears when it is closed. */
export const CLOSED: Fault = fault('cancelled', 'The client was closed.');
