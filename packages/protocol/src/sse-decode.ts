/**
 * A bounded decoder of server-sent events over bytes (WHATWG HTML §9.2.6), and the splitter of lines beneath it.
 *
 * Stages: bytes → text, cut only between characters → lines, ended by LF, CR or CRLF → fields → events.
 *
 * 1. Any chunking gives the same events: a chunk may end within a character, a CRLF, a byte order mark or a field's name.
 * 2. Work is linear in bytes. Tiny chunks are gathered as bytes until a line ends, so that a large line in 1-byte chunks is
 *    decoded in pieces of 4 KiB and never looked at twice.
 * 3. Memory is bounded by the limits; what exceeds them is a fault, and after a fault the decoder takes nothing more.
 * 4. An event that has not ended when its stream does is dropped: it was never said.
 */
import { fault, type Fault } from './fault.ts';

export interface SseEvent {
  /** The `id` of this frame; undefined where the frame has none. */
  readonly id: string | undefined;
  /** `message` where the frame names none. */
  readonly event: string;
  readonly data: string;
}

export interface SseHandlers {
  event(event: SseEvent): void;
  comment?(text: string): void;
  retry?(delayMs: number): void;
}

/** In UTF-16 units, of which a byte gives at most one. */
export interface SseLimits {
  /** 256 Mi: a snapshot is one line, and holds fifty turns with all that their tools said. Above it: `line-too-large`. */
  readonly lineCharsMax?: number;
  /** All `data` of an event together; 256 Mi. Above it: `event-too-large`. */
  readonly eventCharsMax?: number;
}

export interface SseDecoder {
  /** Tells the handlers what these bytes complete. @returns the fault that ended decoding, from then on each time. */
  push(bytes: Uint8Array): Fault | undefined;
}

const MIB = 1024 * 1024;
const LF = 10;
const CR = 13;
const SPACE = 32;
const COLON = 58;

export function createSseDecoder(handlers: SseHandlers, limits: SseLimits = {}): SseDecoder {
  const { lineCharsMax = 256 * MIB, eventCharsMax = 256 * MIB } = limits;
  let id: string | undefined;
  let event = '';
  let data = '';
  let hasData = false;
  let failure: Fault | undefined;

  const splitter = new LineSplitter((text, from, to) => {
    if (failure !== undefined) return to + 1;
    if (from === to) {
      dispatch();
      return to + 1;
    }
    // The fields of every frame are told apart by a few characters, far cheaper than by slicing their names.
    const first = text.charCodeAt(from);
    if (first === 100 && isData(text, from)) {
      addData(valueOf(text, from + 5, to));
      // Nearly every event has one line of data and ends right after it.
      if (text.charCodeAt(to + 1) !== LF || failure !== undefined) return to + 1;
      dispatch();
      return to + 2;
    }
    if (first === 101 && isEvent(text, from)) {
      event = valueOf(text, from + 6, to);
    } else if (first === 105 && text.charCodeAt(from + 2) === COLON && text.charCodeAt(from + 1) === 100) {
      setId(valueOf(text, from + 3, to));
    } else {
      takeOther(text.slice(from, to));
    }
    return to + 1;
  }, lineCharsMax);

  function dispatch(): void {
    if (hasData) handlers.event({ id, event: event === '' ? 'message' : event, data });
    id = undefined;
    event = '';
    data = '';
    hasData = false;
  }

  function addData(value: string): void {
    if (data.length + value.length > eventCharsMax) {
      failure = fault('event-too-large', `An event has more than ${eventCharsMax} characters.`);
      return;
    }
    data = hasData ? `${data}\n${value}` : value;
    hasData = true;
  }

  function setId(value: string): void {
    if (!splitter.hasSeenNul || !value.includes('\0')) id = value;
  }

  /** Comments, `retry`, and the known fields where they have no colon. */
  function takeOther(line: string): void {
    const colon = line.indexOf(':');
    const value = colon === -1 ? '' : valueOf(line, colon + 1, line.length);
    switch (colon === -1 ? line : line.slice(0, colon)) {
      case '':
        handlers.comment?.(value);
        return;
      case 'data':
        addData(value);
        return;
      case 'event':
        event = value;
        return;
      case 'id':
        setId(value);
        return;
      case 'retry':
        if (/^\d+$/.test(value)) handlers.retry?.(Number(value));
    }
  }

  return {
    push(bytes) {
      failure ??= splitter.push(bytes) ?? failure;
      return failure;
    },
  };
}

/** `data:`, of which the first character is known. Four comparisons cost less than one call. */
const isData = (text: string, at: number): boolean =>
  text.charCodeAt(at + 4) === COLON &&
  text.charCodeAt(at + 1) === 97 &&
  text.charCodeAt(at + 2) === 116 &&
  text.charCodeAt(at + 3) === 97;

/** `event:`, likewise. */
const isEvent = (text: string, at: number): boolean =>
  text.charCodeAt(at + 5) === COLON &&
  text.charCodeAt(at + 1) === 118 &&
  text.charCodeAt(at + 2) === 101 &&
  text.charCodeAt(at + 3) === 110 &&
  text.charCodeAt(at + 4) === 116;

/** A field's value: one space after the colon belongs to the syntax. (Where the value is empty, the line's end is no space.) */
function valueOf(text: string, from: number, to: number): string {
  return text.slice(text.charCodeAt(from) === SPACE ? from + 1 : from, to);
}

/** Chunks up to this size are gathered as bytes … */
const TINY_BYTES = 16;
/** … up to this many. */
const CARRY_BYTES = 4096;

/** Takes the line `text.slice(from, to)`. @returns where to go on: behind the LF at `to`, or further if it took that too. */
type TakeLine = (text: string, from: number, to: number) => number;

