import * as fc from 'fast-check';
import { expect, test } from 'vitest';
import { summaryOf } from './summary.ts';
import { cut, visible } from './text.ts';
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

const signs = fc.oneof(
  fc.constantFrom(
    '\u202E',
    '\u2066',
    '\u200B',
    '\u00AD',
    '\u{E0041}',
    '\uFEFF',
    '\u0007',
    '\u2028',
    '\u3164',
    '\u00A0',
    '\uFE0F',
  ),
  fc.constantFrom('\n\n\n\n\n\n', ' '.repeat(60), '\t\n \n\n  \n\n'),
  fc.string({ unit: 'grapheme', maxLength: 6 }),
);

test('R96: nothing in a visible text is invisible, reorders what follows, or pushes it out of sight', () => {
  fc.assert(
    fc.property(fc.array(signs, { maxLength: 12 }), (parts) => {
      const shown = visible(parts.join(''));
      expect(shown).not.toMatch(
        /[\p{Cf}\p{Co}\p{Cs}\p{Zl}\p{Zp}\p{Variation_Selector}\u034F\u115F\u1160\u2800\u3164]/u,
      );
      expect(shown).not.toMatch(/\n\s*\n\s*\n\s*\n\s*\n/);
      expect(shown).not.toMatch(/[ \t]{24}/);
      expect(shown.replaceAll('\n', '').replaceAll('\t', '')).not.toMatch(/\p{Cc}/u);
    }),
  );
});

test('R96: printable text is what it was, and what is made visible can be told apart', () => {
  fc.assert(
    fc.property(fc.stringMatching(/^[ -~\n]{0,60}$/), (text) => {
      if (/\n\s*\n\s*\n\s*\n| {24}/.test(text)) return;
      expect(visible(text)).toBe(text);
    }),
  );
  expect(visible('ls \u202Etxt.sh')).toBe('ls \\u{202e}txt.sh');
  expect(visible(`true${'\n'.repeat(40)}rm -rf x`)).toBe('true\n\\{40 line feeds}\nrm -rf x');
  expect(visible(`true${' '.repeat(200)}; rm x`)).toBe('true \\{200 blanks} ; rm x');
  expect(visible('a\u{E0041}b\u3164c')).toBe('a\\u{e0041}b\\u{3164}c');
  expect(visible('naïve 日本語 🪢 ملف')).toBe('naïve 日本語 🪢 ملف');
});
