/**
 * The log in SQLite: the embedded store, one process on one data directory.
 *
 * Stages of an append: posted to the writer's thread with everything of its tick → one transaction with whatever waits there →
 * readers of this process → the verdict. Reads go to another thread with a read-only connection.
 *
 *  1. The main thread touches no disk: its event loop goes on while a commit waits for one.
 *  2. Readers are told once per stream for all that a batch has committed, before any of its callers hears (L7).
 *  3. Packing takes pages one at a time, each a short call of the writer's: nobody waits for more than one.
 */
import { writeFile } from 'node:fs/promises';
import path from 'node:path';
import { FaultError } from '@holdfast/protocol';
import { systemClock, type Clock } from './clock.ts';
import { checkStreamName } from './limits.ts';
import type {
  Append,
  AppendVerdict,
  CreateVerdict,
  Log,
  LogRecord,
  ReadVerdict,
  Refused,
  Rows,
  StreamName,
} from './port.ts';
import { logRecord, logRecords } from './record.ts';
import { WorkerClient, type Noted } from './sqlite/client.ts';
import { OWNER_FILE } from './sqlite/files.ts';
import { backUpDirectory, type BackupProgress } from './sqlite/offline.ts';
import { findLoose, type LooseRights } from './sqlite/private.ts';
import type { FlatAppend, ReaderCall, WriterCall } from './sqlite/messages.ts';
import type { LogUsage } from './sqlite/reader-store.ts';
import type { FlatPage } from './sqlite/reader-worker.ts';
import { Hub } from './subscription.ts';

export { backUpDirectory, checkDirectory } from './sqlite/offline.ts';
export { DATABASE_FILE } from './sqlite/files.ts';
export { readOwner, type Owner } from './sqlite/lock.ts';
export { restoreDirectory } from './sqlite/restore.ts';
export type { LogUsage } from './sqlite/reader-store.ts';

export interface SqliteLogOptions {
  /** The data directory; it must exist. */
  readonly dir: string;
  readonly clock?: Clock;
}

export interface SqliteLog extends Log {
  /** What other users of the machine could open when this was opened. */
  readonly looseRights: readonly LooseRights[];
  /** Says in the data directory who has it, for whoever comes second. */
  announce(url: string): Promise<void>;
  /** What is wrong with the database, in words; empty: nothing. Reads all of it. */
  check(): Promise<readonly string[]>;
  usage(): Promise<LogUsage>;
  /** Writes the database of one moment to a new file, while work goes on. */
  backup(file: string, onProgress?: (done: BackupProgress) => void): Promise<void>;
  /** For tests: what the next writes meet. */
  breakDisk(how: 'full' | 'read-only' | 'whole'): Promise<void>;
}

/** Of an index of gigabytes not all is merged at once (`words-purge.ts`). */
const PURGE_STEPS_MAX = 256;

/** What an append was, for the readers of this process. */
interface Note {
  readonly stream: StreamName;
  readonly append: Append;
}

