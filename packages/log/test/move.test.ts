/** Moving a store: what was promised before is kept after, whichever way it goes and wherever it is cut off. */
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import Database from 'better-sqlite3';
import { Client } from 'pg';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { openPostgresLog } from '@holdfast/log/postgres';
import { openSqliteLog } from '@holdfast/log/sqlite';
import { move, type MoveReport, type Source, type Target } from '@holdfast/log/move';
import { openPostgresSource, openPostgresTarget } from '@holdfast/log/move/postgres';
import { openSqliteSource, openSqliteTarget } from '@holdfast/log/move/sqlite';
import type { Log } from '@holdfast/log';
import { startPostgres, type PostgresServer } from '@holdfast/testing/postgres';

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);
const JSON_TYPE = 'application/json';

let server: PostgresServer;
let root: string;
let made = 0;
beforeAll(async () => {
  server = await startPostgres();
  root = await mkdtemp(path.join(os.tmpdir(), 'holdfast-move-'));
});
afterAll(async () => {
  await server.stop();
  await rm(root, { recursive: true, force: true });
});

const newDir = (): string => path.join(root, `d${(made += 1)}`);
const newDatabase = (): Promise<string> => server.createDatabase(`m${(made += 1)}`);
const sqliteLog = async (dir: string): Promise<Log> => {
  await mkdir(dir, { recursive: true });
  return openSqliteLog({ dir });
};
const postgresLog = (url: string): Promise<Log> => openPostgresLog({ url, node: `n${(made += 1)}` });

/** Something of everything that a store keeps. */
async function fill(log: Log): Promise<void> {
  await log.holders.renew('holder', 60_000);
  await log.create('session/a', { contentType: JSON_TYPE, consumers: ['run'] });
  for (let n = 0; n < 40; n += 1)
    await log.append('session/a', {
      records: Array.from({ length: 30 }, (_, index) => bytes(`{"n":${n},"text":"${'é'.repeat(index)}"}`)),
      key: { id: `k${n}`, hash: `h${n}` },
      rows: [
        {
          table: 'turn',
          key: `t${n}`,
          order: n + 0.5,
          group: 'owner',
          value: bytes(`turn ${n}`),
          text: n === 7 ? 'The quick brown fox, the QUICK hare; 漢字' : `plain words of ${n}`,
        },
      ],
    });
  await log.append('session/a', {
    records: [],
    rows: [{ table: 'turn', key: 't3', remove: true, tombstone: true }],
  });
  await log.append('session/a', { records: [bytes('p')], producer: { id: 'p', epoch: 4, seq: 0 } });
  const acquired = await log.consumers.acquire('session/a', 'run', 'holder');
  if (acquired.kind !== 'acquired') throw new Error(acquired.kind);
  await log.consumers.release('session/a', 'run', {
    epoch: acquired.epoch,
    upTo: acquired.head,
    wakeAt: 4_000_000_000_000,
  });
  await log.create('session/b', { contentType: JSON_TYPE, fork: { from: 'session/a', upTo: 700 } });
  await log.append('session/b', { records: [bytes('own')], close: true });
  await log.create('session/gone', {
    contentType: JSON_TYPE,
    first: {
      records: [bytes('secret')],
      rows: [{ table: 'list', key: 'x', order: 1, value: bytes('v') }],
    },
  });
  await log.delete('session/gone', [{ table: 'list', key: 'x' }]);
  await log.create('blob/0a', {
    contentType: 'image/png',
    first: { records: [new Uint8Array(300_000).fill(7)], close: true },
  });
  await log.create('stream/mortal', { contentType: 'text/plain', ttlMs: 3_600_000, first: { records: [bytes('x')] } });
  await log.create('stream/short', { contentType: 'text/plain', first: { records: ['1', '2', '3', '4'].map(bytes) } });
  await log.truncate('stream/short', 2);
  await log.create('session/held', {
    contentType: JSON_TYPE,
    consumers: ['run'],
    first: { records: [bytes('do it')] },
  });
  await log.consumers.acquire('session/held', 'run', 'holder');
  await log.holders.leave('holder');
}

