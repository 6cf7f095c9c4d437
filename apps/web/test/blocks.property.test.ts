import * as fc from 'fast-check';
import { expect, test } from 'vitest';

import { growBlocks, NO_BLOCKS, type Blocks } from '../src/markdown/blocks.ts';
import { streamedMarkdown } from './markdown-source.ts';

const stream = (pieces: readonly string[]): readonly Blocks[] => {
  const states: Blocks[] = [];
  let text = '';
  for (const piece of pieces) {
    text += piece;
    states.push(growBlocks(states.at(-1) ?? NO_BLOCKS, text));
  }
  return states;
};

test('the blocks of a Markdown text, joined, are the text', () => {
  fc.assert(
    fc.property(streamedMarkdown, (pieces) => {
      const joined = stream(pieces)
        .at(-1)
        ?.blocks.map(({ raw }) => raw)
        .join('');
      expect(joined ?? '').toBe(pieces.join('').replaceAll(/\r\n?/g, '\n'));
    }),
    { numRuns: 3_000 },
  );
});

test('a text that came in pieces is cut into the blocks that it is cut into when it comes at once', () => {
  fc.assert(
    fc.property(streamedMarkdown, (pieces) => {
      const streamed = stream(pieces).at(-1) ?? NO_BLOCKS;
      expect(streamed.blocks).toEqual(growBlocks(NO_BLOCKS, pieces.join('')).blocks);
    }),
    { numRuns: 3_000 },
  );
});
