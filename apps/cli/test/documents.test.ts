/** The documents are read as they stand: what they name exists, what they show runs, what the code has they name. */
import { spawnSync } from 'node:child_process';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { rehearse } from '@holdfast/agents/rehearse';
import { configHelp, configOf, startGateway } from '@holdfast/gateway';
import { isFaultKind } from '@holdfast/protocol/fault';
import type { Command } from 'commander';
import { expect, test } from 'vitest';
import { createProgram } from '../src/program.ts';
import { environment, temporaryDir } from './holdfast.ts';

const ROOT = fileURLToPath(new URL('../../../', import.meta.url));
const read = (file: string): string => readFileSync(path.join(ROOT, file), 'utf8');
const DOCUMENTS = [
  'README.md',
  'ARCHITECTURE.md',
  'PROTOCOL.md',
  'CONTRIBUTING.md',
  'CHANGELOG.md',
  ...['docs', 'decisions', 'deploy'].flatMap((folder) =>
    readdirSync(path.join(ROOT, folder)).map((name) => `${folder}/${name}`),
  ),
].filter((name) => name.endsWith('.md'));

/** A block that is marked by a comment in front of it. */
function block(file: string, mark: string): string {
  const found = new RegExp(`<!-- ${mark} -->\\n\`\`\`\\w+\\n([\\s\\S]*?)\`\`\``).exec(read(file))?.[1];
  if (found === undefined) throw new Error(`${file} has no block that is marked "${mark}".`);
  return found;
}

// ── the protocol ────────────────────────────────────────────────────────────────────────────────────────────────────

test('PROTOCOL.md names every route with its right', async () => {
  const gateway = await startGateway(configOf({ port: 0, store: { kind: 'memory' }, log: 'silent' }));
  const rows = gateway.routes.map(
    ({ method, path: route, right }) => `| \`${method.toUpperCase()} ${route}\` | ${right} |`,
  );
  await gateway.close();
  const named: readonly string[] = read('PROTOCOL.md').match(/^\| `[A-Z]+ \/\S*` \| \w+ \|/gm) ?? [];
  expect(rows.filter((row) => !named.includes(row))).toEqual([]);
  expect(named.filter((row) => !rows.includes(row))).toEqual([]);
});

test('PROTOCOL.md names every control frame and every reason of a goodbye', () => {
  const source = read('packages/protocol/src/sse.ts');
  const reasons = /type GoodbyeReason =([^;]+);/.exec(source)?.[1]?.match(/(?<=')[\w-]+(?=')/g) ?? [];
  expect(reasons.length).toBeGreaterThan(5);
  const words = ['hello', 'snapshot', 'resync', 'goodbye', 'feed', ...reasons];
  const text = read('PROTOCOL.md');
  expect(words.filter((word) => !new RegExp(`\`${word}[\`:?]`).test(text))).toEqual([]);
});

