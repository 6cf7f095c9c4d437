/**
 * How programs of the same user find a running gateway: a file in the data directory with its address, an admin token of this
 * process alone and, where it serves https, its certificate, by which they know it: that is of a name, not of this machine's address.
 *
 * 1. Only the user can read it (0600), and it is replaced as a whole: a reader sees one gateway's or none's.
 * 2. It is there before the first request is answered, which is why it is written in one turn of the event loop: a command that
 *    outlives a restart reads the new token where the old one is refused, and would find the old one again.
 * 3. It is removed at the end; what a killed process left is told apart by its token, which no gateway takes any more.
 */
import { mkdirSync, renameSync, writeFileSync } from 'node:fs';
import { readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';

const FILE = 'gateway.json';

export interface LocalGateway {
  readonly url: string;
  readonly pid: number;
  readonly token: string;
  /** PEM; undefined: it serves http. */
  readonly cert?: string;
}

/** @returns how to remove it. */
export function announceLocally(directory: string, gateway: LocalGateway): () => Promise<void> {
  mkdirSync(directory, { recursive: true, mode: 0o700 });
  const path = join(directory, FILE);
  const draft = `${path}.${gateway.pid}`;
  writeFileSync(draft, `${JSON.stringify(gateway)}\n`, { mode: 0o600 });
  renameSync(draft, path);
  return async () => {
    const present = await readLocalGateway(directory);
    if (present?.token === gateway.token) await rm(path, { force: true });
  };
}

/** @returns undefined where there is none, or a file that is not one. */
export async function readLocalGateway(directory: string): Promise<LocalGateway | undefined> {
  try {
    const found = JSON.parse(await readFile(join(directory, FILE), 'utf8')) as Partial<LocalGateway>;
    const { url, pid, token, cert } = found;
    if (typeof url !== 'string' || typeof pid !== 'number' || typeof token !== 'string') return undefined;
    return { url, pid, token, ...(typeof cert === 'string' ? { cert } : {}) };
  } catch {
    return undefined;
  }
}
