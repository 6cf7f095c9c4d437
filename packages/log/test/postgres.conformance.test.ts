import { afterAll } from 'vitest';
import { startPostgres } from '@holdfast/testing/postgres';
import { describeLog } from '../src/conformance.ts';
import type { Log } from '../src/port.ts';
import { openPostgresLog } from '../src/postgres.ts';
import { postgresOptions } from './postgres-options.ts';

const server = await startPostgres();
const url = await server.createDatabase('conformance');
let node = 0;
const open = (): Promise<Log> => openPostgresLog({ url, node: `node-${(node += 1)}` });
afterAll(() => server.stop());

describeLog('postgres', open, {
  ...postgresOptions(open),
  runs: 30,
  breakWrites: async () => {
    // A server that only reads, as a standby does: the connections that come back find it so.
    await server.query(`ALTER DATABASE conformance SET default_transaction_read_only = on`);
    await endConnections();
    return async () => {
      await server.query(`ALTER DATABASE conformance SET default_transaction_read_only = off`);
      await endConnections();
    };
  },
});

/** @returns once they are gone */
async function endConnections(): Promise<void> {
  await server.query(`SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = 'conformance'`);
}
