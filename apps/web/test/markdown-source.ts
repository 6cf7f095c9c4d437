/** Markdown as models write it, and worse: fragments that change what stands before them. */
import * as fc from 'fast-check';

const FRAGMENTS = [
  'word ',
  'a line',
  'two  \nlines',
  '\n',
  '\n\n',
  '\n\n\n',
  '# ',
  '## Heading\n',
  '---',
  '===',
  '-',
  '- item',
  '\n- item',
  '\n  - nested',
  '\n1. one\n2. two',
  '\n- [x] done\n- [ ] open',
  '```',
  '```ts\n',
  '\n```\n',
  '~~~\n',
  'const a = 1;',
  '    indented',
  '\n    indented',
  '\t',
  '> quote',
  '\n> ',
  '\n| a | b |\n|---|---|\n| 1 | 2 |\n',
  '| a | b |',
  '\n|---|:-:|',
  '**bold**',
  '**open',
  '_em_',
  '`code`',
  '`',
  '~~gone~~',
  '[link](https://example.com/a)',
  '[half](http',
  '[ref]',
  '\n[ref]: https://example.com/ref\n',
  '[ref]: ',
  '<div>',
  '</div>\n',
  '<!-- ',
  ' -->',
  '<pre>\n',
  '</pre>',
  '![alt](https://example.com/x.png)',
  '\\*',
  '&amp;',
  '\r\n',
  '\r',
  '漢字。',
  '👩‍🚀',
  ' ',
  '*',
  '_',
  ':',
  '\n***\n',
];

/** A text, cut into the pieces that it arrives in. */
export const streamedMarkdown: fc.Arbitrary<readonly string[]> = fc
  .array(fc.constantFrom(...FRAGMENTS), { maxLength: 40 })
  .chain((fragments) => {
    const text = fragments.join('');
    return fc
      .uniqueArray(fc.nat({ max: text.length }), { maxLength: 12 })
      .map((cuts) => [...cuts.toSorted((a, b) => a - b), text.length])
      .map((ends) => ends.map((end, index) => text.slice(ends[index - 1] ?? 0, end)));
  });
