/**
 * The blocks of a Markdown answer. Each is complete in itself (a fence is closed, a table has its rows), so that an
 * answer can end after any of them.
 */
import { pick, type Random } from './random.ts';
import { heading, paragraph, phrase, word } from './words.ts';

export type Block = (random: Random) => string;

const CODE: readonly [readonly [string, string], ...(readonly [string, string])[]] = [
  [
    'ts',
    `export async function* lines(chunks: AsyncIterable<string>): AsyncGenerator<string> {
  let rest = '';
  for await (const chunk of chunks) {
    const parts = (rest + chunk).split('\\n');
    rest = parts.pop() ?? '';
    yield* parts;
  }
  if (rest !== '') yield rest;
}`,
  ],
  [
    'python',
    `def tide(hours: list[float]) -> float:
    """The mean height, in metres."""
    return sum(hours) / len(hours) if hours else 0.0`,
  ],
  [
    'rust',
    `fn longest<'a>(left: &'a str, right: &'a str) -> &'a str {
    if left.len() >= right.len() { left } else { right }
}`,
  ],
  [
    'sql',
    `SELECT place, count(*) AS ships\nFROM arrivals\nWHERE arrived_at >= now() - interval '7 days'\nGROUP BY place;`,
  ],
  ['sh', `for file in *.log; do\n  gzip --keep "$file" && echo "packed $file"\ndone`],
  ['json', `{\n  "harbour": "Holdfast",\n  "berths": [1, 2, 3],\n  "open": true\n}`],
  ['diff', `-const deadline = now() + 30;\n+const deadline = now() + 30_000; // milliseconds`],
];

const ELSEWHERE = [
  '港口很安静，船长在等潮水。',
  '日本語の文もここに混ざります。',
  '등대는 밤새 켜져 있습니다.',
  'Ça va, señor Müller? Žluťoučký kůň 🐎 and 👩‍🚀🚢🌊.',
  '混合 text 與 emoji 🎣🦑 in one line.',
] as const;

const list = (random: Random): string =>
  [0, 1, 2].map(() => `- **${phrase(random)}**: ${paragraph(random, 5 + random(4))}`).join('\n');

const steps = (random: Random): string =>
  [1, 2, 3]
    .map((n) => `${n}. ${paragraph(random, 4 + random(5))}${n === 2 ? '\n   - [x] done\n   - [ ] open' : ''}`)
    .join('\n');

const table = (random: Random): string => {
  const rows = [0, 1, 2, 3].map(() => `| ${phrase(random)} | ${random(900) + 100} | \`${word(random)}\` |`);
  return ['| Name | Count | Key |', '|:---|---:|:---:|', ...rows].join('\n');
};

const code = (random: Random): string => {
  const [language, source] = pick(random, CODE);
  return `\`\`\`${language}\n${source}\n\`\`\``;
};

const quote = (random: Random): string => `> ${paragraph(random, 9)}\n>\n> — *the keeper*`;

const links = (random: Random): string =>
  `See [the ${word(random)}](https://example.com/${word(random)}?page=${random(9)}), \`${word(random)}()\` and ~~the old ${word(random)}~~.`;

const elsewhere = (random: Random): string => `${pick(random, ELSEWHERE)} ${paragraph(random, 6)}`;

/** In turn, so that a short answer too shows several kinds. */
export const MARKDOWN_BLOCKS: readonly [Block, ...Block[]] = [
  (random) => `## ${heading(random)}`,
  (random) => paragraph(random, 18 + random(20)),
  list,
  code,
  elsewhere,
  table,
  (random) => `### ${heading(random)}`,
  links,
  code,
  steps,
  quote,
  (random) => paragraph(random, 12 + random(20)),
];
