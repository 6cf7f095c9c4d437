import { defineConfig } from 'oxfmt';

/** The formatter's whole taste. Prose is left to its author: a formatted Markdown table is wider than a screen. */
const config: ReturnType<typeof defineConfig> = defineConfig({
  printWidth: 120,
  singleQuote: true,
  sortImports: false,
  sortPackageJson: false,
  ignorePatterns: ['package-lock.json', '**/*.md', '**/dist/**', '**/fixtures/**'],
});

export default config;
