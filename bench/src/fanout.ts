/**
 * Events to many readers: a gateway beside a bare socket, a bare `res.write`, better-sse and hono's `streamSSE`, in the same run.
 * 1,000 sessions with one reader each and 50 events a second each; server and readers are processes of their own.
 *
 * The gateway does what the others leave out: each event is an entry of a log first, with a cursor and a time; what those appends cost
 * alone is a row of its own. When its loop is busy it gathers a reader's events for some tens of milliseconds: that is in its
 * latency here and in its cost.
 */
import { fork, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { percentile, rounded, type BenchOptions, type BenchResult } from './bench.ts';

const SESSIONS = 1_000;
const PER_SECOND = 50;
const KINDS = ['net', 'res.write', 'holdfast', 'holdfast log', 'better-sse', 'hono'] as const;

interface Measured {
  readonly kind: string;
  readonly sentPerSecond: number;
  readonly arrived: number;
  readonly cpuMicros: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
  readonly rssMib: number;
}

const SERVER = fileURLToPath(new URL('fanout/server.ts', import.meta.url));
const READERS = fileURLToPath(new URL('fanout/readers.ts', import.meta.url));

async function told<T>(child: ChildProcess): Promise<T> {
  const [message] = (await once(child, 'message')) as [T];
  return message;
}

async function measure(kind: string, seconds: number): Promise<Measured> {
  const server = fork(SERVER, [kind, String(SESSIONS), String(PER_SECOND)]);
  const { port } = await told<{ port: number }>(server);
  const readers = fork(READERS, [String(port), kind === 'holdfast log' ? '0' : String(SESSIONS)]);
  try {
    await told(readers);
    server.send('start');
    // Long enough for the code to be compiled and for a busy loop to be noticed.
    await pause(1_500);
    server.send('stop');
    await told(server);
    readers.send('start');
    server.send('start');
    await pause(seconds * 1_000);
    server.send('stop');
    const { sent, cpuMicros, rssMib } = await told<{ sent: number; cpuMicros: number; rssMib: number }>(server);
    readers.send('stop');
    const { events, latenciesMs } = await told<{ events: number; latenciesMs: number[] }>(readers);
    return {
      kind,
      sentPerSecond: Math.round(sent / seconds),
      arrived: rounded(events / sent, 3),
      cpuMicros: rounded(cpuMicros / sent),
      p50Ms: rounded(percentile(latenciesMs, 50)),
      p99Ms: rounded(percentile(latenciesMs, 99)),
      rssMib,
    };
  } finally {
    server.disconnect();
    readers.disconnect();
  }
}

const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

export async function run({ seconds }: BenchOptions): Promise<BenchResult> {
  const measured: Measured[] = [];
  for (const kind of KINDS) measured.push(await measure(kind, seconds));
  const cpuOf = (kind: string): number => measured.find((row) => row.kind === kind)?.cpuMicros ?? 0;
  const ours = measured.find((row) => row.kind === 'holdfast');
  return {
    rows: measured.map(({ kind, sentPerSecond, arrived, cpuMicros, p50Ms, p99Ms, rssMib }) => ({
      case: kind,
      figures: {
        'events/s': sentPerSecond,
        arrived,
        'server µs/event': cpuMicros,
        'p50 ms': p50Ms,
        'p99 ms': p99Ms,
        'RSS MiB': rssMib,
      },
    })),
    goals: [
      { what: 'CPU per event beside res.write', got: rounded(cpuOf('holdfast') / cpuOf('res.write')), atMost: 1.3 },
      { what: 'events that arrived', got: ours?.arrived ?? 0, atLeast: 0.999 },
    ],
  };
}
