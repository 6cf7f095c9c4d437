/**
 * Cuts Markdown into blocks, and goes on cutting where it left off when text is added.
 *
 * A streamed answer grows at its end. Only its last blocks can still become something else (a paragraph a heading, a line a
 * table), so a longer text keeps every block but those and cuts from there: the work follows what was added, not what
 * there is.
 *
 * M1. The blocks' texts joined are the text (with line feeds for CR LF).
 * M2. grow(grow(EMPTY, a), a + b) has the blocks of grow(EMPTY, a + b): streamed and settled are cut the same.
 * M3. A block that is kept is the same object: who renders it by identity renders it once.
 */
import { Lexer, type Links } from 'marked';

export interface Block {
  readonly raw: string;
  /** Whether what follows it may turn out to be a part of it. */
  readonly kind: 'blank' | 'fence' | 'closed' | 'open';
}

export interface Blocks {
  readonly text: string;
  readonly blocks: readonly Block[];
  /** Link definitions (`[name]: url`), for every block alike. A new object only when one was added. */
  readonly links: Links;
}

export const NO_BLOCKS: Blocks = { text: '', blocks: [], links: {} };

/** The blocks of `text`, with those of `before` kept where `text` begins with its text. */
export function growBlocks(before: Blocks, raw: string): Blocks {
  const text = raw.includes('\r') ? raw.replaceAll(/\r\n?/g, '\n') : raw;
  if (text === before.text) return before;
  const base = text.startsWith(before.text) ? before : NO_BLOCKS;
  const kept = keepable(base.blocks);
  const start = kept.reduce((length, block) => length + block.raw.length, 0);
  const { blocks, links } = cut(text.slice(start));
  return { text, blocks: [...kept, ...blocks], links: merge(base.links, links) };
}

/**
 * All but the last block that has text, and what it may yet become a part of: the one before it (a lone `1` below a list is a
 * paragraph until its dot comes), and whatever stands above these without a blank line (a `|` below a line is text until the line
 * turns out to be a table's head). Fences, headings and rules take nothing in any more.
 */
function keepable(blocks: readonly Block[]): readonly Block[] {
  const textBefore = (index: number): number => blocks.findLastIndex(({ kind }, at) => at < index && kind !== 'blank');
  const last = textBefore(blocks.length);
  const previous = textBefore(last);
  let end = blocks[previous]?.kind === 'open' ? previous : Math.max(last, 0);
  while (blocks[end - 1]?.kind === 'open' && !blocks[end - 1]?.raw.endsWith('\n\n')) end -= 1;
  return blocks.slice(0, end);
}

/** Blocks alone: what is inside a line is read when the block is rendered. */
function cut(text: string): { readonly blocks: readonly Block[]; readonly links: Links } {
  const lexer = new Lexer({ gfm: true });
  let end = 0;
  const blocks = lexer.blockTokens(text, lexer.tokens).map(({ type, raw }): Block => {
    const start = end;
    end += raw.length;
    // The lexer tidies white space in what it calls raw, but keeps its length.
    return { raw: text.slice(start, end), kind: kindOf(type, raw) };
  });
  return { blocks, links: lexer.tokens.links };
}

function kindOf(type: string, raw: string): Block['kind'] {
  if (type === 'space') return 'blank';
  if (type === 'code' && /^ {0,3}(?:```|~~~)/.test(raw)) return 'fence';
  return type === 'heading' || type === 'hr' ? 'closed' : 'open';
}

/** The first definition of a name counts, as in a document that is read at once. */
function merge(before: Links, found: Links): Links {
  return Object.keys(found).some((name) => !Object.hasOwn(before, name)) ? { ...found, ...before } : before;
}
