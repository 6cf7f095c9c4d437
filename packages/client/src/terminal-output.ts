/**
 * What comes out of a terminal: one iterator over any number of connections.
 *
 * 1. An attempt asks for the bytes from the offset that the iterator has reached. The first one that is accepted says which reader this is; later
 *    ones carry that number, and are refused where another has taken over.
 * 2. An attempt owns its connection and closes it (B1).
 * 3. A chunk is confirmed when the next one is asked for: what its consumer has not finished with the gateway still has. One
 *    confirmation at a time, when a quarter of the window is due.
 * 4. A terminal may be silent for hours. After `SILENCE_MS` without a byte the gateway is asked how far it is: a connection that owes bytes
 *    twice is dead. While the consumer is busy nothing is owed.
 */
import { fault, FaultError, type Fault } from '@holdfast/protocol/fault';
import type { TerminalStatus } from '@holdfast/protocol/terminal';

import type { SafeByteStream } from './byte-stream.ts';
import { openWithCredentials } from './post.ts';
import { faultOfResponse } from './problem.ts';
import type { TerminalChunk } from './terminal.ts';
import { LEFT, type TerminalLine } from './terminal-line.ts';
import type { OwnedConnection } from './transport.ts';
import { startWatchdog } from './watchdog.ts';

const SILENCE_MS = 15_000;
/** A stream that has lived so long was no failure, even where nothing came by it. */
const LIVED_MS = 10_000;

export interface Place {
  readonly offset?: number;
  readonly reader?: number;
}

export class TerminalOutput {
  readonly #line: TerminalLine;
  readonly #onBegin: (reader: number, inputEnd: number) => void;
  #offset: number | undefined;
  reader: number | undefined;
  #consumed = 0;
  #confirmed = 0;
  #windowBytes = Infinity;
  #isConfirming = false;

  constructor(line: TerminalLine, { offset, reader }: Place, onBegin: (reader: number, inputEnd: number) => void) {
    this.#line = line;
    this.#offset = offset;
    this.reader = reader;
    this.#onBegin = onBegin;
  }

  get offset(): number {
    return this.#offset ?? 0;
  }

  /** Returns after the last byte, or when the terminal was left. @throws FaultError */
  async *chunks(): AsyncGenerator<TerminalChunk, TerminalStatus | undefined> {
    const { clock } = this.#line.options.ports;
    for (let failures = 0; ; failures++) {
      const before = this.offset;
      const openedAt = clock.now();
      const connection = this.#line.options.transport.open();
      let why: Fault;
      try {
        yield* this.#read(await this.#open(connection));
        return await this.#last();
      } catch (error) {
        if (!(error instanceof FaultError)) throw error;
        why = error.fault;
      } finally {
        connection.close(); // Rule 2.
      }
      if (this.offset > before || clock.now() - openedAt > LIVED_MS) failures = 0;
      const final = await this.#line.retry(why, failures);
      if (final === LEFT) return undefined;
      if (final !== undefined) throw new FaultError(final);
    }
  }

  /** Rule 1. */
  async #open(connection: OwnedConnection): Promise<SafeByteStream> {
    const { baseUrl, credentials } = this.#line.options;
    const query = Object.entries({ offset: this.#offset, reader: this.reader })
      .flatMap(([name, value]) => (value === undefined ? [] : [`${name}=${value}`]))
      .join('&');
    const url = `${baseUrl}${this.#line.path}/stream?${query}`;
    const response = await openWithCredentials(connection, { url, signal: this.#line.signal }, credentials);
    if (response.status !== 200) throw new FaultError(await faultOfResponse(response));
    const [offset, reader, inputEnd, windowBytes] = ['offset', 'reader', 'input-end', 'window'].map((name) =>
      Number(response.headers.get(`holdfast-${name}`) ?? NaN),
    ) as [number, number, number, number];
    if (Number.isNaN(offset + reader + inputEnd + windowBytes))
      throw new FaultError(fault('protocol-error', 'The head of the stream does not say where it begins.'));
    this.reader = reader;
    this.#offset = offset;
    this.#consumed = offset;
    this.#confirmed = offset;
    this.#windowBytes = windowBytes;
    this.#onBegin(reader, inputEnd);
    return response.body;
  }

  async *#read(body: SafeByteStream): AsyncGenerator<TerminalChunk, undefined> {
    const chunks = body[Symbol.asyncIterator]();
    const silence = this.#watchSilence(body);
    try {
      for (;;) {
        const next = await silence.until(chunks.next());
        if (next.done === true) return undefined;
        const { value: bytes } = next;
        const offset = this.offset;
        this.#offset = offset + bytes.length;
        yield { offset, bytes };
        this.#consumed = this.#offset;
        this.#confirm();
      }
    } finally {
      silence.end();
    }
  }

  /** A clean end says that the process has exited; how, and whether this was all, the gateway says. */
  async #last(): Promise<TerminalStatus> {
    const info = await this.#line.requests.need<TerminalStatus>('GET', this.#line.path);
    if (info.exit === null || info.end !== this.offset)
      throw new FaultError(fault('disconnected', 'The stream ended before its terminal did.'));
    return info;
  }

  /** Rule 3. */
  #confirm(): void {
    if (this.#isConfirming || this.#consumed - this.#confirmed < this.#windowBytes / 4) return;
    this.#isConfirming = true;
    void this.#sendConfirmation(this.#consumed).finally(() => {
      this.#isConfirming = false;
      if (this.#line.over === undefined) this.#confirm();
    });
  }

  /** The next stream says it too, so one that another attempt has made late does no harm. */
  async #sendConfirmation(offset: number): Promise<void> {
    const json = { reader: this.reader, offset };
    for (let failures = 0; ; failures++) {
      const answer = await this.#line.requests.once('POST', `${this.#line.path}/ack`, { json });
      if (answer.kind === 'ok') return void (this.#confirmed = Math.max(this.#confirmed, offset));
      const final = await this.#line.retry(answer.fault, failures);
      if (final !== undefined) return this.#line.finish(final);
    }
  }

  /** Rule 4. */
  #watchSilence(body: SafeByteStream): { until<T>(next: Promise<T>): Promise<T>; end(): void } {
    const { clock } = this.#line.options.ports;
    let isWaiting = false;
    let owedFrom: number | undefined;
    let isDead = false;
    const rest = (): void => void (watchdog = startWatchdog(clock, SILENCE_MS, () => void check()));
    let watchdog = startWatchdog(clock, SILENCE_MS, () => void check());
    let isOver = false;
    const check = async (): Promise<void> => {
      const answer = isWaiting ? await this.#line.requests.once('GET', this.#line.path) : undefined;
      if (isOver) return;
      const isBehind = answer?.kind === 'ok' && (answer.body as TerminalStatus).end > this.offset;
      isDead = isWaiting && (answer?.kind === 'fault' || (isBehind && owedFrom === this.offset));
      owedFrom = isBehind ? this.offset : undefined;
      if (isDead) body.cancel();
      else rest();
    };
    return {
      until: async (next) => {
        isWaiting = true;
        try {
          return await next;
        } catch (error) {
          throw isDead ? new FaultError(SILENT, { cause: error }) : error;
        } finally {
          isWaiting = false;
          watchdog.touch();
        }
      },
      end: () => {
        isOver = true;
        watchdog.end();
      },
    };
  }
}

const SILENT = /* @__PURE__ */ fault('idle-timeout', 'The connection went silent.');
