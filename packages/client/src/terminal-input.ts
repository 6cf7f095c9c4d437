/**
 * What is typed to a terminal: bytes in, each once and in order, whatever is lost on the way.
 *
 * 1. One request at a time, with what waits, at its offset in all input. Until it is answered the same bytes go out again at the same
 *    offset; the gateway knows what it has.
 * 2. What waits is bounded by `WAITING_BYTES_MAX`; beyond it a write is refused whole.
 */
import { fault, FaultError, type Fault } from '@holdfast/protocol/fault';

import type { TerminalLine } from './terminal-line.ts';

const PIECE_BYTES = 65_536;
const WAITING_BYTES_MAX = 1_048_576;

interface Piece {
  readonly bytes: Uint8Array;
  /** Of the last piece of a write. */
  readonly done: ((failure: Fault | undefined) => void) | undefined;
}

export class TerminalInput {
  readonly #line: TerminalLine;
  #reader: number | undefined;
  #end = 0;
  #waiting: Piece[] = [];
  #waitingBytes = 0;
  #isTyping = false;
  /** What comes behind a hole would be typed at the wrong place: after one failure nothing is typed any more. */
  #failure: Fault | undefined;

  constructor(line: TerminalLine) {
    this.#line = line;
    line.signal.addEventListener('abort', () => void this.#type());
  }

  /** Only a reader may type, from where the input is. */
  begin(reader: number, end: number): void {
    if (this.#reader !== undefined) return;
    this.#reader = reader;
    this.#end = end;
    void this.#type();
  }

  write(bytes: Uint8Array): Promise<void> {
    const written = new Promise<void>((resolve, reject) => {
      const done = (failure: Fault | undefined): void =>
        failure === undefined ? resolve() : reject(new FaultError(failure));
      this.#failure ??= this.#line.over;
      if (this.#failure !== undefined) return done(this.#failure);
      if (this.#waitingBytes + bytes.length > WAITING_BYTES_MAX) return done(tooMuch(this.#waitingBytes));
      for (let at = 0; at < bytes.length || at === 0; at += PIECE_BYTES) {
        const isLast = at + PIECE_BYTES >= bytes.length;
        this.#waiting.push({ bytes: bytes.slice(at, at + PIECE_BYTES), done: isLast ? done : undefined });
      }
      this.#waitingBytes += bytes.length;
      void this.#type();
    });
    // Whoever types by hand awaits nothing.
    written.catch(() => {});
    return written;
  }

  async #type(): Promise<void> {
    if (this.#isTyping || (this.#reader === undefined && this.#line.over === undefined)) return;
    this.#isTyping = true;
    while (this.#waiting.length > 0) {
      const pieces = this.#next();
      this.#failure ??= this.#line.over ?? (await this.#send(joined(pieces)));
      for (const { bytes, done } of pieces) {
        this.#waitingBytes -= bytes.length;
        done?.(this.#failure);
      }
    }
    this.#isTyping = false;
  }

  /** As many as one request takes. */
  #next(): readonly Piece[] {
    let bytes = 0;
    const count = this.#waiting.findIndex((piece) => (bytes += piece.bytes.length) > PIECE_BYTES);
    return this.#waiting.splice(0, count === -1 ? this.#waiting.length : count);
  }

  /** Rule 1. */
  async #send(bytes: Uint8Array): Promise<Fault | undefined> {
    const path = `${this.#line.path}/input?reader=${this.#reader}&offset=${this.#end}`;
    for (let failures = 0; ; failures++) {
      const call = { bytes, mediaType: 'application/octet-stream' };
      const answer = await this.#line.requests.once('POST', path, call);
      if (answer.kind === 'ok') {
        this.#end += bytes.length;
        return undefined;
      }
      const failure = await this.#line.retry(answer.fault, failures);
      if (failure !== undefined) return failure;
    }
  }
}

function joined(pieces: readonly Piece[]): Uint8Array {
  const all = new Uint8Array(pieces.reduce((sum, { bytes }) => sum + bytes.length, 0));
  let at = 0;
  for (const { bytes } of pieces) {
    all.set(bytes, at);
    at += bytes.length;
  }
  return all;
}

const tooMuch = (waitingBytes: number): Fault =>
  fault('rate-limited', `${waitingBytes} bytes wait to be typed already. Write more when they are.`);
