/** What the command says of itself, and what it says to what it cannot understand. */
import { readFileSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { createProgram } from '../src/program.ts';
import { BIN, environment, run, temporaryDir, type TemporaryDir } from './holdfast.ts';

const commands = (function* walk(
  command = createProgram(),
  names: readonly string[] = [],
): Generator<readonly string[]> {
  yield names;
  for (const inner of command.commands) yield* walk(inner, [...names, inner.name()]);
})();

test.each([...commands].map((names) => [names.join(' '), names] as const))(
  'holdfast %s --help',
  async (_name, names) => {
    const { code, out, err } = await run([...names, '--help'], environment('/nonexistent'));
    expect({ code, err }).toEqual({ code: 0, err: '' });
    expect(out).toContain(`Usage: holdfast ${names.join(' ')}`.trimEnd());
  },
);

test('--version is the package’s', async () => {
  const { version } = JSON.parse(readFileSync(new URL('../package.json', import.meta.url), 'utf8')) as {
    readonly version: string;
  };
  expect(await run(['--version'], environment('/nonexistent'))).toEqual({ code: 0, out: `${version}\n`, err: '' });
});

describe('bad input is told in a line or two on stderr, with exit code 2', () => {
  let dir: TemporaryDir;
  beforeAll(async () => {
    dir = await temporaryDir();
    await dir.serve();
  });
  afterAll(() => dir[Symbol.asyncDispose]());

  test.each([
    [['unknown']],
    [['serve', '--prot', '80']],
    [['serve', '--port', '99999']],
    [['tail', 'no id!']],
    [['tail', 's_none']],
    [['tail', 's_none', '--after', 'yesterday']],
    [['chat', 's_none']],
    [['chat', '--once', ' ']],
    [['chat', '--json']],
    [['chat', '--once', 'x', '--url', 'localhost']],
    [['sessions', '--limit', 'all']],
    [['export', 's_none']],
    [['token', 'create']],
    [['token', 'create', '--subject', 'bob', '--expires', 'soon']],
    [['token', 'create', '--subject', 'bob', '--scopes', 'everything']],
    [['token', 'revoke', 'tk_none']],
    [['backup', BIN]],
    [['restore', '/nonexistent.db']],
    [['rehearse']],
  ])('%j', async (args) => {
    const refused = await run(args, environment(dir.path));
    expect([args, refused.code, refused.out]).toEqual([args, 2, '']);
    expect(refused.err).toMatch(/^(holdfast|error): \S/);
    expect(refused.err.trimEnd().split('\n').length).toBeLessThanOrEqual(3);
  });
});

test('without a gateway the cure is said at once', async () => {
  await using dir = await temporaryDir();
  for (const args of [['chat'], ['chat', '--once', 'x'], ['sessions'], ['token', 'list'], ['tail', 's_1']]) {
    const refused = await run(args, environment(dir.path));
    expect([args, refused.code]).toEqual([args, 1]);
    expect(refused.err).toContain('holdfast serve');
  }
});

test('what a killed gateway left behind is not taken for a running one', async () => {
  await using dir = await temporaryDir();
  const gateway = await dir.serve();
  await gateway.end('SIGKILL');
  const refused = await run(['sessions'], environment(dir.path));
  expect(refused.code).toBe(1);
  expect(refused.err).toContain('holdfast serve');
});

test('a variable that is set to nothing names nothing; a token that is refused is told with its gateway', async () => {
  await using dir = await temporaryDir();
  const gateway = await dir.serve();
  const asked = await run(['sessions'], environment(dir.path, { HOLDFAST_URL: '', HOLDFAST_TOKEN: '' }));
  expect(asked).toMatchObject({ code: 0, err: '' });
  const refused = await run(['sessions', '--token', 'hf_stranger'], environment(dir.path));
  expect(refused.code).toBe(1);
  expect(refused.err).toMatch(new RegExp(`${gateway.url} does not take the token .*holdfast token create`));
});
