/**
 * What a fence's info string names. Kept apart from the grammars: the page knows the names, the worker alone the rest.
 */
export type Language =
  | 'bash'
  | 'c'
  | 'cpp'
  | 'csharp'
  | 'css'
  | 'diff'
  | 'docker'
  | 'go'
  | 'graphql'
  | 'html'
  | 'ini'
  | 'java'
  | 'javascript'
  | 'json'
  | 'jsx'
  | 'kotlin'
  | 'lua'
  | 'make'
  | 'markdown'
  | 'php'
  | 'powershell'
  | 'python'
  | 'ruby'
  | 'rust'
  | 'scss'
  | 'sql'
  | 'swift'
  | 'toml'
  | 'tsx'
  | 'typescript'
  | 'xml'
  | 'yaml'
  | 'zig';

const NAMES: Readonly<Record<Language, readonly string[]>> = {
  bash: ['sh', 'shell', 'zsh', 'shellscript', 'console'],
  c: ['h'],
  cpp: ['c++', 'cc', 'cxx', 'hpp'],
  csharp: ['cs', 'c#'],
  css: [],
  diff: ['patch'],
  docker: ['dockerfile'],
  go: ['golang'],
  graphql: ['gql'],
  html: ['htm'],
  ini: ['properties', 'env', 'dotenv', 'conf'],
  java: [],
  javascript: ['js', 'mjs', 'cjs', 'node'],
  json: ['jsonc', 'json5', 'jsonl', 'ndjson'],
  jsx: [],
  kotlin: ['kt', 'kts'],
  lua: [],
  make: ['makefile'],
  markdown: ['md', 'mdx'],
  php: [],
  powershell: ['ps', 'ps1', 'pwsh'],
  python: ['py', 'python3'],
  ruby: ['rb'],
  rust: ['rs'],
  scss: ['sass'],
  sql: ['postgres', 'postgresql', 'mysql', 'sqlite'],
  swift: [],
  toml: [],
  tsx: [],
  typescript: ['ts', 'mts', 'cts'],
  xml: ['svg', 'plist'],
  yaml: ['yml'],
  zig: [],
};

const BY_NAME: ReadonlyMap<string, Language> = new Map(
  (Object.keys(NAMES) as Language[]).flatMap((language) =>
    [language, ...NAMES[language]].map((name) => [name, language] as const),
  ),
);

/** @returns undefined for a language that is not highlighted. */
export const languageOf = (info: string): Language | undefined => BY_NAME.get(nameOf(info).toLowerCase());

/** The first word of an info string: ` ```ts title="x" `. */
export const nameOf = (info: string): string => /^[^\s{,:]+/.exec(info.trim())?.[0] ?? '';
