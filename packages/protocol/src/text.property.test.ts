import * as fc from 'fast-check';
import { expect, test } from 'vitest';
import { summaryOf } from './summary.ts';
import { cut } from './text.ts';
import { EMPTY_VIEW, type Message } from './view.ts';

const texts = fc.string({ unit: 'binary', maxLength: 20 });

test('a cut splits no character, and loses none but those at its edges', () => {
  fc.assert(
    fc.property(texts, fc.nat(24), fc.nat(24), (text, from, to) => {
      const piece = cut(text, from, to);
      expect(piece.isWellFormed()).toBe(true);
      expect(text.slice(from, to)).toContain(piece);
      expect(text.slice(from, to).length - piece.length).toBeLessThanOrEqual(2);
      expect(cut(text, 0, from) + cut(text, from, text.length)).toHaveLength(
        text.length - (text.slice(0, from).isWellFormed() ? 0 : 2),
      );
    }),
  );
});

test('the preview of a session ends in a whole character', () => {
  const text = `${'x'.repeat(199)}🪢`;
  const view = { ...EMPTY_VIEW, messages: [{ text } as Message] };
  expect(summaryOf('s' as never, view).preview).toBe('x'.repeat(199));
});