/** @throws FaultError: the directory is in use, or its database is corrupt, foreign or newer; nothing was touched then. */
export async function openSqliteLog({ dir, clock = systemClock }: SqliteLogOptions): Promise<SqliteLog> {
  const now = (): number => clock.now();
  const loose = findLoose(dir);
  const watchers = new Set<() => void>();
  const hub: Hub = new Hub({
    read: (stream, range) => read(stream, range),
    pause: () => new Promise((resolve) => setImmediate(resolve)),
  });
  const rowsChanged = (): void => {
    for (const watcher of watchers) watcher();
  };
  const writer = await WorkerClient.open<WriterCall, Note>(
    new URL('sqlite/writer-worker.ts', import.meta.url),
    dir,
    now,
    (noted) => tellReaders(hub, noted, rowsChanged),
  );
  const reader = await WorkerClient.open<ReaderCall>(
    new URL('sqlite/reader-worker.ts', import.meta.url),
    dir,
    now,
  ).catch(async (error: unknown) => {
    await writer.close();
    throw error;
  });
  await writeOwner(dir, {});
  const stillLoose = new Set(findLoose(dir));
  let isClosing = false;

  const read = async (stream: StreamName, range: Parameters<Log['read']>[1]): Promise<ReadVerdict> => {
    const verdict = await reader
      .call<FlatPage | Exclude<ReadVerdict, { kind: 'page' }>>({ op: 'read', stream, ...range })
      .catch(refuse);
    if (verdict.kind !== 'flat-page') return verdict;
    if (verdict.mortal === true) await writer.call({ op: 'touch', stream });
    return { kind: 'page', records: inflate(verdict), head: verdict.head, closed: verdict.closed };
  };

  const gone = (stream: StreamName): void => {
    hub.deleted(stream);
    rowsChanged();
  };

  const rows: Rows = {
    get: (table, stream, key) => reader.call({ op: 'row', table, stream, key }),
    list: (query) => reader.call({ op: 'rows', query }),
    search: (query) => reader.call({ op: 'search', ...query }),
    changes: (query) => reader.call({ op: 'changes', ...query }),
    lastRev: (table) => reader.call({ op: 'last-rev', table }),
    watch: (onCommit) => {
      const watcher = (): void => onCommit();
      watchers.add(watcher);
      return () => void watchers.delete(watcher);
    },
  };

  return {
    looseRights: [...new Set([...loose, ...stillLoose])].map((place) => ({ place, mended: !stillLoose.has(place) })),
    rows,
    consumers: {
      acquire: (stream, consumer, holder) => writer.call({ op: 'acquire', stream, consumer, holder }),
      release: async (stream, consumer, release) => {
        const verdict = await writer.call<{ readonly kind: 'released' }>({ op: 'release', stream, consumer, release });
        if (verdict.kind === 'released' && (release.rows ?? []).length > 0) rowsChanged();
        return verdict;
      },
      pending: (consumer, { limit, after = '' }) => reader.call({ op: 'pending', consumer, limit, after }),
      nextWakeMs: (consumer) => reader.call({ op: 'next-wake', consumer }),
    },
    holders: {
      exclusive: true,
      renew: (holder, _leaseMs, held = []) => writer.call({ op: 'renew', holder, held }),
      leave: (holder) => writer.call({ op: 'leave', holder }),
    },
    create: async (stream, { first, ...options }) => {
      checkStreamName(stream);
      const call: WriterCall = {
        op: 'create',
        stream,
        options,
        ...(first === undefined ? {} : { first: flatten(first) }),
      };
      const verdict = await writer.call<CreateVerdict>(call, first?.records ?? []);
      if (verdict.kind === 'created' && (first?.rows ?? []).length > 0) rowsChanged();
      return verdict;
    },
    stat: (stream) => reader.call({ op: 'stat', stream }),
    append: (stream, append) =>
      writer
        .call<AppendVerdict>({ op: 'append', stream, append: flatten(append) }, append.records, { stream, append })
        .catch(refuse),
    read,
    subscribe: (stream, after, options) => hub.subscribe(stream, after, options),
    findKey: (stream, id) => reader.call({ op: 'find-key', stream, id }),
    delete: async (stream, tombstones = []) => {
      const verdict = await writer.call<{ readonly kind: 'erased' } | Refused>({ op: 'delete', stream, tombstones });
      if (verdict.kind === 'erased') gone(stream);
      return verdict;
    },
    pack: async (stream, upTo) => {
      let savedBytes = 0;
      for (;;) {
        const page = await reader.call<
          | { readonly first: number; readonly last: number; readonly body: Uint8Array; readonly savedBytes: number }
          | undefined
        >({ op: 'page-of', stream, upTo });
        if (page === undefined) return savedBytes;
        const { first, last, body } = page;
        if (!(await writer.call<boolean>({ op: 'put-page', stream, first, last, body }))) return savedBytes;
        savedBytes += page.savedBytes;
      }
    },
    truncate: (stream, upTo) => writer.call({ op: 'truncate', stream, upTo }),
    expire: async () => {
      const names = await writer.call<readonly StreamName[]>({ op: 'expire' });
      for (const name of names) gone(name);
      for (let step = 0; step < PURGE_STEPS_MAX && !isClosing; step += 1)
        if ((await writer.call<unknown>({ op: 'purge-words' })) !== true) break;
      return names.length;
    },
    now: () => Promise.resolve(now()),
    announce: (url) => writeOwner(dir, { url }),
    check: () => reader.call({ op: 'check' }),
    usage: () => reader.call({ op: 'usage' }),
    backup: (file, onProgress) => backUpDirectory(dir, file, onProgress),
    breakDisk: (how) => writer.call({ op: 'break-disk', how }),
    close: async () => {
      isClosing = true;
      hub.close();
      await reader.close();
      await writer.call({ op: 'close' }).catch(() => undefined);
      await writer.close();
    },
  };
}

function tellReaders(hub: Hub, noted: readonly Noted<Note>[], rowsChanged: () => void): void {
  const byStream = new Map<StreamName, { readonly records: LogRecord[]; closed: boolean }>();
  let hasRows = false;
  for (const { answer, note } of noted) {
    const verdict = 'value' in answer ? (answer.value as AppendVerdict) : undefined;
    // Its time had come: whoever met it first has erased it.
    if (verdict?.kind === 'deleted') hub.deleted(note.stream);
    if (verdict?.kind !== 'appended') continue;
    hasRows ||= (note.append.rows ?? []).length > 0;
    if (!hub.has(note.stream)) continue;
    const told = byStream.get(note.stream) ?? { records: [], closed: false };
    told.records.push(...logRecords(verdict.first, verdict.at, note.append.records));
    told.closed ||= note.append.close === true;
    byStream.set(note.stream, told);
  }
  for (const [stream, { records, closed }] of byStream) hub.appended(stream, records, closed);
  if (hasRows) rowsChanged();
}

function flatten({ records, ...rest }: Append): FlatAppend {
  return { ...rest, sizes: records.map((record) => record.byteLength) };
}

function inflate({ after, ats, sizes, bytes }: FlatPage): readonly LogRecord[] {
  let offset = 0;
  return Array.from(sizes, (size, index) => {
    const body = bytes.subarray(offset, offset + size);
    offset += size;
    return logRecord(after + index + 1, ats[index] ?? 0, body);
  });
}

function refuse(error: unknown): Extract<Refused, { kind: 'unavailable' }> {
  if (error instanceof FaultError) return { kind: 'unavailable', fault: error.fault };
  throw error;
}

async function writeOwner(dir: string, more: { readonly url?: string }): Promise<void> {
  await writeFile(path.join(dir, OWNER_FILE), `${JSON.stringify({ pid: process.pid, ...more })}\n`, { mode: 0o600 });
}
