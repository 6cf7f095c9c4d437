/**
 * Tells `<think>…</think>` in the text of an answer from the answer. Pure: pieces in, pieces out.
 *
 * 1. Only at the beginning of the answer, and again behind a thought: an answer that talks about the tag keeps it.
 * 2. A tag may come in pieces: what may still become one waits, at most `</thinking>`'s length.
 */
export interface Split {
  readonly thinking: string;
  readonly text: string;
}

const OPENERS = ['<think>', '<thinking>', '<thought>'];

type State =
  | { readonly kind: 'start'; readonly isBehindThought: boolean }
  | { readonly kind: 'thought'; readonly closer: string }
  | { readonly kind: 'text' };

export class ThinkSplitter {
  #state: State = { kind: 'start', isBehindThought: false };
  #waiting = '';

  push(text: string): Split {
    let thinking = '';
    let said = '';
    this.#waiting += text;
    for (;;) {
      const before = this.#state;
      switch (before.kind) {
        case 'start':
          this.#begin(before.isBehindThought);
          break;
        case 'thought':
          thinking += this.#think(before.closer);
          break;
        case 'text':
          said += this.#waiting;
          this.#waiting = '';
          break;
      }
      if (this.#state === before) return { thinking, text: said };
    }
  }

  /** What waited for the rest of a tag that never came. */
  end(): Split {
    const rest = this.#waiting;
    this.#waiting = '';
    if (this.#state.kind === 'thought') return { thinking: rest, text: '' };
    const isBlank = this.#state.kind === 'start' && this.#state.isBehindThought && rest.trim() === '';
    return { thinking: '', text: isBlank ? '' : rest };
  }

  #begin(isBehindThought: boolean): void {
    const text = this.#waiting.trimStart();
    const opener = OPENERS.find((tag) => text.startsWith(tag));
    if (opener !== undefined) {
      this.#state = { kind: 'thought', closer: opener.replace('<', '</') };
      this.#waiting = text.slice(opener.length);
    } else if (text !== '' && !OPENERS.some((tag) => tag.startsWith(text))) {
      this.#state = { kind: 'text' };
      // The blank lines behind a thought belong to neither.
      if (isBehindThought) this.#waiting = text;
    }
  }

  #think(closer: string): string {
    const at = this.#waiting.indexOf(closer);
    const end = at === -1 ? this.#waiting.length - overlap(this.#waiting, closer) : at;
    const thought = this.#waiting.slice(0, end);
    this.#waiting = this.#waiting.slice(at === -1 ? end : at + closer.length);
    if (at !== -1) {
      this.#state = { kind: 'start', isBehindThought: true };
    }
    return thought;
  }
}

/** How many characters at the end of `text` may be the beginning of `tag`. */
function overlap(text: string, tag: string): number {
  for (let length = Math.min(text.length, tag.length - 1); length > 0; length -= 1)
    if (text.endsWith(tag.slice(0, length))) return length;
  return 0;
}