/** What the log's callers can see of it. */
async function look(log: Log): Promise<unknown> {
  const seen: Record<string, unknown> = {};
  for (const stream of [
    'session/a',
    'session/b',
    'session/gone',
    'blob/0a',
    'stream/mortal',
    'stream/short',
    'session/held',
  ]) {
    const page = await log.read(stream, { after: stream === 'stream/short' ? 2 : 0, bytesMax: 10_000_000 });
    seen[stream] = [
      await log.stat(stream),
      page.kind === 'page' ? page.records.map(({ seq, at, tag }) => `${seq} ${at} ${tag}`) : page.kind,
    ];
  }
  const plain = (rows: readonly { readonly value: Uint8Array | undefined }[]): unknown =>
    rows.map(({ value, ...row }) => ({ ...row, value: value === undefined ? null : Buffer.from(value).toString() }));
  seen['changes'] = [
    plain(await log.rows.changes({ table: 'turn', after: 0, limit: 100 })),
    plain(await log.rows.changes({ table: 'list', after: 0, limit: 100 })),
  ];
  for (const words of ['quick fo', '"quick hare"', '漢字', 'plain words of 12', 'nothing such'])
    seen[`search ${words}`] = plain(await log.rows.search({ table: 'turn', words, limit: 100 }));
  seen['pending'] = await log.consumers.pending('run', { limit: 100 });
  seen['key'] = await log.findKey('session/a', 'k7');
  return seen;
}

/** Opens both, moves, closes both. */
async function moving(source: Promise<Source>, target: Promise<Target>, batchPartsMax = 500): Promise<MoveReport> {
  const [from, to] = await Promise.all([source, target]);
  try {
    return await move(from, to, { batchPartsMax });
  } finally {
    await Promise.all([from.close(), to.close()]);
  }
}

async function filledDir(): Promise<string> {
  const dir = newDir();
  const log = await sqliteLog(dir);
  await fill(log);
  await log.pack('session/a', 1_000);
  await log.close();
  return dir;
}

async function seenIn(log: Log): Promise<unknown> {
  try {
    return await look(log);
  } finally {
    await log.close();
  }
}

test('SQLite to PostgreSQL to SQLite: all that can be seen is the same, and so is the digest', async () => {
  const [first, url, second] = [await filledDir(), await newDatabase(), newDir()];
  const there = await moving(openSqliteSource(first), openPostgresTarget(url));
  const back = await moving(openPostgresSource(url), openSqliteTarget(second));
  expect(back.digest).toBe(there.digest);
  const before = await seenIn(await sqliteLog(first));
  expect(await seenIn(await postgresLog(url))).toEqual(before);
  expect(await seenIn(await sqliteLog(second))).toEqual(before);
  expect(await readdir(second)).not.toContain('holdfast.db.migrating');
});

test('SQLite to SQLite and PostgreSQL to PostgreSQL go the same way', async () => {
  const [first, second, one, two] = [await filledDir(), newDir(), await newDatabase(), await newDatabase()];
  const digests = [
    await moving(openSqliteSource(first), openSqliteTarget(second)),
    await moving(openSqliteSource(second), openPostgresTarget(one)),
    await moving(openPostgresSource(one), openPostgresTarget(two)),
  ].map((report) => report.digest);
  expect(new Set(digests).size).toBe(1);
  expect(await seenIn(await postgresLog(two))).toEqual(await seenIn(await sqliteLog(first)));
});

test('what was packed stays packed in PostgreSQL, page by page, and is packed on from there', async () => {
  const [dir, url] = [await filledDir(), await newDatabase()];
  await moving(openSqliteSource(dir), openPostgresTarget(url));
  const db = new Database(path.join(dir, 'holdfast.db'), { readonly: true });
  const packed = db.prepare('SELECT first, last, body FROM pages ORDER BY stream_id, first').all();
  db.close();
  const client = new Client(url);
  await client.connect();
  const pages = async (): Promise<readonly { readonly last: string }[]> =>
    (await client.query('SELECT first::int, last::int, body FROM pages ORDER BY stream_id, first')).rows;
  const records = async (): Promise<number> =>
    (await client.query(`SELECT 1 FROM records r JOIN streams s ON s.id = r.stream_id WHERE s.name = 'session/a'`))
      .rowCount ?? 0;
  expect(packed.length).toBeGreaterThan(0);
  expect(await pages()).toEqual(packed);
  expect(await records()).toBe(201);
  const log = await postgresLog(url);
  expect(await log.pack('session/a', 1_100)).toBeGreaterThan(0);
  expect(await records()).toBe(101);
  expect(await seenIn(log)).toEqual(await seenIn(await sqliteLog(dir)));
  await client.end();
});

