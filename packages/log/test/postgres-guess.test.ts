/**
 * Appends in one round trip: whatever happened to a stream since this node last wrote to it, the verdict is that of what is there.
 */
import { once } from 'node:events';
import { connect, createServer, type AddressInfo, type Socket } from 'node:net';
import { startPostgres, type PostgresServer } from '@holdfast/testing/postgres';
import { Client } from 'pg';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { Append, AppendVerdict, Log } from '../src/port.ts';
import { openPostgresLog } from '../src/postgres.ts';

const say = (text: string): Append => ({ records: [new TextEncoder().encode(text)] });
const put = (key: string, text: string) => ({ table: 't', key, order: 1, value: new TextEncoder().encode(text), text });

let server: PostgresServer;
let url: string;
let a: Log;
let b: Log;

beforeAll(async () => {
  server = await startPostgres();
  url = await server.createDatabase('guess');
  [a, b] = [await openPostgresLog({ url, node: 'a' }), await openPostgresLog({ url, node: 'b' })];
  await a.holders.renew('a', 600_000);
  await b.holders.renew('b', 600_000);
});

afterAll(async () => {
  await Promise.all([a.close(), b.close()]);
  await server.stop();
});

async function textsOf(log: Log, stream: string): Promise<readonly string[]> {
  const page = await log.read(stream, { after: 0 });
  return page.kind === 'page' ? page.records.map(({ bytes }) => new TextDecoder().decode(bytes)) : [page.kind];
}

const fence = { consumer: 'run', epoch: 1 };
const producer = (seq: number): NonNullable<Append['producer']> => ({ id: 'p', epoch: 1, seq });
const owned = (text: string, seq: number): Append => ({ ...say(text), fence, producer: producer(seq) });

/** A stream that `a` owns and has written to twice: from the second on by what it remembers. */
async function ownedByA(stream: string): Promise<void> {
  await a.create(stream, { contentType: 'application/json', consumers: ['run', 'search'], ttlMs: 600_000 });
  expect(await a.consumers.acquire(stream, 'run', 'a')).toMatchObject({ kind: 'acquired', epoch: 1 });
  for (const [seq, text] of ['1', '2'].entries())
    expect(await a.append(stream, owned(text, seq))).toMatchObject({ kind: 'appended', first: seq + 1 });
}

interface Case {
  readonly behind: (stream: string) => Promise<unknown>;
  readonly append?: Append;
  readonly verdict: Partial<AppendVerdict>;
  readonly texts: readonly string[];
}

const cases: Readonly<Record<string, Case>> = {
  'nothing happened': {
    behind: async () => undefined,
    verdict: { kind: 'appended', first: 3 },
    texts: ['1', '2', '3'],
  },
  'another node appended': {
    behind: (stream) => b.append(stream, say('theirs')),
    verdict: { kind: 'appended', first: 4 },
    texts: ['1', '2', 'theirs', '3'],
  },
  'another node appended, and its records were packed': {
    behind: async (stream) => {
      await b.append(stream, { records: Array.from({ length: 300 }, () => new TextEncoder().encode('theirs')) });
      expect(await b.pack(stream, 302)).toBeGreaterThan(0);
    },
    verdict: { kind: 'appended', first: 303 },
    texts: ['1', '2', ...Array.from({ length: 300 }, () => 'theirs'), '3'],
  },
  'L14: it was decided at the head that this node remembers, which is the head': {
    behind: async () => undefined,
    append: { ...owned('3', 2), ifHead: 2 },
    verdict: { kind: 'appended', first: 3 },
    texts: ['1', '2', '3'],
  },
  'L14: it was decided at the head that this node remembers, and another node appended': {
    behind: (stream) => b.append(stream, say('theirs')),
    append: { ...owned('3', 2), ifHead: 2 },
    verdict: { kind: 'behind', head: 3 },
    texts: ['1', '2', 'theirs'],
  },
  'L14: it was decided at the head that another node has made': {
    behind: (stream) => b.append(stream, say('theirs')),
    append: { ...owned('3', 2), ifHead: 3 },
    verdict: { kind: 'appended', first: 4 },
    texts: ['1', '2', 'theirs', '3'],
  },
  'L3: another node took it over and has written nothing yet': {
    behind: async (stream) => {
      expect(await a.consumers.release(stream, 'run', { epoch: 1, upTo: 2 })).toEqual({ kind: 'released' });
      expect(await b.consumers.acquire(stream, 'run', 'b')).toMatchObject({ kind: 'acquired', epoch: 2 });
    },
    verdict: { kind: 'fenced', epoch: 2 },
    texts: ['1', '2'],
  },
  'L3: another node took it, and the append is of the time before anybody had': {
    behind: async (stream) => {
      expect(await b.consumers.acquire(stream, 'search', 'b')).toMatchObject({ kind: 'acquired', epoch: 1 });
    },
    append: { ...say('3'), fence: { consumer: 'search', epoch: 0 } },
    verdict: { kind: 'fenced', epoch: 1 },
    texts: ['1', '2'],
  },
  'another node closed it': {
    behind: (stream) => b.append(stream, { records: [], close: true }),
    verdict: { kind: 'closed', head: 2 },
    texts: ['1', '2'],
  },
  'another node deleted it': {
    behind: (stream) => b.delete(stream),
    append: say('3'),
    verdict: { kind: 'deleted' },
    texts: ['deleted'],
  },
  'L11: its time came': {
    behind: (stream) => server.query(`UPDATE streams SET touched_at = 0 WHERE name = '${stream}'`, 'guess'),
    verdict: { kind: 'deleted' },
    texts: ['deleted'],
  },
  'L4: another node used the key': {
    behind: (stream) => b.append(stream, { ...say('theirs'), key: { id: 'k', hash: 'h' } }),
    append: { ...say('3'), key: { id: 'k', hash: 'h' } },
    verdict: { kind: 'duplicate', first: 3 },
    texts: ['1', '2', 'theirs'],
  },
  'L4: this node used the key, long ago': {
    behind: async (stream) => {
      await a.append(stream, { ...say('mine'), key: { id: 'k', hash: 'h' } });
      await a.append(stream, say('later'));
    },
    append: { ...say('3'), key: { id: 'k', hash: 'h' } },
    verdict: { kind: 'duplicate', first: 3 },
    texts: ['1', '2', 'mine', 'later'],
  },
  'L4: another node speaks as the same producer, and adds no record': {
    behind: (stream) => b.append(stream, { records: [], producer: producer(2) }),
    verdict: { kind: 'duplicate' },
    texts: ['1', '2'],
  },
  'L4: another node speaks as the producer of a later epoch': {
    behind: async (stream) => {
      for (const seq of [0, 1]) await b.append(stream, { records: [], producer: { id: 'p', epoch: 2, seq } });
    },
    verdict: { kind: 'producer-stale', epoch: 2 },
    texts: ['1', '2'],
  },
};

