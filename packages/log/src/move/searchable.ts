/**
 * The words of a row as both stores can hold them.
 *
 * PostgreSQL's text-search vector keeps 255 places of a word, counts places to 16,383, and takes no word above 2 KB and no
 * vector of 1 MiB; SQLite's index has no such bounds. What is moved is the smaller, so that there and back is the same.
 *
 * 1. `searchable(searchable(words))` is `searchable(words)`.
 */
const PLACES_MAX = 16_383;
const PLACES_OF_WORD_MAX = 255;
const WORD_BYTES_MAX = 2_000;
/** Of the vector's 1 MiB: a word takes itself and two bytes a place, padded. */
const VECTOR_BYTES_MAX = 1_000_000;

export function searchable(words: readonly string[]): readonly string[] {
  const timesByWord = new Map<string, number>();
  const atCap = new Set<string>();
  const kept: string[] = [];
  let bytes = 0;
  for (const [index, word] of words.entries()) {
    const times = timesByWord.get(word) ?? 0;
    if (times >= PLACES_OF_WORD_MAX || word.length * 4 > WORD_BYTES_MAX) continue;
    bytes += times === 0 ? Buffer.byteLength(word) + 8 : 2;
    if (bytes > VECTOR_BYTES_MAX) break;
    timesByWord.set(word, times + 1);
    if (index + 1 < PLACES_MAX) kept.push(word);
    else atCap.add(word);
  }
  // They share the last place, and have no order there but their own.
  return [...kept, ...[...atCap].toSorted((left, right) => Buffer.compare(Buffer.from(left), Buffer.from(right)))];
}

/** The same words as PostgreSQL writes them. They are letters and digits, so quoting is safe. */
export function vectorOf(words: readonly string[]): string {
  const placesByWord = new Map<string, number[]>();
  for (const [index, word] of words.entries()) {
    const places = placesByWord.get(word) ?? [];
    places.push(Math.min(index + 1, PLACES_MAX));
    placesByWord.set(word, places);
  }
  return [...placesByWord].map(([word, places]) => `'${word}':${places.join(',')}`).join(' ');
}
