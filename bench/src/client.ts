/**
 * The client beside what one would write without it: decoding, reading bytes, and the CPU of live events.
 *
 * Peers: a minimal parser and `eventsource-parser`; `for await` over `node:http` and over `fetch`; `on('data')` with a parser
 * by hand and `fetch` with `eventsource-parser`. Each reads in a process of its own, from a server in another.
 */
import { fork } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { rounded, type BenchOptions, type BenchResult } from './bench.ts';
import { benchDecode } from './client/decode.ts';
import type { ReaderKind, ReaderReport } from './client/reader.ts';

const SERVER = fileURLToPath(new URL('client/server.ts', import.meta.url));
const READER = fileURLToPath(new URL('client/reader.ts', import.meta.url));

/** Of the bytes the best round counts: what else the machine does can only slow them. */
const ROUNDS = 5;

export async function run({ seconds }: BenchOptions): Promise<BenchResult> {
  const decode = benchDecode(seconds);
  const server = fork(SERVER);
  const origin = String((await once(server, 'message'))[0]);
  try {
    const bytes = await measure('bytes', ['ours', 'http', 'ours-fetch', 'fetch'], origin, seconds / ROUNDS);
    const live = await measureLive(origin, seconds / 2);
    return {
      rows: [
        ...decode.rows,
        { case: 'bytes, node:http', figures: { 'ours MiB/s': bytes.ours, 'for await MiB/s': bytes.http } },
        { case: 'bytes, fetch', figures: { 'ours MiB/s': bytes['ours-fetch'], 'for await MiB/s': bytes.fetch } },
        {
          case: 'live, 200 streams × 50/s',
          figures: {
            'ours µs/event': live.ours,
            'http by hand µs/event': live.http,
            'fetch + parser µs/event': live.fetch,
          },
        },
      ],
      goals: [
        ...decode.goals,
        { what: 'bytes, node:http ÷ for await', got: rounded(bytes.ours / bytes.http), atLeast: 0.9 },
        { what: 'bytes, fetch ÷ for await', got: rounded(bytes['ours-fetch'] / bytes.fetch), atLeast: 0.9 },
        { what: 'live CPU ÷ http by hand', got: live.overHttp, atMost: 1.15 },
        { what: 'live CPU ÷ fetch + parser', got: live.overFetch, atMost: 0.8 },
      ],
    };
  } finally {
    server.kill();
  }
}

async function measure<K extends ReaderKind>(
  what: 'bytes',
  kinds: readonly K[],
  origin: string,
  seconds: number,
): Promise<Record<K, number>> {
  const figures = new Map<K, number[]>(kinds.map((kind) => [kind, []]));
  for (let round = 0; round < ROUNDS; round++) {
    // They take turns: each has the machine for itself.
    for (const kind of kinds) figures.get(kind)?.push(await read(what, kind, origin, seconds));
  }
  return Object.fromEntries([...figures].map(([kind, all]) => [kind, rounded(best(all))])) as Record<K, number>;
}

/**
 * All at once: what else the machine does (and a reader that is kept waiting finds several events in one chunk, which is cheaper
 * than it is) is the same for each. The median of the rounds, of the ratios too.
 */
async function measureLive(
  origin: string,
  seconds: number,
): Promise<Record<'ours' | 'http' | 'fetch' | 'overHttp' | 'overFetch', number>> {
  const rounds: Record<'ours' | 'http' | 'fetch' | 'overHttp' | 'overFetch', number>[] = [];
  for (let round = 0; round < ROUNDS; round++) {
    const [ours, http, fetch] = await Promise.all([
      read('live', 'ours', origin, seconds),
      read('live', 'http', origin, seconds),
      read('live', 'fetch', origin, seconds),
    ]);
    rounds.push({ ours, http, fetch, overHttp: ours / http, overFetch: ours / fetch });
  }
  const of = (key: keyof (typeof rounds)[number]): number => rounded(median(rounds.map((round) => round[key])));
  return {
    ours: of('ours'),
    http: of('http'),
    fetch: of('fetch'),
    overHttp: of('overHttp'),
    overFetch: of('overFetch'),
  };
}

async function read(what: 'bytes' | 'live', kind: ReaderKind, origin: string, seconds: number): Promise<number> {
  const reader = fork(READER, [what, kind, origin, String(seconds)]);
  const [report] = (await once(reader, 'message')) as [ReaderReport];
  return report.figure;
}

const best = (values: readonly number[]): number => Math.max(...values);

const median = (values: readonly number[]): number =>
  values.toSorted((a, b) => a - b)[values.length >> 1] ?? Number.NaN;
