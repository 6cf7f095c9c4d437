/** `holdfast migrate`: a gateway goes from an embedded database to PostgreSQL and back, and nobody who uses it notices. */
import { mkdir } from 'node:fs/promises';
import path from 'node:path';
import Database from 'better-sqlite3';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { openSqliteLog } from '@holdfast/log/sqlite';
import { startPostgres, type PostgresServer } from '@holdfast/testing/postgres';
import { environment, run, Running, temporaryDir, type Served } from './holdfast.ts';

// A test is some twenty processes, one after the other.

let server: PostgresServer;
let made = 0;
beforeAll(async () => {
  server = await startPostgres();
});
afterAll(() => server.stop());

const newDatabase = (): Promise<string> => server.createDatabase(`cli${(made += 1)}`);
const scene = '/scene plain tokens=40 seed=1 rate=2000';

/** Everything that the gateway says of what it keeps. */
async function seenBy(gateway: Served): Promise<unknown> {
  const get = async (route: string): Promise<unknown> => {
    const response = await ask(gateway, 'GET', route);
    return { status: response.status, body: await response.text() };
  };
  return {
    list: await get('/v1/sessions'),
    found: await get('/v1/sessions?q=holdfast'),
    one: await get('/v1/sessions/s_1'),
    gone: await get('/v1/sessions/s_gone'),
    messages: await get('/v1/sessions/s_1/messages'),
    tokens: await get('/v1/tokens'),
  };
}

function ask(gateway: Served, method: string, route: string, body?: unknown, token = gateway.token): Promise<Response> {
  return fetch(gateway.url + route, {
    method,
    headers: {
      authorization: `Bearer ${token}`,
      ...(body === undefined ? {} : { 'content-type': 'application/json' }),
    },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  });
}

const message = { clientId: 'c_once', text: scene, whenBusy: 'queue' };

test('SQLite to PostgreSQL and back: the same snapshots, list, search and tokens; an old key and an old cursor are honoured', async () => {
  await using dir = await temporaryDir();
  const [home, back] = [path.join(dir.path, 'home'), path.join(dir.path, 'back')];
  // The password by the environment, as the deployments give it.
  const [url, password] = [(await newDatabase()).replace(':holdfast@', '@'), { PGPASSWORD: 'holdfast' }];
  const env = environment(home, password);
  const first = await dir.serve({ HOLDFAST_DATA: home });
  await run(['chat', 's_1', '--new'], env, `${scene}\nWhat is a holdfast?\n`);
  await run(['chat', 's_gone', '--new'], env, `${scene}\n`);
  expect((await ask(first, 'DELETE', '/v1/sessions/s_gone')).status).toBeLessThan(300);
  const receipt = (await (await ask(first, 'POST', '/v1/sessions/s_1/messages', message)).json()) as object;
  await run(['chat', 's_1'], env, 'and so on\n');
  const { out: issued } = await run(['token', 'create', '--subject', 'phone'], env);
  const { out: before } = await run(['tail', 's_1', '--no-follow'], env);
  const cursor = /^(\S+)/.exec(before.split('\n')[20]!)![1]!;
  const seen = await seenBy(first);
  expect(await first.end('SIGTERM')).toBe(0);

  const there = await run(['migrate', '--from', `sqlite:${home}`, '--to', url], env);
  expect(there).toMatchObject({ code: 0 });
  expect(there.out).toContain('HOLDFAST_STORE set to');
  const second = await dir.serve({ HOLDFAST_DATA: path.join(dir.path, 'none'), HOLDFAST_STORE: url, ...password });
  await honours(second);
  await second.end('SIGTERM');

  const again = await run(['migrate', '--from', url, '--to', `sqlite:${back}`], env);
  expect(again).toMatchObject({ code: 0 });
  const third = await dir.serve({ HOLDFAST_DATA: back });
  await honours(third);
  const sent = await ask(third, 'POST', '/v1/sessions/s_1/messages', { ...message, clientId: 'c_new' });
  expect(await sent.json()).toMatchObject({ duplicate: false });

  async function honours(gateway: Served): Promise<void> {
    expect(await seenBy(gateway)).toEqual(seen);
    expect(await (await ask(gateway, 'POST', '/v1/sessions/s_1/messages', message)).json()).toEqual({
      ...receipt,
      duplicate: true,
    });
    expect((await ask(gateway, 'POST', '/v1/sessions/s_1/messages', { ...message, text: 'other' })).status).toBe(409);
    expect((await ask(gateway, 'GET', '/v1/sessions', undefined, issued.trim())).status).toBe(200);
    const at = { ...env, HOLDFAST_URL: gateway.url, HOLDFAST_TOKEN: gateway.token };
    const after = await run(['tail', 's_1', '--no-follow', '--after', cursor], at);
    expect(after.out).toBe(before.split('\n').slice(21).join('\n'));
  }
});