test('its clauses are numbered without a hole, within their section', () => {
  const numbers = [...read('PROTOCOL.md').matchAll(/^(?:## (\d+)\.|(\d+)\.(\d+) )/gm)];
  let [section, clause] = [0, 0];
  for (const [, head, ofSection, number] of numbers) {
    if (head === undefined) expect(`${ofSection}.${number}`).toBe(`${section}.${(clause += 1)}`);
    else {
      expect(Number(head)).toBe(section + 1);
      [section, clause] = [section + 1, 0];
    }
  }
  expect(section).toBeGreaterThan(4);
});

// ── what is named exists ────────────────────────────────────────────────────────────────────────────────────────────

test.each(DOCUMENTS)('%s: its links lead somewhere, and the files that it names are there', (file) => {
  const text = read(file);
  const links = [...text.matchAll(/\]\((?!\w+:|#)([^)#\s]+)[^)]*\)/g)].map((it) =>
    path.join(path.dirname(file), it[1]!),
  );
  const named = [...text.matchAll(/`((?:packages|apps|tools|docs|decisions|bench|deploy)\/[\w./-]+)`/g)].map(
    (it) => it[1]!,
  );
  const absent = [...links, ...named].filter((name) => !existsSync(path.join(ROOT, name)));
  expect(absent).toEqual([]);
});

test.each(DOCUMENTS)('%s: the npm scripts that it names exist', (file) => {
  const { scripts } = JSON.parse(read('package.json')) as { readonly scripts: Readonly<Record<string, string>> };
  const named = [...read(file).matchAll(/npm run ([\w:-]+)/g)].map((it) => it[1]!);
  expect(named.filter((name) => !(name in scripts))).toEqual([]);
});

test.each(DOCUMENTS)('%s: the commands and options that it names exist', (file) => {
  const problems = [
    ...read(file).matchAll(/(?<![\w/@.-])holdfast((?: (?:--?)?[a-z][\w-]*|(?: "[^"\n]*")|(?: [A-Z]+))+)/g),
  ]
    .map((it) => wrongWith(it[1]!.trim().split(' ')))
    .filter((problem) => problem !== undefined);
  expect(problems).toEqual([]);
});

/** Only what begins with a command is taken for one: the rest is prose. */
function wrongWith(words: readonly string[]): string | undefined {
  const isOne = /^[a-z]+$/.test(words[0] ?? '') && words.some((word) => /^(--|[A-Z]+$)/.test(word));
  if (!isOne) return undefined;
  let command: Command | undefined = createProgram();
  for (const word of words) {
    if (word.startsWith('--')) {
      if (word !== '--help' && !command.options.some((option) => option.long === word))
        return `${words.join(' ')}: no option ${word}`;
    } else if (/^[a-z]+$/.test(word) && command.commands.length > 0) {
      const inner: Command | undefined = command.commands.find((one) => one.name() === word);
      if (inner === undefined) return `${words.join(' ')}: no command ${word}`;
      command = inner;
    }
  }
  return undefined;
}

/** How far the proofs of the client go is said in their environment. */
const settingsOfProofs = (): readonly string[] =>
  readdirSync(path.join(ROOT, 'packages/client/test'), { recursive: true, encoding: 'utf8' })
    .filter((file) => file.endsWith('.ts'))
    .flatMap((file) => [...read(path.join('packages/client/test', file)).matchAll(/HOLDFAST_[A-Z_]*[A-Z]/g)])
    .map(([name]) => name);

test('the settings that the documents name exist, with the defaults that they say', () => {
  const known = new Map(configHelp().map(({ env, fallback }) => [env, fallback.replaceAll('"', '')]));
  const others = ['HOLDFAST_CONFIG', 'HOLDFAST_URL', 'HOLDFAST_CHROME', ...settingsOfProofs()];
  for (const file of DOCUMENTS) {
    const named = [...read(file).matchAll(/HOLDFAST_[A-Z_]*[A-Z]/g)].map(([name]) => name);
    expect([file, named.filter((name) => !known.has(name) && !others.includes(name))]).toEqual([file, []]);
  }
  const rows = [...read('README.md').matchAll(/^\| (`HOLDFAST_.*?) \| (.*?) \|/gm)];
  expect(rows.length).toBeGreaterThan(5);
  for (const [, names, defaults] of rows) {
    const values = [...defaults!.matchAll(/`([^`]+)`/g)].map((it) => it[1]!);
    const variables = [...names!.matchAll(/`(\w+)`/g)].map((it) => it[1]!);
    for (const [index, value] of values.entries())
      if (variables[index] !== 'HOLDFAST_DATA')
        expect([variables[index], known.get(variables[index]!)]).toEqual([variables[index], value]);
  }
});

test('the metrics and faults that docs/sizing.md would be woken by exist', async () => {
  const gateway = await startGateway(
    configOf({ port: 0, store: { kind: 'memory' }, log: 'silent', token: 'hf_metrics' }),
  );
  const response = await fetch(`${gateway.url}/metrics`, { headers: { authorization: 'Bearer hf_metrics' } });
  const exported = [...(await response.text()).matchAll(/^# TYPE (\w+)/gm)].map((it) => it[1]!);
  await gateway.close();
  const text = read('docs/sizing.md');
  const named = [...text.matchAll(/holdfast_\w+/g)].map(([name]) => name.replace(/_bucket$/, ''));
  expect(named.length).toBeGreaterThan(8);
  expect(named.filter((name) => !exported.includes(name))).toEqual([]);
  const faults = [...text.matchAll(/fault=~?"([^"]+)"/g)].flatMap((it) => it[1]!.split('\\|'));
  expect(faults.length).toBeGreaterThan(5);
  expect(faults.filter((name) => !isFaultKind(name))).toEqual([]);
});

test('docs/behaviours.md and docs/races.md are true: each test that they name exists, and each construction', () => {
  const { status, stderr } = spawnSync(process.execPath, [path.join(ROOT, 'tools/laws.mjs'), '--check'], {
    encoding: 'utf8',
  });
  expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
});

// ── what is shown runs ──────────────────────────────────────────────────────────────────────────────────────────────

test('the README’s curl commands work as they stand', async () => {
  await using dir = await temporaryDir();
  const { url, token } = await dir.serve();
  const env = { ...process.env, HOLDFAST_URL: url, HOLDFAST_TOKEN: token };
  const script = block('README.md', 'curl');
  expect(script).toMatch(/-N /);
  const { status, stdout } = spawnSync('sh', ['-ec', script], { env, encoding: 'utf8' });
  expect(status).toBe(0);
  const text = [...stdout.matchAll(/^data: (\{.*"type":"text-delta".*\})$/gm)]
    .map((match) => (JSON.parse(match[1] ?? '{}') as { readonly text: string }).text)
    .join('');
  expect(text).toBe(rehearse('/scene plain tokens=20 seed=7'));
  expect(stdout).toMatch(/event: stream-end\n.*\n\n$/);
});

test('the README’s program works as it stands', async () => {
  await using dir = await temporaryDir();
  const { url, token } = await dir.serve();
  const program = `const token = ${JSON.stringify(token)};\n${block('README.md', 'sdk').replace('http://127.0.0.1:7420', url)}`;
  const { status, stdout, stderr } = spawnSync(
    process.execPath,
    ['--input-type=module-typescript', '--eval', program],
    {
      cwd: path.join(ROOT, 'apps/cli'),
      env: environment(dir.path),
      encoding: 'utf8',
    },
  );
  expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
  expect(stdout).toBe(rehearse('What is a holdfast?'));
});
