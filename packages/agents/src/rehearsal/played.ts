/**
 * What a turn has played already, so that a turn that was parked goes on where it stopped: nothing doubled, nothing left out.
 *
 * 1. The script is deterministic, so it is run from its start and what `progress` shows is skipped by its length.
 * 2. What was said in reply to a steer is no part of the script and is not counted.
 */
import type { Progress, PromptState } from '@holdfast/session';
import type { ToolPart } from '@holdfast/protocol';

/** What the rehearsal says to a steer, between two blocks of its answer. */
export const replyToSteer = (text: string): string =>
  `\n\n> ${text.trim().replaceAll('\n', '\n> ')}\n\nNoted: I take that with me from here.`;

export class Played {
  #textChars: number;
  #thinkingChars: number;
  readonly #tools: ToolPart[];
  readonly #questions: PromptState[];
  readonly isEmpty: boolean;

  constructor({ parts, prompts }: Progress) {
    const replied = parts.reduce((sum, part) => sum + (part.type === 'steer' ? replyToSteer(part.text).length : 0), 0);
    const charsOf = (type: 'text' | 'thinking'): number =>
      parts.reduce((sum, part) => sum + (part.type === type ? part.text.length : 0), 0);
    this.#textChars = Math.max(0, charsOf('text') - replied);
    this.#thinkingChars = charsOf('thinking');
    this.#tools = parts.filter((part): part is ToolPart => part.type === 'tool');
    this.#questions = prompts.filter((prompt) => prompt.kind === 'question');
    this.isEmpty = parts.length === 0;
  }

  /** @returns what is still to be said of this token. */
  rest(kind: 'text' | 'thinking', token: string): string {
    const done = kind === 'text' ? this.#textChars : this.#thinkingChars;
    const skipped = Math.min(done, token.length);
    if (kind === 'text') this.#textChars -= skipped;
    else this.#thinkingChars -= skipped;
    return token.slice(skipped);
  }

  /** Whether everything that was said has been skipped: only then may something new be said. */
  get isCaughtUp(): boolean {
    return this.#textChars === 0;
  }

  nextTool(): ToolPart | undefined {
    return this.#tools.shift();
  }

  nextQuestion(): PromptState | undefined {
    return this.#questions.shift();
  }
}
