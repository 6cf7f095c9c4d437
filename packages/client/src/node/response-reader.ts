/**
 * An HTTP/1.1 response, read from its bytes however they are cut (RFC 9112).
 *
 * Stages: the lines of the head → a body that is chunked, of a length, or all until the connection's end → over.
 *
 * 1. What is not an answer to our request in this grammar is an error: nothing is guessed, as two that guess differently disagree about
 *    where a body ends.
 * 2. Body bytes are handed on where they lie: no copy.
 * 3. Once the listener holds, nothing more is read; what is left of the bytes is given back.
 */
export interface ResponseListener {
  /** Asked after each chunk. */
  readonly isHolding: boolean;
  head(status: number, headers: ReadonlyMap<string, string>): void;
  chunk(bytes: Uint8Array): void;
  end(): void;
}

/** What a response is refused for. */
export class ResponseError extends Error {}

/** As `node:http` has it. */
const HEAD_BYTES_MAX = 16_384;
/** Sizes are exact in a double up to here. */
const SIZE_DIGITS_MAX = 13;

const LF = 10;
const CR = 13;
const SPACES = /^[ \t]+|[ \t]+$/g;
const STATUS_LINE = /^HTTP\/1\.([01]) (\d{3})(?: [\t\x20-\x7e\x80-\xff]*)?$/;
const EXTENSION =
  /^(?:;[!#$%&'*+\-.^_`|~0-9A-Za-z]+(?:=(?:[!#$%&'*+\-.^_`|~0-9A-Za-z]+|"[\t !#-[\]-~\x80-\xff]*"))?)*$/;
const FIELD = /^([!#$%&'*+\-.^_`|~0-9A-Za-z]+):([\t\x20-\x7e\x80-\xff]*)$/;

type Stage = 'head' | 'size' | 'extension' | 'chunk' | 'chunk-end' | 'trailers' | 'length' | 'until-end' | 'over';

export class ResponseReader {
  readonly #listener: ResponseListener;
  #stage: Stage = 'head';
  /** Of the head and the trailers: the line that is being read, and the lines before it. */
  #line = '';
  #lines: string[] = [];
  #headBytes = 0;
  #sizeDigits = 0;
  /** Of the chunk or the body: what is still to come. */
  #left = 0;
  #keepsAlive = false;

  constructor(listener: ResponseListener) {
    this.#listener = listener;
  }

  get isOver(): boolean {
    return this.#stage === 'over';
  }

  /** Whether another response may follow on the connection. */
  get keepsAlive(): boolean {
    return this.isOver && this.#keepsAlive;
  }

  /**
   * @returns what was not read: the listener holds, or the response is over
   * @throws ResponseError
   */
  read(bytes: Uint8Array): Uint8Array | undefined {
    let at = 0;
    while (at < bytes.length) {
      if (this.#stage === 'over' || this.#listener.isHolding) return bytes.subarray(at);
      at = this.#step(bytes, at);
    }
    return undefined;
  }

  /**
   * The connection has ended.
   * @throws ResponseError where more was to come
   */
  finish(): void {
    if (this.#stage === 'until-end') this.#end();
    else if (this.#stage !== 'over') throw new ResponseError('closed in mid-response');
  }

  /** @returns how far it has read */
  #step(bytes: Uint8Array, at: number): number {
    switch (this.#stage) {
      case 'size':
        return this.#readSize(bytes, at);
      case 'chunk':
      case 'length':
      case 'until-end':
        return this.#readBody(bytes, at);
      default:
        return this.#readLine(bytes, at);
    }
  }

  #readBody(bytes: Uint8Array, at: number): number {
    const end = this.#stage === 'until-end' ? bytes.length : Math.min(bytes.length, at + this.#left);
    this.#left -= end - at;
    const isWhole = this.#left === 0 && this.#stage !== 'until-end';
    if (isWhole && this.#stage === 'chunk') this.#stage = 'chunk-end';
    this.#listener.chunk(bytes.subarray(at, end));
    if (isWhole && this.#stage === 'length') this.#end();
    return end;
  }

  #readSize(bytes: Uint8Array, at: number): number {
    for (; at < bytes.length; at++) {
      const digit = hexOf(bytes[at] as number);
      if (digit < 0) {
        if (this.#sizeDigits === 0) throw new ResponseError('a chunk without a size');
        this.#stage = 'extension';
        return at;
      }
      if (++this.#sizeDigits > SIZE_DIGITS_MAX) throw new ResponseError('a chunk that is too large');
      this.#left = this.#left * 16 + digit;
    }
    return at;
  }

  /** What ends with CR LF. */
  #readLine(bytes: Uint8Array, at: number): number {
    const lf = bytes.indexOf(LF, at);
    const end = lf === -1 ? bytes.length : lf + 1;
    this.#headBytes += end - at;
    if (this.#headBytes > HEAD_BYTES_MAX) throw new ResponseError('a head that is too large');
    // Most often it is no more than that.
    if (lf === at + 1 && bytes[at] === CR && this.#line === '') this.#takeLine('');
    else {
      this.#line += latin1(bytes, at, end);
      if (lf === -1) return end;
      if (!this.#line.endsWith('\r\n')) throw new ResponseError('a line that does not end as lines do');
      const line = this.#line.slice(0, -2);
      this.#line = '';
      this.#takeLine(line);
    }
    return end;
  }

  #takeLine(line: string): void {
    switch (this.#stage) {
      case 'head':
        if (line !== '') this.#lines.push(line);
        else this.#takeHead();
        return;
      case 'extension':
        if (!EXTENSION.test(line)) throw new ResponseError('a chunk with a strange size');
        this.#headBytes = 0;
        this.#stage = this.#left === 0 ? 'trailers' : 'chunk';
        return;
      case 'chunk-end':
        if (line !== '') throw new ResponseError('a chunk longer than its size');
        this.#headBytes = 0;
        this.#beginChunk();
        return;
      case 'trailers':
        if (line === '') this.#end();
        else fieldOf(line);
        return;
      default:
        throw new ResponseError('a line where there is none');
    }
  }

  #takeHead(): void {
    const [first = '', ...fields] = this.#lines;
    this.#lines = [];
    this.#headBytes = 0;
    const [, minor, code] = STATUS_LINE.exec(first) ?? [];
    const status = Number(code);
    if (code === undefined || status < 100) throw new ResponseError('no HTTP/1.1 response');
    const headers = headersOf(fields);
    // What is said in between is for others; another protocol was not asked for.
    if (status < 200) {
      if (status === 101 || minor === '0') throw new ResponseError('another protocol');
      return;
    }
    const connection = headers.get('connection')?.toLowerCase() ?? '';
    this.#keepsAlive = minor === '1' && !/(?:^|,)[ \t]*close[ \t]*(?:,|$)/.test(connection);
    this.#beginBody(status, headers);
    this.#listener.head(status, headers);
    if (this.#stage === 'length' && this.#left === 0) this.#end();
  }

  #beginBody(status: number, headers: ReadonlyMap<string, string>): void {
    const coding = headers.get('transfer-encoding');
    const length = headers.get('content-length');
    if (status === 204 || status === 304) this.#stage = 'length';
    else if (coding !== undefined) {
      if (coding.toLowerCase() !== 'chunked' || length !== undefined)
        throw new ResponseError('a body that is framed in a way that is not known');
      this.#beginChunk();
    } else if (length !== undefined) {
      if (!/^\d{1,15}$/.test(length)) throw new ResponseError('a length that is none');
      this.#left = Number(length);
      this.#stage = 'length';
    } else this.#stage = 'until-end';
  }

  #beginChunk(): void {
    this.#left = 0;
    this.#sizeDigits = 0;
    this.#stage = 'size';
  }

  #end(): void {
    this.#stage = 'over';
    this.#listener.end();
  }
}

function headersOf(lines: readonly string[]): ReadonlyMap<string, string> {
  const headers = new Map<string, string>();
  for (const line of lines) {
    const [name, value] = fieldOf(line);
    const known = headers.get(name);
    headers.set(name, known === undefined ? value : `${known}, ${value}`);
  }
  return headers;
}

function fieldOf(line: string): readonly [name: string, value: string] {
  const [, name, value = ''] = FIELD.exec(line) ?? [];
  if (name === undefined) throw new ResponseError('a header that is none');
  return [name.toLowerCase(), value.replace(SPACES, '')];
}

/** -1: no digit. */
function hexOf(byte: number): number {
  if (byte >= 48 && byte <= 57) return byte - 48;
  const letter = byte | 32;
  return letter >= 97 && letter <= 102 ? letter - 87 : -1;
}

const latin1 = ({ buffer, byteOffset }: Uint8Array, from: number, to: number): string =>
  Buffer.from(buffer, byteOffset + from, to - from).toString('latin1');
