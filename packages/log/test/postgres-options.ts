/** What the conformance suite is told of nodes on a PostgreSQL of the tests. */
import type { ConformanceOptions } from '../src/conformance.ts';
import type { Log } from '../src/port.ts';

export function postgresOptions(open: () => Promise<Log>, openSecond: () => Promise<Log> = open): ConformanceOptions {
  return {
    elapse: (ms) => new Promise((resolve) => setTimeout(resolve, ms)),
    leaseMs: 1_500,
    reopen: async (log) => {
      await log.close();
      return open();
    },
    openSecond,
  };
}