test.each(Object.entries(cases))('%s', async (name, { behind, append = owned('3', 2), verdict, texts }) => {
  const stream = `case/${name}`;
  await ownedByA(stream);
  await behind(stream);
  expect(await a.append(stream, append)).toMatchObject(verdict);
  expect(await textsOf(a, stream)).toEqual(texts);
});

test('its rows are those of the appends, in their order; what is done by memory wakes consumers', async () => {
  await ownedByA('rows');
  const [one, two] = await Promise.all([
    a.append('rows', { ...owned('3', 2), rows: [put('x', 'old words'), put('y', 'gone')] }),
    a.append('rows', {
      ...owned('4', 3),
      rows: [
        put('x', 'new words'),
        { table: 't', key: 'y', remove: true },
        put('z', 'here'),
        { table: 't', key: 'z', remove: true, tombstone: true },
      ],
    }),
  ]);
  expect([one, two]).toMatchObject([{ kind: 'appended' }, { kind: 'appended' }]);
  const rows = await b.rows.changes({ table: 't', after: 0, limit: 10 });
  expect(rows.map(({ key, value }) => [key, value && new TextDecoder().decode(value)])).toEqual(
    expect.arrayContaining([
      ['x', 'new words'],
      ['z', undefined],
    ]),
  );
  expect(await b.rows.search({ table: 't', words: 'new', limit: 5 })).toMatchObject([{ key: 'x' }]);
  expect(await b.rows.search({ table: 't', words: 'old', limit: 5 })).toEqual([]);

  expect(await b.consumers.acquire('rows', 'search', 'b')).toMatchObject({ kind: 'acquired', head: 4 });
  expect(await b.consumers.release('rows', 'search', { epoch: 1, upTo: 4 })).toEqual({ kind: 'released' });
  expect(await b.consumers.pending('search', { limit: 100 })).not.toContain('rows');
  await a.append('rows', owned('5', 4));
  expect(await b.consumers.pending('search', { limit: 100 })).toContain('rows');
});

test('L1: after a failover that lost streams, whose ids were given again, an append goes into no other stream', async () => {
  for (const stream of ['mine', 'theirs']) {
    await a.create(stream, { contentType: 'text/plain' });
    for (const text of ['1', '2']) await a.append(stream, say(text));
  }
  // As if they had been made in another order.
  for (const [from, to] of [
    ['mine', 'other'],
    ['theirs', 'mine'],
    ['other', 'theirs'],
  ])
    await server.query(`UPDATE streams SET name = '${to}' WHERE name = '${from}'`, 'guess');
  expect(await a.append('mine', say('secret'))).toMatchObject({ kind: 'appended', first: 3 });
  expect([await textsOf(b, 'mine'), await textsOf(b, 'theirs')]).toEqual([
    ['1', '2', 'secret'],
    ['1', '2'],
  ]);
});

