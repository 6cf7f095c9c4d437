/**
 * From a block's text to the tokens that are rendered.
 *
 * L1. While a block is still being written, what is open in it (`**bold`, a half link) is closed for the eye, so that marks do
 *     not flash up as text and vanish again. A finished block is read as it is.
 * L2. Where a link leads is decided here: http, https and mailto, written out. Everything else stays text.
 */
import { Lexer, type Links, type Token } from 'marked';
import remend from 'remend';
import type { Block } from './blocks.ts';

export function lexBlock(block: Block, links: Links, isOpen: boolean): readonly Token[] {
  const lexer = new Lexer({ gfm: true });
  lexer.tokens.links = { ...links };
  return lexer.lex(isOpen && block.kind !== 'fence' ? closed(block.raw) : block.raw);
}

/** L1. */
const closed = (raw: string): string => remend(raw, { linkMode: 'text-only', htmlTags: false, katex: false });

/** Whether a fence's closing line is there. */
export function isFenceClosed(raw: string): boolean {
  const open = /^ {0,3}(`{3,}|~{3,})/.exec(raw)?.[1];
  if (open === undefined) return true;
  const lines = raw.trimEnd().split('\n');
  const last = lines.length > 1 ? (lines.at(-1) ?? '').trim() : '';
  return last.startsWith(open) && last === (open[0] ?? '').repeat(last.length);
}

const PROTOCOLS: ReadonlySet<string> = new Set(['http:', 'https:', 'mailto:']);

/** L2. @returns undefined where it is no link that we follow. */
export function safeHref(href: string): string | undefined {
  const url = URL.canParse(href) ? new URL(href) : undefined;
  return url !== undefined && PROTOCOLS.has(url.protocol) ? url.href : undefined;
}

/** The character references that people and models really write; the others stay as they were written. */
const NAMED: Readonly<Record<string, string>> = {
  amp: '&',
  lt: '<',
  gt: '>',
  quot: '"',
  apos: "'",
  nbsp: '\u{a0}',
  shy: '\u{ad}',
  copy: '©',
  reg: '®',
  trade: '™',
  hellip: '…',
  mdash: '—',
  ndash: '–',
  lsquo: '‘',
  rsquo: '’',
  ldquo: '“',
  rdquo: '”',
  laquo: '«',
  raquo: '»',
  bull: '•',
  middot: '·',
  times: '×',
  divide: '÷',
  deg: '°',
  plusmn: '±',
  le: '≤',
  ge: '≥',
  ne: '≠',
  larr: '←',
  rarr: '→',
  uarr: '↑',
  darr: '↓',
  euro: '€',
  pound: '£',
  para: '¶',
  sect: '§',
};

export function decodeReferences(text: string): string {
  if (!text.includes('&')) return text;
  return text.replaceAll(/&(?:#(\d{1,7})|#[xX]([\da-fA-F]{1,6})|([A-Za-z]+));/g, (whole, decimal, hex, name) => {
    if (typeof name === 'string') return NAMED[name] ?? whole;
    const code = typeof decimal === 'string' ? Number(decimal) : Number.parseInt(String(hex), 16);
    const isCharacter = code > 0 && code <= 0x10_ffff && (code < 0xd800 || code > 0xdfff);
    return isCharacter ? String.fromCodePoint(code) : '\u{fffd}';
  });
}
