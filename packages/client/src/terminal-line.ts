/**
 * What the two directions of one terminal share: its requests, its pauses and its one end.
 */
import { fault, isRetryable, type Fault } from '@holdfast/protocol/fault';

import { backoffMs } from './backoff.ts';
import type { Credentials } from './credentials.ts';
import type { Ports } from './ports.ts';
import { Requests } from './requests.ts';
import type { Transport } from './transport.ts';

export interface LineOptions {
  readonly baseUrl: string;
  readonly transport: Transport;
  readonly credentials?: Credentials;
  readonly ports: Ports;
}

const BASE_MS = 250;
const CAP_MS = 10_000;
/** Of answers in a row that another node has it. */
const ELSEWHERE_MAX = 20;

export class TerminalLine {
  readonly path: string;
  readonly requests: Requests;
  readonly options: LineOptions;
  readonly #end = new AbortController();
  #over: Fault | undefined;

  constructor(terminalId: string, options: LineOptions) {
    this.path = `/v1/terminals/${encodeURIComponent(terminalId)}`;
    this.options = options;
    this.requests = new Requests({ credentials: undefined, ...options });
  }

  /** Aborts at the end. */
  get signal(): AbortSignal {
    return this.#end.signal;
  }

  /** Why there is no more to do. */
  get over(): Fault | undefined {
    return this.#over;
  }

  /** The first one counts. */
  finish(why: Fault): void {
    if (this.#over !== undefined) return;
    this.#over = why;
    this.requests.close();
    this.#end.abort();
  }

  /**
   * Waits until it is worth another try. A sign of life ends the wait.
   *
   * @returns what makes another try useless, where something does
   */
  async retry(why: Fault, failures: number): Promise<Fault | undefined> {
    const isLost = why.kind === 'terminal-elsewhere' && failures >= ELSEWHERE_MAX;
    if (this.#over !== undefined || isLost || !isRetryable(why)) return this.#over ?? why;
    const { random } = this.options.ports;
    await this.#pause(Math.max(why.retryAfterMs ?? 0, random() * backoffMs(failures, BASE_MS, CAP_MS)));
    return this.#over;
  }

  #pause(delayMs: number): Promise<void> {
    const { clock, lifecycle } = this.options.ports;
    return new Promise((resolve) => {
      const end = (): void => {
        timer.cancel();
        unsubscribe();
        this.signal.removeEventListener('abort', end);
        resolve();
      };
      const timer = clock.after(delayMs, end);
      const unsubscribe = lifecycle.subscribe((hint) => {
        if (hint === 'online' || hint === 'visible') end();
      });
      this.signal.addEventListener('abort', end);
    });
  }
}

export const LEFT: Fault = /* @__PURE__ */ fault('cancelled', 'The terminal was left.');
