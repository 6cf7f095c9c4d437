/**
 * Opens a file of the workspace so that nothing outside of it can be read, by any path.
 *
 * 1. The path is resolved against the root; one that leaves it (`..`, absolute) is refused before anything is touched.
 * 2. Symbolic links may lead anywhere inside. The file is opened first and judged after: what counts is where the *opened*
 *    file is (`/proc/self/fd` on Linux), so a link that is swapped between check and use gains nothing.
 * 3. Elsewhere than on Linux the opened file is compared with what stands at its real path (device and inode); a swap
 *    between those two looks is not seen.
 * 4. Only regular files, opened without blocking: a pipe or a device cannot hang the reader.
 * Not covered: a hard link in the workspace *is* the file, wherever its other names are.
 */
import { constants } from 'node:fs';
import { open, readlink, realpath, stat, type FileHandle } from 'node:fs/promises';
import { isAbsolute, relative, resolve, sep } from 'node:path';

export type OpenedFile =
  | { readonly kind: 'open'; readonly file: FileHandle; readonly bytes: number }
  | { readonly kind: 'refused'; readonly reason: string };

/** @param hidden folders within the root that are treated as outside of it (the gateway's data) */
export async function openInside(root: string, path: string, hidden: readonly string[] = []): Promise<OpenedFile> {
  const refused = (why: string): OpenedFile => ({ kind: 'refused', reason: `“${path}” ${why}` });
  if (path.includes('\0')) return refused('is not a path.');
  const wanted = resolve(root, path);
  if (!isInside(resolve(root), wanted)) return refused('is outside of the workspace.');
  const realRoot = await realpath(root).catch(() => null);
  if (realRoot === null) return { kind: 'refused', reason: `The workspace ${root} does not exist.` };
  // A first look, so that nothing outside is even opened in the ordinary case.
  const expected = await realpath(wanted).catch(() => null);
  if (expected === null) return refused('does not exist.');
  if (!isInside(realRoot, expected)) return refused('leads outside of the workspace.');
  const realHidden = await Promise.all(hidden.map((place) => realpath(place).catch(() => resolve(place))));

  let file: FileHandle;
  try {
    file = await open(wanted, constants.O_RDONLY | constants.O_NONBLOCK | constants.O_NOCTTY);
  } catch (error) {
    return refused(`cannot be opened: ${error instanceof Error ? error.message : String(error)}`);
  }
  const why = await whyRefused(file, wanted, realRoot, realHidden).catch(() => 'cannot be checked.');
  if (why === null) return { kind: 'open', file, bytes: (await file.stat()).size };
  await file.close();
  return refused(why);
}

async function whyRefused(
  file: FileHandle,
  wanted: string,
  realRoot: string,
  realHidden: readonly string[],
): Promise<string | null> {
  const stats = await file.stat();
  const isVisible = (actual: string): boolean =>
    isInside(realRoot, actual) && !realHidden.some((place) => isInside(place, actual));
  if (process.platform === 'linux') {
    if (!isVisible(await readlink(`/proc/self/fd/${file.fd}`))) return 'leads outside of the workspace.';
  } else {
    const actual = await realpath(wanted);
    const there = await stat(actual);
    const isSame = there.ino === stats.ino && there.dev === stats.dev;
    if (!isSame || !isVisible(actual)) return 'leads outside of the workspace.';
  }
  return stats.isFile() ? null : 'is not a regular file.';
}

function isInside(root: string, path: string): boolean {
  const way = relative(root, path);
  return way === '' || (way !== '..' && !way.startsWith(`..${sep}`) && !isAbsolute(way));
}