/** For all: pieces end between characters, so nothing is kept. `ignoreBOM`: only the first piece may begin with a mark. */
const decoder = new TextDecoder('utf-8', { ignoreBOM: true });

/** Cuts bytes into lines. */
export class LineSplitter {
  readonly #takeLine: TakeLine;
  readonly #lineCharsMax: number;
  /** Bytes not yet decoded: tiny chunks, and a character's beginning. */
  #carry: Uint8Array<ArrayBuffer> | undefined;
  #carried = 0;
  /** The beginning of a line whose end has not come. */
  #pending = '';
  #atStart = true;
  #hasSeenNul = false;
  /** The last line ended with a CR: an LF right after it belongs to it. */
  #skipLf = false;
  #failure: Fault | undefined;

  constructor(takeLine: TakeLine, lineCharsMax: number) {
    this.#takeLine = takeLine;
    this.#lineCharsMax = lineCharsMax;
  }

  /** So that nearly no value has to be searched for one. */
  get hasSeenNul(): boolean {
    return this.#hasSeenNul;
  }

  push(bytes: Uint8Array): Fault | undefined {
    if (this.#failure !== undefined) return this.#failure;
    if (bytes.length <= TINY_BYTES) {
      if (this.#gather(bytes)) this.#take(this.#takeCarry());
    } else {
      this.#take(this.#carried === 0 ? bytes : this.#withCarry(bytes));
    }
    return this.#failure;
  }

  /** What is left at the end of the bytes is a line too, if it has any characters. */
  end(): void {
    if (this.#failure !== undefined) return;
    if (this.#carried > 0) this.#split(decoder.decode(this.#takeCarry()));
    if (this.#pending === '') return;
    this.#takeLine(this.#pending, 0, this.#pending.length);
    this.#pending = '';
  }

  /** @returns whether to decode: a line may have ended, or there is no room for another tiny chunk. */
  #gather(bytes: Uint8Array): boolean {
    this.#carry ??= new Uint8Array(CARRY_BYTES);
    let ended = false;
    for (let i = 0; i < bytes.length; i++) {
      const byte = bytes[i] as number;
      this.#carry[this.#carried++] = byte;
      if (byte === LF || byte === CR) ended = true;
    }
    return ended || this.#carried > CARRY_BYTES - TINY_BYTES - 4;
  }

  /** A view: decode it before anything is gathered again. */
  #takeCarry(): Uint8Array {
    const bytes = (this.#carry as Uint8Array).subarray(0, this.#carried);
    this.#carried = 0;
    return bytes;
  }

  #withCarry(bytes: Uint8Array): Uint8Array {
    const joined = new Uint8Array(this.#carried + bytes.length);
    joined.set(bytes, this.#carried);
    joined.set(this.#takeCarry());
    return joined;
  }

  #take(bytes: Uint8Array): void {
    const cut = lengthOfWholeCharacters(bytes);
    const text = decoder.decode(cut === bytes.length ? bytes : bytes.subarray(0, cut));
    for (let i = cut; i < bytes.length; i++) {
      this.#carry ??= new Uint8Array(CARRY_BYTES);
      this.#carry[this.#carried++] = bytes[i] as number;
    }
    this.#split(text);
  }

  #split(text: string): void {
    let from = 0;
    if (this.#atStart && text.length > 0) {
      this.#atStart = false;
      if (text.charCodeAt(0) === 0xfeff) from = 1;
    }
    if (this.#skipLf && text.length > from) {
      this.#skipLf = false;
      if (text.charCodeAt(from) === LF) from++;
    }
    this.#hasSeenNul ||= text.includes('\0');
    // Nearly no stream has a CR; one that has pays for a copy.
    if (text.includes('\r', from)) {
      this.#skipLf = text.endsWith('\r');
      text = text.slice(from).replaceAll(/\r\n?/g, '\n');
      from = 0;
    }
    let lf = text.indexOf('\n', from);
    if (lf !== -1 && this.#pending !== '') {
      if (!this.#takePending(text.slice(from, lf))) return;
      from = lf + 1;
      lf = text.indexOf('\n', from);
    }
    for (; lf !== -1; lf = text.indexOf('\n', from)) {
      if (lf - from > this.#lineCharsMax) return this.#fail();
      from = this.#takeLine(text, from, lf);
    }
    if (from < text.length) this.#pending += from === 0 ? text : text.slice(from);
    if (this.#pending.length > this.#lineCharsMax) this.#fail();
  }

  /** @returns whether the line is not too large. */
  #takePending(rest: string): boolean {
    const line = this.#pending + rest;
    this.#pending = '';
    if (line.length > this.#lineCharsMax) this.#fail();
    else this.#takeLine(line, 0, line.length);
    return this.#failure === undefined;
  }

  #fail(): void {
    this.#failure = fault('line-too-large', `A line has more than ${this.#lineCharsMax} characters.`);
    this.#pending = '';
    this.#carry = undefined;
  }
}

/** How many bytes there are before a character that has begun and not ended; all of them where none has. */
function lengthOfWholeCharacters(bytes: Uint8Array): number {
  const { length } = bytes;
  for (let back = 1; back <= 3 && back <= length; back++) {
    const byte = bytes[length - back] as number;
    if (byte < 0x80) return length;
    // A leading byte: it says how many follow. 0xf8 and above lead nothing and are decoded as what they are, wrong.
    if (byte >= 0xc0)
      return (byte >= 0xf0 && byte < 0xf8 ? 4 : byte >= 0xe0 ? 3 : 2) > back && byte < 0xf8 ? length - back : length;
  }
  return length;
}
