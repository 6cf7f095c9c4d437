/** A slice that splits no surrogate pair: half a character cannot be stored as UTF-8. */
export function cut(text: string, from: number, to: number): string {
  const isLow = (index: number): boolean => index < text.length && (text.charCodeAt(index) & 0xfc00) === 0xdc00;
  return text.slice(from > 0 && isLow(from) ? from + 1 : from, to > 0 && isLow(to) ? to - 1 : to);
}

/** Controls (line feed and tab excepted), formats (bidi, zero width, tags), lone surrogates, private use, separators but the space. */
const HIDDEN =
  /[\p{Cc}\p{Cf}\p{Cs}\p{Co}\p{Zl}\p{Zp}\p{Zs}\p{Variation_Selector}\u034F\u115F\u1160\u180E\u2800\u3164\uFFA0]/gu;
/** So many blank lines, or blanks in a row, push what follows out of sight. */
const BLANK_LINES = /(?:[ \t]*\n){4,}/g;
const BLANKS = /[ \t]{24,}/g;

/**
 * Text as a person has to see it before they allow it (R96): each character that would be invisible, or would reorder or hide others, is
 * written as `\u{202e}`, and a run of line feeds or blanks by its length. Everything else stays as it is.
 */
export function visible(text: string): string {
  return text
    .replaceAll(HIDDEN, (sign) => (sign === ' ' || sign === '\n' || sign === '\t' ? sign : escaped(sign)))
    .replaceAll(BLANK_LINES, (run) => `\n\\{${run.split('\n').length - 1} line feeds}\n`)
    .replaceAll(BLANKS, (run) => ` \\{${run.length} blanks} `);
}

const escaped = (sign: string): string => `\\u{${(sign.codePointAt(0) ?? 0).toString(16).padStart(2, '0')}}`;
