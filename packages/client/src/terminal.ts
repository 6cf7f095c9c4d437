/**
 * Terminals (C4): a process on a pty of the gateway, read and typed to over connections that may break at any byte.
 *
 *   const terminals = new TerminalClient({ baseUrl, transport, credentials });
 *   const terminal = await terminals.open({ cols: 80, rows: 24 });
 *   void terminal.write('ls\n');
 *   for await (const { offset, bytes } of terminal) screen.write(bytes);
 *   console.log(await terminal.exit);
 *
 * T1. The iterator yields each byte of the output once, in order, from the offset on at which it began; or it throws. After a lost
 *     connection it goes on at its own offset, of the same process. (`terminal-output.ts`)
 * T2. Who does not ask for the next chunk stops the stream, the stream stops the gateway, the gateway stops the process.
 * T3. What is written is typed once and in order. (`terminal-input.ts`)
 * T4. `detach`, `close` and a `break` out of the iterator end everything: stream, pauses, requests.
 */
import { fault, FaultError } from '@holdfast/protocol/fault';
import type { TerminalExit, TerminalSize, TerminalStatus } from '@holdfast/protocol/terminal';

import { systemClock } from './clock.ts';
import type { Credentials } from './credentials.ts';
import { pageLifecycle } from './lifecycle.ts';
import { newId } from './new-id.ts';
import type { Ports } from './ports.ts';
import { systemRandom } from './random.ts';
import { Requests } from './requests.ts';
import { TerminalInput } from './terminal-input.ts';
import { LEFT, TerminalLine, type LineOptions } from './terminal-line.ts';
import { TerminalOutput, type Place } from './terminal-output.ts';
import type { Transport } from './transport.ts';

export interface TerminalClientOptions {
  /** Of the gateway, with its path prefix if it has one. */
  readonly baseUrl: string;
  /** Its owner's to close, after the terminals. */
  readonly transport: Transport;
  readonly credentials?: Credentials;
  readonly ports?: Partial<Ports>;
}

export interface OpenTerminalOptions extends Partial<TerminalSize> {
  /** A program and its arguments. The gateway's shell by default. */
  readonly command?: readonly string[];
}

export interface TerminalChunk {
  /** Of its first byte, counted from the first one of the terminal. */
  readonly offset: number;
  readonly bytes: Uint8Array;
}

export interface Terminal extends AsyncIterable<TerminalChunk> {
  readonly terminalId: string;
  /** Of the next byte that the iterator yields. */
  readonly offset: number;
  /**
   * How the process ended: settles with the iterator.
   *
   * Rejects with a `FaultError` where the terminal was lost (`terminal-not-found`), taken over (`terminal-taken`) or left (`cancelled`).
   */
  readonly exit: Promise<TerminalExit>;
  /**
   * Resolves when the gateway has typed it. To one that was attached it is typed once the iterator has begun. Of what was under way when
   * the process ended nobody knows whether it was read.
   *
   * @throws FaultError `rate-limited` where 1 MiB waits, `terminal-ended`, `terminal-taken`, `cancelled`
   */
  write(data: string | Uint8Array): Promise<void>;
  /** @throws FaultError */
  resize(size: TerminalSize): Promise<void>;
  /** Leaves it running: `attach` finds it again, for as long as the gateway keeps it. */
  detach(): void;
  /** Hangs up. Resolves when the gateway knows, or cannot be reached. Never rejects. */
  close(): Promise<void>;
}

export class TerminalClient {
  readonly #options: LineOptions;

  constructor({ ports, ...options }: TerminalClientOptions) {
    const own = { clock: systemClock, random: systemRandom, lifecycle: pageLifecycle() };
    this.#options = { ...options, ports: { ...own, ...ports } };
  }

