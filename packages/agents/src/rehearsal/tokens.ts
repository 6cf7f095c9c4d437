/**
 * What the rehearsal calls a token: a word with the white space in front of it, or one or two CJK characters.
 *
 * 1. The tokens of a text, joined, are the text.
 * 2. No token splits a surrogate pair or an emoji sequence.
 */
const TOKEN =
  /\s*(?:[\p{sc=Han}\p{sc=Hiragana}\p{sc=Katakana}\p{sc=Hangul}]{1,2}|[^\s\p{sc=Han}\p{sc=Hiragana}\p{sc=Katakana}\p{sc=Hangul}]+)|\s+$/gu;

export const tokensOf = (text: string): readonly string[] => text.match(TOKEN) ?? [];
