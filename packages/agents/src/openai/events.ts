/**
 * Reads a response's body as server-sent events, within bounds, and says how it ended.
 *
 * 1. Chunks may end anywhere, within a character too.
 * 2. A stream that died is not one that ended: `cut` and `ended` are told apart, and what came before either is yielded.
 * 3. However the reader is left, the body is cancelled and the watch is stopped.
 */
import { createParser } from 'eventsource-parser';
import type { Watch } from './watch.ts';
import { parseJson } from './wire.ts';

/** The data of the event that ends a stream. */
export const DONE = '[DONE]';

export type EventsEnd = 'ended' | 'cut' | 'silent' | 'too-large';

/** Of one event, in characters. At the bound the stream ends with `too-large`. */
const EVENT_CHARS_MAX = 8 * 1024 * 1024;

/** @param watch cancels the reader when it is silent for too long. */
export async function* readEvents(
  reader: ReadableStreamDefaultReader<Uint8Array>,
  watch: Watch,
): AsyncGenerator<string, EventsEnd, void> {
  const decoder = new TextDecoder();
  let isTooLarge = false;
  let ready: string[] = [];
  const parser = createParser({
    maxBufferSize: EVENT_CHARS_MAX,
    onEvent: ({ data }) => ready.push(data),
    onError: ({ type }) => {
      isTooLarge ||= type === 'max-buffer-size-exceeded';
    },
  });
  try {
    for (;;) {
      watch.arm();
      const read = await reader.read().catch(() => 'cut' as const);
      watch.disarm();
      if (watch.isSilent) return 'silent';
      if (read === 'cut') return 'cut';
      parser.feed(read.done ? `${decoder.decode()}\n\n` : decoder.decode(read.value, { stream: true }));
      // An event that the end of the stream cut off is none.
      const events = read.done ? ready.filter((data) => data === DONE || parseJson(data) !== undefined) : ready;
      ready = [];
      yield* events;
      if (isTooLarge) return 'too-large';
      if (read.done) return 'ended';
    }
  } finally {
    watch.stop();
    await reader.cancel().catch(() => {});
  }
}

/** A body as text, up to `bytesMax`; undefined where it is longer or dies. */
export async function readText(response: Response, bytesMax: number): Promise<string | undefined> {
  const reader = response.body?.getReader();
  if (reader === undefined) return '';
  const chunks: Uint8Array[] = [];
  let bytes = 0;
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return Buffer.concat(chunks).toString('utf8');
      bytes += value.length;
      if (bytes > bytesMax) return undefined;
      chunks.push(value);
    }
  } catch {
    return undefined;
  } finally {
    await reader.cancel().catch(() => {});
  }
}
