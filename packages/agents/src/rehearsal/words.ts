/**
 * Prose of an exact length: sentences about a harbour, from patterns sorted by how many words they have.
 *
 * 1. There is a pattern for every length from 1 to `SENTENCE_WORDS_MAX`, so that any number of words can be filled.
 * 2. A word is a token (`tokens.ts`): no slot is ever filled with a space or with CJK text.
 */
import { pick, type Random } from './random.ts';

const SLOTS = {
  noun: [
    'harbour',
    'lantern',
    'ledger',
    'current',
    'pilot',
    'signal',
    'keeper',
    'tide',
    'rope',
    'chart',
    'bell',
    'crew',
  ],
  thing: ['cargo', 'message', 'anchor', 'compass', 'manifest', 'beacon', 'mooring', 'logbook', 'engine', 'sail'],
  quality: ['quiet', 'patient', 'steady', 'northern', 'careful', 'narrow', 'distant', 'small', 'bright', 'modest'],
  moves: ['carries', 'follows', 'keeps', 'finds', 'watches', 'measures', 'repairs', 'brings', 'holds', 'counts'],
  rests: ['waits', 'returns', 'sleeps', 'listens', 'drifts', 'sings', 'leaves', 'turns', 'glows', 'rises'],
  how: ['slowly', 'twice', 'gently', 'again', 'exactly', 'quietly', 'carefully', 'safely', 'first', 'alone'],
  place: ['harbour', 'island', 'lighthouse', 'channel', 'shipyard', 'breakwater', 'market', 'coast', 'strait', 'quay'],
  time: ['dawn', 'noon', 'dusk', 'midnight', 'daybreak', 'nightfall', 'breakfast', 'sunset'],
  number: ['two', 'three', 'seven', 'nine', 'eleven', 'forty'],
} as const satisfies Record<string, readonly [string, ...string[]]>;

/** A word in braces is a slot; what follows it stays on it. */
const PATTERNS: readonly string[] = [
  'Indeed.',
  'Agreed.',
  'Onward.',
  'Nothing leaked.',
  'All well.',
  'Most holds.',
  'The {noun} {rests}.',
  '{how}, it {rests}.',
  'Every {noun} {rests}.',
  'The {quality} {noun} {rests}.',
  'Nobody leaves before {time}.',
  'It {moves} the {thing}.',
  'The {noun} {moves} the {thing}.',
  'By {time} the {noun} {rests}.',
  'A {quality} {noun} {rests} {how}.',
  'The {noun} {moves} the {thing} {how}.',
  'At {time} nobody {moves} the {thing}.',
  'Each {noun} {moves} its own {thing}.',
  'The {quality} {noun} {moves} the {thing} {how}.',
  'At the {place}, the {noun} {rests} {how}.',
  'Before {time} the {noun} {moves} the {quality} {thing}.',
  'Some {number} miles from the {place}, it {rests}.',
  'From the {place} to the {place} the {noun} {rests}.',
  'The {noun} {rests} while the {quality} {noun} sleeps {how}.',
  'The {noun} {moves} a {thing} near the {quality} {place}.',
  'There is a {quality} {noun} that {moves} the {thing} {how}.',
  'When the {noun} {rests}, the {noun} near the {place} {rests}.',
  'At the {place} a {quality} {noun} {moves} the {thing} before {time}.',
  'In {number} days the {noun} {moves} what the {noun} has lost.',
  'Whoever {moves} the {thing} at {time} also {moves} the {thing} at {time}.',
  'The {quality} {noun} of the {place} {moves} no {thing} before the {noun}.',
];

const patternsByWords = new Map<number, readonly string[]>();
for (const pattern of PATTERNS) {
  const wordCount = pattern.split(' ').length;
  patternsByWords.set(wordCount, [...(patternsByWords.get(wordCount) ?? []), pattern]);
}
export const SENTENCE_WORDS_MAX = 12;

function sentence(random: Random, wordCount: number): string {
  const [first = '', ...more] = patternsByWords.get(wordCount) ?? [];
  const text = fill(random, pick(random, [first, ...more]));
  return text.charAt(0).toUpperCase() + text.slice(1);
}

const fill = (random: Random, pattern: string): string =>
  pattern.replaceAll(/\{(\w+)\}/g, (_whole, slot: string) => pick(random, SLOTS[slot as keyof typeof SLOTS]));

/** A paragraph of exactly `wordCount` words. */
export function paragraph(random: Random, wordCount: number): string {
  const sentences: string[] = [];
  for (let left = wordCount; left > 0;) {
    // A long rest takes a sentence that leaves at least two words; a short one is filled by a pattern of its length.
    const size = left <= SENTENCE_WORDS_MAX ? left : Math.min(4 + random(SENTENCE_WORDS_MAX - 3), left - 2);
    sentences.push(sentence(random, size));
    left -= size;
  }
  return sentences.join(' ');
}

/** Two words for a list item or a cell. */
export const phrase = (random: Random): string => `${pick(random, SLOTS.quality)} ${pick(random, SLOTS.noun)}`;

export const heading = (random: Random): string =>
  fill(
    random,
    pick(random, ['The {quality} {noun}', 'Notes from the {place}', 'How the {noun} {rests}', 'A {thing} at {time}']),
  );

export const word = (random: Random): string => pick(random, SLOTS.thing);
