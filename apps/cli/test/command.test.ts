import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import path from 'node:path';
import { rehearse } from '@holdfast/agents/rehearse';
import { expect, test } from 'vitest';
import { environment, run, serve, temporaryDir } from './holdfast.ts';

test('chat --once prints what rehearse prints, and the session can be tailed, listed and exported', async () => {
  await using dir = await temporaryDir();
  await using gateway = await serve(dir.path);
  const env = environment(dir.path);
  const scene = '/scene plain tokens=30 seed=7 rate=2000';
  const said = await run(['chat', '--once', scene], env);
  const rehearsed = await run(['rehearse', scene], env);
  expect(said).toMatchObject({ code: 0, out: rehearsed.out });
  const [session] = (await run(['sessions', '--json'], env)).out
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as { readonly sessionId: string });
  const all = (await run(['tail', session?.sessionId ?? '', '--no-follow'], env)).out
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as { readonly cursor: string; readonly seq: number; readonly type: string });
  expect(all.map((entry) => entry.seq)).toEqual(all.map((_, index) => index + 1));
  const middle = all[2];
  const rest = await run(['tail', session?.sessionId ?? '', '--no-follow', '--after', middle?.cursor ?? ''], env);
  expect(rest.out.trim().split('\n')).toHaveLength(all.length - 3);
  const exported = await run(['export', session?.sessionId ?? ''], env);
  expect(exported.out.trim().split('\n')).toHaveLength(all.length + 2);
  expect((await run(['sessions', 'rehearsal'], env)).out).toContain(session?.sessionId);
  expect(gateway.link).toContain('#start=');
});

test('chat reads its message from standard input, and answers prompts from it', async () => {
  await using dir = await temporaryDir();
  await using gateway = await serve(dir.path);
  const scene = '/scene question seed=3 rate=2000';
  const said = await run(['chat', '--once', scene], environment(dir.path), 'blue\n');
  expect(said.code).toBe(0);
  expect(said.out.trim()).toBe(rehearse(scene, { answer: 'blue' }).trim());
});

test('Ctrl-C stops the turn; its partial is kept', async () => {
  await using dir = await temporaryDir();
  await using gateway = await serve(dir.path);
  const child = spawn(
    process.execPath,
    [new URL('../bin/holdfast.mjs', import.meta.url).pathname, 'chat', '--once', '/scene long tokens=20000 rate=100'],
    { env: environment(dir.path) },
  );
  await once(child.stdout, 'data');
  child.kill('SIGINT');
  const [code] = (await once(child, 'close')) as [number];
  expect(code).toBe(1);
  const client = gateway.client();
  const answer = (await client.call('GET', '/v1/sessions?limit=1')) as {
    readonly body: { readonly sessions: readonly { readonly sessionId: string; readonly lastOutcome: string }[] };
  };
  expect(answer.body.sessions[0]?.lastOutcome).toBe('cancelled');
});

test('a second serve on the same data names the first one’s process and address', async () => {
  await using dir = await temporaryDir();
  await using gateway = await serve(dir.path);
  const second = await run(['serve'], environment(dir.path));
  expect(second.code).toBe(2);
  expect(second.err).toContain(String(gateway.child.pid));
  expect(second.err).toContain(gateway.url);
});

test('a busy port is said, with the cure', async () => {
  await using dir = await temporaryDir();
  const taken = createServer().listen(0, '127.0.0.1');
  await once(taken, 'listening');
  const { port } = taken.address() as { readonly port: number };
  const refused = await run(['serve'], environment(dir.path, { HOLDFAST_PORT: String(port) }));
  taken.close();
  expect(refused).toMatchObject({ code: 2 });
  expect(refused.err).toContain('HOLDFAST_PORT');
});

test.each([
  ['corrupt', Buffer.from('this is no database, and it is long enough to be looked at as one')],
  ['of a newer Holdfast', undefined],
])('a database that is %s is refused and left untouched', async (_what, bytes) => {
  await using dir = await temporaryDir();
  const file = path.join(dir.path, 'holdfast.db');
  if (bytes === undefined) {
    const { default: Database } = await import('better-sqlite3');
    const db = new Database(file);
    db.exec('CREATE TABLE future (x)');
    db.pragma('user_version = 999');
    db.pragma(`application_id = ${0x48_46_4c_47}`);
    db.close();
  } else await writeFile(file, bytes);
  const before = await readFile(file);
  const refused = await run(['serve'], environment(dir.path));
  expect(refused.code).toBe(2);
  expect(refused.err).toContain('left untouched');
  expect(await readFile(file)).toEqual(before);
  const doctor = await run(['doctor'], environment(dir.path));
  expect(doctor.code).toBe(1);
  expect(doctor.out).toMatch(/BAD +database/);
});

