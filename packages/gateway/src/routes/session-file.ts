/**
 * A session's file, read as it comes: JSON lines, a head, the entries with their seqs, an end.
 *
 * 1. It is whole or refused: seqs run from 1 without a hole, the end counts the entries and has the SHA-256 of all lines before it, and
 *    nothing follows it. Files of version 1 have neither count nor checksum.
 * 2. It is judged by the grammar of the log (`Grammar`): what no owner can have written is refused, by the line.
 * 3. The loop goes on between pieces: a line is bounded, and after `PIECE_BYTES` others have their turn.
 */
import { createHash } from 'node:crypto';
import { fault, type EntryBody, type Fault } from '@holdfast/protocol';
import { entryBodySchema } from '@holdfast/protocol/schema';
import { Grammar } from '@holdfast/session';
import { parseJson, tooLarge } from '../http/body.ts';

const LINE_FEED = 0x0a;
const PIECE_BYTES = 64 * 1024;
export const FILE_VERSION = 2;

export interface FileLimits {
  readonly fileBytesMax: number;
  readonly lineBytesMax: number;
  readonly depthMax: number;
}

export type SessionFile =
  | { readonly kind: 'file'; readonly version: number; readonly entries: readonly EntryBody[] }
  | { readonly kind: 'fault'; readonly fault: Fault };

interface Line {
  readonly format?: unknown;
  readonly version?: unknown;
  readonly end?: unknown;
  readonly seq?: unknown;
  readonly count?: unknown;
  readonly sha256?: unknown;
}

/** @param pause lets others go on */
export async function readSessionFile(
  chunks: AsyncIterable<Buffer>,
  limits: FileLimits,
  pause: () => Promise<void>,
): Promise<SessionFile> {
  const reader = new Reader(limits.depthMax);
  let rest: Buffer = Buffer.alloc(0);
  let size = 0;
  let held = 0;
  for await (const chunk of chunks) {
    size += chunk.length;
    if (size > limits.fileBytesMax) return { kind: 'fault', fault: tooLarge(limits.fileBytesMax) };
    rest = rest.length === 0 ? chunk : Buffer.concat([rest, chunk]);
    for (let end = rest.indexOf(LINE_FEED); end >= 0; end = rest.indexOf(LINE_FEED)) {
      reader.take(rest.subarray(0, end));
      held += end;
      rest = rest.subarray(end + 1);
      if (reader.wrong !== undefined) return reader.whole();
      if (held < PIECE_BYTES) continue;
      held = 0;
      await pause();
    }
    if (rest.length > limits.lineBytesMax) return reader.tooLong(limits.lineBytesMax);
  }
  reader.take(rest);
  return reader.whole();
}

class Reader {
  wrong: Fault | undefined;
  readonly #depthMax: number;
  readonly #entries: EntryBody[] = [];
  readonly #grammar = new Grammar();
  readonly #hash = createHash('sha256');
  #version = 0;
  #lines = 0;
  #isOver = false;

  constructor(depthMax: number) {
    this.#depthMax = depthMax;
  }

  take(line: Buffer): void {
    if (line.length === 0 || this.wrong !== undefined) return;
    this.#lines += 1;
    const parsed = parseJson(line, this.#depthMax);
    const why = parsed.kind === 'fault' ? parsed.fault.detail : this.#read(parsed.value as Line | null, line);
    if (why !== undefined) this.wrong = malformed(this.#lines, why);
  }

  whole(): SessionFile {
    if (this.wrong !== undefined) return { kind: 'fault', fault: this.wrong };
    if (this.#isOver) return { kind: 'file', version: this.#version, entries: this.#entries };
    const why = 'The file was cut off: its end is missing. Export it again.';
    return { kind: 'fault', fault: malformed(Math.max(1, this.#lines), why) };
  }

  tooLong(bytesMax: number): SessionFile {
    return { kind: 'fault', fault: malformed(this.#lines + 1, `It is longer than ${bytesMax} bytes.`) };
  }

  /** @returns why the line cannot be there */
  #read(value: Line | null, line: Buffer): string | undefined {
    if (this.#isOver) return 'It follows the end of the file.';
    if (this.#lines === 1) return this.#head(value, line);
    if (value?.end === true) return this.#end(value);
    this.#hash.update(line).update('\n');
    return this.#entry(value);
  }

  #head(value: Line | null, line: Buffer): string | undefined {
    this.#hash.update(line).update('\n');
    const { format, version } = value ?? {};
    if (format !== 'holdfast-session' || (version !== 1 && version !== FILE_VERSION))
      return `It is not the head of a session of version 1 or ${FILE_VERSION}.`;
    this.#version = version;
    return undefined;
  }

  /** Rule 1. */
  #end({ seq, count, sha256 }: Line): string | undefined {
    this.#isOver = true;
    const held = this.#entries.length;
    if (seq !== held) return `The file ends at entry ${String(seq)} and holds ${held}. Export it again.`;
    if (this.#version === 1) return undefined;
    if (count !== held) return `The file counts ${String(count)} entries and holds ${held}. Export it again.`;
    return sha256 === this.#hash.digest('hex')
      ? undefined
      : 'The file is not what was exported: its checksum differs. Export it again.';
  }

  #entry(value: Line | null): string | undefined {
    const seq = this.#entries.length + 1;
    if (value?.seq !== seq) return `It should be entry ${seq}: an entry is missing, doubled or out of its place.`;
    const entry = entryBodySchema.safeParse(value);
    if (!entry.success) return entry.error.issues[0]?.message ?? 'It is no entry.';
    this.#entries.push(entry.data);
    return this.#grammar.take(entry.data);
  }
}

const malformed = (line: number, why: string): Fault => fault('invalid-request', `Line ${line} of the file: ${why}`);
