/** What one channel costs the server: a notification goes to every node that listens, and so does the poll behind it for each. */
import { Client } from 'pg';
import { CpuMeter } from './cpu.ts';
import { rounded, type BenchRow } from '../bench.ts';

const LISTENERS = [1, 10, 40] as const;
const SENDERS = 4;
const PAYLOAD = 'x'.repeat(4_000);
const HEADS = 20_000;
const POLLS = 10;

async function connect(url: string): Promise<Client> {
  const client = new Client(url);
  await client.connect();
  return client;
}

export async function measureNotify(url: string, seconds: number): Promise<readonly BenchRow[]> {
  const listeners: Client[] = [];
  const rows: BenchRow[] = [];
  for (const count of LISTENERS) {
    while (listeners.length < count) {
      const listener = await connect(url);
      await listener.query('LISTEN bench');
      listeners.push(listener);
    }
    const senders = await Promise.all(Array.from({ length: SENDERS }, () => connect(url)));
    const used = await new CpuMeter(url, {}).start();
    const until = performance.now() + seconds * 1_000;
    let sent = 0;
    await Promise.all(
      senders.map(async (sender) => {
        await sender.query('SET synchronous_commit = off');
        for (; performance.now() < until; sent += 1)
          await sender.query({ name: 'notify', text: 'SELECT pg_notify($1, $2)', values: ['bench', PAYLOAD] });
      }),
    );
    const micros = ((used()['server'] ?? 0) * 1_000) / sent;
    await Promise.all(senders.map((sender) => sender.end()));
    rows.push({
      case: `notifications of 4 KB to ${count} nodes`,
      figures: { 'notifications/s': Math.round(sent / seconds), 'server µs/delivery': rounded(micros / count, 1) },
    });
  }
  await Promise.all(listeners.map((listener) => listener.end()));
  return [...rows, await measurePoll(url)];
}

async function measurePoll(url: string): Promise<BenchRow> {
  const client = await connect(url);
  await client.query(`CREATE TABLE heads (name text PRIMARY KEY, head bigint)`);
  await client.query(
    `INSERT INTO heads SELECT 'session/s_' || md5(n::text), n FROM generate_series(1, ${HEADS * 10}) n; ANALYZE heads`,
  );
  const { rows } = await client.query<{ name: string }>(`SELECT name FROM heads ORDER BY random() LIMIT ${HEADS}`);
  const names = rows.map((row) => row.name);
  const used = await new CpuMeter(url, {}).start();
  for (let n = 0; n < POLLS; n += 1) await client.query('SELECT name, head FROM heads WHERE name = ANY($1)', [names]);
  const serverMs = used()['server'] ?? 0;
  await client.end();
  return { case: `a poll of ${HEADS} heads`, figures: { 'server ms': serverMs / POLLS } };
}
