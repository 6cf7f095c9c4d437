/** A slice that splits no surrogate pair: half a character cannot be stored as UTF-8. */
export function cut(text: string, from: number, to: number): string {
  const isLow = (index: number): boolean => index < text.length && (text.charCodeAt(index) & 0xfc00) === 0xdc00;
  return text.slice(from > 0 && isLow(from) ? from + 1 : from, to > 0 && isLow(to) ? to - 1 : to);
}
