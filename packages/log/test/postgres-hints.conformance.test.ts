/** Notifications are hints: with every one of them lost, doubled or out of order, the whole suite passes as it does without. */
import { afterAll } from 'vitest';
import { startPostgres } from '@holdfast/testing/postgres';
import { describeLog } from '../src/conformance.ts';
import type { Log } from '../src/port.ts';
import { openPostgresLog, type PostgresLogOptions } from '../src/postgres.ts';
import { postgresOptions } from './postgres-options.ts';

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
  const open = (): Promise<Log> => openPostgresLog({ url, node: `${name}-${(node += 1)}`, hearing: hearing() });
  describeLog(`postgres, every notification ${name}`, open, { ...postgresOptions(open), runs: 10 });
}
