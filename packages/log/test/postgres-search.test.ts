/**
 * A search index on PostgreSQL as what it is: rows that a consumer commits with its ack. Whatever is lost of it, ack or rows, it is made anew
 * from the log, by any node, while others go on writing.
 */
import { Client } from 'pg';
import { afterAll, expect, test } from 'vitest';
import { startPostgres } from '@holdfast/testing/postgres';
import type { Log, LogRecord, Row, RowChange, StreamName } from '../src/port.ts';
import { openPostgresLog } from '../src/postgres.ts';

const server = await startPostgres();
const url = await server.createDatabase('search');
const nodes = [await openPostgresLog({ url, node: 'a' }), await openPostgresLog({ url, node: 'b' })] as const;
const sql = new Client(url);
await sql.connect();
afterAll(async () => {
  await sql.end();
  await Promise.all(nodes.map((log) => log.close()));
  await server.stop();
});

const STREAMS = Array.from({ length: 8 }, (_, n) => `s/${n}`);
const RECORDS = 120;
const TABLE = 'hit';
const INDEXED = 'index';

/** Each record has a word of its own, which no other one begins with, and all share one. */
const wordOf = (stream: StreamName, seq: number): string => `w${stream.slice(2)}x${seq}e`;
const say = (stream: StreamName, seq: number): Uint8Array => Buffer.from(`${wordOf(stream, seq)} everywhere`);

const hitOf = ({ seq, bytes }: LogRecord): RowChange => ({
  table: TABLE,
  key: `${seq}`,
  order: seq,
  value: Buffer.from(`${seq}`),
  text: Buffer.from(bytes).toString(),
});

/** Takes one stream's consumer up to the head, unless another node is at it. */
async function indexOne(log: Log, stream: StreamName, holder: string): Promise<void> {
  const acquired = await log.consumers.acquire(stream, INDEXED, holder);
  if (acquired.kind !== 'acquired') return;
  const rows: RowChange[] = [];
  for (let after = acquired.acked; ;) {
    const page = await log.read(stream, { after });
    if (page.kind !== 'page') throw new Error(`a page was expected, not ${page.kind}`);
    rows.push(...page.records.map(hitOf));
    after = page.records.at(-1)?.seq ?? after;
    if (after < page.head) continue;
    const released = await log.consumers.release(stream, INDEXED, { epoch: acquired.epoch, upTo: after, rows });
    if (released.kind !== 'behind') return;
  }
}

let holders = 0;
/** Until nothing is pending; `dies` leaves what it holds after so many streams. */
async function index(log: Log, dies = Number.POSITIVE_INFINITY): Promise<void> {
  const holder = `indexer-${(holders += 1)}`;
  await log.holders.renew(holder, 60_000);
  for (let left = dies; ;) {
    const pending = await log.consumers.pending(INDEXED, { limit: 3 });
    if (pending.length === 0) break;
    for (const stream of pending) {
      if ((left -= 1) >= 0) await indexOne(log, stream, holder);
      else {
        await log.consumers.acquire(stream, INDEXED, holder);
        return log.holders.leave(holder);
      }
    }
  }
  await log.holders.leave(holder);
}

const heads = new Map<StreamName, number>();

const written = (): number => [...heads.values()].reduce((sum, head) => sum + head, 0);

/** Writes on all streams until told to end. Each append is taken, at its place. */
async function write(until: { readonly over: boolean }): Promise<void> {
  let appends = 0;
  await Promise.all(
    STREAMS.map(async (stream) => {
      while (!until.over) {
        const seq = (heads.get(stream) ?? 0) + 1;
        const verdict = await nodes[appends % 2]!.append(stream, { records: [say(stream, seq)] });
        expect(verdict).toMatchObject({ kind: 'appended', first: seq });
        heads.set(stream, seq);
        appends += 1;
      }
    }),
  );
}

const names = (rows: readonly Row[]): readonly string[] => rows.map(({ stream, key }) => `${stream} ${key}`).toSorted();

