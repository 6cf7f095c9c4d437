/** Cutting text so that it stays text. */

/** A slice that splits no surrogate pair: half a character cannot be stored as UTF-8. */
export function cut(text: string, from: number, to: number): string {
  const isLow = (index: number): boolean => index < text.length && (text.charCodeAt(index) & 0xfc00) === 0xdc00;
  return text.slice(from > 0 && isLow(from) ? from + 1 : from, to > 0 && isLow(to) ? to - 1 : to);
}

/** Head and tail of a text that is longer than `charsMax`. */
export function shorten(text: string, charsMax: number): string {
  if (text.length <= charsMax) return text;
  const edge = Math.floor(charsMax / 2);
  const left = text.length - 2 * edge;
  return `${cut(text, 0, edge)}\n… ${left} characters left out …\n${cut(text, text.length - edge, text.length)}`;
}
