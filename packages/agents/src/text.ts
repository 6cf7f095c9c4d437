import { cut } from '@holdfast/protocol/text';

/** Head and tail of a text that is longer than `charsMax`. */
export function shorten(text: string, charsMax: number): string {
  if (text.length <= charsMax) return text;
  const edge = Math.floor(charsMax / 2);
  const left = text.length - 2 * edge;
  return `${cut(text, 0, edge)}\n… ${left} characters left out …\n${cut(text, text.length - edge, text.length)}`;
}

/** JSON whose strings are all well-formed Unicode: half a character makes many servers refuse the whole request. */
export function wellFormed(value: unknown): unknown {
  if (typeof value === 'string') return value.toWellFormed();
  if (Array.isArray(value)) return value.map(wellFormed);
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([name, inner]) => [name.toWellFormed(), wellFormed(inner)]));
}
