/**
 * What the linter holds, in three parts.
 *
 * 1. The floors: `floors` says what each folder may import; every other Holdfast package is refused there.
 * 2. The ports: time and chance come in by a port, so the globals are refused outside the adapters.
 * 3. The rest: correctness and suspicion, no `any`, no default export, no promise left floating.
 *
 * Tests may import what they need to exercise a package, and read the real clock.
 */
import { defineConfig } from 'oxlint';

type Floor = {
  /** Holdfast packages that this folder may import, with every sub-path. */
  readonly may: readonly string[];
  /** The only sub-paths that may be imported of packages that are in `may` in part. */
  readonly only?: readonly string[];
  /** Whether Node's own modules are refused: the folder runs in a browser too. */
  readonly anywhere?: boolean;
  /** Packages from outside that would spoil the folder. */
  readonly never?: readonly string[];
};

const packages = [
  '@holdfast/protocol',
  '@holdfast/log',
  '@holdfast/session',
  '@holdfast/agents',
  '@holdfast/gateway',
  '@holdfast/client',
  '@holdfast/react',
  '@holdfast/testing',
  '@holdfast/web',
  '@holdfast/bench',
  'holdfast',
] as const;

/** The sub-paths of the protocol that are free of zod, which alone is twice the client's budget. */
const light = ['cursor', 'entry', 'fault', 'fold', 'ids', 'judge', 'sse', 'sse-decode', 'view'].map(
  (name) => `@holdfast/protocol/${name}`,
);

const floors: Readonly<Record<string, Floor>> = {
  'packages/protocol': { may: [], anywhere: true },
  'packages/log': { may: ['@holdfast/protocol'] },
  'packages/session': { may: ['@holdfast/protocol', '@holdfast/log'] },
  'packages/agents': { may: ['@holdfast/protocol', '@holdfast/session'] },
  'packages/gateway': { may: ['@holdfast/protocol', '@holdfast/log', '@holdfast/session', '@holdfast/agents'] },
  'packages/client': { may: [], only: light, anywhere: true, never: ['zod'] },
  'packages/react': { may: ['@holdfast/client'], anywhere: true, never: ['zod'] },
  'packages/react/example': { may: ['@holdfast/client', '@holdfast/react'], anywhere: true, never: ['zod'] },
  'apps/web': { may: ['@holdfast/client', '@holdfast/react'], only: light, anywhere: true, never: ['zod'] },
  'apps/cli': { may: packages.filter((name) => !/react|testing|web|bench/.test(name)) },
};

const realTimers = {
  regex: '^(node:)?timers(/promises)?$',
  message: 'Time is a port: take a Clock, so that a test can turn it.',
};

type Rule = ['error', { patterns: { regex: string; message: string }[] }];

const floorRule = (folder: string, { may, only = [], anywhere = false, never = [] }: Floor): Rule => {
  const refused = packages.filter((name) => !may.includes(name));
  const wholly = refused.filter((name) => !only.some((path) => path.startsWith(`${name}/`)));
  const inPart = refused.filter((name) => !wholly.includes(name));
  const patterns: { regex: string; message: string }[] = [realTimers];
  if (wholly.length > 0) {
    const names = wholly.join('|');
    patterns.push({
      regex: `^(${names})(/|$)`,
      message: `Imports point down the floors; ${folder} stands below this.`,
    });
  }
  for (const name of inPart) {
    patterns.push({ regex: `^${name}$`, message: `${folder} imports only ${only.join(', ')}: the rest brings zod.` });
  }
  if (anywhere) patterns.push({ regex: '^node:', message: `${folder} runs in a browser too.` });
  if (never.length > 0) {
    patterns.push({ regex: `^(${never.join('|')})(/|$)`, message: `${folder} is kept small: not this package.` });
  }
  return ['error', { patterns }];
};

const floorOverrides = Object.entries(floors).map(([folder, floor]) => ({
  files: [`${folder}/**/*.{ts,tsx}`],
  rules: { 'no-restricted-imports': floorRule(folder, floor) },
}));

