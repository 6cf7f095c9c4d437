/**
 * The store that the configuration names. Each kind is loaded only where it is wanted: a gateway on PostgreSQL needs no
 * native module, one in memory no driver.
 */
import { mkdir } from 'node:fs/promises';
import { systemClock, type Log } from '@holdfast/log';
import { fault, FaultError } from '@holdfast/protocol';
import { newId } from './auth/secret.ts';
import type { Config } from './config-table.ts';

export async function openLog({ store, data }: Pick<Config, 'store' | 'data'>): Promise<Log> {
  switch (store.kind) {
    case 'memory': {
      const { openMemoryLog } = await import('@holdfast/log/memory');
      return openMemoryLog({ clock: systemClock });
    }
    case 'postgres': {
      const { openPostgresLog } = await import('@holdfast/log/postgres');
      return openPostgresLog({ url: store.url, node: newId('node') });
    }
    case 'sqlite': {
      await mkdir(data, { recursive: true, mode: 0o700 });
      throw new FaultError(fault('invalid-config', 'SQLITE-TODO'));
    }
  }
}
