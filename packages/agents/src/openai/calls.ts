/**
 * Puts the tool calls of an answer together from their pieces. Pure.
 *
 * 1. A call is what has a name. A piece without a name goes on with the call of its index, whatever its id says.
 * 2. A name begins another call if the call of that index is whole (its arguments are a closed JSON object) or has another name;
 *    otherwise the server only repeats the name.
 * 3. An object behind a closed one is another call of the same tool, unless it is the same object again.
 * 4. Above `CALLS_MAX` calls, or `ARGUMENT_CHARS_MAX` characters of arguments in one, the answer is malformed.
 */
import type { SentCall } from './wire.ts';

export interface CallDraft {
  readonly callId: string;
  readonly name: string;
  readonly arguments: string;
  /** Fields of the call that belong to its provider (`opaque.ts`). */
  readonly extra: Readonly<Record<string, unknown>>;
}

interface Growing {
  callId: string;
  name: string;
  arguments: string;
  extra: Record<string, unknown>;
  readonly object: ObjectScan;
  /** Rule 3: the call that it stands behind. */
  readonly behind: Growing | null;
}

const CALLS_MAX = 64;
const ARGUMENT_CHARS_MAX = 1024 * 1024;

export class CallAssembler {
  readonly #calls: Growing[] = [];
  readonly #byIndex = new Map<number, Growing>();
  chars = 0;
  isTooLarge = false;

  /** Without what is no call: pieces that never got a name or arguments, and repeats. */
  get calls(): readonly CallDraft[] {
    return this.#calls.filter(
      (call) => (call.name !== '' || call.arguments !== '') && call.behind?.arguments !== call.arguments,
    );
  }

  add({ index, id, function: called, type: _type, ...extra }: SentCall): void {
    const { name, arguments: given, ...inner } = called ?? {};
    const text = typeof given === 'string' ? given : given === null || given === undefined ? '' : JSON.stringify(given);
    const call = this.#callFor(index ?? null, id ?? '', name ?? '', text);
    if (call === null) return;
    if (call.name === '') call.name = name ?? '';
    if (call.callId === '') call.callId = id ?? '';
    keep(call.extra, Object.keys(inner).length > 0 ? { ...extra, function: inner } : extra);
    this.#extend(call, text, index ?? null);
  }

  #callFor(index: number | null, id: string, name: string, text: string): Growing | null {
    const byId = index === null && id !== '' ? this.#calls.findLast(({ callId }) => callId === id) : undefined;
    const known = byId ?? (index === null ? this.#calls.at(-1) : this.#byIndex.get(index));
    if (known === undefined || (name !== '' && isAnother(known, index, id, name, text)))
      return this.#begin(index, { callId: id, name, behind: null });
    return known;
  }

  #extend(call: Growing, text: string, index: number | null): void {
    const own = text.slice(0, call.object.read(text));
    call.arguments += own;
    this.chars += own.length;
    if (call.arguments.length > ARGUMENT_CHARS_MAX) this.isTooLarge = true;
    const rest = text.slice(own.length);
    if (!rest.trimStart().startsWith('{')) return;
    const next = this.#begin(index, { callId: '', name: call.name, behind: call });
    if (next !== null) this.#extend(next, rest.trimStart(), index);
  }

  #begin(index: number | null, start: Pick<Growing, 'callId' | 'name' | 'behind'>): Growing | null {
    if (this.#calls.length >= CALLS_MAX) {
      this.isTooLarge = true;
      return null;
    }
    const call: Growing = { ...start, arguments: '', extra: {}, object: new ObjectScan() };
    this.#calls.push(call);
    if (index !== null) this.#byIndex.set(index, call);
    return call;
  }
}

/** Rule 2. Without an index, another id tells another call too. */
function isAnother(known: Growing, index: number | null, id: string, name: string, text: string): boolean {
  if (known.name === '') return false;
  if (known.name !== name) return true;
  const isSameId = id !== '' && known.callId === id;
  if (known.object.isClosed) return !(isSameId && (text.trim() === '' || text === known.arguments));
  return index === null && id !== '' && known.callId !== '' && !isSameId;
}

function keep(into: Record<string, unknown>, fields: Readonly<Record<string, unknown>>): void {
  for (const [name, value] of Object.entries(fields)) if (value !== null && value !== undefined) into[name] = value;
}

/** Finds the end of a JSON object that comes in pieces, in one pass. */
class ObjectScan {
  #depth = 0;
  #isBegun = false;
  #isOther = false;
  #isInString = false;
  #isEscaped = false;
  isClosed = false;

  /** @returns how many characters of the text belong to the object; of a text that is no object, all. */
  read(text: string): number {
    if (this.isClosed) return 0;
    for (let at = 0; at < text.length; at += 1) {
      this.#step(text.charAt(at));
      if (this.#isOther) return text.length;
      if (this.isClosed) return at + 1;
    }
    return text.length;
  }

  #step(char: string): void {
    if (this.#isInString) {
      if (this.#isEscaped) this.#isEscaped = false;
      else if (char === '\\') this.#isEscaped = true;
      else if (char === '"') this.#isInString = false;
      return;
    }
    if (!this.#isBegun && char !== '{') {
      this.#isOther = char.trim() !== '';
      return;
    }
    this.#isBegun = true;
    if (char === '"') this.#isInString = true;
    if (char === '{' || char === '[') this.#depth += 1;
    if (char === '}' || char === ']') this.#depth -= 1;
    this.isClosed = this.#depth === 0;
  }
}
