/**
 * Unsent messages in a file, for programs: a CLI that was closed in mid-send goes on where it was.
 *
 * 1. Each change writes the whole file beside its place and renames it: a reader and a crash find the old or the new one.
 * 2. Changes are written one after the other; those that come meanwhile go out together with the next.
 * 3. A file that is not ours to read as JSON is an error, never overwritten.
 * 4. What another process wrote stays: a change is one of what is in the file now. Of two in the very same moment one may be lost.
 */
import { mkdir, readFile, rename, writeFile } from 'node:fs/promises';
import { dirname } from 'node:path';

import type { ClientId } from '@holdfast/protocol/ids';

import { newId } from '../new-id.ts';
import type { OutboxStore, StoredSend } from '../outbox-store.ts';

type Sends = Map<ClientId, StoredSend>;

export function fileOutbox(path: string): OutboxStore {
  let changes: ((sends: Sends) => void)[] = [];
  let writing: Promise<void> = Promise.resolve();
  let queued: Promise<void> | undefined;

  function change(apply: (sends: Sends) => void): Promise<void> {
    changes.push(apply);
    queued ??= writing.then(async () => {
      const now = changes; // 2
      changes = [];
      queued = undefined;
      const sends = await read(path); // 4
      for (const each of now) each(sends);
      await replace(path, JSON.stringify([...sends.values()]));
    });
    writing = queued.catch(() => {});
    return queued;
  }

  async function load(): Promise<Sends> {
    await writing;
    return read(path);
  }

  return {
    all: async () => [...(await load()).values()],
    put: (send) => change((sends) => sends.set(send.clientId, send)),
    has: async (clientId) => (await load()).has(clientId),
    delete: (clientId) => change((sends) => sends.delete(clientId)),
    close: () => writing,
  };
}

async function read(path: string): Promise<Sends> {
  const text = await readFile(path, 'utf8').catch((error: unknown) => {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return '[]';
    throw error;
  });
  try {
    const sends = JSON.parse(text) as readonly StoredSend[];
    return new Map(sends.map((send) => [send.clientId, send]));
  } catch (cause) {
    throw new Error(`${path} is no file of unsent messages. Move it away, or name another.`, { cause });
  }
}

async function replace(path: string, text: string): Promise<void> {
  await mkdir(dirname(path), { recursive: true });
  const draft = `${path}.${newId('draft')}`;
  // What a person wrote is theirs alone.
  await writeFile(draft, text, { mode: 0o600, flush: true });
  await rename(draft, path);
}
