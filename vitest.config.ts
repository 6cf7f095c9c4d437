import { defineConfig } from 'vitest/config';

/**
 * One configuration for all packages. Files run in processes of their own: some of them hold a browser, a database
 * or a native module, and one that is killed must not take its neighbours with it.
 *
 * The limits of time find what hangs; they measure nothing. A machine that is ten times slower, or has ten other things to do,
 * passes too: so they are far from what any test needs, and a test sets one of its own only to have more.
 */
const config: ReturnType<typeof defineConfig> = defineConfig({
  test: {
    include: ['packages/**/*.test.{ts,tsx}', 'apps/**/*.test.{ts,tsx}', 'bench/**/*.test.ts'],
    exclude: ['**/node_modules/**', '**/dist/**'],
    pool: 'forks',
    maxWorkers: 2,
    testTimeout: 180_000,
    hookTimeout: 180_000,
    teardownTimeout: 60_000,
    expect: { poll: { timeout: 60_000, interval: 25 } },
    execArgv: ['--expose-gc'],
    // A rejection that nobody caught is the fault that this project exists to end.
    dangerouslyIgnoreUnhandledErrors: false,
  },
});

export default config;
