import { cut } from '@holdfast/protocol/text';

/** Head and tail of a text that is longer than `charsMax`. */
export function shorten(text: string, charsMax: number): string {
  if (text.length <= charsMax) return text;
  const edge = Math.floor(charsMax / 2);
  const left = text.length - 2 * edge;
  return `${cut(text, 0, edge)}\n… ${left} characters left out …\n${cut(text, text.length - edge, text.length)}`;
}
