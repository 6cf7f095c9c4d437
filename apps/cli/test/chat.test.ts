/** `holdfast chat`: by a pipe and by signals, as a script and as a person use it. */
import { once } from 'node:events';
import { mkdir } from 'node:fs/promises';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import path from 'node:path';
import { rehearse } from '@holdfast/agents/rehearse';
import { expect, test } from 'vitest';
import { environment, run, Running, runJson, temporaryDir } from './holdfast.ts';

interface Row {
  readonly sessionId: string;
  readonly state: string;
  readonly lastOutcome: string | null;
}

test('--once prints what rehearse prints, and nothing else', async () => {
  await using dir = await temporaryDir();
  await dir.serve();
  const env = environment(dir.path);
  for (const scene of ['/scene plain tokens=60 seed=7 rate=2000', '/scene markdown seed=3 rate=5000', 'hello there']) {
    const said = await run(['chat', '--once', scene], env);
    const rehearsed = await run(['rehearse', scene], env);
    expect(said).toEqual({ code: 0, out: rehearsed.out, err: '' });
  }
});

test('--once reads the message from standard input where none is given, line feeds and all', async () => {
  await using dir = await temporaryDir();
  await dir.serve();
  const message = 'two\nlines, and – more';
  const said = await run(['chat', '--once'], environment(dir.path), `${message}\n`);
  expect(said).toMatchObject({ code: 0, out: `${rehearse(message)}\n` });
});

