/**
 * What one frame of a stream is. Pure.
 *
 * 1. A frame with `choices` or `usage` is a chunk of the answer.
 * 2. A frame of the shape of an error is one, whatever its label.
 * 3. JSON that is broken, or has `choices` that cannot be read, may have been a piece of the answer: it is `lost`.
 * 4. Everything else is skipped. An object among it is `unread`: an answer that ends without a finish reason is not whole then.
 */
import { DONE, parseJson, type Frame } from './events.ts';
import { isSaid, isServerError, parseServerError, type ServerError } from './server-error.ts';
import { parseChunk, type Chunk } from './wire.ts';

export type Parsed =
  | { readonly kind: 'chunk'; readonly chunk: Chunk; readonly isDocument: boolean }
  | { readonly kind: 'error'; readonly error: ServerError }
  | { readonly kind: 'done' | 'lost' | 'unread' | 'noise' };

export function parseFrame({ data, isError, isDocument }: Frame): Parsed {
  const text = data.trim();
  if (text === '') return { kind: 'noise' };
  if (text === DONE) return { kind: 'done' };
  const value = parseJson(text);
  if (isError) return { kind: 'error', error: parseServerError(value ?? text) };
  if (value === undefined) return { kind: /^[{[]/.test(text) ? 'lost' : 'noise' };
  if (typeof value !== 'object' || value === null) return { kind: 'noise' };
  const fields = (Array.isArray(value) ? value[0] : value) as Readonly<Record<string, unknown>> | null | undefined;
  if (typeof fields !== 'object' || fields === null) return { kind: 'noise' };
  if (isServerError(fields)) return { kind: 'error', error: parseServerError(fields) };
  if (isSaid(fields['choices']) || fields['usage'] !== undefined) return parseAnswer(fields, isDocument);
  return Array.isArray(fields['choices']) ? { kind: 'noise' } : { kind: 'unread' };
}

function parseAnswer(fields: unknown, isDocument: boolean): Parsed {
  const chunk = parseChunk(fields);
  if (chunk === undefined) return { kind: 'lost' };
  const error = chunk.choices?.map((choice) => choice.error).find(isSaid);
  return error === undefined ? { kind: 'chunk', chunk, isDocument } : { kind: 'error', error: parseServerError(error) };
}
