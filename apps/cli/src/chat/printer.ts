/**
 * A turn as text. The answer goes to stdout, everything else to stderr: `holdfast chat --once … > answer.md` holds the answer
 * alone.
 *
 * 1. Where both are one screen a line that was begun is ended before the other begins. Where they are not, neither knows of the
 *    other.
 * 2. Other people's text is made printable where it meets a terminal, and is left alone on its way into a file (`text.ts`).
 */
import { styleText } from 'node:util';
import type { TurnEnd, TurnPart } from '@holdfast/client';
import { oneLine, printable } from '../text.ts';

type ToolPart = Extract<TurnPart, { type: 'tool' }>['tool'];
type Kind = 'text' | 'thinking' | 'output' | 'note';

const INPUT_CHARS_MAX = 200;
const NOTICE_CHARS_MAX = 1_000;

export class Printer {
  readonly #isScreen: boolean = process.stdout.isTTY;
  readonly #isNoteScreen: boolean = process.stderr.isTTY;
  /** What the unfinished line on the screen is of; undefined: there is none. */
  #open: Kind | undefined;
  #textEndsLine = true;

  /** What there is to see of a part; prompts are asked, not printed. */
  part(part: TurnPart): void {
    switch (part.type) {
      case 'text':
        return this.#text(part.text);
      case 'thinking':
        return this.#thinking(part.text);
      case 'tool':
        return this.#tool(part.tool, part.added);
      case 'steer':
        return this.note(`steered: ${oneLine(part.text, INPUT_CHARS_MAX)}`);
      case 'data':
        return this.note(noticeOf(part.data) ?? `data ${oneLine(part.name, INPUT_CHARS_MAX)}`);
      case 'end':
        return this.#end(part.end);
      case 'start':
      case 'prompt':
    }
  }

  /** A line that is no answer. */
  note(text: string): void {
    this.#begin('note');
    this.#say(`[${text}]\n`);
    this.#open = undefined;
  }

  /** Somebody else writes to the screen now. */
  pause(): void {
    this.#begin('note');
    this.#open = undefined;
  }

  /** An answer in a file ends its last line, as a text file does. */
  endText(): void {
    if (!this.#textEndsLine) process.stdout.write('\n');
    this.#textEndsLine = true;
    if (this.#open === 'text') this.#open = undefined;
  }

  #text(text: string): void {
    this.#begin('text');
    process.stdout.write(this.#isScreen ? printable(text) : text);
    this.#textEndsLine = text.endsWith('\n');
    this.#open = this.#textEndsLine ? undefined : 'text';
  }

  /** In a file of notes it would be noise. */
  #thinking(text: string): void {
    if (!this.#isNoteScreen) return;
    this.#begin('thinking');
    this.#say(printable(text));
    this.#open = 'thinking';
  }

  #tool({ name, input, state, output, durationMs }: ToolPart, added: string): void {
    if (added !== '' && this.#isNoteScreen) {
      this.#begin('output');
      this.#say(printable(added));
      this.#open = added.endsWith('\n') ? undefined : 'output';
    }
    const title = oneLine(name, INPUT_CHARS_MAX);
    const took = durationMs === undefined ? '' : ` after ${(durationMs / 1_000).toFixed(1)} s`;
    if (state === 'running' && added === '')
      this.note(`${title} ${oneLine(JSON.stringify(input) ?? '', INPUT_CHARS_MAX)}`);
    if (state === 'done') this.note(`${title} done${took}`);
    if (state === 'failed' || state === 'cancelled' || state === 'uncertain')
      this.note(`${title} ${state}${took}: ${oneLine(output.slice(-INPUT_CHARS_MAX), INPUT_CHARS_MAX)}`);
  }

  #end(end: TurnEnd): void {
    this.endText();
    if (end.kind === 'ended' && end.outcome !== 'completed')
      this.note(end.reason === undefined ? end.outcome : `${end.outcome}: ${oneLine(end.reason, 1_000)}`);
    if (end.kind === 'withdrawn' || end.kind === 'discarded') this.note(`the message was ${end.kind}`);
  }

  /** Rule 1. */
  #begin(kind: Kind): void {
    if (this.#open === undefined || this.#open === kind) return;
    const isHeard = this.#open === 'text' ? this.#isScreen && this.#isNoteScreen : this.#isNoteScreen;
    if (isHeard) process.stderr.write('\n');
    if (isHeard && this.#open === 'text') this.#textEndsLine = true;
    this.#open = undefined;
  }

  #say(text: string): void {
    process.stderr.write(styleText('dim', text, { stream: process.stderr }));
  }
}

/** What an agent says of its own trouble: that it waits for its model, and why. */
function noticeOf(data: unknown): string | undefined {
  const { text, retryInMs } = (data ?? {}) as { readonly text?: unknown; readonly retryInMs?: unknown };
  if (typeof text !== 'string' || typeof retryInMs !== 'number') return undefined;
  return `${oneLine(text, NOTICE_CHARS_MAX)} – trying again in ${(retryInMs / 1_000).toFixed(1)} s`;
}
