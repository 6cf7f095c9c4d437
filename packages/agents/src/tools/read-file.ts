/**
 * The `read_file` tool: lines of a text file of the workspace.
 *
 * 1. Which files: see `workspace-file.ts`.
 * 2. At most `linesMax` lines and `bytesMax` bytes of file are looked at; what is left out is said, with how to go on.
 */
import { StringDecoder } from 'node:string_decoder';
import { z } from 'zod';
import { defineTool, type Tool, type ToolEnd } from './tool.ts';
import { openInside } from './workspace-file.ts';

export interface ReadFileOptions {
  readonly root: string;
  /** Folders within `root` that cannot be read. */
  readonly hidden?: readonly string[];
  readonly linesMax?: number;
  /** How far into a file it reads. */
  readonly bytesMax?: number;
}

const LINES_MAX = 2_000;
const BYTES_MAX = 16 * 1024 * 1024;
const CHUNK_BYTES = 64 * 1024;
/** Of what is returned: a file may be one endless line. */
const CHARS_MAX = 512 * 1024;

export function readFileTool(options: ReadFileOptions): Tool {
  const linesMax = options.linesMax ?? LINES_MAX;
  return defineTool({
    name: 'read_file',
    description: `Reads a text file of the workspace, at most ${linesMax} lines at a time.`,
    input: z.strictObject({
      path: z.string().min(1).max(4096).describe('Relative to the workspace.'),
      fromLine: z.int().min(1).optional().describe('The first line, counted from 1. Default: 1.'),
      lines: z.int().min(1).max(linesMax).optional().describe(`How many lines. Default: ${linesMax}.`),
    }),
    open: ({ path, fromLine = 1, lines = linesMax }) => ({
      title: 'Read a file',
      detail: `${path}\n\nIts text goes to the model. Nothing outside of ${options.root} can be read by this.`,
      run: () => run(path, fromLine, lines, options),
    }),
  });
}

async function* run(
  path: string,
  fromLine: number,
  lineCount: number,
  { root, hidden, bytesMax = BYTES_MAX }: ReadFileOptions,
): AsyncGenerator<string, ToolEnd, void> {
  const opened = await openInside(root, path, hidden);
  if (opened.kind === 'refused') return { ok: false, note: opened.reason };
  const { file, bytes } = opened;
  try {
    const decoder = new StringDecoder('utf8');
    const buffer = new Uint8Array(CHUNK_BYTES);
    let line = 1;
    let chars = 0;
    for (let at = 0; at < Math.min(bytes, bytesMax);) {
      const { bytesRead } = await file.read(buffer, 0, Math.min(CHUNK_BYTES, bytesMax - at), at);
      if (bytesRead === 0) break;
      at += bytesRead;
      const text = decoder.write(Buffer.from(buffer.subarray(0, bytesRead)));
      if (text.includes('\0')) return { ok: false, note: `“${path}” is not a text file (${bytes} bytes).` };
      const taken = takeLines(text, line, fromLine, fromLine + lineCount);
      line = taken.line;
      const room = CHARS_MAX - chars;
      chars += taken.text.length;
      if (taken.text !== '') yield taken.text.slice(0, room);
      if (chars > CHARS_MAX) return { ok: true, note: `… cut off here: ${CHARS_MAX} characters are the limit.` };
      if (line >= fromLine + lineCount)
        return { ok: true, note: at < bytes || taken.isMore ? `… more: go on with fromLine ${line}.` : '' };
    }
    if (bytes > bytesMax)
      return { ok: true, note: `… the file has ${bytes} bytes; only the first ${bytesMax} can be read.` };
    return line < fromLine ? { ok: false, note: `“${path}” has only ${line} lines.` } : { ok: true };
  } finally {
    await file.close();
  }
}

/** The part of `text`, which begins in line `line`, that lies in the lines from `from` up to, not including, `to`. */
function takeLines(
  text: string,
  line: number,
  from: number,
  to: number,
): { readonly text: string; readonly line: number; readonly isMore: boolean } {
  let start = line >= from ? 0 : -1;
  let at = line;
  for (let end = text.indexOf('\n'); end >= 0; end = text.indexOf('\n', end + 1)) {
    at += 1;
    if (at === from) start = end + 1;
    if (at === to) return { text: text.slice(Math.max(0, start), end + 1), line: at, isMore: end + 1 < text.length };
  }
  return { text: start < 0 ? '' : text.slice(start), line: at, isMore: false };
}
