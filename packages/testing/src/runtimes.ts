/**
 * The runtimes that the client promises beside this one: the oldest Node, Bun and Deno, as packages, so that a test never passes because
 * there was none. Bun and Deno are there for Linux and for macOS on ARM.
 */
import { execFileSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

/** @returns its executable. @throws with the cure, where it was not installed. */
export function node20(): string {
  const home = path.dirname(fileURLToPath(import.meta.resolve('node/package.json')));
  const executable = path.join(home, 'bin', process.platform === 'win32' ? 'node.exe' : 'node');
  const version = existsSync(executable)
    ? execFileSync(executable, ['--version'], { encoding: 'utf8' }).trim()
    : 'none';
  if (version.startsWith('v20.')) return executable;
  throw new Error(`There should be a Node 20 at ${executable}, and there is ${version}. Run "npm run setup".`);
}

const PLATFORM = `${process.platform}-${process.arch}`;

const BUN: Readonly<Record<string, string>> = {
  'linux-x64': '@oven/bun-linux-x64',
  'linux-arm64': '@oven/bun-linux-aarch64',
  'darwin-arm64': '@oven/bun-darwin-aarch64',
};
const DENO: Readonly<Record<string, string>> = {
  'linux-x64': '@deno/linux-x64-glibc',
  'linux-arm64': '@deno/linux-arm64-glibc',
  'darwin-arm64': '@deno/darwin-arm64',
};

/** Whether `bun` and `deno` have one for this machine. */
export const hasBunAndDeno: boolean = PLATFORM in BUN;

/** @returns its executable. @throws where it was not installed. */
export const bun = (): string => executableOf(BUN[PLATFORM], 'bin/bun');

/** @returns its executable. @throws where it was not installed. */
export const deno = (): string => executableOf(DENO[PLATFORM], 'deno');

function executableOf(name: string | undefined, file: string): string {
  if (name === undefined) throw new Error(`There is no package of it for ${PLATFORM}.`);
  return path.join(path.dirname(fileURLToPath(import.meta.resolve(`${name}/package.json`))), file);
}