test.each(['sqlite', 'postgres'] as const)(
  '%s keeps what it promised: a retry, an old fence, a producer, a rev',
  async (kind) => {
    const [dir, target] = [await filledDir(), kind === 'sqlite' ? newDir() : await newDatabase()];
    await moving(openSqliteSource(dir), kind === 'sqlite' ? openSqliteTarget(target) : openPostgresTarget(target));
    const log = kind === 'sqlite' ? await sqliteLog(target) : await postgresLog(target);
    const again = { records: [bytes('new')] };
    expect(await log.append('session/a', { ...again, key: { id: 'k7', hash: 'h7' } })).toMatchObject({
      kind: 'duplicate',
      first: 211,
      last: 240,
    });
    expect(await log.append('session/a', { ...again, key: { id: 'k7', hash: 'other' } })).toMatchObject({
      kind: 'key-conflict',
    });
    expect(await log.append('session/held', { ...again, fence: { consumer: 'run', epoch: 0 } })).toEqual({
      kind: 'fenced',
      epoch: 1,
    });
    expect(await log.append('session/a', { ...again, producer: { id: 'p', epoch: 4, seq: 0 } })).toMatchObject({
      kind: 'duplicate',
    });
    expect(await log.append('session/a', { ...again, producer: { id: 'p', epoch: 4, seq: 1 } })).toMatchObject({
      kind: 'appended',
      first: 1_202,
    });
    await log.holders.renew('new', 60_000);
    expect(await log.consumers.acquire('session/held', 'run', 'new')).toMatchObject({ kind: 'acquired', epoch: 2 });
    expect(await log.create('session/gone', { contentType: JSON_TYPE })).toEqual({ kind: 'deleted' });
    const [last] = (await log.rows.changes({ table: 'list', after: 0, limit: 9 })).toReversed();
    await log.append('session/b', { records: [], rows: [{ table: 'list', key: 'y', order: 2, value: bytes('w') }] });
    expect((await log.rows.get('list', 'session/b', 'y'))?.rev).toBeGreaterThan(last!.rev);
    await log.close();
  },
);

/** Ends as a killed process does: nothing after so many transactions. */
function cutOff(target: Target, transactions: number): Target {
  let left = transactions;
  const cut = new Error('cut off');
  return {
    name: target.name,
    look: (origin) => target.look(origin),
    begin: (origin) => target.begin(origin),
    load: (parts, done) => ((left -= 1) < 0 ? Promise.reject(cut) : target.load(parts, done)),
    settle: (lastRev) => ((left -= 1) < 0 ? Promise.reject(cut) : target.settle(lastRev)),
    tables: () => target.tables(),
    finish: (digest) => ((left -= 1) < 0 ? Promise.reject(cut) : target.finish(digest)),
    close: () => target.close(),
  };
}

test.each(['sqlite', 'postgres'] as const)(
  'into %s, cut off after each transaction in turn: the next run goes on',
  async (kind) => {
    const dir = await filledDir();
    const whole = await moving(openSqliteSource(dir), openSqliteTarget(newDir()));
    const target = kind === 'sqlite' ? newDir() : await newDatabase();
    const openTarget = (): Promise<Target> =>
      kind === 'sqlite' ? openSqliteTarget(target) : openPostgresTarget(target);
    let runs = 0;
    let report: MoveReport | undefined;
    while (report === undefined && runs < 100) {
      runs += 1;
      report = await moving(
        openSqliteSource(dir),
        openTarget().then((it) => cutOff(it, 1 + (runs % 2))),
        2,
      ).catch((error: unknown) => {
        if (!(error instanceof Error) || error.message !== 'cut off') throw error;
        return undefined;
      });
    }
    expect(runs).toBeGreaterThan(6);
    expect(report?.digest).toBe(whole.digest);
    const again = await moving(openSqliteSource(dir), openTarget());
    expect(again).toMatchObject({ kind: 'moved-before', digest: whole.digest });
  },
);

