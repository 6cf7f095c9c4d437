/**
 * Each promise and the tests that hold it: `docs/behaviours.md` and `docs/races.md`, made from the names of the tests.
 *
 *   node tools/laws.mjs            writes both
 *   node tools/laws.mjs --check    fails if they are not true; `npm test` runs this
 *   node tools/laws.mjs --open     fails if nothing holds an id
 *
 * 1. A test holds an id by naming it, first of all (`test('A4, R38: …')`, ranges too: `B1–B6`) or in brackets (`… (R25)`).
 * 2. A section is true if each test that it names exists under that name in that file, and each construction stands in its file.
 *    A test that was added since is no fault; it is listed at the next writing.
 */
import { existsSync, readFileSync, readdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { behaviours, races } from './laws-list.mjs';

const root = fileURLToPath(new URL('..', import.meta.url));
const shownMax = 8;
const lineMax = 120;

const isTest = /\.test\.tsx?$|-cases\.ts$|\/conformance\/[a-z]+\.ts$/;
/** A string that is the first thing in brackets: the name of a test stands so, whatever is in front of the brackets. */
const firstString = /\(\s*(['"`])((?:\\.|(?!\1)[^\\])*)\1/gs;
const id = /[A-EKMPRW]\d{1,3}/.source;
const ids = `${id}(?:[–-]${id})?`;
/** Rule 1. Laws of a store (L8) stand beside ids of ours. */
const inFront = new RegExp(`^(?:${ids}|L\\d+)(?:, (?:${ids}|L\\d+))*(?=: )`);
const inBrackets = new RegExp(`\\((${ids}(?:, ${ids})*)\\)`, 'g');
const amidst = new RegExp(`; (${ids}): `, 'g');

const laws = { ...behaviours, ...races };
const tests = [...findTests()];

const documents = {
  'docs/behaviours.md': document('Behaviours', 'What must work, and the tests that hold it.', behaviours),
  'docs/races.md': document(
    'Races',
    'Failures that users of such products really met, each with the law that it broke, and what holds that law here: ' +
      'a construction that leaves no way to express the failure (bold), and tests.',
    races,
  ),
};

if (process.argv.includes('--open')) finish(openIds().map((name) => `${name} is held by nothing.`));
else if (process.argv.includes('--check')) finish(Object.keys(documents).flatMap(untruthsOf));
else for (const [file, text] of Object.entries(documents)) writeFileSync(path.join(root, file), text);
console.log(
  `${Object.keys(laws).length - openIds().length} ids are held; by nothing yet: ${openIds().join(' ') || 'none'}`,
);

// ---------------------------------------------------------------------------------------------------- the tests

function* findTests() {
  for (const file of ['packages', 'apps'].flatMap((folder) => [...filesBelow(folder)])) {
    for (const [, , name] of readFileSync(path.join(root, file), 'utf8').matchAll(firstString)) {
      const held = idsIn(name);
      if (held.length > 0) yield { file, name: plain(name), held };
    }
  }
}

function* filesBelow(folder) {
  for (const entry of readdirSync(path.join(root, folder), { withFileTypes: true })) {
    if (entry.name === 'node_modules' || entry.name.startsWith('dist')) continue;
    const name = `${folder}/${entry.name}`;
    if (entry.isDirectory()) yield* filesBelow(name);
    else if (isTest.test(name)) yield name;
  }
}

function idsIn(name) {
  const lists = [
    inFront.exec(name)?.[0],
    ...[...name.matchAll(inBrackets), ...name.matchAll(amidst)].map((it) => it[1]),
  ];
  return [...new Set(lists.filter(Boolean).flatMap((list) => list.split(', ').flatMap(expand)))].filter(
    (it) => it in laws,
  );
}

/** `B1–B3` is B1, B2, B3. */
function expand(text) {
  const [from, to = from] = text.split(/[–-]/);
  const [first, last] = [from, to].map((end) => Number(end.slice(1)));
  return Array.from({ length: Math.max(0, last - first) + 1 }, (_none, at) => `${from[0]}${first + at}`);
}

/** A test's name as one line of text. */
function plain(text) {
  return text.replace(/\\(['"`])/g, '$1').replace(/\s+/g, ' ');
}

// ------------------------------------------------------------------------------------------------ the documents

function document(title, about, list) {
  const sections = Object.entries(list).map(([name, { law, by }]) => {
    const holding = tests.filter(({ held }) => held.includes(name));
    const more = holding.length > shownMax ? [`- and ${holding.length - shownMax} more`] : [];
    const construction = by ? [`- **${by[0]}** (\`${by[1]}\`)`] : [];
    const held = [...construction, ...holding.slice(0, shownMax).map(testLine), ...more];
    return `## ${name}\n\n${wrapped(law)}\n\n${held.join('\n') || '- nothing holds it yet'}\n`;
  });
  const made = 'Made by `node tools/laws.mjs` from the names of the tests; `npm test` checks that each of them exists.';
  return `# ${title}\n\n${wrapped(`${about} ${made}`)}\n\n${sections.join('\n')}`;
}

function testLine({ file, name }) {
  return `- ${name}\n  (\`${file}\`)`;
}

function wrapped(text) {
  return text.split(' ').reduce((sum, word) => {
    const line = sum.slice(sum.lastIndexOf('\n') + 1);
    return sum === '' ? word : sum + (line.length + word.length + 1 > lineMax ? '\n' : ' ') + word;
  }, '');
}

/** Rule 2. */
function untruthsOf(file) {
  const text = readFileSync(path.join(root, file), 'utf8');
  const sections = new Map([...text.matchAll(/^## (\w+)\n(.*?)(?=^## |(?![^]))/gms)].map((it) => [it[1], it[2]]));
  const list = file.endsWith('races.md') ? races : behaviours;
  const absent = Object.keys(list).filter((name) => !sections.has(name));
  return [
    ...absent.map((name) => `${file} does not name ${name}.`),
    ...[...sections].flatMap(([name, section]) =>
      [...section.matchAll(/^- (.*)\n {2}\(`(.+)`\)$/gm)]
        .filter(([, said, place]) => !isHeld(name, said, place))
        .map(([, said, place]) => `${file}, ${name}: there is no such test any more: ${said} (${place})`),
    ),
    ...Object.entries(list).flatMap(([name, { by }]) => constructionUntruth(name, by)),
  ];
}

function isHeld(name, said, file) {
  return tests.some((test) => test.file === file && test.name === said && test.held.includes(name));
}

function constructionUntruth(name, by) {
  if (by === undefined) return [];
  const [what, file, words] = by;
  const place = path.join(root, file);
  const stands = existsSync(place) && words.split('|').some((word) => readFileSync(place, 'utf8').includes(word));
  return stands ? [] : [`${name}: “${what}” is said to stand in ${file}, which has no “${words}”.`];
}

function openIds() {
  return Object.keys(laws).filter(
    (name) => laws[name].by === undefined && !tests.some(({ held }) => held.includes(name)),
  );
}

function finish(problems) {
  for (const problem of problems) console.error(problem);
  if (problems.length > 0) {
    console.error('Run "node tools/laws.mjs" and look at what changed.');
    process.exitCode = 1;
  }
}