test('outside of its flight the function does nothing', async () => {
  const client = new Client(url);
  await client.connect();
  await client.query(`INSERT INTO marks (id, mark) VALUES ('bare', 0)`);
  // The mark, and its lists: all of them empty.
  const lists = Array.from({ length: 31 }, () => `'{}'`).join(', ');
  const call = async (): Promise<unknown> =>
    (await client.query({ text: `SELECT append_if('bare', $1, ${lists}) AS at`, values: [2] })).rows[0].at;
  expect(await call()).toBe(null);
  await client.query('BEGIN');
  expect(await call()).toBe(null);
  await client.query(`SET LOCAL holdfast.flight = 'bare/2'`);
  expect(await call()).toMatch(/^\d+$/);
  await client.query('COMMIT');
  expect(await call()).toBe(null);
  await client.end();
});

/** Holds back what a node says to the server and lets it be heard when the node has gone, or loses what the server answers. */
class LatePost implements AsyncDisposable {
  readonly #server = createServer((client) => this.#carry(client));
  readonly #target: URL;
  readonly #links = new Set<{ readonly client: Socket; readonly upstream: Socket }>();
  readonly #answersLost = new Set<Socket>();
  #held: { readonly upstream: Socket; readonly bytes: Buffer[] }[] | undefined;

  constructor(target: string) {
    this.#target = new URL(target);
  }

  async listen(): Promise<string> {
    this.#server.listen(0, '127.0.0.1');
    await once(this.#server, 'listening');
    const through = new URL(this.#target);
    through.port = String((this.#server.address() as AddressInfo).port);
    return through.href;
  }

  #carry(client: Socket): void {
    const upstream = connect(Number(this.#target.port), this.#target.hostname);
    const link = { client, upstream };
    this.#links.add(link);
    upstream.on('data', (bytes) => this.#answersLost.has(upstream) || client.write(bytes));
    client.on('data', (bytes) => {
      const held = this.#held?.find((it) => it.upstream === upstream);
      if (held === undefined) upstream.write(bytes);
      else held.bytes.push(bytes);
    });
    for (const socket of [client, upstream]) socket.on('error', () => undefined);
    client.on('close', () => {
      this.#links.delete(link);
      if (!this.#held?.some((it) => it.upstream === upstream)) upstream.destroy();
    });
    upstream.on('close', () => client.destroy());
  }

  /** From now on, of the connections that are there. */
  hold(): void {
    this.#held = [...this.#links].map(({ upstream }) => ({ upstream, bytes: [] }));
  }

  /** The same of the answers, which never arrive. */
  loseAnswers(): void {
    for (const { upstream } of this.#links) this.#answersLost.add(upstream);
  }

  get heldBytes(): number {
    return this.#held?.flatMap(({ bytes }) => bytes).reduce((sum, { length }) => sum + length, 0) ?? 0;
  }

  cut(): void {
    for (const { client } of this.#links) client.destroy();
  }

  /** @returns when the server has done with all of it */
  async deliver(): Promise<void> {
    for (const { upstream, bytes } of this.#held ?? []) {
      upstream.resume();
      upstream.end(Buffer.concat(bytes));
      await once(upstream, 'close');
    }
    this.#held = undefined;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const { client, upstream } of this.#links) for (const socket of [client, upstream]) socket.destroy();
    this.#server.close();
  }
}

test('L12: an append that reaches the server after its node was told that nobody knew of it is not done', async () => {
  await using post = new LatePost(url);
  const node = await openPostgresLog({ url: await post.listen(), node: 'c', writers: 1 });
  await node.create('late', { contentType: 'application/json' });
  for (const text of ['1', '2', '3']) expect(await node.append('late', say(text))).toMatchObject({ kind: 'appended' });
  post.hold();
  const lost = node.append('late', say('lost'));
  await expect.poll(() => post.heldBytes).toBeGreaterThan(0);
  post.cut();
  expect(await lost).toMatchObject({ kind: 'unavailable' });
  await post.deliver();
  expect(await textsOf(b, 'late')).toEqual(['1', '2', '3']);
  expect(await node.append('late', say('4'))).toMatchObject({ kind: 'appended', first: 4 });
  await node.close();
});

test('an append whose answer was lost is told as what became of it: done, once, and when', async () => {
  await using post = new LatePost(url);
  const node = await openPostgresLog({ url: await post.listen(), node: 'd', writers: 1 });
  await node.create('unheard', { contentType: 'application/json' });
  for (const text of ['1', '2', '3'])
    expect(await node.append('unheard', say(text))).toMatchObject({ kind: 'appended' });
  post.loseAnswers();
  const unheard = node.append('unheard', say('4'));
  await expect.poll(() => textsOf(b, 'unheard')).toEqual(['1', '2', '3', '4']);
  post.cut();
  const page = await b.read('unheard', { after: 3 });
  const at = page.kind === 'page' ? page.records[0]?.at : undefined;
  expect(await unheard).toEqual({ kind: 'appended', first: 4, last: 4, at });
  expect(await node.append('unheard', say('5'))).toMatchObject({ kind: 'appended', first: 5 });
  await node.close();
});
