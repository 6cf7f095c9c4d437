/**
 * The store that the configuration names. Each kind is loaded only where it is wanted: a gateway on PostgreSQL needs no
 * native module, one in memory no driver.
 */
import { mkdir } from 'node:fs/promises';
import { systemClock, type Log } from '@holdfast/log';
import { newId } from './auth/secret.ts';
import type { Config } from './config-table.ts';

export interface OpenedLog {
  readonly log: Log;
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
      return { log, announce: (url) => log.announce(url) };
    }
  }
}
