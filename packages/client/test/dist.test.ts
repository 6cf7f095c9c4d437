/** The published form: what a user installs, not what we run from. */
import { execFile } from 'node:child_process';
import { mkdir, mkdtemp, readdir, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { gzipSync } from 'node:zlib';

import { configOf, startGateway } from '@holdfast/gateway';
import { bun, deno, hasBunAndDeno, node20 } from '@holdfast/testing/runtimes';
import { publint } from 'publint';
import { rolldown } from 'rolldown';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';

import { byteStreamCases } from '../src/testing.ts';
import { startHostileServer, type HostileServer } from './hostile-server.ts';
import { portableCases } from './proof/portable-cases.ts';

const packagesDir = fileURLToPath(new URL('../..', import.meta.url));
const root = path.join(packagesDir, '..');
const distOf = (name: string): string => path.join(packagesDir, name, 'dist');
const run = promisify(execFile);

/** A project that has installed what was built. */
let project: string;

beforeAll(async () => {
  await run(process.execPath, [path.join(root, 'tools/build-packages.mjs')]);
  project = await mkdtemp(path.join(tmpdir(), 'holdfast-user-'));
  const modules = path.join(project, 'node_modules');
  await mkdir(path.join(modules, '@holdfast'), { recursive: true });
  for (const name of ['client', 'react']) await symlink(distOf(name), path.join(modules, '@holdfast', name));
  await symlink(path.join(root, 'node_modules/react'), path.join(modules, 'react'));
  const dependencies = { '@holdfast/client': '*', '@holdfast/react': '*', react: '*' };
  await writeFile(path.join(project, 'package.json'), JSON.stringify({ type: 'module', dependencies }));
});
afterAll(() => rm(project, { recursive: true, force: true }));

describe.each(['client', 'react'])('@holdfast/%s', (name) => {
  test('publint and attw have nothing to say', async () => {
    const { messages } = await publint({ pkgDir: distOf(name), pack: 'npm', strict: true });
    expect(messages).toEqual([]);
    const attw = path.join(root, 'node_modules/.bin/attw');
    await run(attw, ['--pack', distOf(name), '--profile', 'esm-only', '--no-emoji'], { cwd: project });
  });

  test('the API is the one on record', async () => {
    const report = await apiReport(name);
    const file = path.join(packagesDir, name, 'api-report.d.ts.txt');
    if (process.env['HOLDFAST_UPDATE_API'] === '1') await writeFile(file, report);
    expect(
      report,
      'The public API changed. If that is meant: HOLDFAST_UPDATE_API=1 npx vitest run packages/client/test/dist.test.ts',
    ).toBe(await readFile(file, 'utf8'));
  });

  test('it is ES2022 without a dependency that its package.json does not name', async () => {
    const manifest = JSON.parse(await readFile(path.join(distOf(name), 'package.json'), 'utf8')) as Record<
      string,
      unknown
    >;
    expect(manifest['dependencies']).toBeUndefined();
    for (const file of await codeFiles(name)) {
      const text = await readFile(file, 'utf8');
      expect(text.replaceAll(/\/\*[\s\S]*?\*\//g, '')).not.toMatch(/\busing\s+\w+\s*=/);
      for (const [, specifier = ''] of text.matchAll(/^(?:import|export)\b.*?from "([^"]+)"/gm))
        expect(specifier).toMatch(name === 'client' ? /^(\.|node:)/ : /^(\.|react|@holdfast\/client)/);
    }
  });
});

test("K6: each file of the hooks keeps 'use client', as a server component of Next needs it; the client has none", async () => {
  const first = async (file: string): Promise<string> => (await readFile(file, 'utf8')).split('\n')[0] ?? '';
  for (const file of await codeFiles('react')) expect(await first(file)).toMatch(/^['"]use client['"];$/);
  for (const file of await codeFiles('client')) expect(await first(file)).not.toContain('use client');
});

test.each([
  ['a program, which has no page', { lib: ['ES2022'], types: ['node'] }],
  ['a page, which has no Node', { lib: ['ES2022', 'DOM'], types: [] }],
])('the declarations need nothing that is not there: %s', async (name, platform) => {
  const of = path.join(project, name.replaceAll(/\W+/g, '-'));
  await mkdir(of);
  const entries =
    platform.types.length === 0 ? ['client', 'client/testing'] : ['client', 'client/testing', 'client/node'];
  await writeFile(path.join(of, 'user.ts'), entries.map((it) => `export * from '@holdfast/${it}';\n`).join(''));
  const compilerOptions = {
    ...platform,
    target: 'es2022',
    module: 'nodenext',
    strict: true,
    noEmit: true,
    skipLibCheck: false,
    typeRoots: [path.join(root, 'node_modules/@types')],
  };
  await writeFile(path.join(of, 'tsconfig.json'), JSON.stringify({ compilerOptions, files: ['user.ts'] }));
  const told = await run(path.join(root, 'node_modules/.bin/tsc'), ['-p', of]).catch((error: unknown) => error);
  expect((told as { readonly stdout: string }).stdout).toBe('');
});

test('sizes, minified and compressed, as a page gets them', async () => {
  const client = await bundledBytes("export { createClient } from '@holdfast/client';", []);
  const streams = await bundledBytes(
    "export { openByteStream, EventStreamClient, fetchTransport, createCredentials } from '@holdfast/client';",
    [],
  );
  const react = await bundledBytes("export * from '@holdfast/react';", [
    'react',
    'react/jsx-runtime',
    '@holdfast/client',
  ]);
  const sizes = {
    createClientFirst: client.first,
    createClientTotal: client.total,
    streams: streams.total,
    react: react.total,
  };
  expect(sizes).toSatisfy(
    (found: typeof BUDGET) => Object.entries(BUDGET).every(([key, max]) => found[key as keyof typeof BUDGET] <= max),
    `Over budget: ${JSON.stringify(BUDGET)}`,
  );
});

/** In bytes. decisions/0009 says what the client's are made of. */
const BUDGET = { createClientFirst: 15_000, createClientTotal: 36_500, streams: 10_000, react: 3_000 };

const BUILT: Readonly<Record<string, string>> = {
  index: '@holdfast/client',
  testing: '@holdfast/client/testing',
};
const OURS = ['expect.ts', 'pattern.ts'];

const RUNTIMES: readonly (readonly [string, boolean, () => string, readonly string[]])[] = [
  ['this Node', true, () => process.execPath, []],
  ['the oldest Node that is promised', true, node20, []],
  ['Bun', hasBunAndDeno, bun, []],
  ['Deno', hasBunAndDeno, deno, ['run', '--allow-all', '--no-check', '--no-remote']],
];

/** Nothing of theirs outside the project. */
const environment = (more: Readonly<Record<string, string>> = {}): { cwd: string; env: NodeJS.ProcessEnv } => ({
  cwd: project,
  env: {
    PATH: process.env['PATH'],
    NO_COLOR: '1',
    HOME: project,
    DENO_DIR: path.join(project, 'deno'),
    DENO_NO_UPDATE_CHECK: '1',
    ...more,
  },
});

describe('other runtimes pass the suites of byte streams, event streams, settling and the outbox', () => {
  const gatewayToken = 'hf_root_of_the_tests';
  let gateway: Awaited<ReturnType<typeof startGateway>>;
  let suite: string;
  const cases = byteStreamCases.length + portableCases.length;

  beforeAll(async () => {
    gateway = await startGateway(
      configOf({ port: 0, store: { kind: 'memory' }, token: gatewayToken, log: 'silent', drainMs: 100 }),
    );
    suite = path.join(project, 'suite.test.mjs');
    await writeFile(suite, await bundledForTest('dist-suite.ts'));
  });
  afterAll(() => gateway.close());

  const output = async (executable: string, args: readonly string[]): Promise<string> => {
    const more = { GATEWAY_URL: gateway.url, GATEWAY_TOKEN: gatewayToken };
    const told = await run(executable, [...args, suite], environment(more)).catch((error: unknown) => error);
    const { stdout = '', stderr = '' } = told as { stdout?: string; stderr?: string };
    return stdout + stderr;
  };

  test('the oldest Node that is promised', async () => {
    const told = await output(node20(), ['--test', '--test-reporter=tap']);
    expect(told).toMatch(/^# fail 0$/m);
    expect(told).toMatch(new RegExp(`^# pass ${2 * (cases + 1) + 1}$`, 'm'));
  });

  test.skipIf(!hasBunAndDeno)('Bun', async () => {
    expect(await output(bun(), ['test'])).toMatch(new RegExp(`^ ${2 * (cases + 1) + 1} pass\n 0 fail$`, 'm'));
  });

  test.skipIf(!hasBunAndDeno)('Deno', async () => {
    const told = await output(deno(), ['test', '--allow-all', '--no-check', '--no-remote']);
    // To Deno a suite is one test, and what is in it steps.
    expect(told).toContain(`ok | 7 passed (${2 * cases} steps) | 0 failed`);
  });
});

describe('R108, A2, A6: a process that reads 2,000 bodies without keep-alive, held, ended and reset, exits by itself', () => {
  let server: HostileServer;
  let reader: string;
  beforeAll(async () => {
    server = await startHostileServer();
    reader = path.join(project, 'hostile-reader.mjs');
    await writeFile(reader, await bundledForTest('hostile-reader.main.ts'));
  });
  afterAll(() => server.close());

  test.each(RUNTIMES)('%s', async (_name, isThere, executable, args) => {
    if (!isThere) return;
    const { stdout } = await run(executable(), [...args, reader, server.origin, '2000'], environment());
    expect(JSON.parse(stdout)).toEqual({ streams: 2000, wrong: [] });
  });
});

/** As one file, with `@holdfast/client` left outside. */
async function bundledForTest(file: string): Promise<string> {
  const input = fileURLToPath(new URL(file, import.meta.url));
  const build = await rolldown({
    input,
    external: [/^node:/, /^@holdfast\/client/],
    platform: 'node',
    plugins: [
      {
        name: 'the built one',
        resolveId: (source) => {
          const [, entry] = /^(?:\.\.\/)+src\/(index|testing)\.ts$/.exec(source) ?? [];
          return entry === undefined ? null : { id: BUILT[entry] ?? '', external: true };
        },
      },
    ],
  });
  const { output } = await build.generate({ format: 'esm' });
  await build.close();
  // Nothing of the client comes along but what the servers and the cases are made with.
  const sources = output[0].moduleIds.filter((id) => id.startsWith(path.join(packagesDir, 'client/src')));
  expect(OURS).toEqual(expect.arrayContaining(sources.map((id) => path.basename(id))));
  return output[0].code;
}

/** `first`: what a page waits for, the entry and what it imports. `total`: with what is loaded while it runs. */
async function bundledBytes(
  code: string,
  external: string[],
): Promise<{ readonly first: number; readonly total: number }> {
  const input = path.join(project, `entry-${String(gzipSync(code).length)}.mjs`);
  await writeFile(input, code);
  const build = await rolldown({ input, external, platform: 'browser', logLevel: 'silent' });
  const { output } = await build.generate({ format: 'esm', minify: true });
  await build.close();
  const chunks = new Map(output.filter((it) => it.type === 'chunk').map((it) => [it.fileName, it]));
  const first = new Set([output[0].fileName]);
  for (const name of first) for (const next of chunks.get(name)?.imports ?? []) first.add(next);
  const bytesOf = (names: Iterable<string>): number =>
    [...names].reduce((sum, name) => sum + gzipSync(chunks.get(name)?.code ?? '', { level: 9 }).length, 0);
  return { first: bytesOf(first), total: bytesOf(chunks.keys()) };
}

async function codeFiles(name: string): Promise<string[]> {
  const files = await readdir(distOf(name), { recursive: true });
  return files.filter((file) => file.endsWith('.js')).map((file) => path.join(distOf(name), file));
}

/** Every declaration that is shipped, without its comments. */
async function apiReport(name: string): Promise<string> {
  const files = await readdir(path.join(distOf(name), 'types'), { recursive: true });
  const declarations = files.filter((file) => file.endsWith('.d.ts')).toSorted();
  const parts = await Promise.all(
    declarations.map(async (file) => {
      const text = await readFile(path.join(distOf(name), 'types', file), 'utf8');
      const bare = text.replaceAll(/\/\*[\s\S]*?\*\//g, '').replaceAll(/^\s*(\/\/.*)?\n/gm, '');
      return `// ── ${file.replaceAll(path.sep, '/')}\n${bare.trimEnd()}\n`;
    }),
  );
  return parts.join('\n');
}
