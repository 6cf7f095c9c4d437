/**
 * Several gateways on one PostgreSQL, each a process of its own, no stickiness. Server, gateways, readers and load share the machine.
 *
 *  1. A message at gateway A, whose session is owned by B: until its `turn-start` is at a reader on C.
 *  2. Events that one node appends: until a subscription on another has them, at two rates; and through gateways to a socket.
 *  3. Transactions of the database an event, with 2 and with 4 gateways that carry the same load each.
 *  4. What one channel of notifications costs the server, by the nodes that listen.
 *  5. A gateway with 1,000 running turns is killed: from the end of its lease until all of them are owned, and go on.
 */
import { fork, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { Client } from 'pg';
import { startPostgres } from '@holdfast/testing/postgres';
import { CpuMeter } from './nodes/cpu.ts';
import { measureNotify } from './nodes/notify.ts';
import { percentile, rounded, type BenchOptions, type BenchResult, type BenchRow, type Goal } from './bench.ts';

const NODE = fileURLToPath(new URL('nodes/node.ts', import.meta.url));
const LINE = fileURLToPath(new URL('nodes/line.ts', import.meta.url));
const READERS = fileURLToPath(new URL('fanout/readers.ts', import.meta.url));

const HEADERS = { authorization: 'Bearer hf_bench', 'content-type': 'application/json' };
const TAKEN_OVER = 1_000;
const LEASE_MS = 10_000;

const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

async function told<T>(child: ChildProcess): Promise<T> {
  const [message] = (await once(child, 'message')) as [T];
  return message;
}

interface Node {
  readonly child: ChildProcess;
  readonly port: number;
}

class Cluster {
  readonly #url: string;
  readonly nodes: Node[] = [];
  readonly #children: ChildProcess[] = [];

  constructor(url: string) {
    this.#url = url;
  }

  async add(name: string, leaseMs: number = LEASE_MS): Promise<Node> {
    const child = this.start(NODE, [this.#url, name, String(leaseMs)]);
    const node = { child, port: (await told<{ port: number }>(child)).port };
    this.nodes.push(node);
    return node;
  }

  start(program: string, args: readonly string[]): ChildProcess {
    const child = fork(program, args);
    this.#children.push(child);
    return child;
  }

  line(role: 'write' | 'read', ...load: readonly number[]): ChildProcess {
    return this.start(LINE, [this.#url, role, ...load.map(String)]);
  }

  async end(): Promise<void> {
    const running = this.#children.filter((child) => child.exitCode === null && child.signalCode === null);
    const ended = running.map((child) => once(child, 'exit'));
    for (const child of running) child.kill('SIGKILL');
    await Promise.all(ended);
  }
}

async function ask({ port }: Node, method: string, route: string, body?: object): Promise<unknown> {
  const response = await fetch(`http://127.0.0.1:${port}${route}`, {
    method,
    headers: HEADERS,
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  });
  if (!response.ok) throw new Error(`${method} ${route} was answered ${response.status}: ${await response.text()}`);
  return response.json();
}

const open = (node: Node, sessionId: string): Promise<unknown> => ask(node, 'POST', '/v1/sessions', { sessionId });
const say = (node: Node, sessionId: string, clientId: string, text: string, whenBusy = 'queue'): Promise<unknown> =>
  ask(node, 'POST', `/v1/sessions/${sessionId}/messages`, { clientId, text, whenBusy });

async function inTurns<T>(items: readonly T[], width: number, run: (item: T) => Promise<unknown>): Promise<void> {
  const left = [...items].toReversed();
  const lane = async (): Promise<void> => {
    for (let item = left.pop(); item !== undefined; item = left.pop()) await run(item);
  };
  await Promise.all(Array.from({ length: width }, lane));
}

const numbered = (count: number, from = 0): readonly number[] => Array.from({ length: count }, (_, n) => from + n);

// ── 1: a message at A, an owner at B, a reader at C ──────────────────────────────────────────────────────────────────

/**
 * An owner stays while it waits for the title of a first turn, and what comes meanwhile finds it idle. So each session gives a second and a half of
 * messages, from a node that does not own it, seen on the third; one that moved all the same does not count.
 */
async function measureCommand(url: string, seconds: number): Promise<readonly number[]> {
  const cluster = new Cluster(url);
  try {
    for (const name of ['a', 'b', 'c']) await cluster.add(name);
    const latenciesMs: number[] = [];
    const until = performance.now() + seconds * 1_000;
    for (let n = 0; performance.now() < until; n += 1)
      latenciesMs.push(...(await askFromOutside(url, cluster, `s_${n}`)));
    return latenciesMs;
  } finally {
    await cluster.end();
  }
}

async function askFromOutside(url: string, cluster: Cluster, sessionId: string): Promise<readonly number[]> {
  const [first] = cluster.nodes as [Node, Node, Node];
  const until = performance.now() + 1_500;
  await open(first, sessionId);
  await say(first, sessionId, 'first', 'hello');
  let owner = await ownerOf(url, sessionId);
  for (; owner === ''; owner = await ownerOf(url, sessionId)) await pause(5);
  const [asked, read] = cluster.nodes.filter((_, n) => !owner.startsWith(`${'abc'[n]}-`)) as [Node, Node];
  const seen = await Turns.follow(read, sessionId);
  const latenciesMs: number[] = [];
  for (let n = 0; performance.now() < until; n += 1) {
    const started = seen.next('turn-start');
    const ended = seen.next('stream-end');
    const beforeMs = performance.now();
    await say(asked, sessionId, `c_${n}`, 'hello');
    latenciesMs.push((await started) - beforeMs);
    await ended;
  }
  seen.stop();
  // The first one finds the turn before it still open.
  return (await ownerOf(url, sessionId)) === owner ? latenciesMs.slice(1) : [];
}

/** When the next event of a type is at a reader. */
class Turns {
  readonly #waiting: { readonly type: string; readonly resolve: (atMs: number) => void }[] = [];
  readonly #end = new AbortController();

  static async follow({ port }: Node, sessionId: string): Promise<Turns> {
    const turns = new Turns();
    const response = await fetch(`http://127.0.0.1:${port}/v1/sessions/${sessionId}/events`, {
      headers: HEADERS,
      signal: turns.#end.signal,
    });
    void turns.#read(response).catch(() => undefined);
    return turns;
  }

  next(type: string): Promise<number> {
    return new Promise((resolve) => void this.#waiting.push({ type, resolve }));
  }

  stop(): void {
    this.#end.abort();
  }

  async #read(response: Response): Promise<void> {
    let rest = '';
    for await (const chunk of response.body ?? []) {
      rest += Buffer.from(chunk).toString('latin1');
      const frames = rest.split('\n\n');
      rest = frames.pop() ?? '';
      for (const frame of frames) {
        const at = this.#waiting.findIndex(({ type }) => frame.includes(`event: ${type}\n`));
        if (at >= 0) this.#waiting.splice(at, 1)[0]?.resolve(performance.now());
      }
    }
  }
}

async function ownerOf(url: string, sessionId: string): Promise<string> {
  const [row] = await query<{ owner: string }>(
    url,
    `SELECT holder || ' ' || epoch AS owner FROM consumers c JOIN streams s ON s.id = c.stream_id
     WHERE s.name = 'session/${sessionId}' AND c.name = 'run' AND holder IS NOT NULL`,
  );
  return row?.owner ?? '';
}

async function query<T extends object>(url: string, text: string): Promise<readonly T[]> {
  const client = new Client(url);
  await client.connect();
  try {
    return (await client.query<T>(text)).rows;
  } finally {
    await client.end();
  }
}

// ── 2: live fan-out ─────────────────────────────────────────────────────────────────────────────────────────────────

interface FanOut {
  readonly perSecond: number;
  readonly latenciesMs: readonly number[];
  /** Of each side, an event. */
  readonly cpuMicros: Readonly<Record<string, number>>;
}

const perEvent = (cpuMs: Readonly<Record<string, number>>, events: number): Readonly<Record<string, number>> =>
  Object.fromEntries(
    Object.entries(cpuMs).map(([side, ms]) => [`${side} µs/event`, rounded((ms * 1_000) / events, 1)]),
  );

async function measureLine(url: string, seconds: number, ...load: readonly [number, number, number]): Promise<FanOut> {
  const cluster = new Cluster(url);
  try {
    const writer = cluster.line('write', ...load);
    await told(writer);
    const reader = cluster.line('read', ...load);
    await told(reader);
    writer.send('start');
    await pause(1_500);
    const used = await new CpuMeter(url, { sender: [writer.pid], receiver: [reader.pid] }).start();
    reader.send('start');
    await pause(seconds * 1_000);
    reader.send('stop');
    const cpuMs = used();
    const { events, latenciesMs } = await told<{ events: number; latenciesMs: number[] }>(reader);
    return { perSecond: Math.round(events / seconds), latenciesMs, cpuMicros: perEvent(cpuMs, events) };
  } finally {
    await cluster.end();
  }
}

async function measureSockets(url: string, seconds: number, sessions: number, perSession: number): Promise<FanOut> {
  const cluster = new Cluster(url);
  try {
    const [owner, other] = [await cluster.add('owner'), await cluster.add('other')];
    await inTurns(numbered(sessions), 16, (n) => open(owner, `s_${n}`));
    const readers = cluster.start(READERS, [String(other.port), String(sessions)]);
    await told(readers);
    await inTurns(numbered(sessions), 16, (n) => say(owner, `s_${n}`, 'c', `speak ${perSession} ${seconds + 10}`));
    await pause(1_500);
    const used = await new CpuMeter(url, { sender: [owner.child.pid], receiver: [other.child.pid] }).start();
    readers.send('start');
    await pause(seconds * 1_000);
    readers.send('stop');
    const cpuMs = used();
    const { events, latenciesMs } = await told<{ events: number; latenciesMs: number[] }>(readers);
    return { perSecond: Math.round(events / seconds), latenciesMs, cpuMicros: perEvent(cpuMs, events) };
  } finally {
    await cluster.end();
  }
}

// ── 3: transactions an event ────────────────────────────────────────────────────────────────────────────────────────

const LOAD = { sessions: 50, perSecond: 20, secondsMin: 10 } as const;

/** Each gateway owns its sessions, and the next one has their readers. */
async function measureTransactions(
  url: string,
  seconds: number,
  count: number,
): Promise<{
  readonly perSecond: number;
  readonly figures: Readonly<Record<string, number>> & { readonly 'transactions/event': number };
}> {
  const cluster = new Cluster(url);
  try {
    for (let n = 0; n < count; n += 1) await cluster.add(`n${n}`);
    const all = numbered(count * LOAD.sessions);
    const nodeOf = (n: number, step = 0): Node => cluster.nodes[(n + step) % count]!;
    await inTurns(all, 16, (n) => open(nodeOf(n), `s_${n}`));
    const following = new AbortController();
    let events = 0;
    await inTurns(all, 16, async (n) => {
      const response = await fetch(`http://127.0.0.1:${nodeOf(n, 1).port}/v1/sessions/s_${n}/events?after=0`, {
        headers: HEADERS,
        signal: following.signal,
      });
      void (async () => {
        for await (const chunk of response.body ?? [])
          events += Buffer.from(chunk).toString('latin1').split('event: text-delta').length - 1;
      })().catch(() => undefined);
    });
    await inTurns(all, 16, (n) => say(nodeOf(n), `s_${n}`, 'c', `speak ${LOAD.perSecond} ${seconds + 20}`));
    await pause(2_000);
    const used = await new CpuMeter(url, { gateways: cluster.nodes.map(({ child }) => child.pid) }).start();
    const [before, had] = [await commits(url), events];
    await pause(seconds * 1_000);
    const [after, has] = [await commits(url), events];
    const cpuMs = used();
    following.abort();
    const transactions = rounded((after - before) / (has - had));
    return {
      perSecond: Math.round((has - had) / seconds),
      figures: { 'transactions/event': transactions, ...perEvent(cpuMs, has - had) },
    };
  } finally {
    await cluster.end();
  }
}

/** The server's own count, which lags by up to a second: the load lasts long enough for that not to matter. */
async function commits(url: string): Promise<number> {
  const [row] = await query<{ n: string }>(
    url,
    'SELECT xact_commit AS n FROM pg_stat_database WHERE datname = current_database()',
  );
  return Number(row?.n);
}

// ── 5: take-over ────────────────────────────────────────────────────────────────────────────────────────────────────

interface TakeOver {
  readonly ownedMs: number;
  readonly goingOnMs: number;
  readonly cpuMs: Readonly<Record<string, number>>;
}

async function measureTakeOver(url: string): Promise<TakeOver> {
  const cluster = new Cluster(url);
  const client = new Client(url);
  await client.connect();
  const one = async (text: string): Promise<number> => Number((await client.query<{ n: string }>(text)).rows[0]?.n);
  try {
    const doomed = await cluster.add('doomed', 3_000);
    await inTurns(numbered(TAKEN_OVER), 32, async (n) => {
      await open(doomed, `t_${n}`);
      await say(doomed, `t_${n}`, 'c', 'wait');
    });
    const HELD = `SELECT count(*) AS n FROM consumers WHERE name = 'run' AND holder LIKE`;
    while ((await one(`${HELD} 'doomed-%'`)) < TAKEN_OVER) await pause(50);
    await cluster.add('b');
    await cluster.add('c');
    await client.query(`CREATE TABLE heads_before AS SELECT id, head FROM streams WHERE name LIKE 'session/t_%'`);
    doomed.child.kill('SIGKILL');
    await once(doomed.child, 'exit');
    const leaseEnd = await one(`SELECT max(lease_until) AS n FROM holders WHERE id LIKE 'doomed-%'`);
    const now = (): Promise<number> => one('SELECT (extract(epoch FROM clock_timestamp()) * 1000)::bigint AS n');
    const used = await new CpuMeter(url, { gateways: cluster.nodes.map(({ child }) => child.pid) }).start();
    while ((await now()) < leaseEnd) await pause(5);
    // What was held is either taken or dealt with by now: it has not its old holder.
    while ((await one(`${HELD} 'doomed-%'`)) > 0) await pause(10);
    const owned = await now();
    const still = `SELECT count(*) AS n FROM heads_before h JOIN streams s ON s.id = h.id WHERE s.head = h.head`;
    while ((await one(still)) > 0) await pause(10);
    return { ownedMs: owned - leaseEnd, goingOnMs: (await now()) - leaseEnd, cpuMs: used() };
  } finally {
    await client.end();
    await cluster.end();
  }
}

// ────────────────────────────────────────────────────────────────────────────────────────────────────────────────────

const spread = (latenciesMs: readonly number[]): Readonly<Record<string, number>> => ({
  'p50 ms': rounded(percentile(latenciesMs, 50), 1),
  'p99 ms': rounded(percentile(latenciesMs, 99), 1),
});

export async function run({ seconds }: BenchOptions): Promise<BenchResult> {
  const server = await startPostgres({ settings: { max_wal_size: '4GB', max_connections: '200' } });
  const rows: BenchRow[] = [];
  const goals: Goal[] = [];
  let databases = 0;
  const database = (): Promise<string> => server.createDatabase(`nodes${(databases += 1)}`);
  try {
    const command = await measureCommand(await database(), seconds);
    rows.push({
      case: 'message at A, owner B, turn-start at C',
      figures: { count: command.length, ...spread(command) },
    });
    goals.push({
      what: 'message at A to turn-start at C, p50 ms',
      got: rounded(percentile(command, 50), 1),
      atMost: 25,
    });

    for (const [sessions, perSecond, together] of [
      [200, 5_000, 1],
      [200, 50_000, 10],
    ] as const) {
      const {
        latenciesMs,
        perSecond: got,
        cpuMicros,
      } = await measureLine(await database(), seconds, sessions, perSecond, together);
      rows.push({
        case: `log to log, ${perSecond} events/s, ${together} an append`,
        figures: { 'events/s': got, ...spread(latenciesMs), ...cpuMicros },
      });
    }
    const sockets = await measureSockets(await database(), seconds, 200, 25);
    rows.push({
      case: 'agent at A to socket at B, 5000 deltas/s',
      figures: { 'events/s': sockets.perSecond, ...spread(sockets.latenciesMs), ...sockets.cpuMicros },
    });

    const loadSeconds = Math.max(seconds, LOAD.secondsMin);
    const two = await measureTransactions(await database(), loadSeconds, 2);
    const four = await measureTransactions(await database(), loadSeconds, 4);
    for (const [count, { perSecond, figures }] of [
      [2, two],
      [4, four],
    ] as const)
      rows.push({
        case: `${count} gateways, ${LOAD.sessions * LOAD.perSecond} events/s each`,
        figures: { 'events/s': perSecond, ...figures },
      });
    goals.push({
      what: 'transactions an event, 4 gateways against 2',
      got: rounded(four.figures['transactions/event'] / two.figures['transactions/event']),
      atMost: 1.1,
    });

    rows.push(...(await measureNotify(await database(), seconds)));

    const { ownedMs, goingOnMs, cpuMs } = await measureTakeOver(await database());
    rows.push({
      case: `take-over of ${TAKEN_OVER} running turns by two others`,
      figures: {
        'owned ms': ownedMs,
        'going on ms': goingOnMs,
        'CPU ms': (cpuMs['gateways'] ?? 0) + (cpuMs['server'] ?? 0),
      },
    });
    goals.push({ what: 'ms from the end of the lease until 1,000 sessions are owned', got: ownedMs, atMost: 1_000 });
    return { rows, goals };
  } finally {
    await server.stop();
  }
}
