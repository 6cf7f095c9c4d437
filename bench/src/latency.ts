/**
 * What a person waits for, through a real gateway on SQLite in a process of its own:
 * from an agent's delta to the reader's socket, 200 sessions at 25 deltas a second each; a message and its receipt, 32 in flight; a snapshot of a session of
 * 100,000 entries. The floor beside the first is the same route without an agent, a log and a gateway: a timer and a bare socket.
 */
import { fork, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { Agent, request } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { percentile, rounded, type BenchOptions, type BenchResult, type BenchRow } from './bench.ts';

const SESSIONS = 200;
const PER_SECOND = 25;
const IN_FLIGHT = 32;
const ENTRIES = 100_000;

const FLOOR = fileURLToPath(new URL('fanout/server.ts', import.meta.url));
const READERS = fileURLToPath(new URL('fanout/readers.ts', import.meta.url));
const GATEWAY = fileURLToPath(new URL('latency/server.ts', import.meta.url));

async function told<T>(child: ChildProcess): Promise<T> {
  const [message] = (await once(child, 'message')) as [T];
  return message;
}

const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

interface Latencies {
  readonly events: number;
  readonly latenciesMs: number[];
}

async function readFrom(port: number, seconds: number, begin: () => void): Promise<Latencies> {
  const readers = fork(READERS, [String(port), String(SESSIONS)]);
  await told(readers);
  readers.send('start');
  begin();
  await pause(seconds * 1_000);
  readers.send('stop');
  const latencies = await told<Latencies>(readers);
  readers.disconnect();
  return latencies;
}

/** The floor: `net` writes what a timer says. */
async function measureFloor(seconds: number): Promise<Latencies> {
  const server = fork(FLOOR, ['net', String(SESSIONS), String(PER_SECOND)]);
  const { port } = await told<{ port: number }>(server);
  const latencies = await readFrom(port, seconds, () => server.send('start'));
  server.disconnect();
  return latencies;
}

// ── HTTP ────────────────────────────────────────────────────────────────────────────────────────────────────────────

const agent = new Agent({ keepAlive: true, maxSockets: IN_FLIGHT });

function ask(
  port: number,
  method: string,
  path: string,
  body?: object,
): Promise<{ readonly status: number; readonly text: string }> {
  return new Promise((resolve, reject) => {
    const headers = { authorization: 'Bearer hf_bench', 'content-type': 'application/json' };
    const asked = request({ agent, port, host: '127.0.0.1', method, path, headers }, (response) => {
      let text = '';
      response.setEncoding('utf8');
      response.on('data', (chunk: string) => (text += chunk));
      response.on('end', () => resolve({ status: response.statusCode ?? 0, text }));
    });
    asked.on('error', reject);
    asked.end(body === undefined ? undefined : JSON.stringify(body));
  });
}

/** Each of `IN_FLIGHT` callers sends to sessions of its own, one message after the other. */
async function sendMessages(
  port: number,
  seconds: number,
): Promise<{ readonly acksMs: number[]; readonly refused: number }> {
  const acksMs: number[] = [];
  let refused = 0;
  const until = performance.now() + seconds * 1_000;
  await Promise.all(
    Array.from({ length: IN_FLIGHT }, async (_, caller) => {
      for (let n = 0; performance.now() < until; n += 1) {
        const session = (caller + n * IN_FLIGHT) % SESSIONS;
        const startedMs = performance.now();
        const { status } = await ask(port, 'POST', `/v1/sessions/s_${session}/messages`, {
          clientId: `b_${caller}_${n}`,
          text: 'nothing',
        });
        if (status === 202) acksMs.push(performance.now() - startedMs);
        else refused += 1;
      }
    }),
  );
  return { acksMs, refused };
}

async function takeSnapshots(
  port: number,
): Promise<{ readonly firstMs: number; readonly againMs: number[]; readonly bytes: number }> {
  const timed = async (): Promise<{ ms: number; bytes: number }> => {
    const startedMs = performance.now();
    const { status, text } = await ask(port, 'GET', '/v1/sessions/s_long');
    if (status !== 200) throw new Error(`A snapshot was answered ${status}`);
    return { ms: performance.now() - startedMs, bytes: text.length };
  };
  const first = await timed();
  // A turn makes its owner write what later snapshots begin from.
  const { text } = await ask(port, 'POST', '/v1/sessions/s_long/messages', { clientId: 'last', text: 'nothing' });
  const { turnId } = JSON.parse(text) as { turnId: string };
  while (!(await ask(port, 'GET', `/v1/sessions/s_long/turns/${turnId}`)).text.includes('"terminal":true'))
    await pause(100);
  await pause(1_000);
  const againMs: number[] = [];
  for (let n = 0; n < 10; n += 1) againMs.push((await timed()).ms);
  return { firstMs: first.ms, againMs, bytes: first.bytes };
}

export async function run({ seconds }: BenchOptions): Promise<BenchResult> {
  const floor = await measureFloor(seconds);
  const directory = mkdtempSync(join(tmpdir(), 'holdfast-bench-'));
  const server = fork(GATEWAY, [directory, String(SESSIONS), String(PER_SECOND), String(seconds)]);
  try {
    const { port } = await told<{ port: number }>(server);
    const deltas = await readFrom(port, seconds + 1, () => server.send('start'));
    const messages = await sendMessages(port, seconds);
    server.send(`fill ${ENTRIES}`);
    // The other commands were answered too, some time.
    while ((await told<{ done?: string }>(server)).done !== 'fill');
    const snapshots = await takeSnapshots(port);
    return resultOf(floor, deltas, messages, snapshots, seconds);
  } finally {
    server.disconnect();
    agent.destroy();
    rmSync(directory, { recursive: true, force: true, maxRetries: 3 });
  }
}

function resultOf(
  floor: Latencies,
  deltas: Latencies,
  { acksMs, refused }: Awaited<ReturnType<typeof sendMessages>>,
  { firstMs, againMs, bytes }: Awaited<ReturnType<typeof takeSnapshots>>,
  seconds: number,
): BenchResult {
  const latencyRow = (name: string, { events, latenciesMs }: Latencies): BenchRow => ({
    case: name,
    figures: { events, 'p50 ms': rounded(percentile(latenciesMs, 50)), 'p99 ms': rounded(percentile(latenciesMs, 99)) },
  });
  return {
    rows: [
      latencyRow('delta to reader: a timer and a socket', floor),
      latencyRow('delta to reader: agent, SQLite, stream', deltas),
      {
        case: `message to receipt, ${IN_FLIGHT} in flight`,
        figures: {
          '/s': Math.round(acksMs.length / seconds),
          'p50 ms': rounded(percentile(acksMs, 50)),
          'p99 ms': rounded(percentile(acksMs, 99)),
          refused,
        },
      },
      {
        case: `snapshot of ${ENTRIES} entries`,
        figures: {
          'from the log alone, ms': rounded(firstMs),
          'p50 ms': rounded(percentile(againMs, 50)),
          'p99 ms': rounded(percentile(againMs, 99)),
          KiB: Math.round(bytes / 1_024),
        },
      },
    ],
    goals: [
      { what: 'delta to reader, p50 ms', got: rounded(percentile(deltas.latenciesMs, 50)), atMost: 10 },
      { what: 'snapshot of 100,000 entries, p50 ms', got: rounded(percentile(againMs, 50)), atMost: 100 },
    ],
  };
}
