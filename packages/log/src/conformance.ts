/**
 * What every store passes: one group of tests per law of the port.
 *
 *   describeLog('memory', async () => openMemoryLog({ clock }), { elapse: async (ms) => clock.advance(ms) });
 *
 * 1. One log serves the whole suite; every test uses names of its own, so a store that is dear to open is opened once.
 * 2. Nothing assumes one process: who passes `openSecond` is also tested with two.
 * 3. Time passes by `elapse` alone.
 */
import { afterAll, beforeAll, describe } from 'vitest';
import { describeAppends } from './conformance/appends.ts';
import { describeConsumers } from './conformance/consumers.ts';
import type { ConformanceOptions, Suite } from './conformance/harness.ts';
import { describeLifecycle } from './conformance/lifecycle.ts';
import { describeProperties } from './conformance/properties.ts';
import { describeReaders } from './conformance/readers.ts';
import { describeRows } from './conformance/rows.ts';
import type { Log } from './port.ts';

export type { ConformanceOptions };

const GROUPS = [
  describeAppends,
  describeConsumers,
  describeReaders,
  describeRows,
  describeLifecycle,
  describeProperties,
] as const;

export function describeLog(
  name: string,
  open: () => Promise<Log>,
  options: ConformanceOptions,
  groups: readonly ((suite: Suite) => void)[] = GROUPS,
): void {
  describe(`the log, ${name}`, () => {
    let log: Log | undefined;
    const suite: Suite = {
      leaseMs: 60_000,
      runs: 60,
      ...options,
      get log(): Log {
        if (!log) throw new Error(`The ${name} log did not open.`);
        return log;
      },
      set log(next: Log) {
        log = next;
      },
    };
    beforeAll(async () => {
      log = await open();
    });
    afterAll(async () => {
      await log?.close();
    });

    for (const describeGroup of groups) describeGroup(suite);
  });
}
