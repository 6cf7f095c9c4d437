/**
 * Cuts Markdown into blocks, and goes on cutting where it left off when text is added.
 *
 * A streamed answer grows at its end. Only its last blocks can still become something else (a paragraph a heading, a line a
 * table), so a longer text keeps every block but those and cuts from there: the work follows what was added, not what
 * there is.
 *
 * 1. The blocks' texts joined are the text (with line feeds for CR LF).
 * 2. grow(grow(EMPTY, a), a + b) has the blocks of grow(EMPTY, a + b): streamed and settled are cut the same.
 * 3. A block that is kept is the same object: who renders it by identity renders it once.
 */
import { Lexer, type Links } from 'marked';

export interface Block {
  readonly raw: string;
  /** Whether what follows it may turn out to be a part of it. */
  readonly kind: 'blank' | 'fence' | 'closed' | 'open';
  /** The link definitions in it. */
  readonly links: Links | null;
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
  const blocks = [...kept, ...cut(text.slice(start))];
  return { text, blocks, links: linksOf(blocks, before.links) };
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
function cut(text: string): readonly Block[] {
  let end = 0;
  return new Lexer({ gfm: true }).blockTokens(text).map(({ type, raw: { length } }): Block => {
    const start = end;
    end += length;
    // The lexer tidies white space in what it calls raw, but keeps its length.
    const raw = text.slice(start, end);
    return { raw, kind: kindOf(type, raw), links: raw.includes(']:') ? definedIn(raw) : null };
  });
}

function kindOf(type: string, raw: string): Block['kind'] {
  if (type === 'space') return 'blank';
  if (type === 'code' && /^ {0,3}(?:```|~~~)/.test(raw)) return 'fence';
  return type === 'heading' || type === 'hr' ? 'closed' : 'open';
}

function definedIn(raw: string): Links | null {
  const lexer = new Lexer({ gfm: true });
  lexer.blockTokens(raw, lexer.tokens);
  return Object.keys(lexer.tokens.links).length === 0 ? null : lexer.tokens.links;
}

/** Of two definitions of a name the first counts. The same object as before where they say the same (rule 3). */
function linksOf(blocks: readonly Block[], before: Links): Links {
  const links = Object.assign({}, ...blocks.map((block) => block.links).toReversed()) as Links;
  const names = Object.keys(links);
  const isSame =
    names.length === Object.keys(before).length &&
    names.every((name) => links[name]?.href === before[name]?.href && links[name]?.title === before[name]?.title);
  return isSame ? before : links;
}