/** Enough that it takes a while: about 40 MB. */
async function large(home: string): Promise<void> {
  await mkdir(home, { recursive: true });
  const log = await openSqliteLog({ dir: home });
  const body = new Uint8Array(2_000).fill(65);
  for (let n = 0; n < 20; n += 1)
    await log.create(`stream/${n}`, {
      contentType: 'text/plain',
      first: { records: Array.from({ length: 1_000 }, () => body), key: { id: 'k', hash: 'h' } },
    });
  await log.close();
}

test.each(['sqlite', 'postgres'] as const)(
  'killed with -9 in the middle, into %s: the same command goes on, and both sides are the same',
  async (kind) => {
    await using dir = await temporaryDir();
    const home = path.join(dir.path, 'home');
    await large(home);
    const to = kind === 'sqlite' ? `sqlite:${path.join(dir.path, 'there')}` : await newDatabase();
    const args = ['migrate', '--from', `sqlite:${home}`, '--to', to];
    await using first = new Running(args, environment(home));
    await first.prints('err', 'copying 3');
    first.child.kill('SIGKILL');
    await first.closed;
    expect((await run([...args, '--dry-run'], environment(home))).out).toMatch(
      /has \d{4,} records of it from an earlier run/,
    );
    const second = await run(args, environment(home));
    expect(second).toMatchObject({ code: 0 });
    expect(second.out + second.err).not.toContain('holdfast:holdfast@');
    expect(second.out).toMatch(/an earlier run had copied \d{4,} records/);
    expect(second.err).not.toContain('copying 0 %');
    const whole = await run(
      ['migrate', '--from', `sqlite:${home}`, '--to', `sqlite:${path.join(dir.path, 'whole')}`],
      environment(home),
    );
    expect(/sha256 \w+/.exec(second.out)?.[0]).toBe(/sha256 \w+/.exec(whole.out)?.[0]);
    expect((await run(args, environment(home))).out).toContain('already');
  },
);

test('a bit that flipped in the copy: it fails loudly, names the stream, and puts nothing in place', async () => {
  await using dir = await temporaryDir();
  const [home, there] = [path.join(dir.path, 'home'), path.join(dir.path, 'there')];
  await large(home);
  const args = ['migrate', '--from', `sqlite:${home}`, '--to', `sqlite:${there}`];
  await using first = new Running(args, environment(home));
  await first.prints('err', 'copying 3');
  first.child.kill('SIGKILL');
  await first.closed;
  const draft = new Database(path.join(there, 'holdfast.db.migrating'));
  draft.exec(
    `UPDATE records SET body = CAST('B' || substr(CAST(body AS TEXT), 2) AS BLOB) WHERE stream_id = 3 AND seq = 9`,
  );
  draft.close();
  const { code, err } = await run(args, environment(home));
  expect(code).toBe(1);
  expect(err).toContain('stream/2 differs in its records');
  expect(err).toContain('--restart');
  expect(await run([...args, '--restart'], environment(home))).toMatchObject({ code: 0 });
});

test('it refuses while a gateway runs, and says which; a dry run changes nothing', async () => {
  await using dir = await temporaryDir();
  const [home, url] = [path.join(dir.path, 'home'), await newDatabase()];
  const gateway = await dir.serve({ HOLDFAST_DATA: home });
  await run(['chat', 's_1', '--new'], environment(home), `${scene}\n`);
  const args = ['migrate', '--from', `sqlite:${home}`, '--to', url];
  const refused = await run(args, environment(home));
  expect(refused.code).toBe(1);
  expect(refused.err).toContain(`process ${gateway.child.pid}, which serves ${gateway.url}`);
  await gateway.end('SIGTERM');

  const rehearsal = await run([...args, '--dry-run'], environment(home));
  expect(rehearsal).toMatchObject({ code: 0 });
  expect(rehearsal.out).toMatch(/holds \d+ streams \(.*\d+ session.*\) with \d+ records/);
  const other = await dir.serve({ HOLDFAST_DATA: path.join(dir.path, 'none'), HOLDFAST_STORE: url });
  const busy = await run(args, environment(home));
  expect(busy.code).toBe(1);
  expect(busy.err).toMatch(/in use by gateway \w+, connected from 127.0.0.1/);
  await other.end('SIGTERM');
});

test.each([
  ['memory', `sqlite:/x`, '--from'],
  ['sqlite:/nonexistent', 'mysql://x/y', '--to'],
  ['sqlite:/nonexistent', 'sqlite:/x', 'no database'],
  ['postgres://127.0.0.1:9/none', 'sqlite:/x', ''],
])('migrate --from %s --to %s is told in a line', async (from, to, named) => {
  const { code, out, err } = await run(['migrate', '--from', from, '--to', to], environment('/nonexistent'));
  expect(code).toBeGreaterThan(0);
  expect(out).toBe('');
  expect(err).toMatch(/^holdfast: .+\n$/);
  expect(err).toContain(named);
});
