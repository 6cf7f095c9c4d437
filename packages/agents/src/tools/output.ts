/**
 * Keeps what a tool prints, within bounds.
 *
 * 1. Up to `inlineBytesMax` the entry holds all of it. Above, all of it is in a blob, and the entry holds head and tail.
 * 2. People see it live up to the same bound, then one line that says so: the log does not grow with the output.
 * 3. Above `blobBytesMax` the tool is ended (`isFull`).
 * 4. Where the blob cannot be written (a full disk), head and tail remain and say so; the turn goes on.
 */
import type { BlobSink } from '@holdfast/session';
import { cut } from '@holdfast/protocol/text';

export interface OutputLimits {
  readonly inlineBytesMax: number;
  readonly blobBytesMax: number;
  /** Of head and tail each, in characters. */
  readonly edgeChars: number;
}

export const OUTPUT_LIMITS: OutputLimits = {
  inlineBytesMax: 1024 * 1024,
  blobBytesMax: 256 * 1024 * 1024,
  edgeChars: 16 * 1024,
};

export interface KeptOutput {
  readonly output: string;
  readonly blob?: string;
  readonly outputBytes?: number;
}

type State =
  | { readonly kind: 'inline'; readonly chunks: string[] }
  | { readonly kind: 'spilled'; readonly head: string; tail: string; sink: BlobSink | null };

export class OutputKeeper {
  readonly #openBlob: () => BlobSink;
  readonly #limits: OutputLimits;
  readonly #encoder = new TextEncoder();
  #state: State = { kind: 'inline', chunks: [] };
  #bytes = 0;

  constructor(openBlob: () => BlobSink, limits: OutputLimits = OUTPUT_LIMITS) {
    this.#openBlob = openBlob;
    this.#limits = limits;
  }

  get isFull(): boolean {
    return this.#bytes > this.#limits.blobBytesMax;
  }

  /** @returns what may be shown live. */
  async add(text: string): Promise<string> {
    const bytes = this.#encoder.encode(text);
    this.#bytes += bytes.length;
    if (this.#state.kind === 'spilled') {
      await this.#spill(this.#state, bytes, text);
      return '';
    }
    this.#state.chunks.push(text);
    if (this.#bytes <= this.#limits.inlineBytesMax) return text;
    const all = this.#state.chunks.join('');
    const head = cut(all, 0, this.#limits.edgeChars);
    const spilled: State = { kind: 'spilled', head, tail: '', sink: this.#openBlob() };
    this.#state = spilled;
    await this.#spill(spilled, this.#encoder.encode(all), all);
    return `\n… more follows; the live view ends at ${this.#limits.inlineBytesMax} bytes …\n`;
  }

  /** Call it exactly once, however the tool ended: it closes the blob. */
  async end(note: string | undefined): Promise<KeptOutput> {
    const suffix = note === undefined || note === '' ? '' : note;
    const state = this.#state;
    if (state.kind === 'inline') {
      const output = state.chunks.join('');
      const gap = suffix === '' || output === '' || output.endsWith('\n') ? '' : '\n';
      return { output: output + gap + suffix };
    }
    const blob = await state.sink?.close().catch(() => undefined);
    const where = blob === undefined ? 'the middle could not be stored' : 'all of it is stored';
    const middle = `\n… ${this.#bytes} bytes in all; ${where} …\n`;
    const output = `${state.head}${middle}${state.tail}${suffix === '' ? '' : `\n${suffix}`}`;
    return { output, outputBytes: this.#bytes, ...(blob === undefined ? {} : { blob }) };
  }

  async #spill(state: Extract<State, { kind: 'spilled' }>, bytes: Uint8Array, text: string): Promise<void> {
    const tail = state.tail + text;
    state.tail = cut(tail, Math.max(0, tail.length - this.#limits.edgeChars), tail.length);
    try {
      await state.sink?.write(bytes);
    } catch {
      state.sink = null;
    }
  }
}
