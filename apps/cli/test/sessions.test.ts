/** `holdfast sessions`, `tail`, `export`, `token`: what is there, and who may see it. */
import { existsSync } from 'node:fs';
import { readFile, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { rehearse } from '@holdfast/agents/rehearse';
import { expect, test } from 'vitest';
import { environment, run, Running, runJson, temporaryDir } from './holdfast.ts';

interface Line {
  readonly cursor: string;
  readonly seq: number;
  readonly type: string;
  readonly text?: string;
}

const scene = '/scene plain tokens=40 seed=7 rate=2000';

test('R54: tail prints every entry once, and goes on after any cursor as if it had never stopped', async () => {
  await using dir = await temporaryDir();
  await dir.serve();
  const env = environment(dir.path);
  await run(['chat', 's_1', '--new'], env, `${scene}\n`);
  const all = await runJson<Line>(['tail', 's_1', '--no-follow'], env);
  expect(all.map(({ seq }) => seq)).toEqual(all.map((_line, index) => index + 1));
  expect(all.at(-1)?.type).toBe('stream-end');
  const text = all.flatMap((line) => (line.type === 'text-delta' ? [line.text] : [])).join('');
  expect(text).toBe(rehearse(scene));
  for (const at of [0, 3, all.length - 1])
    expect(await runJson<Line>(['tail', 's_1', '--no-follow', '--after', all[at]!.cursor], env)).toEqual(
      all.slice(at + 1),
    );
  const plain = await run(['tail', 's_1', '--no-follow'], env);
  expect(plain.out.trimEnd().split('\n')).toHaveLength(all.length);
});

test('R36: tail follows through a kill -9 of the gateway: what it printed is the log, once', async () => {
  await using dir = await temporaryDir();
  const env = environment(dir.path);
  const first = await dir.serve();
  const { port } = new URL(first.url);
  const session = await first.client().createSession({ id: 's_1' });
  await using tail = new Running(['tail', 's_1', '--json'], env);
  await session.send('/scene long rate=300');
  await tail.prints('out', 'text-delta');
  await first.end('SIGKILL');
  await first[Symbol.asyncDispose]();
  await dir.serve({ HOLDFAST_PORT: port });
  await tail.prints('out', 'stream-end');
  const whole = await run(['tail', 's_1', '--json', '--no-follow'], env);
  expect(tail.out).toBe(whole.out);
  tail.child.kill('SIGINT');
  expect((await tail.closed).code).toBe(130);
});

test('R60: a cursor that names no record here is refused in words, not answered by silence', async () => {
  await using dir = await temporaryDir();
  await dir.serve();
  const env = environment(dir.path);
  await run(['chat', 's_1', '--new'], env, `${scene}\n`);
  const refused = await run(['tail', 's_1', '--after', '3.00000000'], env);
  expect(refused).toMatchObject({ code: 2, out: '' });
  expect(refused.err).toContain('cursor-unknown');
});

test('sessions are listed and searched; export is a head, every entry, an end; import reads it back, or refuses what was cut off', async () => {
  await using dir = await temporaryDir();
  await dir.serve();
  const env = environment(dir.path);
  await run(['chat', 's_1', '--new'], env, `${scene}\n`);
  await run(['chat', 's_2', '--new'], env, 'Where is the lighthouse keeper?\n');
  const found = await runJson<{ readonly sessionId: string }>(['sessions', 'lighthouse', 'keeper'], env);
  expect(found.map(({ sessionId }) => sessionId)).toEqual(['s_2']);
  expect(await runJson(['sessions', '--limit', '1'], env)).toHaveLength(1);
  expect((await run(['sessions'], env)).out).toMatch(/^SESSION .*\ns_2 .*\ns_1 .*Rehearsal: plain/);
  const entries = await runJson<Line>(['tail', 's_1', '--no-follow'], env);
  const file = path.join(dir.path, 's_1.jsonl');
  expect(await run(['export', 's_1', file], env)).toMatchObject({ code: 0 });
  const exported = await readFile(file, 'utf8');
  expect(exported.trimEnd().split('\n')).toHaveLength(entries.length + 2);
  // The head has the time of its export, and the end has the checksum of the head.
  const entryLines = (content: string): readonly string[] => content.trimEnd().split('\n').slice(1, -1);
  expect(entryLines((await run(['export', 's_1'], env)).out)).toEqual(entryLines(exported));
  expect(await run(['export', 's_1', file], env)).toMatchObject({ code: 2 });
  const imported = await run(['import', file], env);
  expect(imported).toMatchObject({ code: 0 });
  const text = (lines: readonly Line[]): string => lines.map((line) => line.text ?? '').join('');
  expect(text(await runJson<Line>(['tail', imported.out.trim(), '--no-follow'], env))).toBe(text(entries));
  await writeFile(file, exported.slice(0, -20));
  expect(await run(['import', file], env)).toMatchObject({ code: 2, out: '' });
  expect(existsSync(`${file}.part`)).toBe(false);
});

test('token: created once, used, listed without its secret, revoked; a link opens the page', async () => {
  await using dir = await temporaryDir();
  const gateway = await dir.serve();
  const env = environment(dir.path);
  const token = (
    await run(['token', 'create', '--subject', 'bob', '--label', 'laptop', '--expires', '30d'], env)
  ).out.trim();
  const asBob = (args: readonly string[]) => run([...args, '--url', gateway.url, '--token', token], env);
  expect(await asBob(['sessions'])).toMatchObject({ code: 0 });
  const refused = await asBob(['token', 'create', '--subject', 'eve']);
  expect(refused.code).toBe(1);
  const [grant] = await runJson<{ readonly tokenId: string; readonly subject: string; readonly label: string }>(
    ['token', 'list'],
    env,
  );
  expect(grant).toMatchObject({ subject: 'bob', label: 'laptop' });
  expect(JSON.stringify(grant)).not.toContain(token);
  expect(await run(['token', 'revoke', grant?.tokenId ?? ''], env)).toMatchObject({ code: 0 });
  const late = await asBob(['sessions']);
  expect(late.code).toBe(1);
  expect(late.err).toContain('holdfast token create');
  expect((await run(['token', 'link'], env)).out).toMatch(/^http.*#start=hf_\S+\n$/);
});

test('R46: a token that is revoked in mid-tail ends it with the reason, not with silence', async () => {
  await using dir = await temporaryDir();
  const gateway = await dir.serve();
  const env = environment(dir.path);
  const issued = await runJson<{ readonly tokenId: string; readonly accessToken: string }>(
    ['token', 'create', '--subject', 'admin'],
    env,
  );
  await run(['chat', 's_1', '--new'], env, `${scene}\n`);
  const { tokenId, accessToken } = issued[0]!;
  await using tail = new Running(['tail', 's_1', '--url', gateway.url, '--token', accessToken], env);
  await tail.prints('out', 'stream-end');
  await run(['token', 'revoke', tokenId], env);
  const { code, err } = await tail.closed;
  expect(code).toBe(1);
  expect(err).toContain('holdfast token create');
});
