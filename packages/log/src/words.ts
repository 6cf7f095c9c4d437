/**
 * What `search` takes for a word, the same in every store: a store indexes `wordsOf(text)` and asks for `phrasesOf(query)`.
 *
 * 1. Case, accents and compatibility forms do not matter ("Ｃａｆé" is "cafe").
 * 2. Scripts that are written without spaces are indexed character by character, and a run of them in a query is a
 *    phrase of characters: so any substring of a Chinese or Japanese text is found.
 * 3. User text is never query syntax: whatever is no letter and no digit only separates.
 */

const UNSPACED = /^[\p{Script=Han}\p{Script=Hiragana}\p{Script=Katakana}]$/v;
const WORD =
  /[\p{Script=Han}\p{Script=Hiragana}\p{Script=Katakana}]|[[\p{L}\p{N}]--[\p{Script=Han}\p{Script=Hiragana}\p{Script=Katakana}]]+/gv;
const RUN = /[\p{L}\p{N}]+/gu;

/** A query may be pasted text; what comes after this many words does not narrow it any further. */
const queryWordsMax = 32;

export interface Phrase {
  /** Words that must follow each other; most phrases are one word. */
  readonly words: readonly string[];
  /** The last word of the phrase is only begun. */
  readonly prefix: boolean;
}

export function wordsOf(text: string): string[] {
  return fold(text).match(WORD) ?? [];
}

/** @returns the phrases that must all occur; none where the query holds no word, which finds nothing. */
export function phrasesOf(query: string): Phrase[] {
  const runs = fold(query).match(RUN) ?? [];
  const phrases = runs.flatMap(phrasesOfRun).slice(0, queryWordsMax);
  return phrases.map((words, index) => ({ words, prefix: index === phrases.length - 1 }));
}

/** "v2漢字" is the word "v2" and the phrase "漢 字". */
function phrasesOfRun(run: string): string[][] {
  const phrases: string[][] = [];
  let unspaced: string[] | undefined;
  for (const word of run.match(WORD) ?? []) {
    if (!UNSPACED.test(word)) {
      unspaced = undefined;
      phrases.push([word]);
    } else if (unspaced) {
      unspaced.push(word);
    } else {
      phrases.push((unspaced = [word]));
    }
  }
  return phrases;
}

/** Decomposed twice, because lower case itself can bring an accent ("İ") and compatibility forms can hide a capital. */
function fold(text: string): string {
  return text
    .normalize('NFKD')
    .toLowerCase()
    .normalize('NFKD')
    .replace(/\p{M}+/gu, '');
}
