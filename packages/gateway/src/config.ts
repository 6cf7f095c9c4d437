/**
 * The configuration: one file and the environment, read once, at the start.
 *
 * Stages: read the file (`holdfast.config.json`, or where `HOLDFAST_CONFIG` says), lay the environment over it, read each
 * field, refuse what is unknown.
 *
 * 1. The environment wins over the file, the file over the defaults.
 * 2. An unknown key is an error that names the nearest known one: a setting that does nothing is worse than a start that fails.
 * 3. All errors are told at once, each with what happened and how to fix it.
 * 4. No secret is ever part of an error's text.
 */
import { readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { nearest, type Field } from './config-field.ts';
import { TABLE, type Config, type Group, type Table } from './config-table.ts';

export type LoadedConfig =
  | { readonly kind: 'config'; readonly config: Config }
  | { readonly kind: 'wrong'; readonly problems: readonly string[] };

export type Environment = Readonly<Record<string, string | undefined>>;

/** Variables of this name space that others read, or that a container platform sets. */
const FOREIGN = /^HOLDFAST_(CONFIG|URL|CHROME|SERVICE_.*|PORT_\d.*)$/;

export function loadConfig(env: Environment, cwd: string): LoadedConfig {
  const problems: string[] = [];
  const file = readConfigFile(env, cwd, problems);
  const known = rowsOf(TABLE);
  refuseUnknown(file.values, env, known, problems);
  const config: Record<string, unknown> = {};
  for (const { group, key, field } of known) {
    const target = group === undefined ? config : ((config[group] ??= {}) as Record<string, unknown>);
    target[key] = readField(
      field,
      env[field.env],
      valueAt(file.values, group, key),
      nameInFile(file.path, group, key),
      problems,
    );
  }
  const read = config as unknown as Config;
  if ((read.tls.cert === undefined) !== (read.tls.key === undefined))
    problems.push('Of HOLDFAST_TLS_CERT and HOLDFAST_TLS_KEY only one is set. https needs both, http neither.');
  if (problems.length > 0) return { kind: 'wrong', problems };
  return { kind: 'config', config: { ...read, data: resolve(cwd, read.data) } };
}

/** The defaults, with changes: for tests and for programs that embed a gateway. */
export function configOf(changes: Partial<Config>): Config {
  const loaded = loadConfig({ HOLDFAST_CONFIG: '' }, '/');
  if (loaded.kind === 'wrong') throw new Error(loaded.problems.join('\n'));
  return { ...loaded.config, ...changes };
}

interface TableRow {
  readonly group: Group | undefined;
  readonly key: string;
  readonly field: Field<unknown>;
}

function rowsOf(table: Table): readonly TableRow[] {
  return Object.entries(table).flatMap(([key, entry]): readonly TableRow[] =>
    'read' in entry
      ? [{ group: undefined, key, field: entry }]
      : Object.entries(entry).map(([inner, field]) => ({
          group: key as Group,
          key: inner,
          field: field as Field<unknown>,
        })),
  );
}

/** What can be set, for the help and the documents. */
export const configHelp = (): readonly {
  readonly env: string;
  readonly key: string;
  readonly about: string;
  readonly fallback: string;
}[] =>
  rowsOf(TABLE).map(({ group, key, field }) => ({
    env: field.env,
    key: group === undefined ? key : `${group}.${key}`,
    about: field.about,
    fallback:
      field.env === 'HOLDFAST_STORE' ? 'sqlite' : field.fallback === undefined ? '' : JSON.stringify(field.fallback),
  }));

function readField(
  field: Field<unknown>,
  fromEnv: string | undefined,
  fromFile: unknown,
  fileName: string,
  problems: string[],
): unknown {
  const [raw, name] = fromEnv === undefined ? [fromFile, fileName] : [fromEnv, field.env];
  if (raw === undefined) return field.fallback;
  const found = field.read(raw);
  if (found.kind === 'value') return found.value;
  problems.push(`${name} ${found.why}`);
  return field.fallback;
}

type FileValues = Readonly<Record<string, unknown>>;

function readConfigFile(
  env: Environment,
  cwd: string,
  problems: string[],
): { readonly path: string; readonly values: FileValues } {
  const asked = env['HOLDFAST_CONFIG'];
  if (asked === '') return { path: '', values: {} };
  const path = resolve(cwd, asked ?? 'holdfast.config.json');
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch (error) {
    if (asked === undefined && (error as NodeJS.ErrnoException).code === 'ENOENT') return { path, values: {} };
    problems.push(
      `HOLDFAST_CONFIG names ${path}, which cannot be read (${(error as NodeJS.ErrnoException).code}). Correct the path, or unset it.`,
    );
    return { path, values: {} };
  }
  try {
    const values: unknown = JSON.parse(text);
    if (typeof values === 'object' && values !== null && !Array.isArray(values))
      return { path, values: values as FileValues };
    problems.push(`${path} does not hold a JSON object. Write one: { "port": 7420 }.`);
  } catch (error) {
    problems.push(
      `${path} is not JSON: ${(error as Error).message.replace(/, (\.\.\.)?".*is not valid JSON$/s, '')}. No setting of it can be used before that is mended.`,
    );
  }
  return { path, values: {} };
}

function refuseUnknown(values: FileValues, env: Environment, known: readonly TableRow[], problems: string[]): void {
  const variables = known.map(({ field }) => field.env);
  for (const name of Object.keys(env)) {
    if (!name.startsWith('HOLDFAST_') || variables.includes(name) || FOREIGN.test(name)) continue;
    problems.push(unknown(name, variables));
  }
  const keys = known.map(({ group, key }) => (group === undefined ? key : `${group}.${key}`));
  for (const key of keysOf(values, new Set(known.map(({ group }) => group)))) {
    if (!keys.includes(key)) problems.push(unknown(key, keys));
  }
}

function keysOf(values: FileValues, groups: ReadonlySet<string | undefined>): readonly string[] {
  return Object.entries(values).flatMap(([key, inner]) =>
    groups.has(key) && typeof inner === 'object' && inner !== null
      ? Object.keys(inner).map((name) => `${key}.${name}`)
      : [key],
  );
}

function unknown(name: string, known: readonly string[]): string {
  const meant = nearest(name, known);
  return `${name} is unknown and would do nothing.${meant === undefined ? ' Remove it.' : ` Did you mean ${meant}?`}`;
}

function valueAt(values: FileValues, group: string | undefined, key: string): unknown {
  if (group === undefined) return values[key];
  const inner = values[group];
  return typeof inner === 'object' && inner !== null ? (inner as FileValues)[key] : undefined;
}

const nameInFile = (path: string, group: string | undefined, key: string): string =>
  `"${group === undefined ? key : `${group}.${key}`}" in ${path}`;
