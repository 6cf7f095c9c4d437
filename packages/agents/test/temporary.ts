/** A directory of its own for a test, gone afterwards. */
import { mkdtemp, realpath, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { onTestFinished } from 'vitest';

export async function temporaryDirectory(): Promise<string> {
  const directory = await realpath(await mkdtemp(join(tmpdir(), 'holdfast-agents-')));
  onTestFinished(() => rm(directory, { recursive: true, force: true }));
  return directory;
}