test('a model that asks for patience: the reason and the wait are said beside the answer', async () => {
  await using dir = await temporaryDir();
  let asked = 0;
  const chunk = JSON.stringify({ choices: [{ delta: { content: 'at last' }, finish_reason: 'stop' }] });
  const server = createServer((_request, response) => {
    asked += 1;
    if (asked === 1) response.writeHead(429, { 'retry-after': '0' }).end('{"error":{"message":"slow down"}}');
    else response.writeHead(200, { 'content-type': 'text/event-stream' }).end(`data: ${chunk}\n\ndata: [DONE]\n\n`);
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  await dir.serve({
    HOLDFAST_MODEL_URL: `http://127.0.0.1:${port}/v1`,
    HOLDFAST_MODEL: 'm',
    HOLDFAST_MODEL_CONTEXT: '9000',
  });
  const said = await run(['chat', '--once', 'hello'], environment(dir.path));
  server.close();
  expect(said).toMatchObject({ code: 0, out: 'at last\n' });
  expect(said.err).toMatch(/^\[.*429.*slow down – trying again in \d\.\d s\]\n$/);
});

test('a message that the gateway does not take is told with the reason; it is tried again', async () => {
  await using dir = await temporaryDir();
  const env = environment(dir.path);
  const gateway = await dir.serve({ HOLDFAST_DRAIN_MS: '20000' });
  await using long = new Running(['chat', 's_long', '--new'], env);
  long.write('/scene long rate=20\n');
  await long.prints('out', /\S/);
  await using talk = new Running(['chat', 's_1', '--new'], env);
  talk.write('/scene plain tokens=3 rate=2000\n');
  await talk.prints('out', '\n');
  gateway.child.kill('SIGTERM');
  await talk.prints('err', 'connection is lost');
  talk.write('and now?\n');
  await talk.prints('err', /\[not sent yet, it is tried again: .*shut/);
});

test('--once --json prints the outcome; a failed turn has its fault and exit code 1', async () => {
  await using dir = await temporaryDir();
  await dir.serve();
  const env = environment(dir.path);
  const whole = await run(['chat', '--json', '--once', '/scene plain tokens=10 seed=1 rate=2000'], env);
  expect(JSON.parse(whole.out)).toMatchObject({
    outcome: 'completed',
    text: rehearse('/scene plain tokens=10 seed=1'),
    usage: { outputTokens: 10 },
  });
  const failed = await run(['chat', '--json', '--once', '/scene fail fault=model-silent rate=2000'], env);
  expect(failed.code).toBe(1);
  expect(JSON.parse(failed.out)).toMatchObject({ outcome: 'failed', fault: 'model-silent' });
});

test('C1: /btw asks beside the conversation, which hears nothing of it until /keep', async () => {
  await using dir = await temporaryDir();
  await dir.serve();
  const env = environment(dir.path);
  const lines = [
    '/btw too early',
    '/scene plain tokens=10 seed=1 rate=2000',
    '/btw /scene plain tokens=20 seed=5 rate=2000',
  ];
  const talk = await run(['chat', '--new'], env, lines.join('\n'));
  const [answer, aside] = [rehearse('/scene plain tokens=10 seed=1'), rehearse('/scene plain tokens=20 seed=5')];
  expect(talk).toMatchObject({ code: 0, out: `${answer}\n${aside}\n` });
  expect(talk.err).toContain('Send a message first');
  const [row] = await runJson<Row>(['sessions'], env);
  const sessionId = row?.sessionId ?? '';
  expect((await run(['export', sessionId], env)).out).not.toContain(aside);
  await run(['chat', sessionId], env, '/btw /scene plain tokens=20 seed=5 rate=2000\n/keep\n/keep');
  const { out } = await run(['export', sessionId], env);
  expect(out.split('\n').filter((line) => line.includes('"btw-keep"'))).toHaveLength(1);
});

test('a pipe: each line is a message, or the answer to a prompt; what is no choice is asked again', async () => {
  await using dir = await temporaryDir();
  await dir.serve();
  const talk = await run(
    ['chat', '--new'],
    environment(dir.path),
    [
      '/scene approval seed=4 rate=2000 tokens=10',
      'maybe',
      'once',
      '/scene question seed=3 rate=2000 tokens=10',
      '2',
      '/scene question seed=3 rate=2000 tokens=10',
      'blue',
      '',
    ].join('\n'),
  );
  expect(talk.err).toContain("'maybe' is no answer here");
  const answers = [
    rehearse('/scene approval seed=4 tokens=10', { answer: 'once' }),
    rehearse('/scene question seed=3 tokens=10', { answer: 'coffee' }),
    rehearse('/scene question seed=3 tokens=10', { answer: 'blue' }),
  ];
  expect(talk).toMatchObject({ code: 0, out: answers.map((answer) => `${answer}\n`).join('') });
});

test('where nobody can answer, the turn is kept: exit code 3, and the next chat is asked', async () => {
  await using dir = await temporaryDir();
  await dir.serve();
  const env = environment(dir.path);
  const scene = '/scene approval seed=4 rate=2000 tokens=10';
  const first = await run(['chat', '--once'], env, scene);
  expect(first.code).toBe(3);
  const [row] = await runJson<Row>(['sessions'], env);
  expect(row).toMatchObject({ state: 'waiting' });
  expect(first.err).toContain(`holdfast chat ${row?.sessionId}`);
  const second = await run(['chat', row?.sessionId ?? ''], env, 'deny\n');
  expect(second).toMatchObject({ code: 0, out: `${rehearse(scene, { answer: 'deny' })}\n` });
});

test('R28: a prompt that is answered by another client meanwhile goes away here, and the line is the next message', async () => {
  await using dir = await temporaryDir();
  const gateway = await dir.serve();
  await using talk = new Running(['chat', '--new'], environment(dir.path));
  talk.write('/scene approval seed=4 rate=2000 tokens=10\n');
  await talk.prints('err', 'Use the rehearsal tool');
  const [row] = await runJson<Row>(['sessions'], environment(dir.path));
  const other = gateway.client().session(row?.sessionId ?? '');
  const { view } = await other.ready();
  expect(await other.answer(view.prompts[0]!.promptId, 'deny')).toEqual({ kind: 'answered' });
  await talk.prints('err', 'answered by admin: deny');
  talk.write('once\n');
  talk.child.stdin?.end();
  const { code, out } = await talk.closed;
  expect(code).toBe(0);
  expect(out).toContain('You said no, so I did not run it.');
  expect(out).toContain('You wrote: “once”.');
});

test('Ctrl-C stops the turn, whose text is kept; the conversation goes on', async () => {
  await using dir = await temporaryDir();
  await dir.serve();
  const scene = '/scene long seed=1 rate=100';
  await using talk = new Running(['chat', '--new'], environment(dir.path));
  talk.write(`${scene}\n`);
  await talk.prints('out', /\S/);
  talk.child.kill('SIGINT');
  await talk.prints('err', 'cancelled');
  const stopped = talk.out.trimEnd();
  expect(rehearse(scene).startsWith(stopped)).toBe(true);
  talk.write('/scene plain tokens=10 seed=2 rate=2000\n');
  talk.child.stdin?.end();
  const { code, out } = await talk.closed;
  expect(code).toBe(0);
  expect(out.slice(stopped.length).trim()).toBe(rehearse('/scene plain tokens=10 seed=2'));
  const [row] = await runJson<Row>(['sessions'], environment(dir.path));
  expect(row).toMatchObject({ state: 'idle', lastOutcome: 'completed' });
});

test('Ctrl-C under --once: the partial answer, and exit code 130', async () => {
  await using dir = await temporaryDir();
  await dir.serve();
  await using talk = new Running(['chat', '--once', '/scene long seed=1 rate=100'], environment(dir.path));
  await talk.prints('out', /\S/);
  talk.child.kill('SIGINT');
  const { code, out } = await talk.closed;
  expect(code).toBe(130);
  expect(rehearse('/scene long seed=1').startsWith(out.trimEnd())).toBe(true);
});

test('R13: a second Ctrl-C leaves at once, though the agent does not hear stop', async () => {
  await using dir = await temporaryDir();
  await dir.serve();
  await using talk = new Running(['chat', '--once', '/scene deaf rate=20'], environment(dir.path));
  await talk.prints('out', /\S/);
  talk.child.kill('SIGINT');
  await talk.prints('err', 'Ctrl-C again leaves');
  talk.child.kill('SIGINT');
  expect((await talk.closed).code).toBe(130);
});

test('E9: the gateway is killed and started anew in mid-answer: the same chat goes on to the end of the turn', async () => {
  await using dir = await temporaryDir();
  const first = await dir.serve({ HOLDFAST_LOG: 'silent' });
  const { port } = new URL(first.url);
  const scene = '/scene long seed=1 rate=200';
  await using talk = new Running(['chat', '--once', scene], environment(dir.path));
  await talk.prints('out', /\S/);
  await first.end('SIGKILL');
  await talk.prints('err', 'the connection is lost');
  await dir.serve({ HOLDFAST_PORT: port });
  const { code, out, err } = await talk.closed;
  expect(code).toBe(1);
  expect(err).toContain('interrupted');
  expect(rehearse(scene).startsWith(out.trimEnd())).toBe(true);
});

test('R46: a token that is revoked in mid-answer ends the chat with the reason', async () => {
  await using dir = await temporaryDir();
  const gateway = await dir.serve();
  const env = environment(dir.path);
  const [issued] = await runJson<{ readonly tokenId: string; readonly accessToken: string }>(
    ['token', 'create', '--subject', 'bob'],
    env,
  );
  const args = ['chat', '--once', '/scene long seed=1 rate=50', '--url', gateway.url, '--token', issued!.accessToken];
  await using talk = new Running(args, env);
  await talk.prints('out', /\S/);
  await run(['token', 'revoke', issued!.tokenId], env);
  const { code, err } = await talk.closed;
  expect(code).toBe(1);
  expect(err).toContain('holdfast token create');
});

test('without a name it goes on with the session that changed last; --new begins one', async () => {
  await using dir = await temporaryDir();
  await dir.serve();
  const env = environment(dir.path);
  const say = (...args: string[]) => run(['chat', ...args], env, '/scene plain tokens=5 rate=2000\n');
  await say();
  await say();
  expect(await runJson<Row>(['sessions'], env)).toHaveLength(1);
  await say('--new');
  await say('s_mine', '--new');
  expect((await runJson<Row>(['sessions'], env)).map((row) => row.sessionId)).toContain('s_mine');
  expect(await runJson<Row>(['sessions'], env)).toHaveLength(3);
});

test('control characters in what an agent says never reach a prompt’s text: they are shown', async () => {
  await using dir = await temporaryDir();
  const workspace = path.join(dir.path, 'work');
  await mkdir(workspace);
  await dir.serve({ HOLDFAST_WORKSPACE: workspace });
  const hidden = `/scene tool run="echo harmless \u001B[8m; rm -rf x" rate=2000 tokens=5`;
  const talk = await run(['chat', '--new'], environment(dir.path), `${hidden}\ndeny\n`);
  expect(talk.err).toContain('\\u{1b}[8m; rm -rf x');
  expect(talk.err).not.toContain('\u001B');
});
