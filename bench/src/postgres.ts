/**
 * The log on PostgreSQL beside a bare `pg` loop that inserts the same rows into the same tables, in the same run: batched, and
 * single with 64 in flight, in turns, so that what else runs on the machine is shared evenly; and what an append waits for its
 * verdict while 50,000 events come every second. Server, client and load share the machine: read the ratios, and the CPU.
 */
import { Client } from 'pg';
import { openPostgresLog } from '@holdfast/log/postgres';
import { startPostgres } from '@holdfast/testing/postgres';
import { CpuMeter } from './nodes/cpu.ts';
import { DELTA, percentile, rounded, type BenchOptions, type BenchResult, type Goal } from './bench.ts';

const STREAMS = 64;
const BATCH = 100;

interface Measured {
  readonly eventsPerSecond: number;
  readonly ackP50Ms: number;
  readonly ackP99Ms: number;
  /** Of both sides, an event. */
  readonly clientMicros: number;
  readonly serverMicros: number;
}

type AppendTo = (lane: number) => Promise<void>;

/** Runs `drive` for the time, which appends `events` with each call. */
async function measure(
  { url, seconds, events }: Load,
  append: AppendTo,
  drive: (append: AppendTo, untilMs: number) => Promise<void>,
): Promise<Measured> {
  // Every connection is open and every statement known before it counts.
  await Promise.all(Array.from({ length: STREAMS }, (_, lane) => append(lane)));
  const acks: number[] = [];
  const server = await new CpuMeter(url, {}).start();
  const client = process.cpuUsage();
  await drive(
    async (lane) => {
      const before = performance.now();
      await append(lane);
      acks.push(performance.now() - before);
    },
    performance.now() + seconds * 1_000,
  );
  const { user, system } = process.cpuUsage(client);
  const count = acks.length * events;
  return {
    eventsPerSecond: Math.round(count / seconds),
    ackP50Ms: rounded(percentile(acks, 50)),
    ackP99Ms: rounded(percentile(acks, 99)),
    clientMicros: rounded((user + system) / count, 1),
    serverMicros: rounded(((server()['server'] ?? 0) * 1_000) / count, 1),
  };
}

interface Load {
  readonly url: string;
  readonly seconds: number;
  /** Of one append. */
  readonly events: number;
}

/** 64 appends under way at every moment. */
async function always64(append: AppendTo, untilMs: number): Promise<void> {
  await Promise.all(
    Array.from({ length: STREAMS }, async (_, lane) => {
      while (performance.now() < untilMs) await append(lane);
    }),
  );
}

const PACE = { eventsPerSecond: 50_000, events: 10 } as const;

/** As many as are due, whether those before were answered or not. */
async function paced(append: AppendTo, untilMs: number): Promise<void> {
  const startMs = performance.now();
  const underWay: Promise<void>[] = [];
  for (let nowMs = startMs; nowMs < untilMs; nowMs = performance.now()) {
    const due = ((nowMs - startMs) / 1_000) * (PACE.eventsPerSecond / PACE.events);
    while (underWay.length < due) underWay.push(append(underWay.length % STREAMS));
    await new Promise((resolve) => setTimeout(resolve, 1));
  }
  await Promise.all(underWay);
}

let logs = 0;

async function measureLog(load: Load, drive = always64): Promise<Measured> {
  const { url, events } = load;
  const name = `bench-${(logs += 1)}`;
  const log = await openPostgresLog({ url, node: name });
  await log.holders.renew(name, 600_000);
  const epochs = await Promise.all(
    Array.from({ length: STREAMS }, async (_, n) => {
      await log.create(`${name}/${n}`, { contentType: 'application/json', consumers: ['run'] });
      const acquired = await log.consumers.acquire(`${name}/${n}`, 'run', name);
      return acquired.kind === 'acquired' ? acquired.epoch : 0;
    }),
  );
  let key = 0;
  const records = Array.from({ length: events }, () => DELTA);
  const append = async (lane: number): Promise<void> => {
    const keyed = events === 1 ? { key: { id: `k${(key += 1)}`, hash: 'h' } } : {};
    const verdict = await log.append(`${name}/${lane}`, {
      records,
      fence: { consumer: 'run', epoch: epochs[lane] ?? 0 },
      ...keyed,
    });
    if (verdict.kind !== 'appended') throw new Error(`An append was answered ${verdict.kind}.`);
  };
  const measured = await measure(load, append, drive);
  await log.close();
  return measured;
}

