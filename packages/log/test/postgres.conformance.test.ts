import { afterAll } from 'vitest';
import { startPostgres } from '@holdfast/testing/postgres';
import { describeLog } from '../src/conformance.ts';
import { openPostgresLog } from '../src/postgres.ts';

const server = await startPostgres();
const url = await server.createDatabase('conformance');
let node = 0;
const open = (): ReturnType<typeof openPostgresLog> => openPostgresLog({ url, node: `node-${++node}` });
afterAll(() => server.stop());

describeLog('postgres', open, {
  elapse: (ms) => new Promise((resolve) => setTimeout(resolve, ms)),
  leaseMs: 1_500,
  runs: 30,
  reopen: async (log) => {
    await log.close();
    return open();
  },
  openSecond: open,
});
