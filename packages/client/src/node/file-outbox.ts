/**
 * Unsent messages in a file, for programs: a CLI that was closed in mid-send goes on where it was.
 *
 * 1. Each change writes the whole file beside its place and renames it: a reader and a crash find the old or the new one.
 * 2. Changes are written one after the other; those that come meanwhile go out together with the next.
 * 3. A file that is not ours to read as JSON is an error of the first call, never overwritten.
 */
import { mkdir, readFile, rename, writeFile } from 'node:fs/promises';
import { dirname } from 'node:path';

import type { ClientId } from '@holdfast/protocol/ids';

import { newId } from '../new-id.ts';
import type { OutboxStore, StoredSend } from '../outbox-store.ts';

export function fileOutbox(path: string): OutboxStore {
  let reading: Promise<Map<ClientId, StoredSend>> | undefined;
  let writing: Promise<void> = Promise.resolve();
  let queued: Promise<void> | undefined;

  function load(): Promise<Map<ClientId, StoredSend>> {
    reading ??= read(path);
    return reading;
  }

  function write(sends: Map<ClientId, StoredSend>): Promise<void> {
    queued ??= writing.then(async () => {
      queued = undefined; // 2
      await replace(path, JSON.stringify([...sends.values()]));
    });
    writing = queued.catch(() => {});
    return queued;
  }

  async function change(apply: (sends: Map<ClientId, StoredSend>) => void): Promise<void> {
    const sends = await load();
    apply(sends);
    await write(sends);
  }

  return {
    all: async () => [...(await load()).values()],
    put: (send) => change((sends) => sends.set(send.clientId, send)),
    has: async (clientId) => (await load()).has(clientId),
    delete: (clientId) => change((sends) => sends.delete(clientId)),
    close: () => writing,
  };
}

async function read(path: string): Promise<Map<ClientId, StoredSend>> {
  const text = await readFile(path, 'utf8').catch((error: unknown) => {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return '[]';
    throw error;
  });
  const sends = JSON.parse(text) as readonly StoredSend[];
  return new Map(sends.map((send) => [send.clientId, send]));
}

async function replace(path: string, text: string): Promise<void> {
  await mkdir(dirname(path), { recursive: true });
  const draft = `${path}.${newId('draft')}`;
  // What a person wrote is theirs alone.
  await writeFile(draft, text, { mode: 0o600, flush: true });
  await rename(draft, path);
}
