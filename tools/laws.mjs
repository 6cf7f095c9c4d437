/**
 * Makes `docs/behaviours.md` and `docs/races.md` from the names of the tests: each id (A1…E9, R1…R75) and the tests that name it.
 *
 *   node tools/laws.mjs           writes both files
 *   node tools/laws.mjs --check   fails where they are not what the tests say
 *
 * What an id promises is in the tables below; what makes it impossible to break, where something does, is in `by`.
 */
import { readFileSync, readdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { behaviours, races } from './laws-list.mjs';

const root = fileURLToPath(new URL('..', import.meta.url));
const isTest = /\.test\.tsx?$|-cases\.ts$|\/conformance\/[a-z]+\.ts$/;

/** @returns {Generator<string>} */
function* filesBelow(dir) {
  for (const entry of readdirSync(path.join(root, dir), { withFileTypes: true })) {
    if (entry.name === 'node_modules' || entry.name === 'dist') continue;
    const name = `${dir}/${entry.name}`;
    if (entry.isDirectory()) yield* filesBelow(name);
    else if (isTest.test(name)) yield name;
  }
}

/** Test names as they stand in the source: the first string of a test, it or describe call. */
const NAME =
  /\b(?:test|it|describe|property|law)(?:\.each\([^)]*\)|\.concurrent|\.sequential)?\(\s*(['"`])((?:\\.|(?!\1).)*)\1/g;
const ID = /\b([A-E]\d{1,2}|R\d{1,2})(?:[–-]([A-E]?R?\d{1,2}))?\b/g;

function idsIn(text) {
  const ids = [];
  for (const [, from, to] of text.matchAll(ID)) {
    ids.push(from);
    if (to === undefined) continue;
    const letter = from[0];
    for (let n = Number(from.slice(1)) + 1; n <= Number(to.replace(/^[A-Z]/, '')); n += 1) ids.push(`${letter}${n}`);
  }
  return ids;
}

const testsById = new Map();
for (const dir of ['packages', 'apps']) {
  for (const file of filesBelow(dir)) {
    for (const [, , name] of readFileSync(path.join(root, file), 'utf8').matchAll(NAME)) {
      for (const id of new Set(idsIn(name))) testsById.set(id, [...(testsById.get(id) ?? []), { file, name }]);
    }
  }
}

function table(title, intro, laws) {
  const rows = Object.entries(laws).map(([id, { law, by }]) => {
    const tests = (testsById.get(id) ?? []).map(({ file, name }) => `${name.replaceAll('|', '\\|')} (\`${file}\`)`);
    const shown = tests.length > 6 ? [...tests.slice(0, 6), `and ${tests.length - 6} more`] : tests;
    return `| ${id} | ${law} | ${[...(by === undefined ? [] : [`**${by}**`]), ...shown].join('<br>') || '—'} |`;
  });
  return `# ${title}\n\n${intro}\n\n| id | what holds | by |\n|---|---|---|\n${rows.join('\n')}\n`;
}

const made =
  'Made by `node tools/laws.mjs` from the names of the tests; `npm test` checks that it is true. “—”: nothing holds it yet.';
const files = {
  'docs/behaviours.md': table('Behaviours', `What must work, and the tests that hold it. ${made}`, behaviours),
  'docs/races.md': table(
    'Races',
    `Failures that users of the field’s products really met, the law that each breaks, and what holds it here: a type or a constraint (bold), tests. ${made}`,
    races,
  ),
};

let isTrue = true;
for (const [file, text] of Object.entries(files)) {
  if (process.argv.includes('--check')) isTrue &&= readFileSync(path.join(root, file), 'utf8') === text;
  else writeFileSync(path.join(root, file), text);
}
const missing = [...Object.keys(behaviours), ...Object.keys(races)].filter((id) => !testsById.has(id));
console.log(`${testsById.size} ids are named by tests; without one: ${missing.join(' ') || 'none'}`);
if (!isTrue) {
  console.error('docs/behaviours.md or docs/races.md is not what the tests say: run "node tools/laws.mjs".');
  process.exit(1);
}
