/** CPU that processes have used: on a machine that others use too, it says more than the clock. Linux alone has it. */
import { readFileSync } from 'node:fs';
import { Client } from 'pg';

const TICK_MS = 10;

/** 0 for a process that is not there. */
function cpuMsOf(pid: number): number {
  try {
    const text = readFileSync(`/proc/${pid}/stat`, 'latin1');
    const fields = text.slice(text.lastIndexOf(')') + 2).split(' ');
    return (Number(fields[11]) + Number(fields[12])) * TICK_MS;
  } catch {
    return 0;
  }
}

/** Named groups of processes; `server` is all of PostgreSQL. */
export class CpuMeter {
  readonly #url: string;
  readonly #pids: Readonly<Record<string, readonly (number | undefined)[]>>;

  constructor(url: string, pids: Readonly<Record<string, readonly (number | undefined)[]>>) {
    this.#url = url;
    this.#pids = pids;
  }

  /** @returns how much each has used when it is called */
  async start(): Promise<() => Readonly<Record<string, number>>> {
    const client = new Client(this.#url);
    await client.connect();
    const { rows } = await client.query<{ pid: number }>('SELECT pid FROM pg_stat_activity');
    await client.end();
    const groups = Object.entries({ ...this.#pids, server: rows.map((row) => row.pid) });
    const used = (): Record<string, number> =>
      Object.fromEntries(
        groups.map(([name, pids]) => [name, pids.reduce((sum: number, pid) => sum + cpuMsOf(pid ?? 0), 0)]),
      );
    const before = used();
    return () => Object.fromEntries(Object.entries(used()).map(([name, ms]) => [name, ms - (before[name] ?? 0)]));
  }
}
