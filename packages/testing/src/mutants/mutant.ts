/**
 * Mutants: faults of the races' kind, put back into the code one at a time, to see whether the simulation finds them by its laws.
 *
 * Each is a patch in `packages/testing/mutants`, with a head that says what it breaks. It is applied to a copy of the packages
 * that the simulation runs, never to the work tree, and the simulation runs there until it finds a violation.
 *
 *  M1  A find counts only where the same seed is clean without the patch.
 *  M2  A patch that no longer applies is a failure: the code moved on, and nobody knows whether the fault could come back.
 *  M3  A copy that makes no progress is a find: the simulation's own watchdog ends it and says `liveness`.
 */
import { spawn } from 'node:child_process';
import { cp, mkdir, mkdtemp, readdir, readFile, rm, symlink } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';

const ROOT = path.resolve(import.meta.dirname, '../../../..');
const MUTANTS = path.join(ROOT, 'packages/testing/mutants');
/** What the simulation is made of. */
const PACKAGES = ['protocol', 'log', 'session', 'testing'] as const;

export interface Mutant {
  readonly name: string;
  readonly file: string;
  /** The race or law that it breaks: `R18`, `L3`, … */
  readonly breaks: string;
  /** What it does, in a sentence. */
  readonly what: string;
}

export type Hunt =
  | {
      readonly kind: 'found';
      readonly laws: readonly string[];
      readonly detail: string;
      readonly seed: number;
      readonly runs: number;
    }
  | { readonly kind: 'survived'; readonly runs: number }
  | { readonly kind: 'does-not-apply'; readonly detail: string };

export async function loadMutants(): Promise<readonly Mutant[]> {
  const files = (await readdir(MUTANTS)).filter((name) => name.endsWith('.patch')).toSorted();
  return Promise.all(files.map((name) => loadMutant(path.join(MUTANTS, name))));
}

async function loadMutant(file: string): Promise<Mutant> {
  const text = await readFile(file, 'utf8');
  const head = (field: string): string => new RegExp(`^${field}: (.+)$`, 'm').exec(text)?.[1] ?? '';
  return { name: path.basename(file, '.patch'), file, breaks: head('Breaks'), what: head('What') };
}

/** Runs `use` in a copy of the packages, with the patch applied where one is given. */
export async function inCopy<T>(
  patch: string | undefined,
  use: (dir: string) => Promise<T>,
): Promise<T | Extract<Hunt, { kind: 'does-not-apply' }>> {
  const dir = await mkdtemp(path.join(os.tmpdir(), 'holdfast-mutant-'));
  try {
    await copyPackages(dir);
    if (patch !== undefined) {
      const applied = await run('git', ['apply', '-C1', patch], dir);
      if (applied.code !== 0) return { kind: 'does-not-apply', detail: applied.stderr.trim() };
    }
    return await use(dir);
  } finally {
    await rm(dir, { recursive: true, force: true });
  }
}

async function copyPackages(dir: string): Promise<void> {
  const modules = path.join(dir, 'node_modules');
  await mkdir(path.join(modules, '@holdfast'), { recursive: true });
  for (const name of await readdir(path.join(ROOT, 'node_modules')))
    if (name !== '@holdfast') await symlink(path.join(ROOT, 'node_modules', name), path.join(modules, name));
  for (const name of PACKAGES) {
    const [from, to] = [path.join(ROOT, 'packages', name), path.join(dir, 'packages', name)];
    await cp(path.join(from, 'src'), path.join(to, 'src'), { recursive: true });
    await cp(path.join(from, 'package.json'), path.join(to, 'package.json'));
    await symlink(to, path.join(modules, '@holdfast', name));
  }
}

/** @returns those whose patch no longer applies (M2), with git's reason. */
export async function doApply(mutants: readonly Mutant[]): Promise<readonly string[]> {
  const outcomes = await inCopy(undefined, (dir) =>
    Promise.all(mutants.map(({ file }) => run('git', ['apply', '--check', '-C1', file], dir))),
  );
  if ('kind' in outcomes) return [outcomes.detail];
  return outcomes.flatMap(({ code, stderr }, index) => (code === 0 ? [] : [`${mutants[index]?.name}: ${stderr}`]));
}

/** Seeds from `seed` on, until one is violated that is clean without the patch (M1). */
export async function hunt(mutant: Mutant, options: { readonly runs: number; readonly seed?: number }): Promise<Hunt> {
  const first = options.seed ?? 1;
  return inCopy(mutant.file, async (dir): Promise<Hunt> => {
    for (let seed = first; seed < first + options.runs;) {
      const outcome = await simulateIn(dir, seed, first + options.runs - seed);
      if (outcome === undefined) break;
      const clean = (await simulateIn(ROOT, outcome.seed, 1)) === undefined;
      if (clean) return { kind: 'found', ...outcome, runs: outcome.seed - first + 1 };
      seed = outcome.seed + 1;
    }
    return { kind: 'survived', runs: options.runs };
  });
}

interface Found {
  readonly seed: number;
  readonly laws: readonly string[];
  readonly detail: string;
}

/** The first violation of a simulation there. */
async function simulateIn(dir: string, seed: number, runs: number): Promise<Found | undefined> {
  const sim = ['packages/testing/src/bin/sim.ts', '--first', '--threads', '1', '--shrink', '0'];
  const args = [...sim, '--runs', `${runs}`, '--seed', `${seed}`];
  const { stdout, stderr } = await run(process.execPath, args, dir);
  const last = stdout.trim().split('\n').at(-1) ?? '';
  const parsed = last.startsWith('{')
    ? (JSON.parse(last) as { readonly seeds: number[]; readonly laws: string[] })
    : undefined;
  // A mutant that cannot even be loaded, or that kills the process, is found in its first run.
  if (parsed === undefined) return { seed, laws: ['crash'], detail: stderr.trim().split('\n').at(0) ?? '' };
  const [at] = parsed.seeds;
  if (at === undefined) return undefined;
  const detail = new RegExp(`seed ${at}, step \\d+: (.+)$`, 'm').exec(stderr)?.[1] ?? '';
  return { seed: at, laws: parsed.laws, detail };
}

interface Ran {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

function run(command: string, args: readonly string[], cwd: string): Promise<Ran> {
  return new Promise((resolve) => {
    const child = spawn(command, args, { cwd, stdio: ['ignore', 'pipe', 'pipe'] });
    const out = { stdout: '', stderr: '' };
    child.stdout.on('data', (chunk) => (out.stdout += String(chunk)));
    child.stderr.on('data', (chunk) => (out.stderr += String(chunk)));
    child.on('error', (error) => resolve({ code: 1, ...out, stderr: error.message }));
    child.on('close', (code) => resolve({ code: code ?? 1, ...out }));
  });
}
