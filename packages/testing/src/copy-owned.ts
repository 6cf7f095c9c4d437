/**
 * Copies a folder that is being written to, with the owner and the modes of its files. A file that is gone meanwhile is left out; a
 * folder that is not wanted is made and stands empty.
 */
import { chmod, chown, copyFile, mkdir, readdir, stat, writeFile } from 'node:fs/promises';
import path from 'node:path';

export async function copyOwned(from: string, to: string, isWanted: (name: string) => boolean): Promise<void> {
  const { mode, uid, gid } = await stat(from);
  await mkdir(to, { recursive: true });
  await chmod(to, mode);
  await chown(to, uid, gid);
  if (!isWanted(path.basename(from))) return;
  for (const entry of await readdir(from, { withFileTypes: true })) {
    const [source, target] = [path.join(from, entry.name), path.join(to, entry.name)];
    if (entry.isDirectory()) await copyOwned(source, target, isWanted);
    else if (entry.isFile() && isWanted(entry.name)) await copyFileOwned(source, target);
  }
}

async function copyFileOwned(from: string, to: string): Promise<void> {
  try {
    const { mode, uid, gid } = await stat(from);
    await copyFile(from, to);
    await chmod(to, mode);
    await chown(to, uid, gid);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
  }
}

/** A new file beside others of the same owner. */
export async function writeOwned(file: string, text: string): Promise<void> {
  const { uid, gid } = await stat(path.dirname(file));
  await writeFile(file, text);
  await chown(file, uid, gid);
}
