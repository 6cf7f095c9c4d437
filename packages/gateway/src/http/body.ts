/**
 * A request's body, from bytes to a value, within bounds.
 *
 * 1. Bytes are counted as they come, whatever `Content-Length` says or leaves out; beyond the limit reading stops.
 * 2. Text is UTF-8 or refused: a replacement character would be somebody's message changed in silence.
 * 3. Depth is measured before parsing, so that no code of ours walks what is too deep.
 */
import type { IncomingMessage } from 'node:http';
import { fault, type Fault } from '@holdfast/protocol';

export interface BodyLimits {
  readonly bodyBytesMax: number;
  readonly bodyDepthMax: number;
}

export type ParsedBody =
  | { readonly kind: 'value'; readonly value: unknown }
  | { readonly kind: 'fault'; readonly fault: Fault };

/** An empty body is `{}`: commands that need nothing may send nothing. */
export async function readJson(incoming: IncomingMessage, limits: BodyLimits): Promise<ParsedBody> {
  const type = incoming.headers['content-type'] ?? '';
  const bytes = await readBytes(incoming, limits.bodyBytesMax);
  if (bytes === undefined) return refuse(tooLarge(limits.bodyBytesMax));
  if (bytes.length === 0) return { kind: 'value', value: {} };
  if (type !== '' && !/^application\/(?:[\w.+-]+\+)?json\s*(?:;|$)/i.test(type))
    return refuse(fault('unsupported-media-type', `The body is ${type.slice(0, 100)}. Send application/json.`));
  return parseJson(bytes, limits.bodyDepthMax);
}

/** Rule 1. @returns undefined where there are more */
export async function readBytes(incoming: IncomingMessage, bytesMax: number): Promise<Buffer | undefined> {
  if (Number(incoming.headers['content-length'] ?? 0) > bytesMax) return undefined;
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of incoming.iterator({ destroyOnReturn: false }) as AsyncIterable<Buffer>) {
    size += chunk.length;
    if (size > bytesMax) return undefined;
    chunks.push(chunk);
  }
  return chunks.length === 1 ? chunks[0] : Buffer.concat(chunks);
}

/** A body is read as it comes: one that is compressed would be taken for malformed, or kept as what it is not. */
export function codingRefusal({ headers }: IncomingMessage): Fault | undefined {
  const coding = headers['content-encoding'] ?? 'identity';
  if (coding.toLowerCase() === 'identity') return undefined;
  return fault('unsupported-media-type', `The body is coded as ${coding.slice(0, 100)}. Send it as it is.`);
}

export const tooLarge = (bytesMax: number): Fault =>
  fault('body-too-large', `The body is larger than ${bytesMax} bytes. Send less, or attach large content as a blob.`, {
    facts: { bytesMax },
  });

const decoder = new TextDecoder('utf-8', { fatal: true });

export function parseJson(bytes: Uint8Array, depthMax: number): ParsedBody {
  let text: string;
  try {
    text = decoder.decode(bytes);
  } catch {
    return refuse(
      fault(
        'invalid-utf8',
        'The body is not valid UTF-8, so its text cannot be kept as it was meant. Encode it as UTF-8.',
      ),
    );
  }
  if (isTooDeep(text, depthMax))
    return refuse(
      fault('too-deep', `The body is nested deeper than ${depthMax} levels. Send a flatter one.`, {
        facts: { depthMax },
      }),
    );
  try {
    return MAY_LOSE_DIGITS.test(text) ? parseExactly(text) : { kind: 'value', value: JSON.parse(text) };
  } catch {
    return refuse(fault('invalid-json', 'The body is not JSON. Send one JSON object.'));
  }
}

/** Only a number with so many digits, or an exponent, can be one that a double does not hold. */
const MAY_LOSE_DIGITS = /\d{16}|\d[eE]/;

/** R83: a number that would be kept as another one is refused. */
function parseExactly(text: string): ParsedBody {
  let lost: string | undefined;
  const value: unknown = JSON.parse(text, (_key, part: unknown, context?: { readonly source?: string }) => {
    if (typeof part === 'number' && !isExact(part, context?.source ?? '')) lost ??= context?.source;
    return part;
  });
  if (lost === undefined) return { kind: 'value', value };
  const shown = lost.length > 40 ? `${lost.slice(0, 40)}…` : lost;
  return refuse(fault('invalid-json', `The number ${shown} cannot be kept exactly in JSON. Send it as a string.`));
}

function isExact(value: number, source: string): boolean {
  if (!Number.isFinite(value)) return false;
  return /[.eE]/.test(source) || Number.isSafeInteger(value);
}

const [QUOTE, BACKSLASH, BRACKET, BRACE, BRACKET_END, BRACE_END] = ['"', '\\', '[', '{', ']', '}'].map((sign) =>
  sign.charCodeAt(0),
);

/** Rule 3: counts brackets outside strings. What is no JSON is left for the parser to refuse. */
export function isTooDeep(text: string, depthMax: number): boolean {
  let depth = 0;
  let inString = false;
  for (let index = 0; index < text.length; index += 1) {
    const sign = text.charCodeAt(index);
    if (inString) {
      if (sign === BACKSLASH) index += 1;
      else if (sign === QUOTE) inString = false;
    } else if (sign === QUOTE) inString = true;
    else if (sign === BRACKET || sign === BRACE) {
      depth += 1;
      if (depth > depthMax) return true;
    } else if (sign === BRACKET_END || sign === BRACE_END) depth -= 1;
  }
  return false;
}

const refuse = (fault: Fault): ParsedBody => ({ kind: 'fault', fault });