  /** @throws FaultError `terminals-off`, `too-many-terminals`, `forbidden` … */
  async open({ command, cols, rows }: OpenTerminalOptions = {}): Promise<Terminal> {
    const json = { clientId: newId('c'), command, cols, rows };
    const { terminalId, reader } = await this.#need<TerminalStatus>('POST', json);
    return new RemoteTerminal(terminalId, { offset: 0, reader }, this.#options);
  }

  /** Takes a terminal over, from an offset or from the first byte that is still there. */
  attach(terminalId: string, offset?: number): Terminal {
    return new RemoteTerminal(terminalId, offset === undefined ? {} : { offset }, this.#options);
  }

  /** One's own, on the node that answers. @throws FaultError */
  async list(): Promise<readonly TerminalStatus[]> {
    return (await this.#need<{ readonly terminals: readonly TerminalStatus[] }>('GET')).terminals;
  }

  async #need<T>(method: string, json?: unknown): Promise<T> {
    const requests = new Requests({ credentials: undefined, ...this.#options });
    try {
      return await requests.need<T>(method, '/v1/terminals', json === undefined ? {} : { json });
    } finally {
      requests.close();
    }
  }
}

class RemoteTerminal implements Terminal {
  readonly terminalId: string;
  readonly exit: Promise<TerminalExit>;
  readonly #line: TerminalLine;
  readonly #input: TerminalInput;
  readonly #output: TerminalOutput;
  #tellExit: (exit: TerminalExit) => void = () => {};
  /** A reader may resize, and has no number before its first stream. */
  readonly #begun: Promise<void>;
  #isIterated = false;

  constructor(terminalId: string, place: Place, options: LineOptions) {
    this.terminalId = terminalId;
    this.#line = new TerminalLine(terminalId, options);
    this.#input = new TerminalInput(this.#line);
    let begin = (_reader: number, _inputEnd: number): void => {};
    this.#begun = new Promise((resolve) => {
      begin = (reader, inputEnd) => {
        this.#input.begin(reader, inputEnd);
        resolve();
      };
      this.#line.signal.addEventListener('abort', () => resolve());
    });
    this.#output = new TerminalOutput(this.#line, place, begin);
    if (place.reader !== undefined) begin(place.reader, 0);
    this.exit = new Promise((resolve, reject) => {
      this.#tellExit = resolve;
      this.#line.signal.addEventListener('abort', () => reject(new FaultError(this.#line.over ?? LEFT)));
    });
    this.exit.catch(() => {});
  }

  get offset(): number {
    return this.#output.offset;
  }

  [Symbol.asyncIterator](): AsyncIterator<TerminalChunk, undefined> {
    if (this.#isIterated) throw new TypeError('A terminal has one iterator.');
    this.#isIterated = true;
    const chunks = this.#chunks();
    return {
      next: () => chunks.next(),
      // A generator that waits would hear of its return only afterwards.
      return: () => {
        this.detach();
        return chunks.return(undefined);
      },
    };
  }

  write(data: string | Uint8Array): Promise<void> {
    return this.#input.write(typeof data === 'string' ? new TextEncoder().encode(data) : data);
  }

  async resize({ cols, rows }: TerminalSize): Promise<void> {
    await this.#begun;
    const json = { reader: this.#output.reader, cols, rows };
    await this.#line.requests.need('POST', `${this.#line.path}/resize`, { json });
  }

  detach(): void {
    this.#line.finish(LEFT);
  }

  async close(): Promise<void> {
    if (this.#line.over === undefined) await this.#line.requests.call('DELETE', this.#line.path, { repeatable: true });
    this.detach();
  }

  async *#chunks(): AsyncGenerator<TerminalChunk, undefined> {
    try {
      const info = yield* this.#output.chunks();
      if (info?.exit != null) this.#tellExit(info.exit);
      this.#line.finish(ENDED);
    } catch (error) {
      if (error instanceof FaultError) this.#line.finish(error.fault);
      throw error;
    }
    return undefined;
  }
}

const ENDED = /* @__PURE__ */ fault('terminal-ended', 'The process of this terminal has ended.');
