/** What a text becomes on screen, and what it costs while it is being written. */
import * as fc from 'fast-check';
import { renderToStaticMarkup } from 'react-dom/server';
import { describe, expect, test } from 'vitest';
import { toolIdOf, turnIdOf, type MessageId } from '@holdfast/protocol';
import type { Part } from '@holdfast/protocol/view';

import { growBlocks, NO_BLOCKS, type Blocks } from '../src/markdown/blocks.ts';
import { decodeReferences, isFenceClosed, lexBlock, safeHref } from '../src/markdown/lex.ts';
import { Markdown } from '../src/markdown/markdown.tsx';
import { Parts } from '../src/transcript/parts.tsx';
import { streamedMarkdown } from './markdown-source.ts';

const shown = (text: string): string => renderToStaticMarkup(<Markdown text={text} />);

/** A text of about so many characters, with everything that models write. */
const longAnswer = (characters: number): string => {
  const section = (n: number): string =>
    `## Part ${n}\n\nSome words with **weight**, a [link](https://example.com/${n}) and \`code\`.\n\n` +
    `- one\n- two\n  - nested\n\n\`\`\`ts\nconst part${n} = ${n};\nexport { part${n} };\n\`\`\`\n\n| a | b |\n|---|--:|\n| ${n} | ${n * 2} |\n\n`;
  return Array.from({ length: Math.ceil(characters / section(10).length) }, (_none, n) => section(n)).join('');
};

/** The blocks that were lexed: what a memoised block view would do. */
function lexedCharactersOf(text: string, pieces: number): number {
  let blocks: Blocks = NO_BLOCKS;
  let rendered = new Map<number, string>();
  let lexedCharacters = 0;
  for (let piece = 1; piece <= pieces; piece += 1) {
    blocks = growBlocks(blocks, text.slice(0, Math.ceil((text.length * piece) / pieces)));
    blocks.blocks.forEach((block, index) => {
      if (rendered.get(index) === block.raw) return;
      rendered = rendered.set(index, block.raw);
      lexedCharacters += block.raw.length;
      lexBlock(block, blocks.links, index === blocks.blocks.length - 1);
    });
  }
  return lexedCharacters;
}

test('a 40 KB answer in 2,000 pieces costs what its tails cost, not what the whole does', () => {
  const text = longAnswer(40_000);
  // Parsing the whole at each piece would read half of 2,000 times 40 KB.
  expect(lexedCharactersOf(text, 2_000)).toBeLessThan(text.length * 20);
});

test('what has a side of its own runs in the direction of its words', () => {
  const text = '- أول\n- ثان\n\n> اقتباس\n\n| أ | ب |\n|---|---|\n| ١ | ٢ |';
  expect(shown(text).match(/<(?:ul|blockquote|section)[^>]* dir="auto"/g)).toHaveLength(3);
});

test('the settled rendering is the rendering of the text that was streamed', () => {
  fc.assert(
    fc.property(streamedMarkdown, (pieces) => {
      let blocks = NO_BLOCKS;
      let text = '';
      for (const piece of pieces) blocks = growBlocks(blocks, (text += piece));
      const settled = growBlocks(NO_BLOCKS, text);
      const tokens = (all: Blocks): unknown => all.blocks.map((block) => lexBlock(block, all.links, false));
      expect(tokens(blocks)).toEqual(tokens(settled));
    }),
    { numRuns: 500 },
  );
});

test('a block that was finished is the same object when the text has grown', () => {
  const first = growBlocks(NO_BLOCKS, '# One\n\nTwo.\n\nThree.\n\nFour');
  const second = growBlocks(first, '# One\n\nTwo.\n\nThree.\n\nFour and more.\n\nFive');
  expect(second.blocks.slice(0, 4).every((block, index) => block === first.blocks[index])).toBe(true);
});

describe('what is hostile stays text', () => {
  test.each([
    '<script>alert(1)</script>',
    '<img src=x onerror=alert(1)>',
    'a <b onmouseover="alert(1)">b</b>',
    '<iframe src="https://example.com"></iframe>',
  ])('%s', (text) => {
    expect(shown(text)).not.toMatch(/<(?:script|img|b|iframe)[\s>]/);
  });

  test.each([
    '[x](javascript:alert(1))',
    '[x](JaVaScRiPt:alert(1))',
    '[x](&#106;avascript:alert(1))',
    '[x](data:text/html,<script>alert(1)</script>)',
    '[x](vbscript:msgbox)',
    '[x](//example.com)',
    '[x](/v1/sessions)',
    '<javascript:alert(1)>',
    '![x](javascript:alert(1))',
  ])('%s has no link', (text) => {
    expect(shown(text)).not.toContain('href');
  });

  test('a picture is never fetched by itself', () => {
    expect(shown('![secret](https://example.com/?q=secret)')).not.toContain('<img');
  });

  test('any text at all becomes neither a script nor an address of another kind', () => {
    fc.assert(
      fc.property(
        fc.oneof(
          streamedMarkdown.map((pieces) => pieces.join('')),
          fc.string({ unit: 'binary' }),
        ),
        (text) => {
          const html = shown(text);
          expect(html).not.toMatch(/<script|<iframe|<object|\son\w+=/i);
          for (const [, href] of html.matchAll(/href="([^"]*)"/g)) expect(href).toMatch(/^(?:https?:|mailto:)/);
        },
      ),
      { numRuns: 500 },
    );
  });
});

test('links open elsewhere and tell nobody where from', () => {
  expect(shown('[x](https://example.com)')).toContain('target="_blank" rel="noopener noreferrer nofollow"');
  expect(safeHref('mailto:a@example.com')).toBe('mailto:a@example.com');
});

test('a definition at the end of a text serves the blocks before it', () => {
  expect(shown('See [the book][1].\n\nMore.\n\n[1]: https://example.com/book')).toContain(
    'href="https://example.com/book"',
  );
});

test('while it is written, an open mark is closed for the eye; when it is settled it is what it is', () => {
  const open = renderToStaticMarkup(<Markdown text="some **bold wor" isStreaming />);
  expect(open).toContain('<strong>bold wor</strong>');
  expect(shown('some **bold wor')).toContain('**bold wor');
});

test('a fence is closed by its own mark alone', () => {
  expect(isFenceClosed('```ts\na')).toBe(false);
  expect(isFenceClosed('```ts\na\n```')).toBe(true);
  expect(isFenceClosed('````\n```\n')).toBe(false);
  expect(isFenceClosed('~~~\n```\n')).toBe(false);
  expect(isFenceClosed('```')).toBe(false);
});

test('character references are read, unknown ones left', () => {
  expect(decodeReferences('a &lt; b &amp;&nbsp;c &#x1F6A2; &#65; &unknown; &#xD800;')).toBe(
    'a < b &\u{a0}c 🚢 A &unknown; \u{fffd}',
  );
});

test('R69: what stands before a tool card is shown to its last character, although the answer goes on', () => {
  const tool: Part = {
    type: 'tool',
    toolId: toolIdOf(turnIdOf('m_1' as MessageId), 1),
    name: 'shell',
    input: {},
    state: 'running',
    output: '',
  };
  fc.assert(
    fc.property(streamedMarkdown, (pieces) => {
      const text = pieces.join('');
      const parts: Part[] = [{ type: 'text', text }, tool];
      const page = renderToStaticMarkup(
        <Parts parts={parts} isStreaming promptState={() => ({ kind: 'closed' })} onAnswer={() => undefined} />,
      );
      expect(page.startsWith(shown(text))).toBe(true);
    }),
    { numRuns: 300 },
  );
});