test('doctor says what is well, and what is wrong with a model that cannot be reached', async () => {
  await using dir = await temporaryDir();
  await using gateway = await serve(dir.path);
  const well = await run(['doctor'], environment(dir.path));
  expect(well).toMatchObject({ code: 0 });
  expect(well.out).toMatch(/ok +database/);
  const ill = await run(
    ['doctor'],
    environment(dir.path, { HOLDFAST_MODEL_URL: 'http://127.0.0.1:9/v1', HOLDFAST_MODEL: 'm' }),
  );
  expect(ill.code).toBe(1);
  expect(ill.out).toMatch(/BAD +model/);
});

test('backup while it runs: the copy serves the same sessions', async () => {
  await using dir = await temporaryDir();
  await using copy = await temporaryDir();
  await using gateway = await serve(dir.path);
  const scene = '/scene plain tokens=20 seed=1 rate=2000';
  await run(['chat', '--once', scene], environment(dir.path));
  await mkdir(copy.path, { recursive: true });
  expect(await run(['backup', path.join(copy.path, 'holdfast.db')], environment(dir.path))).toMatchObject({ code: 0 });
  await gateway.end('SIGTERM');
  await using restored = await serve(copy.path);
  const listed = await run(['sessions'], environment(copy.path));
  expect(listed.out.trim().split('\n')).toHaveLength(1);
  expect(restored.url).not.toBe('');
});

test('token: created once, used, listed without its secret, revoked', async () => {
  await using dir = await temporaryDir();
  await using gateway = await serve(dir.path);
  const env = environment(dir.path);
  const token = (await run(['token', 'create', '--subject', 'bob', '--label', 'laptop'], env)).out.trim();
  const me = (): Promise<number> =>
    fetch(`${gateway.url}/v1/me`, { headers: { authorization: `Bearer ${token}` } }).then((answer) => answer.status);
  expect(await me()).toBe(200);
  const listed = (await run(['token', 'list'], env)).out;
  expect(listed).toContain('bob');
  expect(listed).not.toContain(token);
  await run(['token', 'revoke', listed.split('  ')[0] ?? ''], env);
  expect(await me()).toBe(401);
  expect((await run(['token', 'link'], env)).out).toContain('#start=');
});

test('bad input is one clear line and exit code 2', async () => {
  await using dir = await temporaryDir();
  const env = environment(dir.path);
  for (const args of [
    ['tail', 'nope!'],
    ['chat', '--once', 'x'],
    ['unknown'],
    ['token', 'create'],
    ['backup', path.join(dir.path, 'x.db')],
  ]) {
    const refused = await run(args, env);
    expect([args, refused.code]).toEqual([args, 2]);
    expect(refused.err.split('\n').length).toBeLessThan(6);
  }
  expect((await run(['--help'], env)).out).toContain('doctor');
  expect((await run(['--version'], env)).out.trim()).toBe('0.1.0');
});

test('the README’s curl commands work as they stand', async () => {
  await using dir = await temporaryDir();
  await using gateway = await serve(dir.path);
  const readme = readFileSync(new URL('../../../README.md', import.meta.url), 'utf8');
  const script = /<!-- curl -->\n```sh\n([\s\S]*?)```/.exec(readme)?.[1] ?? '';
  expect(script).toContain('api -N');
  const shell = spawn('sh', ['-ec', script], {
    env: { ...process.env, HOLDFAST_URL: gateway.url, HOLDFAST_TOKEN: gateway.token },
  });
  let out = '';
  shell.stdout.setEncoding('utf8').on('data', (text: string) => (out += text));
  const [code] = (await once(shell, 'close')) as [number];
  expect(code).toBe(0);
  const text = [...out.matchAll(/^data: (\{.*"type":"text-delta".*\})$/gm)]
    .map((match) => (JSON.parse(match[1] ?? '{}') as { readonly text: string }).text)
    .join('');
  expect(text).toBe(rehearse('/scene plain tokens=20 seed=7'));
  expect(out).toContain('event: stream-end');
});
