/** The oldest Node that the client promises, as a package of this one: a test never passes because there was none. */
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
