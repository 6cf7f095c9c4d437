import { expect, test } from 'vitest';
import type { Append } from '../port.ts';
import { Heads } from './guess.ts';
import type { Head } from './writes.ts';

const head = (stream: string, more: Partial<Head> = {}): Head => ({
  stream,
  id: 1,
  head: 1,
  closed: false,
  fence: undefined,
  producer: undefined,
  ...more,
});
const fence = { consumer: 'run', epoch: 1 };
const producer = (seq: number): NonNullable<Append['producer']> => ({ id: 'p', epoch: 1, seq });
const said: Append = { records: [new Uint8Array(1)] };
const isGuessed = (heads: Heads, append: Append, stream = 's'): boolean =>
  heads.guess([{ stream, append }]) !== undefined;

test('what a message leaves out is as its owner left it', () => {
  const heads = new Heads();
  heads.note([head('s', { fence, producer: producer(0) })]);
  heads.note([head('s', { head: 2 })]);
  expect(isGuessed(heads, { ...said, fence, producer: producer(1) })).toBe(true);
});

test('what would be refused, or is not known, is not guessed', () => {
  const heads = new Heads();
  heads.note([head('s', { fence, producer: producer(3) }), head('closed', { closed: true }), head('bare')]);
  expect(isGuessed(heads, said)).toBe(true);
  expect(isGuessed(heads, { ...said, fence: { ...fence, epoch: 2 } })).toBe(false);
  expect(isGuessed(heads, { ...said, fence: { consumer: 'search', epoch: 1 } })).toBe(false);
  for (const seq of [3, 5]) expect(isGuessed(heads, { ...said, producer: producer(seq) })).toBe(false);
  expect(isGuessed(heads, { ...said, producer: { id: 'other', epoch: 1, seq: 0 } })).toBe(false);
  expect(isGuessed(heads, { ...said, producer: producer(0) }, 'bare')).toBe(false);
  expect(isGuessed(heads, said, 'closed')).toBe(false);
  expect(isGuessed(heads, said, 'unknown')).toBe(false);
  expect(isGuessed(heads, { ...said, ifHead: 1 })).toBe(true);
  for (const ifHead of [0, 2]) expect(isGuessed(heads, { ...said, ifHead })).toBe(false);
  heads.forget([{ stream: 's', append: said }]);
  expect(isGuessed(heads, said)).toBe(false);
});

test('a batch is guessed as a whole: each append of a stream follows those before it', () => {
  const heads = new Heads();
  heads.note([head('s', { producer: producer(0) })]);
  const at = (seq: number) => ({ stream: 's', append: { ...said, producer: producer(seq) } });
  expect(heads.guess([at(1), at(2)])).toBeDefined();
  expect(heads.guess([at(1), at(1)])).toBeUndefined();
  expect(heads.guess([at(1), { stream: 'unknown', append: said }])).toBeUndefined();
});

test('of many streams those are remembered that were written to last', () => {
  const heads = new Heads();
  for (let n = 0; n < 10_001; n += 1) {
    heads.note([head(`s${n}`)]);
    if (n === 1) continue;
    heads.note([head('s0')]);
  }
  expect([isGuessed(heads, said, 's0'), isGuessed(heads, said, 's1'), isGuessed(heads, said, 's2')]).toEqual([
    true,
    false,
    true,
  ]);
});