test('a bit that flipped in the copy is found, named, and nothing is put in place', async () => {
  const [dir, url, other] = [await filledDir(), await newDatabase(), newDir()];
  await expect(
    moving(
      openSqliteSource(dir),
      openPostgresTarget(url).then((it) => cutOff(it, 3)),
      3,
    ),
  ).rejects.toThrow('cut off');
  const client = new Client(url);
  await client.connect();
  await client.query(`UPDATE holdfast_migrating.records SET body = set_bit(body, 3, 1 - get_bit(body, 3))
    WHERE seq = 1100 AND stream_id = (SELECT id FROM holdfast_migrating.streams WHERE name = 'session/a')`);
  await client.end();
  await expect(moving(openSqliteSource(dir), openPostgresTarget(url))).rejects.toThrow(
    'session/a differs in its records',
  );

  await expect(
    moving(
      openSqliteSource(dir),
      openSqliteTarget(other).then((it) => cutOff(it, 3)),
      3,
    ),
  ).rejects.toThrow('cut off');
  const db = new Database(path.join(other, 'holdfast.db.migrating'));
  db.exec(`UPDATE keys SET hash = 'x' WHERE id = 'k9'`);
  db.close();
  await expect(moving(openSqliteSource(dir), openSqliteTarget(other))).rejects.toThrow('session/a differs in its keys');
  expect(await readdir(other)).not.toContain('holdfast.db');
  expect(await moving(openSqliteSource(dir), openSqliteTarget(other, { restart: true }))).toMatchObject({
    kind: 'moved',
  });
});

test('a source with a damaged page says so, and is no bug', async () => {
  const dir = await filledDir();
  const file = path.join(dir, 'holdfast.db');
  const bytesOfFile = await readFile(file);
  // The first page is the schema's: the file is still a database.
  for (let at = 40_960; at < bytesOfFile.length; at += 8_192) bytesOfFile.fill(0xff, at, at + 64);
  await writeFile(file, bytesOfFile);
  const moved = moving(openSqliteSource(dir), openSqliteTarget(newDir()));
  await expect(moved).rejects.toMatchObject({ fault: { kind: 'storage-unavailable' } });
  await expect(moved).rejects.toThrow(
    /holdfast\.db cannot be used .* restore a backup|is damaged|is not a readable SQLite database/,
  );
});

test('it refuses a source in use, a target that holds something, and a draft of something else', async () => {
  const [dir, url, other] = [await filledDir(), await newDatabase(), newDir()];
  const log = await sqliteLog(dir);
  await expect(openSqliteSource(dir)).rejects.toThrow(`in use by process ${process.pid}`);
  await log.close();
  await moving(openSqliteSource(dir), openPostgresTarget(url));
  const gateway = await postgresLog(url);
  await gateway.append('stream/short', { records: [bytes('5')] });
  await expect(openPostgresSource(url)).rejects.toThrow(/in use by gateway n\d+, connected from 127.0.0.1/);
  await gateway.close();

  await expect(moving(openSqliteSource(await filledDir()), openPostgresTarget(url))).rejects.toThrow('is not empty');
  await expect(moving(openSqliteSource(dir), openSqliteTarget(dir))).rejects.toThrow('is the source as well');
  await expect(
    moving(
      openSqliteSource(dir),
      openSqliteTarget(other).then((it) => cutOff(it, 1)),
      3,
    ),
  ).rejects.toThrow('cut off');
  await expect(moving(openPostgresSource(url), openSqliteTarget(other))).rejects.toThrow(
    'unfinished migration of sqlite:',
  );
  const changed = await sqliteLog(dir);
  await changed.append('stream/short', { records: [bytes('6')] });
  await changed.close();
  await expect(moving(openSqliteSource(dir), openSqliteTarget(other))).rejects.toThrow('which has changed since');
});

test('a gateway that is started on the target meanwhile sees none of the draft, and an empty one makes room', async () => {
  const [dir, url] = [await filledDir(), await newDatabase()];
  await expect(
    moving(
      openSqliteSource(dir),
      openPostgresTarget(url).then((it) => cutOff(it, 2)),
      3,
    ),
  ).rejects.toThrow('cut off');
  const early = await postgresLog(url);
  expect(await early.stat('session/a')).toEqual({ kind: 'missing' });
  await early.close();
  expect(await moving(openSqliteSource(dir), openPostgresTarget(url))).toMatchObject({ kind: 'moved' });
});
