import { defineConfig } from 'vitest/config';

/**
 * One configuration for all packages. Files run in processes of their own: some of them hold a browser, a database
 * or a native module, and one that is killed must not take its neighbours with it.
 */
const config: ReturnType<typeof defineConfig> = defineConfig({
  test: {
    include: ['packages/**/*.test.{ts,tsx}', 'apps/**/*.test.{ts,tsx}', 'bench/**/*.test.ts'],
    exclude: ['**/node_modules/**', '**/dist/**'],
    pool: 'forks',
    maxWorkers: 2,
    testTimeout: 30_000,
    hookTimeout: 60_000,
    teardownTimeout: 10_000,
    execArgv: ['--expose-gc'],
    // A rejection that nobody caught is the fault that this project exists to end.
    dangerouslyIgnoreUnhandledErrors: false,
  },
});

export default config;