/** Nothing missed, nothing double, by either node. */
async function expectWhole(): Promise<void> {
  const all = STREAMS.flatMap((stream) =>
    Array.from({ length: heads.get(stream) ?? 0 }, (_, index) => [stream, index + 1] as const),
  );
  for (const log of nodes) {
    const found = await log.rows.search({ table: TABLE, words: 'everywhere', limit: 100_000 });
    expect(names(found)).toEqual(all.map(([stream, seq]) => `${stream} ${seq}`).toSorted());
  }
  for (const [stream, seq] of all.filter((_, place) => place % 37 === 0))
    expect(names(await nodes[0].rows.search({ table: TABLE, words: wordOf(stream, seq), limit: 10 }))).toEqual([
      `${stream} ${seq}`,
    ]);
}

const ACKS_LOST = `UPDATE consumers SET acked = 0, behind = true WHERE name = '${INDEXED}'`;

const LOSSES = {
  'the rows, the index over them, and the acks': [
    `DELETE FROM rows WHERE tbl = '${TABLE}'`,
    'DROP INDEX rows_by_words',
    ACKS_LOST,
  ],
  'the acks alone': [ACKS_LOST],
  'what lies behind an ack of long ago, rows and all': [
    `UPDATE consumers SET acked = 50, behind = true WHERE name = '${INDEXED}'`,
    `DELETE FROM rows WHERE tbl = '${TABLE}' AND ord > 50`,
  ],
} as const;

test('an index is filled by two nodes at once, each stream by one of them', async () => {
  for (const stream of STREAMS) {
    await nodes[0].create(stream, { contentType: 'text/plain', consumers: [INDEXED] });
    const records = Array.from({ length: RECORDS }, (_, index) => say(stream, index + 1));
    await nodes[0].append(stream, { records });
    heads.set(stream, RECORDS);
  }
  await Promise.all(nodes.map((log) => index(log)));
  await expectWhole();
});

test.each(Object.entries(LOSSES))(
  'lost: %s: it is made anew from the log, once, and nobody who writes waits for it',
  async (_, losses) => {
    // Packed history is indexed like any other.
    await nodes[0].pack('s/0', RECORDS);
    await sql.query(`BEGIN; ${losses.join('; ')}; COMMIT`);
    const until = { over: false };
    const writing = write(until);
    const before = written();
    // One dies with a stream in its hands; another goes on.
    await index(nodes[1], 2);
    await index(nodes[0], 2 * STREAMS.length);
    // Every stream was written to while all of them were indexed.
    expect(written()).toBeGreaterThan(before + STREAMS.length);
    until.over = true;
    await writing;
    await Promise.all(nodes.map((log) => index(log)));
    expect(await nodes[0].consumers.pending(INDEXED, { limit: 10 })).toEqual([]);
    await expectWhole();
  },
);

test('who holds a consumer and reads for long holds up no append', async () => {
  await nodes[0].holders.renew('slow', 60_000);
  for (const stream of STREAMS) {
    const acquired = await nodes[0].consumers.acquire(stream, INDEXED, 'slow');
    expect(acquired.kind).toBe('acquired');
    const seq = (heads.get(stream) ?? 0) + 1;
    expect(await nodes[1].append(stream, { records: [say(stream, seq)] })).toMatchObject({ kind: 'appended' });
    heads.set(stream, seq);
  }
  // What came meanwhile is not acknowledged by a release that does not know of it.
  const [stream] = STREAMS as [string];
  const { epoch } = (await nodes[0].consumers.acquire(stream, INDEXED, 'slow')) as { readonly epoch: number };
  expect(
    await nodes[0].consumers.release(stream, INDEXED, { epoch, upTo: (heads.get(stream) ?? 0) - 1, rows: [] }),
  ).toMatchObject({ kind: 'behind' });
  await nodes[0].holders.leave('slow');
  await index(nodes[1]);
  await expectWhole();
});