const config: ReturnType<typeof defineConfig> = defineConfig({
  options: { typeAware: true, denyWarnings: true, reportUnusedDisableDirectives: 'error' },
  plugins: ['eslint', 'typescript', 'unicorn', 'oxc', 'import', 'promise', 'react', 'jsx-a11y'],
  categories: { correctness: 'error', suspicious: 'error' },
  ignorePatterns: ['**/dist/**', '**/fixtures/**'],
  rules: {
    'import/no-default-export': 'error',
    'import/no-cycle': 'error',
    'no-restricted-globals': [
      'error',
      ...['setTimeout', 'setInterval'].map((name) => ({ name, message: 'Time is a port: take a Clock.' })),
    ],
    'no-restricted-properties': [
      'error',
      { object: 'Date', property: 'now', message: 'Time is a port: take a Clock.' },
      { object: 'performance', property: 'now', message: 'Time is a port: take a Clock.' },
      { object: 'Math', property: 'random', message: 'Chance is a port: take a Random.' },
      ...['globalThis', 'window', 'self'].flatMap((object) =>
        ['setTimeout', 'setInterval'].map((property) => ({
          object,
          property,
          message: 'Time is a port: take a Clock.',
        })),
      ),
    ],
    // The compiler holds both already (noImplicitReturns, exhaustive switches), and sees more.
    'typescript/consistent-return': 'off',
    'typescript/no-explicit-any': 'error',
    'typescript/no-floating-promises': 'error',
    'typescript/no-misused-promises': ['error', { checksVoidReturn: { attributes: false } }],
    'typescript/restrict-template-expressions': [
      'error',
      { allowNumber: true, allowBoolean: true, allowNullish: true },
    ],
    'typescript/switch-exhaustiveness-check': ['error', { considerDefaultExhaustiveForUnions: true }],

    // Suspicions that are habits here. A closure beside its only use reads better than one hoisted away from it.
    'unicorn/consistent-function-scoping': 'off',
    // `void` marks a promise that is meant to float, and a call that happens to return nothing yet.
    'typescript/no-meaningless-void-operator': 'off',
    // Both misread code that waits: a loop whose condition another task turns, a `then` for its effect.
    'no-unmodified-loop-condition': 'off',
    'promise/always-return': 'off',
    // A side-effect import is what a stylesheet is.
    'import/no-unassigned-import': 'off',
    // The JSX transform imports React by itself.
    'react/react-in-jsx-scope': 'off',
    // A parameter may be called what it is, though an outer scope has one too.
    'no-shadow': 'off',
    // A module that only registers itself says so with an empty export.
    'unicorn/require-module-specifiers': 'off',
    // A type guard at the door asserts what it has just checked.
    'typescript/no-unsafe-type-assertion': 'off',
  },
  overrides: [
    ...floorOverrides,
    {
      files: ['packages/client/src/node/**/*.ts'],
      rules: { 'no-restricted-imports': floorRule('packages/client', { may: [], only: light, never: ['zod'] }) },
    },
    {
      files: ['**/clock.ts', '**/random.ts', '**/*-clock.ts', 'packages/testing/**', 'bench/**', 'tools/**'],
      rules: { 'no-restricted-globals': 'off', 'no-restricted-properties': 'off' },
    },
    {
      files: ['**/*.test.{ts,tsx}', '**/test/**/*.{ts,tsx}'],
      rules: {
        'no-restricted-imports': 'off',
        'no-restricted-globals': 'off',
        'no-restricted-properties': 'off',
        'typescript/unbound-method': 'off',
      },
    },
    // These run on the Node that is there before ours is, from 18 on, which has no toSorted.
    { files: ['tools/**'], rules: { 'unicorn/no-array-sort': 'off' } },
    { files: ['**/*.config.ts'], rules: { 'import/no-default-export': 'off' } },
  ],
});

export default config;
