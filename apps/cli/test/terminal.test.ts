/** `holdfast terminal`, in a real terminal: one of the same gateway. */
import { TerminalClient, createCredentials, type Terminal, type TerminalChunk } from '@holdfast/client';
import { nodeTransport } from '@holdfast/client/node';
import { expect, onTestFinished, test } from 'vitest';
import { BIN, environment, run, Running, temporaryDir, type Served } from './holdfast.ts';

const TERMINALS = { HOLDFAST_TERMINALS: 'on', HOLDFAST_TERMINAL_SHELL: '/bin/sh' };

function clientOf({ url, token }: Served): TerminalClient {
  const transport = nodeTransport();
  onTestFinished(() => transport.close());
  return new TerminalClient({ baseUrl: url, transport, credentials: createCredentials({ token }) });
}

/** What is on the screen, as it comes. */
function screenOf(terminal: Terminal): { until(wanted: RegExp): Promise<string> } {
  onTestFinished(() => terminal.close());
  const chunks: AsyncIterator<TerminalChunk> = terminal[Symbol.asyncIterator]();
  let text = '';
  return {
    until: async (wanted) => {
      while (!wanted.test(text)) {
        const next = await chunks.next();
        if (next.done === true) throw new Error(`It ended after ${JSON.stringify(text)}`);
        text += Buffer.from(next.value.bytes).toString();
      }
      const seen = text;
      text = text.replace(wanted, '');
      return seen;
    },
  };
}

test('C4: the command is the terminal that it shows: keys, size, and its exit; Ctrl-] leaves it, --attach takes it up again', async () => {
  await using dir = await temporaryDir();
  const served = await dir.serve(TERMINALS);
  const terminals = clientOf(served);
  const holdfast = [process.execPath, BIN, 'terminal', '--url', served.url, '--token', served.token];

  const outer = await terminals.open({ command: holdfast, cols: 91, rows: 31 });
  const screen = screenOf(outer);
  await screen.until(/[$#] /);
  await outer.write('stty size; kept=here\n');
  await screen.until(/\r\n31 91\r\n/);
  await outer.resize({ cols: 77, rows: 22 });
  await outer.write('until [ "$(stty size)" = "22 77" ]; do sleep 0.05; done; echo "resized: $?"\n');
  await screen.until(/resized: 0/);
  await outer.write('\u001d');
  const [, id = ''] = /--attach (tm_\w+)\]/.exec(await screen.until(/--attach tm_\w+\]/)) ?? [];
  const again = await terminals.open({ command: [...holdfast, '--attach', id], cols: 60, rows: 20 });
  const second = screenOf(again);
  await again.write('echo "it was $kept"; exit 7\n');
  await second.until(/it was here/);
  await expect
    .poll(async () => (await terminals.list()).find((it) => it.terminalId === again.terminalId)?.exit)
    .toEqual({
      exitCode: 7,
      signal: null,
    });
});

test('C4: in a script: what is piped in is typed, what it prints is printed, and the exit code is its own', async () => {
  await using dir = await temporaryDir();
  await dir.serve(TERMINALS);
  const env = environment(dir.path);
  expect(await run(['terminal', '--', '/bin/sh', '-c', 'echo hello; exit 5'], env)).toEqual({
    code: 5,
    out: 'hello\r\n',
    err: '',
  });
  expect(await run(['terminal', '--', '/bin/sh', '-c', 'kill -9 $$'], env)).toMatchObject({ code: 137 });
  const listed = await run(['terminal', '--list', '--json'], env);
  expect(
    listed.out
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line) as object),
  ).toMatchObject([{ state: 'exited' }, { state: 'exited' }]);
  for (const input of ['', 'a line\n', 'a line that was only begun'])
    expect(await run(['terminal', '--', 'cat'], env, input)).toMatchObject({ code: 0 });
});

test('C4: an interrupted script ends what it began', async () => {
  await using dir = await temporaryDir();
  await dir.serve(TERMINALS);
  await using running = new Running(
    ['terminal', '--', '/bin/sh', '-c', 'echo ready; sleep 100'],
    environment(dir.path),
  );
  await running.prints('out', 'ready');
  running.child.kill('SIGINT');
  expect((await running.closed).code).toBe(130);
  await expect.poll(async () => (await run(['terminal', '--list'], environment(dir.path))).out).toBe('');
});

test('a gateway that opens no terminals says how to turn them on', async () => {
  await using dir = await temporaryDir();
  await dir.serve();
  const { code, err } = await run(['terminal'], environment(dir.path));
  expect(code).toBe(1);
  expect(err).toContain('HOLDFAST_TERMINALS=on');
});

test('C4: whose output nobody reads any more ends what it began', async () => {
  await using dir = await temporaryDir();
  await dir.serve(TERMINALS);
  const env = environment(dir.path);
  await using counting = new Running(['terminal', '--', '/bin/sh', '-c', 'while echo tick; do sleep 0.05; done'], env);
  await counting.prints('out', 'tick');
  counting.child.stdout?.destroy();
  expect(await counting.closed).toMatchObject({ code: 0, err: '' });
  expect(await run(['terminal', '--list'], env)).toEqual({ code: 0, out: '', err: '' });
});

test('chat in a terminal: what is pasted is one message, of all its lines; without marks each line is one', async () => {
  await using dir = await temporaryDir();
  const served = await dir.serve(TERMINALS);
  const client = served.client();
  const said = async (id: string): Promise<readonly string[]> => {
    const { view } = await client.session(id).ready();
    return view.messages.filter(({ role }) => role === 'user').map(({ text }) => text);
  };
  const talk = async (id: string, keys: string): Promise<readonly string[]> => {
    const command = [process.execPath, BIN, 'chat', id, '--new', '--url', served.url, '--token', served.token];
    const terminal = await clientOf(served).open({ command, cols: 80, rows: 24 });
    const screen = screenOf(terminal);
    await screen.until(/› /);
    await terminal.write(keys);
    await screen.until(/› /);
    return said(id);
  };
  const scene = '/scene plain tokens=3 seed=1 rate=2000';
  expect(await talk('s_marked', `\u001B[200~${scene}\rsecond\rthird\u001B[201~ line\r`)).toEqual([
    `${scene}\nsecond\nthird line`,
  ]);
  expect((await talk('s_unmarked', `${scene}\r${scene} x=2\r`)).length).toBe(2);
});
