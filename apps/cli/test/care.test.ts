/** `holdfast doctor`, `backup`, `restore`: what keeps it well. */
import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { chmod, open, readdir, stat, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { createServer } from 'node:http';
import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import Database from 'better-sqlite3';
import { expect, test } from 'vitest';
import { TLS_CERT, TLS_KEY } from '../../../packages/gateway/test/tls.ts';
import { BIN, environment, run, runJson, temporaryDir } from './holdfast.ts';

interface Finding {
  readonly check: string;
  readonly finding: 'good' | 'note' | 'bad';
  readonly text: string;
}

const scene = '/scene plain tokens=20 seed=1 rate=2000';
const finding = (found: readonly Finding[], check: string): Finding | undefined =>
  found.find((one) => one.check === check);

test('doctor beside a running gateway: all is well, and it says where it runs', async () => {
  await using dir = await temporaryDir();
  const gateway = await dir.serve();
  const found = await runJson<Finding>(['doctor'], environment(dir.path));
  expect(found.filter((one) => one.finding === 'bad')).toEqual([]);
  expect(finding(found, 'gateway')?.text).toContain(gateway.url);
  expect(finding(found, 'database')).toMatchObject({ finding: 'good' });
});

test('commands beside a gateway that serves https know it by its certificate, which is of another name', async () => {
  await using dir = await temporaryDir();
  const [cert, key] = [path.join(dir.path, 'cert.pem'), path.join(dir.path, 'key.pem')];
  await Promise.all([writeFile(cert, TLS_CERT), writeFile(key, TLS_KEY)]);
  const env = environment(dir.path);
  const gateway = await dir.serve({ HOLDFAST_TLS_CERT: cert, HOLDFAST_TLS_KEY: key });
  expect(finding(await runJson<Finding>(['doctor'], env), 'gateway')?.text).toContain(gateway.url);
  expect(await run(['chat', 's_1', '--new'], env, `${scene}\n`)).toMatchObject({ code: 0 });
  expect(await run(['tail', 's_1', '--no-follow'], env)).toMatchObject({ code: 0 });
  const file = path.join(dir.path, 's_1.jsonl');
  expect(await run(['export', 's_1', file], env)).toMatchObject({ code: 0 });
  expect(await run(['import', file], env)).toMatchObject({ code: 0 });
  // By another address it is whoever says so.
  const elsewhere = await run(['sessions', '--url', gateway.url.replace('127.0.0.1', 'localhost')], env);
  expect(elsewhere.code).toBe(1);
  expect(elsewhere.err).toContain('self-signed');
});

test('doctor makes nothing, not even the data directory', async () => {
  await using dir = await temporaryDir();
  const found = await runJson<Finding>(['doctor'], environment(path.join(dir.path, 'a', 'b')));
  expect(finding(found, 'data')).toMatchObject({ finding: 'note' });
  expect(await readdir(dir.path)).toEqual([]);
});

test('doctor finds a data directory that others can read, and says the command that closes it', async () => {
  await using dir = await temporaryDir();
  await chmod(dir.path, 0o755);
  const { code, out } = await run(['doctor'], environment(dir.path));
  expect(code).toBe(1);
  expect(out).toContain(`chmod 700 ${dir.path}`);
});

test('doctor finds a page of the database that was damaged', async () => {
  await using dir = await temporaryDir();
  const gateway = await dir.serve();
  await run(['chat', '--once', '/scene long tokens=3000 rate=0 delay=0'], environment(dir.path));
  await gateway.end('SIGTERM');
  const file = path.join(dir.path, 'holdfast.db');
  const { size } = await stat(file);
  const handle = await open(file, 'r+');
  for (let at = 8_192; at + 4_096 < size; at += 8_192) await handle.write(Buffer.alloc(64, 0xff), 0, 64, at);
  await handle.close();
  const { code, out } = await run(['doctor'], environment(dir.path));
  expect(code).toBe(1);
  expect(out).toMatch(/^BAD +database/m);
});

test('a record that was damaged keeps one session from its people, not the gateway; the doctor finds it', async () => {
  await using dir = await temporaryDir();
  const env = environment(dir.path);
  const gateway = await dir.serve();
  for (const text of ['one', 'two']) await run(['chat', '--once', `/scene plain tokens=5 rate=0 delay=0 ${text}`], env);
  const [{ sessionId }] = (await runJson(['sessions'], env)) as [{ readonly sessionId: string }];
  await gateway.end('SIGTERM');
  const db = new Database(path.join(dir.path, 'holdfast.db'));
  db.prepare(
    `UPDATE records SET body = cast(replace(cast(body AS text), '"type"', '"type') AS blob)
     WHERE stream_id = (SELECT id FROM streams WHERE name = ?) AND seq = 3`,
  ).run(`session/${sessionId}`);
  db.exec(`DELETE FROM rows WHERE tbl = 'checkpoint'`);
  db.close();
  expect((await run(['doctor'], env)).out).toContain(`session/${sessionId}: record 3 cannot be read`);
  await dir.serve();
  expect((await run(['tail', sessionId, '--no-follow'], env)).code).not.toBe(0);
  expect(await run(['chat', '--once', '/scene plain tokens=5 rate=0 delay=0'], env)).toMatchObject({ code: 0 });
});

test('doctor finds a database that a broken start left empty', async () => {
  await using dir = await temporaryDir();
  await writeFile(path.join(dir.path, 'holdfast.db'), '');
  const { code, out } = await run(['doctor'], environment(dir.path));
  expect(code).toBe(1);
  expect(out).toMatch(/^BAD +database +\S+holdfast.db holds no log/m);
});

test.skipIf(!existsSync('/dev/full'))('a full disk below the output is said, and is no bug of ours', async () => {
  await using full = await open('/dev/full', 'w');
  const child = spawn(process.execPath, [BIN, 'config'], { env: environment('/'), stdio: ['ignore', full.fd, 'pipe'] });
  let err = '';
  child.stderr?.setEncoding('utf8').on('data', (text: string) => (err += text));
  expect(await once(child, 'close')).toEqual([1, null]);
  expect(err).toMatch(/^holdfast: .*disk is full/);
});

test('doctor says of a model what is wrong with it: not there, or the key refused', async () => {
  await using dir = await temporaryDir();
  const look = (url: string) =>
    run(
      ['doctor'],
      environment(dir.path, { HOLDFAST_MODEL_URL: url, HOLDFAST_MODEL: 'm', HOLDFAST_MODEL_KEY: 'sk-x' }),
    );
  const gone = await look('http://127.0.0.1:9/v1');
  expect(gone.code).toBe(1);
  expect(gone.out).toMatch(/^BAD +model/m);
  const server = createServer((_request, response) => response.writeHead(401).end('{"error":{"message":"no"}}'));
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const refused = await look(`http://127.0.0.1:${(server.address() as AddressInfo).port}/v1`);
  server.close();
  expect(refused.code).toBe(1);
  expect(refused.out).toMatch(/^BAD +model.*HOLDFAST_MODEL_KEY/m);
  expect(refused.out).not.toContain('sk-x');
});

test('backup while it runs, restore after it: the same sessions, and what was replaced is kept', async () => {
  await using dir = await temporaryDir();
  const env = environment(dir.path);
  const gateway = await dir.serve();
  await run(['chat', 's_kept', '--new'], env, `${scene}\n`);
  const file = path.join(dir.path, 'kept.db');
  expect(await run(['backup', file], env)).toMatchObject({ code: 0, out: `${file}\n` });
  expect((await stat(file)).mode & 0o077).toBe(0);
  expect(await run(['backup', file], env)).toMatchObject({ code: 2 });
  expect((await run(['backup', path.join(dir.path, 'nowhere', 'kept.db')], env)).err).toContain('nowhere is not there');
  const before = await run(['tail', 's_kept', '--no-follow'], env);
  await run(['chat', 's_later', '--new'], env, `${scene}\n`);

  const early = await run(['restore', file], env);
  expect(early.code).toBe(1);
  expect(early.err).toContain(gateway.url);
  await gateway.end('SIGTERM');
  expect(await run(['restore', file], env)).toMatchObject({ code: 0 });
  expect(await readdir(dir.path)).toContain('holdfast.db.before-1');
  await dir.serve();
  expect((await runJson<{ readonly sessionId: string }>(['sessions'], env)).map((row) => row.sessionId)).toEqual([
    's_kept',
  ]);
  expect(await run(['tail', 's_kept', '--no-follow'], env)).toEqual(before);
});

test('R91, P6: attachments of every type are no damage: the doctor is content, and a backup restores them byte for byte', async () => {
  await using dir = await temporaryDir();
  const env = environment(dir.path);
  const gateway = await dir.serve();
  const attachments = [
    ['application/json', JSON.stringify(Array.from({ length: 40_000 }, (_, n) => `item ${n}`))],
    ['application/json', 'holds no JSON'],
    ['application/json', ''],
    ['text/plain', 'session/x'],
    ['image/png', '\u0000\u0001'],
  ] as const;
  expect(attachments[0][1].length).toBeGreaterThan(400_000);
  const upload = async (type: string, body: string) => {
    const headers = { authorization: `Bearer ${gateway.token}`, 'content-type': type };
    const reply = await fetch(`${gateway.url}/v1/blobs`, { method: 'POST', headers, body });
    return ((await reply.json()) as { readonly hash: string }).hash;
  };
  const hashes = await Promise.all(attachments.map(([type, body]) => upload(type, body)));
  await run(['chat', 's_1', '--new'], env, `${scene}\n`);
  const found = await runJson<Finding>(['doctor'], env);
  expect(finding(found, 'database')).toMatchObject({ finding: 'good' });
  const file = path.join(dir.path, 'kept.db');
  expect(await run(['backup', file], env)).toMatchObject({ code: 0 });
  await gateway.end('SIGTERM');
  expect(await run(['restore', file], env)).toMatchObject({ code: 0 });
  const later = await dir.serve();
  for (const [n, hash] of hashes.entries()) {
    const headers = { authorization: `Bearer ${later.token}` };
    const reply = await fetch(`${later.url}/v1/blobs/${hash}`, { headers });
    expect(await reply.text()).toBe(attachments[n]![1]);
  }
});

test('R91, P6: a backup that could not be restored is not reported, and is not left under its name', async () => {
  await using dir = await temporaryDir();
  const env = environment(dir.path);
  const gateway = await dir.serve();
  await run(['chat', 's_1', '--new'], env, `${scene}\n`);
  await gateway.end('SIGTERM');
  const db = new Database(path.join(dir.path, 'holdfast.db'));
  db.prepare("UPDATE records SET body = x'7b22' WHERE seq = 3").run();
  db.close();
  const file = path.join(dir.path, 'kept.db');
  const { code, out, err } = await run(['backup', file], env);
  expect(code).not.toBe(0);
  expect(out).toBe('');
  expect(err).toContain('session/s_1: record 3 cannot be read');
  expect((await readdir(dir.path)).filter((name) => name.startsWith('kept'))).toEqual([]);
});

test('R60: after a restore, a cursor of what is no more is told so; one of what is there goes on', async () => {
  await using dir = await temporaryDir();
  const env = environment(dir.path);
  const gateway = await dir.serve();
  const cursors = async () =>
    (await runJson<{ readonly cursor: string }>(['tail', 's_1', '--no-follow'], env)).map(({ cursor }) => cursor);
  await run(['chat', 's_1', '--new'], env, `${scene}\n`);
  const file = path.join(dir.path, 'kept.db');
  await run(['backup', file], env);
  const kept = await cursors();
  await run(['chat', 's_1'], env, 'lost at sea\n');
  const lost = await cursors();
  await gateway.end('SIGTERM');
  await run(['restore', file], env);
  await dir.serve();
  // Behind the head there is no entry that would tell.
  expect(await run(['tail', 's_1', '--no-follow', '--after', lost.at(-1)!], env)).toMatchObject({ code: 2, out: '' });
  expect(await run(['tail', 's_1', '--no-follow', '--after', kept.at(-1)!], env)).toEqual({
    code: 0,
    out: '',
    err: '',
  });
  await run(['chat', 's_1'], env, 'something else was said in its place\n');
  const stale = await run(['tail', 's_1', '--no-follow', '--after', lost[kept.length + 1]!], env);
  expect(stale).toMatchObject({ code: 2, out: '' });
  const fresh = await run(['tail', 's_1', '--no-follow', '--after', kept.at(-1)!], env);
  expect(fresh.code).toBe(0);
  expect(fresh.out.split('\n')[0]).toMatch(new RegExp(`^${kept.length + 1}\\.`));
});

test('a backup that is damaged, foreign or not there restores nothing and changes nothing', async () => {
  await using dir = await temporaryDir();
  const env = environment(dir.path);
  const gateway = await dir.serve();
  await run(['chat', 's_1', '--new'], env, `${scene}\n`);
  await gateway.end('SIGTERM');
  const before = await readdir(dir.path);
  const foreign = path.join(dir.path, 'foreign.db');
  await writeFile(foreign, 'no database at all, only words that are long enough to look like something');
  const empty = path.join(dir.path, 'empty.db');
  await writeFile(empty, '');
  for (const name of [foreign, empty, path.join(dir.path, 'absent.db')]) {
    const refused = await run(['restore', name], env);
    expect(refused.code).not.toBe(0);
    expect(refused.err).toContain(name);
    expect(refused.err).not.toContain('bug');
  }
  expect((await readdir(dir.path)).filter((name) => name !== 'foreign.db' && name !== 'empty.db')).toEqual(before);
  await dir.serve();
  expect(await runJson(['sessions'], env)).toHaveLength(1);
});
