/** `holdfast serve`: how it says that it is there, and what it says where it cannot be. */
import { once } from 'node:events';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import path from 'node:path';
import Database from 'better-sqlite3';
import { expect, test } from 'vitest';
import { environment, run, Running, temporaryDir } from './holdfast.ts';

test('it says where it is in one line, then how to open the page; the link opens it once', async () => {
  await using dir = await temporaryDir();
  const gateway = await dir.serve();
  const [page, code] = gateway.link.split('#start=');
  expect(page).toBe(`${gateway.url}/`);
  const open = (): Promise<Response> =>
    fetch(`${gateway.url}/v1/start`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ code }),
    });
  const opened = await open();
  expect(opened.status).toBe(200);
  expect(opened.headers.get('set-cookie')).toMatch(/HttpOnly/);
  expect((await open()).status).toBe(401);
});

test.each(['SIGTERM', 'SIGINT'] as const)('%s ends it in order, with code 0', async (signal) => {
  await using dir = await temporaryDir();
  const gateway = await dir.serve();
  expect(await gateway.end(signal)).toBe(0);
  const again = await dir.serve();
  expect(again.url).not.toBe('');
});

test('a second serve on the same data names the first one’s process and address', async () => {
  await using dir = await temporaryDir();
  const gateway = await dir.serve();
  const second = await run(['serve'], environment(dir.path));
  expect(second.code).toBe(1);
  expect(second.err).toContain(String(gateway.child.pid));
  expect(second.err).toContain(gateway.url);
  expect((await fetch(`${gateway.url}/readyz`)).status).toBe(200);
});

test('kill -9 leaves no lock behind: the next serve starts', async () => {
  await using dir = await temporaryDir();
  const gateway = await dir.serve();
  expect(await gateway.end('SIGKILL')).toBe('SIGKILL');
  const again = await dir.serve();
  expect((await fetch(`${again.url}/readyz`)).status).toBe(200);
});

test('a busy port is said, with the cure', async () => {
  await using dir = await temporaryDir();
  const taken = createServer().listen(0, '127.0.0.1');
  await once(taken, 'listening');
  const { port } = taken.address() as { readonly port: number };
  const refused = await run(['serve', '--port', String(port)], environment(dir.path));
  taken.close();
  expect(refused).toMatchObject({ code: 1, out: '' });
  expect(refused.err).toMatch(new RegExp(`^holdfast: Port ${port} .*HOLDFAST_PORT`));
});

const NEWER = async (file: string): Promise<void> => {
  const db = new Database(file);
  db.exec('CREATE TABLE future (x)');
  db.pragma('user_version = 999');
  db.pragma('application_id = 1212566599');
  db.close();
};
const CORRUPT = (file: string): Promise<void> =>
  writeFile(file, 'this is no database, and it is long enough to be looked at as one');

test.each([
  ['corrupt', CORRUPT],
  ['of a newer Holdfast', NEWER],
])('a database that is %s is refused and left untouched, and doctor says so', async (_what, make) => {
  await using dir = await temporaryDir();
  const file = path.join(dir.path, 'holdfast.db');
  await make(file);
  const before = await readFile(file);
  const refused = await run(['serve'], environment(dir.path));
  expect(refused).toMatchObject({ code: 1, out: '' });
  expect(refused.err).toContain('left untouched');
  expect(await readFile(file)).toEqual(before);
  const doctor = await run(['doctor'], environment(dir.path));
  expect(doctor.code).toBe(1);
  expect(doctor.out).toMatch(/^BAD +database/m);
  expect(await readFile(file)).toEqual(before);
});

test('every problem of a configuration is told at once, with the nearest name, and no secret', async () => {
  await using dir = await temporaryDir();
  const refused = await run(
    ['serve', '--port', 'many'],
    environment(dir.path, { HOLDFAST_STORE: 'postgres', HOLDFAST_MODEL_KY: 'sk-secret' }),
  );
  expect(refused).toMatchObject({ code: 2, out: '' });
  expect(refused.err).toContain('HOLDFAST_PORT');
  expect(refused.err).toContain('postgres://user@host/db');
  expect(refused.err).toContain('HOLDFAST_MODEL_KEY');
  expect(refused.err).not.toContain('sk-secret');
});

test('a data directory that cannot be made is said with its path and cure', async () => {
  await using dir = await temporaryDir();
  const file = path.join(dir.path, 'file');
  await writeFile(file, '');
  const refused = await run(['serve', '--data', path.join(file, 'data')], environment(dir.path));
  expect(refused.code).toBe(1);
  expect(refused.err).toContain(path.join(file, 'data'));
  expect(refused.err).not.toContain('at ');
});

test('a data directory that cannot be used is no bug of ours: it is said with its path', async () => {
  await using dir = await temporaryDir();
  // As little a file that can be opened as one of another user, and so for root too.
  await mkdir(path.join(dir.path, 'lock.db'));
  for (const command of [['serve'], ['restore', await emptyDatabase(dir.path)]]) {
    const refused = await run(command, environment(dir.path));
    expect(refused.code).toBe(1);
    expect(refused.err).toContain(dir.path);
    expect(refused.err).not.toContain('bug');
  }
});

async function emptyDatabase(dir: string): Promise<string> {
  const file = path.join(dir, 'empty.db');
  await writeFile(file, '');
  return file;
}

test('M7: a workspace that cannot be used is told at the start, with the store closed again', async () => {
  await using dir = await temporaryDir();
  for (const workspace of [path.join(dir.path, 'missing'), dir.path]) {
    const refused = await run(['serve'], environment(dir.path, { HOLDFAST_WORKSPACE: workspace }));
    expect([refused.code, refused.err]).toEqual([2, expect.stringContaining(`HOLDFAST_WORKSPACE is ${workspace}`)]);
  }
});

test('whoever reads the first line alone ends nothing', async () => {
  await using dir = await temporaryDir();
  await using gateway = new Running(['serve'], environment(dir.path));
  await gateway.prints('out', '\n');
  gateway.child.stdout?.destroy();
  const url = /ready (\S+)/.exec(gateway.out)?.[1];
  expect((await fetch(`${url}/readyz`)).status).toBe(200);
  gateway.child.kill('SIGTERM');
  expect((await gateway.closed).code).toBe(0);
});

test('a second SIGTERM does not wait for what still runs', async () => {
  await using dir = await temporaryDir();
  await using gateway = new Running(
    ['serve'],
    environment(dir.path, { HOLDFAST_DRAIN_MS: '20000', HOLDFAST_LOG: 'info' }),
  );
  await gateway.prints('out', 'open ');
  await using talk = new Running(['chat', '--once', '/scene long rate=20'], environment(dir.path));
  await talk.prints('out', /\S/);
  gateway.child.kill('SIGTERM');
  await gateway.prints('err', '"draining"');
  // Right after the first it would be its echo.
  await expect.poll(() => gateway.child.kill('SIGTERM') && gateway.child.exitCode, { timeout: 10_000 }).not.toBe(null);
  expect((await gateway.closed).code).toBe(1);
});

test('the workspace of a serve is looked at by doctor: a name that is no directory is said', async () => {
  await using dir = await temporaryDir();
  await mkdir(path.join(dir.path, 'work'));
  const look = (workspace: string) => run(['doctor'], environment(dir.path, { HOLDFAST_WORKSPACE: workspace }));
  expect((await look(path.join(dir.path, 'work'))).out).toMatch(/^ok +workspace/m);
  const ill = await look(path.join(dir.path, 'wokr'));
  expect(ill.code).toBe(1);
  expect(ill.out).toMatch(/^BAD +workspace/m);
});
