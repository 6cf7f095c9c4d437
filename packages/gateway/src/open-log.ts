/**
 * The store that the configuration names. Each kind is loaded only where it is wanted: a gateway on PostgreSQL needs no
 * native module, one in memory no driver.
 */
import { mkdir } from 'node:fs/promises';
import { systemClock, type Log } from '@holdfast/log';
import { newId } from './auth/secret.ts';
import type { SqliteLog } from '@holdfast/log/sqlite';
import type { Config } from './config-table.ts';

export interface OpenedLog {
  readonly log: Log;
  /** What the operator should know of the store, in words. */
  readonly remarks?: readonly string[];
  /** Says in the store who has it and where, for whoever comes second. */
  readonly announce?: (url: string) => Promise<void>;
}

export async function openLog({ store, data }: Pick<Config, 'store' | 'data'>): Promise<OpenedLog> {
  switch (store.kind) {
    case 'memory': {
      const { openMemoryLog } = await import('@holdfast/log/memory');
      return { log: openMemoryLog({ clock: systemClock }) };
    }
    case 'postgres': {
      const { openPostgresLog } = await import('@holdfast/log/postgres');
      return { log: await openPostgresLog({ url: store.url, node: newId('node') }) };
    }
    case 'sqlite': {
      await mkdir(data, { recursive: true, mode: 0o700 });
      const { openSqliteLog } = await import('@holdfast/log/sqlite');
      const log = await openSqliteLog({ dir: data });
      return { log, announce: (url) => log.announce(url), remarks: log.looseRights.map(remarkOn) };
    }
  }
}

const remarkOn = ({ place, mended }: SqliteLog['looseRights'][number]): string =>
  mended
    ? `${place} was open to other users of this machine; it is closed to them now.`
    : `${place} is open to other users of this machine, with every conversation in it, and belongs to another user. Let its owner run: chmod -R go= ${place}`;
