import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { configHelp, loadConfig, type Environment } from './config.ts';

function load(env: Environment, file?: unknown) {
  const directory = mkdtempSync(join(tmpdir(), 'holdfast-config-'));
  if (file !== undefined)
    writeFileSync(join(directory, 'holdfast.config.json'), typeof file === 'string' ? file : JSON.stringify(file));
  try {
    return loadConfig(env, directory);
  } finally {
    rmSync(directory, { recursive: true });
  }
}
const configOf = (env: Environment, file?: unknown) => {
  const loaded = load(env, file);
  if (loaded.kind === 'wrong') throw new Error(loaded.problems.join('\n'));
  return loaded.config;
};
const problemsOf = (env: Environment, file?: unknown) => {
  const loaded = load(env, file);
  return loaded.kind === 'wrong' ? loaded.problems : [];
};

test('without a file and variables the defaults hold', () => {
  const config = configOf({});
  expect(config).toMatchObject({
    host: '127.0.0.1',
    port: 7420,
    store: { kind: 'sqlite' },
    open: true,
    drainMs: 10_000,
  });
  expect(config.limits).toMatchObject({ bodyBytesMax: 1_048_576, bodyDepthMax: 32, queueMax: 1_000 });
});

test('the environment wins over the file, the file over the defaults', () => {
  const config = configOf({ HOLDFAST_PORT: '0' }, { port: 8000, host: '0.0.0.0', limits: { queueMax: 5 } });
  expect(config).toMatchObject({ port: 0, host: '0.0.0.0', limits: { queueMax: 5, bodyDepthMax: 32 } });
});

test('an unknown key is an error that names the nearest known one', () => {
  expect(problemsOf({ HOLDFAST_PROT: '1' })).toEqual([
    'HOLDFAST_PROT is unknown and would do nothing. Did you mean HOLDFAST_PORT?',
  ]);
  expect(problemsOf({}, { limits: { queMax: 1 } })).toEqual([
    'limits.queMax is unknown and would do nothing. Did you mean limits.queueMax?',
  ]);
  expect(problemsOf({}, { zzzzzzzzzzzzzz: 1 })).toEqual(['zzzzzzzzzzzzzz is unknown and would do nothing. Remove it.']);
});

test('all problems are told at once', () => {
  expect(problemsOf({ HOLDFAST_PORT: 'x', HOLDFAST_LOG: 'loud', HOLDFAST_TLS_CERT: 'c.pem' })).toHaveLength(3);
});

test.each([
  [{ HOLDFAST_PORT: '70000' }, /HOLDFAST_PORT is '70000'\. Set it to a whole number from 0 to 65535/],
  [{ HOLDFAST_PORT: 'tcp://10.0.0.1:7420' }, /enableServiceLinks: false/],
  [
    { HOLDFAST_STORE: 'postgres' },
    /is 'postgres', which names no server\. Set it to a URL: postgres:\/\/user@host\/db/,
  ],
  [{ HOLDFAST_ORIGINS: 'https://a.example/path' }, /which is no origin/],
  [{ HOLDFAST_PUBLIC_URL: 'https://a.example/path?query=1' }, /HOLDFAST_PUBLIC_URL has more than a host and a path/],
  [{ HOLDFAST_MODEL_URL: 'ftp://x' }, /begins with http:\/\/ or https:\/\//],
  [{ HOLDFAST_CONFIG: 'nowhere.json' }, /which cannot be read \(ENOENT\)/],
])('%j is refused with the cure', (env, text) => {
  expect(problemsOf(env).join('\n')).toMatch(text);
});

test('a file that is not JSON is refused, and no part of it is quoted', () => {
  const problems = problemsOf({}, '{ "token": "hf_secret_secret", }').join('\n');
  expect(problems).toMatch(/is not JSON/);
  expect(problems).not.toContain('secret');
  const long = problemsOf({}, `{ "host": "127.0.0.1", "model": { "name": "qwen3", "key": secret-secret } }`).join('\n');
  expect(long).toMatch(/is not JSON: Unexpected token 's'\./);
});

test('no secret is part of an error', () => {
  for (const value of [['secret'], { is: 'secret' }])
    expect(problemsOf({}, { model: { key: value } }).join('\n')).toMatch(/^"model.key" in .* is no text\.$/);
  expect(problemsOf({ HOLDFAST_STORE: 'postgre://user:secret@host/db' }).join('\n')).not.toContain('secret');
});

test('every setting has a variable, a key and a line of help, each once', () => {
  const help = configHelp();
  expect(new Set(help.map(({ env }) => env)).size).toBe(help.length);
  expect(new Set(help.map(({ key }) => key)).size).toBe(help.length);
  for (const { env, about } of help) {
    expect(env).toMatch(/^HOLDFAST_[A-Z_]+$/);
    expect(about).not.toBe('');
  }
});
