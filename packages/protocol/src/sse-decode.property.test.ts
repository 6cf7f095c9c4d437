/** The oracle is `eventsource-parser`: any bytes, in any chunks, give the same events, comments and retries. */
import { createParser } from 'eventsource-parser';
import * as fc from 'fast-check';
import { expect, test } from 'vitest';

import { createSseDecoder, LineSplitter, type SseLimits } from './sse-decode.ts';

type Told = readonly (string | undefined)[];

function oracle(bytes: Uint8Array): Told[] {
  const told: Told[] = [];
  const parser = createParser({
    onEvent: ({ id, event, data }) => told.push(['event', id, event ?? 'message', data]),
    onComment: (text) => told.push(['comment', text]),
    onRetry: (ms) => told.push(['retry', String(ms)]),
  });
  // The decoder takes the mark; the parser would take a second one.
  const text = new TextDecoder('utf-8', { ignoreBOM: true }).decode(bytes);
  parser.feed(text);
  return told;
}

function decode(chunks: readonly Uint8Array[], limits?: SseLimits): Told[] {
  const told: Told[] = [];
  const decoder = createSseDecoder(
    {
      event: ({ id, event, data }) => told.push(['event', id, event, data]),
      comment: (text) => told.push(['comment', text]),
      retry: (ms) => told.push(['retry', String(ms)]),
    },
    limits,
  );
  for (const chunk of chunks) {
    const failure = decoder.push(chunk);
    if (failure !== undefined) return [...told, ['fault', failure.kind]];
  }
  return told;
}

function cut(bytes: Uint8Array, sizes: readonly number[]): Uint8Array[] {
  const chunks: Uint8Array[] = [];
  for (let at = 0, i = 0; at < bytes.length; i++) {
    const size = sizes[i % sizes.length] ?? 1;
    chunks.push(bytes.slice(at, at + size));
    at += size;
  }
  return chunks;
}

const encoder = new TextEncoder();
const bytesOf = (text: string): Uint8Array => encoder.encode(text);

const word = fc.oneof(
  fc.constantFrom(
    'data',
    'data:',
    'data: ',
    'data:  ',
    'event: ',
    'event',
    'id: ',
    'id:',
    'id: a\0b',
    'retry: ',
    'retry: 12',
  ),
  fc.constantFrom(':', ': ', 'dat', 'datax: ', 'x', ' ', '12', '1e3', '漢', '🎉', 'é', '\uFEFF', '\0', '{"a":1}'),
  fc.string({ maxLength: 30 }),
);
const lineEnd = fc.constantFrom('\n', '\n', '\n', '\r\n', '\r', '\n\n', '\r\n\r\n', '\r\r');
const stream = fc.array(fc.oneof({ weight: 3, arbitrary: word }, { weight: 2, arbitrary: lineEnd }), { maxLength: 60 });
const sizes = fc.array(fc.oneof(fc.integer({ min: 1, max: 3 }), fc.integer({ min: 1, max: 80 })), {
  minLength: 1,
  maxLength: 8,
});

test('any text in any chunks gives the events of the oracle', () => {
  fc.assert(
    fc.property(fc.boolean(), stream, sizes, (mark, words, sizes) => {
      const bytes = bytesOf((mark ? '\uFEFF' : '') + words.join(''));
      expect(decode(cut(bytes, sizes))).toEqual(oracle(bytes));
    }),
    { numRuns: 5000 },
  );
});

test('bytes that are no UTF-8 are replaced as the platform replaces them, wherever the chunks end', () => {
  const wild = fc.array(
    fc.oneof(
      fc.uint8Array({ maxLength: 6 }),
      fc.constantFrom(...['data: ', '\n\n', '\n', '漢', '🎉', 'id: 1\n'].map((text) => bytesOf(text))),
      fc.constantFrom([0xf0, 0x9f], [0xe6, 0xbc], [0xc3], [0xed, 0xa0, 0x80], [0xf8, 0x80], [0xff], [0xc0, 0xaf]),
    ),
    { maxLength: 40 },
  );
  fc.assert(
    fc.property(wild, sizes, (pieces, sizes) => {
      const bytes = Uint8Array.from(pieces.flatMap((piece) => [...piece]));
      expect(decode(cut(bytes, sizes))).toEqual(oracle(bytes));
    }),
    { numRuns: 5000 },
  );
});

test('a large event in 1-byte chunks comes whole, and in linear time', () => {
  const data = '漢'.repeat(30_000) + 'x'.repeat(100_000);
  const bytes = bytesOf(`id: 1\nevent: text-delta\ndata: ${data}\n\n`);
  expect(decode(cut(bytes, [1]))).toEqual([['event', '1', 'text-delta', data]]);
});

test('the caps are typed faults, in one chunk and in many, and what came before is told', () => {
  const limits = { lineCharsMax: 100, eventCharsMax: 150 };
  const small = 'data: ok\n\n';
  const longLine = bytesOf(`${small}data: ${'x'.repeat(200)}\n\n`);
  const manyLines = bytesOf(`${small}${`data: ${'x'.repeat(60)}\n`.repeat(5)}\n${small}`);
  for (const size of [1, 7, 1000]) {
    const ok = ['event', undefined, 'message', 'ok'];
    expect(decode(cut(longLine, [size]), limits)).toEqual([ok, ['fault', 'line-too-large']]);
    expect(decode(cut(manyLines, [size]), limits)).toEqual([ok, ['fault', 'event-too-large']]);
  }
});

test('a line that never ends is refused before it is held', () => {
  const splitter = new LineSplitter((_text, _from, to) => to + 1, 10_000);
  const chunk = bytesOf('y'.repeat(10));
  let pushed = 0;
  while (splitter.push(chunk) === undefined) pushed += chunk.length;
  expect(pushed).toBeLessThan(10_000 + 4096);
});

test('A8: lines of any text in any chunks are those of the whole', () => {
  fc.assert(
    fc.property(stream, sizes, (words, sizes) => {
      const text = words.join('');
      const lines: string[] = [];
      const splitter = new LineSplitter((text, from, to) => {
        lines.push(text.slice(from, to));
        return to + 1;
      }, 1 << 20);
      for (const chunk of cut(bytesOf(text), sizes)) splitter.push(chunk);
      splitter.end();
      const whole = new TextDecoder().decode(bytesOf(text)).split(/\r\n|\n|\r/u);
      if (whole.at(-1) === '') whole.pop();
      expect(lines).toEqual(whole);
    }),
    { numRuns: 3000 },
  );
});