/** The floor: the same rows (bodies, heads, keys) by as many connections, whatever gathered while the last commit ran. */
async function measureBare(load: Load): Promise<Measured> {
  const { url, events } = load;
  const name = `bare-${(logs += 1)}`;
  const clients = await Promise.all(Array.from({ length: 3 }, () => connect(url)));
  const heads = new Map<number, number>();
  const lanes: number[] = [];
  for (let n = 0; n < STREAMS; n += 1) {
    const made = await clients[0]!.query<{ id: string }>(
      `INSERT INTO streams (name, content_type, created_at, touched_at) VALUES ($1, 'x', 0, 0) RETURNING id`,
      [`${name}/${n}`],
    );
    lanes.push(Number(made.rows[0]?.id));
  }
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
  const measured = await measure(
    load,
    (lane) =>
      new Promise<void>((done) => {
        const index = lane % clients.length;
        waiting[index]!.push({ lane, done });
        if (!busy[index]) void Promise.resolve().then(() => (busy[index] ? undefined : drain(index)));
      }),
    always64,
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
    values: [line, seq, line.map(() => DELTA)],
  });
  if (nextKey !== undefined)
    await client.query({
      name: 'bare-keys',
      text: `INSERT INTO keys SELECT v.line, v.id, 'h', 0, 0 FROM unnest($1::bigint[], $2::text[]) AS v(line, id)`,
      values: [ids, ids.map(nextKey)],
    });
  await client.query('COMMIT');
}

const ROUNDS = 3;

/** The rounds' middle one: ours and the floor's, in turns. */
async function compare(load: Load): Promise<{ readonly ours: Measured; readonly bare: Measured }> {
  const ours: Measured[] = [];
  const bare: Measured[] = [];
  for (let round = 0; round < ROUNDS; round += 1) {
    ours.push(await measureLog(load));
    bare.push(await measureBare(load));
  }
  return { ours: middle(ours), bare: middle(bare) };
}

const middle = (measured: readonly Measured[]): Measured =>
  measured.toSorted((a, b) => a.eventsPerSecond - b.eventsPerSecond)[Math.floor(measured.length / 2)] as Measured;

export async function run({ seconds }: BenchOptions): Promise<BenchResult> {
  const server = await startPostgres({ settings: { max_wal_size: '4GB' } });
  try {
    const url = await server.createDatabase('bench');
    const rows = [];
    const goals: Goal[] = [];
    for (const [name, events] of Object.entries({ batched: BATCH, single: 1 })) {
      const { ours, bare } = await compare({ url, seconds, events });
      rows.push({ case: `${name} holdfast`, figures: { ...ours } }, { case: `${name} bare pg`, figures: { ...bare } });
      goals.push({
        what: `${name}: events/s against a bare pg loop`,
        got: rounded(ours.eventsPerSecond / bare.eventsPerSecond),
        atLeast: 0.8,
      });
    }
    const atPace = await measureLog({ url, seconds, events: PACE.events }, paced);
    rows.push({ case: `${PACE.eventsPerSecond} events/s, ${PACE.events} an append`, figures: { ...atPace } });
    goals.push({ what: 'ack p50 ms at 50,000 events/s', got: atPace.ackP50Ms, atMost: 10 });
    return { rows, goals };
  } finally {
    await server.stop();
  }
}
