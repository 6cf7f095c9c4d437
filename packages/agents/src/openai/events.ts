/**
 * Reads a response's body as frames, within bounds, and says how it ended.
 *
 * 1. The bytes decide what a body is, not its label: one that begins with `{` or `[` is a JSON document (or one document a
 *    line), everything else is read as server-sent events.
 * 2. Chunks may end anywhere, within a character too.
 * 3. A stream that died is not one that ended: `cut` and `ended` are told apart, and the frames before either are yielded.
 * 4. However the reader is left, the body is cancelled and the watch is stopped.
 */
import { createParser } from 'eventsource-parser';
import type { Watch } from './watch.ts';

/** The data of the event that ends a stream. */
export const DONE = '[DONE]';

export interface Frame {
  readonly data: string;
  /** The server called it an error: `event: error`, or a field `error:`. */
  readonly isError: boolean;
  /** It is the whole body: the end of the document is the end of the answer. */
  readonly isDocument: boolean;
}

export type FramesEnd = 'ended' | 'cut' | 'silent' | 'too-large';

/** Of one event or document, in characters. At the bound the stream ends with `too-large`. */
const FRAME_CHARS_MAX = 8 * 1024 * 1024;

/** Takes the body's text piece by piece; `end` returns what an end of the stream makes of the rest. */
interface FrameParser {
  feed(text: string): readonly Frame[];
  end(): readonly Frame[];
  /** Frames that were whole when the stream died. */
  died(): readonly Frame[];
  readonly isTooLarge: boolean;
}

/**
 * @param watch cancels the reader when it is silent for too long
 * @param documentIdleMs how long a document may be silent once it has begun
 */
export async function* readFrames(
  reader: ReadableStreamDefaultReader<Uint8Array>,
  watch: Watch,
  documentIdleMs: number,
): AsyncGenerator<Frame, FramesEnd, void> {
  const decoder = new TextDecoder();
  let parser: FrameParser | null = null;
  try {
    for (;;) {
      watch.arm();
      const read = await reader.read().catch((error: unknown) => (isTimeout(error) ? 'silent' : 'cut'));
      watch.disarm();
      if (watch.isSilent || read === 'silent' || read === 'cut') {
        if (parser !== null) yield* parser.died();
        return read === 'cut' && !watch.isSilent ? 'cut' : 'silent';
      }
      const text = read.done ? decoder.decode() : decoder.decode(read.value, { stream: true });
      if (parser === null && text.trim() !== '') {
        parser = isDocument(text) ? documentParser() : eventParser();
        if (isDocument(text)) watch.retime(documentIdleMs);
      }
      if (parser !== null) yield* parser.feed(text);
      if (parser?.isTooLarge === true) return 'too-large';
      if (!read.done) continue;
      if (parser !== null) yield* parser.end();
      return 'ended';
    }
  } finally {
    watch.stop();
    await reader.cancel().catch(() => {});
  }
}

const isDocument = (text: string): boolean => /^[{[]/.test(text.trimStart());

/** The platform's own limit on a body's silence. */
const isTimeout = (error: unknown): boolean =>
  error instanceof Error &&
  [error, error.cause].some((at) => at instanceof Error && 'code' in at && at.code === 'UND_ERR_BODY_TIMEOUT');

function eventParser(): FrameParser {
  let isTooLarge = false;
  let ready: Frame[] = [];
  let line = '';
  const parser = createParser({
    maxBufferSize: FRAME_CHARS_MAX,
    onEvent: ({ data, event }) => ready.push({ data, isError: event === 'error', isDocument: false }),
    onError: (error) => {
      isTooLarge ||= error.type === 'max-buffer-size-exceeded';
      if (error.type === 'unknown-field' && error.field === 'error' && error.value !== undefined)
        ready.push({ data: error.value, isError: true, isDocument: false });
    },
  });
  const take = (): readonly Frame[] => {
    const frames = ready;
    ready = [];
    return frames;
  };
  return {
    get isTooLarge() {
      return isTooLarge;
    },
    // Whole lines only: of a line in pieces the parser reports no unknown field.
    feed: (text) => {
      // A CR at the very end may be half of a CRLF.
      const end = Math.max(text.lastIndexOf('\n'), text.lastIndexOf('\r', text.length - 2)) + 1;
      if (end > 0) parser.feed(line + text.slice(0, end));
      line = end > 0 ? text.slice(end) : line + text;
      isTooLarge ||= line.length > FRAME_CHARS_MAX;
      return take();
    },
    died: () => {
      parser.feed(line);
      return take();
    },
    // An event that the end of the stream cut off does not count; one that lacks only its empty line does.
    end: () => {
      parser.feed(`${line}\n\n`);
      return take().filter(({ data }) => data.trim() === DONE || parseJson(data) !== undefined);
    },
  };
}

function documentParser(): FrameParser {
  const texts: string[] = [];
  let chars = 0;
  const frame = (data: string): Frame => ({ data, isError: false, isDocument: true });
  return {
    get isTooLarge() {
      return chars > FRAME_CHARS_MAX;
    },
    feed: (text) => {
      chars += text.length;
      texts.push(text);
      return [];
    },
    died: () => [],
    end: () => {
      const text = texts.join('').trim();
      if (parseJson(text) !== undefined) return [frame(text)];
      const lines = text.split('\n').map((line) => line.trim());
      return lines.filter((line) => line !== '').map((line) => ({ ...frame(line), isDocument: false }));
    },
  };
}

/** A body as text, up to `bytesMax`; undefined if it is longer or dies. */
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

export function parseJson(data: string): unknown {
  try {
    return JSON.parse(data);
  } catch {
    return undefined;
  }
}
