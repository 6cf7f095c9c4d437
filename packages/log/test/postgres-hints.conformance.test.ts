/** Notifications are hints: with every one of them lost, doubled or out of order, the whole suite passes as it does without. */
import { afterAll } from 'vitest';
import { startPostgres } from '@holdfast/testing/postgres';
import { describeLog } from '../src/conformance.ts';
import { openPostgresLog, type PostgresLogOptions } from '../src/postgres.ts';

type Hearing = NonNullable<PostgresLogOptions['hearing']>;

/** Each is held until the next has come, and so comes after it. */
function reordered(): Hearing {
  let held: string | undefined;
  return (payload, hear) => {
    if (held === undefined) held = payload;
    else {
      hear(payload);
      hear(held);
      held = undefined;
    }
  };
}

const variants: Readonly<Record<string, () => Hearing>> = {
  lost: () => () => undefined,
  doubled: () => (payload, hear) => {
    hear(payload);
    hear(payload);
  },
  reordered,
};

const server = await startPostgres();
afterAll(() => server.stop());
let node = 0;

for (const [name, hearing] of Object.entries(variants)) {
  const url = await server.createDatabase(name);
  const open = (): ReturnType<typeof openPostgresLog> =>
    openPostgresLog({ url, node: `${name}-${++node}`, hearing: hearing() });
  describeLog(`postgres, every notification ${name}`, open, {
    elapse: (ms) => new Promise((resolve) => setTimeout(resolve, ms)),
    leaseMs: 1_500,
    runs: 10,
    reopen: async (log) => {
      await log.close();
      return open();
    },
    openSecond: open,
  });
}
