/** Terminals over HTTP: who may have one, what each request does at its edges, and every way for one to end. */
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { onTestFinished, expect, test } from 'vitest';
import { openMemoryLog } from '@holdfast/log/memory';
import { systemClock } from '@holdfast/log';
import { configOf, type Config } from '../src/index.ts';
import { openApi, ROOT, type Api, type Json } from './harness.ts';

const DEFAULTS = configOf({}).terminals;
const open = (changes: Partial<Config['terminals']> = {}, more: Partial<Config> = {}): Promise<Api> =>
  openApi({ ...more, terminals: { ...DEFAULTS, on: 'on', ...changes } });

const sh = (script: string): { command: string[] } => ({ command: ['/bin/sh', '-c', script] });
const start = async (api: Api, script: string, token: string = ROOT): Promise<Json> =>
  (await api.call('POST', '/v1/terminals', sh(script), { token })).body;
const at = ({ terminalId }: Json, rest = ''): string => `/v1/terminals/${terminalId}${rest}`;
const statusOf = async (api: Api, terminal: Json): Promise<Json> => (await api.call('GET', at(terminal))).body;

interface ByteReader {
  readonly status: number;
  readonly headers: Headers;
  readonly fault: Json;
  /** Waits for so much, or for the end. */
  read(bytes: number): Promise<string>;
  /** `clean` or `broken`, and what came after the last read. */
  ended(): Promise<'clean' | 'broken'>;
  rest(): string;
  close(): void;
}

async function stream(api: Api, path: string, token: string = ROOT): Promise<ByteReader> {
  const abort = new AbortController();
  onTestFinished(() => abort.abort());
  const response = await fetch(api.url + path, { headers: { authorization: `Bearer ${token}` }, signal: abort.signal });
  let held = '';
  let end: 'clean' | 'broken' | undefined;
  let wake = (): void => undefined;
  const pump = async (): Promise<void> => {
    try {
      for await (const chunk of response.body ?? []) {
        held += Buffer.from(chunk).toString('latin1');
        wake();
      }
      end = 'clean';
    } catch {
      end = 'broken';
    }
    wake();
  };
  const fault = response.status === 200 ? undefined : await response.json();
  if (response.status === 200) void pump();
  const news = (): Promise<void> => new Promise((resolve) => (wake = resolve));
  return {
    status: response.status,
    headers: response.headers,
    fault,
    read: async (bytes) => {
      while (held.length < bytes && end === undefined) await news();
      const text = held.slice(0, bytes);
      held = held.slice(bytes);
      return text;
    },
    ended: async () => {
      while (end === undefined) await news();
      return end;
    },
    rest: () => held,
    close: () => abort.abort(),
  };
}

const isAlive = (pid: number): boolean =>
  existsSync(`/proc/${pid}`) && !/^State:\s+Z/m.test(readFileSync(`/proc/${pid}/status`, 'utf8'));

/** Of a terminal that prints `pid N.` first. */
async function pidOf(api: Api, terminal: Json): Promise<number> {
  const reader = await stream(api, at(terminal, '/stream?offset=0&reader=1'));
  let text = '';
  while (!/pid \d+\./.test(text)) text += await reader.read(1);
  reader.close();
  return Number(/\d+/.exec(text)?.[0]);
}

test('C4: terminals are off unless they are turned on, and are for admins alone', async () => {
  const off = await openApi();
  for (const [method, path] of [
    ['POST', '/v1/terminals'],
    ['GET', '/v1/terminals'],
    ['GET', '/v1/terminals/tm_1'],
  ] as const)
    expect((await off.call(method, path)).body).toMatchObject({ status: 501, fault: 'terminals-off' });
  const api = await open();
  const { token } = await api.issue('alice', 'write');
  expect((await api.call('POST', '/v1/terminals', {}, { token })).body).toMatchObject({
    status: 403,
    fault: 'forbidden',
  });
});

test("C4: a terminal is its opener's: another admin does not see it", async () => {
  const api = await open();
  const terminal = await start(api, 'sleep 100');
  const { token } = await api.issue('root-2', 'admin');
  expect((await api.call('GET', at(terminal), undefined, { token })).body).toMatchObject({
    fault: 'terminal-not-found',
  });
  expect((await api.call('GET', '/v1/terminals', undefined, { token })).body).toEqual({ terminals: [] });
  expect((await api.call('GET', '/v1/terminals')).body.terminals).toMatchObject([{ terminalId: terminal.terminalId }]);
});

test("C4: a program on a terminal has a short environment and no descriptor of the gateway's: no secret, no socket", async () => {
  process.env['HOLDFAST_TERMINAL_TEST'] = 'secret-1';
  process.env['SOME_API_KEY'] = 'secret-2';
  onTestFinished(() => {
    delete process.env['HOLDFAST_TERMINAL_TEST'];
    delete process.env['SOME_API_KEY'];
  });
  const api = await open({}, { workspace: '/usr' });
  const reader = await stream(api, at(await start(api, 'env; pwd; readlink /proc/$$/fd/*'), '/stream'));
  expect(await reader.ended()).toBe('clean');
  expect(reader.rest()).toContain('TERM=xterm-256color');
  expect(reader.rest()).toMatch(/\r\n\/usr\r\n\/dev\/pts\//);
  expect(reader.rest()).not.toMatch(/secret|HOLDFAST|socket:|anon_inode:/);
});

test('C4: opened twice with one client id: one terminal; for another command it is refused', async () => {
  const api = await open();
  const body = { clientId: 'c1', ...sh('sleep 100') };
  const first = await api.call('POST', '/v1/terminals', body);
  const second = await api.call('POST', '/v1/terminals', body);
  expect([first.status, second.status]).toEqual([201, 200]);
  expect(second.body.terminalId).toBe(first.body.terminalId);
  const other = await api.call('POST', '/v1/terminals', { ...body, ...sh('sleep 99') });
  expect(other.body).toMatchObject({ status: 409, fault: 'client-id-reused' });
  const { text } = await api.call('GET', '/metrics');
  expect(text).toMatch(/^holdfast_terminals 1$/m);
  expect(text).toMatch(/^holdfast_terminal_bytes \d{3,}$/m);
});

test('C4: so many of a subject, so many in all; one that has exited makes room', async () => {
  const api = await open({ max: 3, perSubjectMax: 2 });
  const first = await start(api, 'sleep 100');
  const brief = await start(api, 'true');
  await expect.poll(async () => (await statusOf(api, brief)).state).toBe('exited');
  await start(api, 'sleep 100');
  expect(await statusOf(api, brief)).toMatchObject({ fault: 'terminal-not-found' });
  expect(await start(api, 'true')).toMatchObject({ status: 429, fault: 'too-many-terminals', facts: { max: 2 } });
  const other = await api.issue('root-2', 'admin');
  await start(api, 'sleep 100', other.token);
  expect(await start(api, 'true', other.token)).toMatchObject({ status: 429, facts: { max: 3 } });
  expect((await api.call('DELETE', at(first))).status).toBe(204);
  await expect.poll(async () => (await statusOf(api, first)).fault).toBe('terminal-not-found');
  expect(await start(api, 'true', other.token)).toMatchObject({ state: 'running' });
});

test('C4: an offset that is gone or not there yet is told with the truth; a page that is loaded anew finds what is still here', async () => {
  const api = await open({ windowBytes: 4_096 });
  const terminal = await start(api, 'stty raw -echo; head -c 200000 /dev/zero | tr "\\0" x; echo end');
  let offset = 0;
  for (let text = ''; !text.endsWith('end\n');) {
    const reader = await stream(api, at(terminal, `/stream?reader=1&offset=${offset}`));
    text = await reader.read(2_000);
    offset += text.length;
    reader.close();
  }
  const { start: first, end } = await statusOf(api, terminal);
  expect(end).toBe(200_004);
  expect(first).toBeGreaterThan(100_000);
  for (const wrong of [first - 1, end + 1])
    expect((await stream(api, at(terminal, `/stream?offset=${wrong}`))).fault).toMatchObject({
      status: 416,
      fault: 'invalid-offset',
      facts: { start: first, end },
    });
  const ack = (body: object): Promise<Json> => api.call('POST', at(terminal, '/ack'), body);
  expect((await ack({ reader: 1, offset: end + 1 })).body).toMatchObject({ fault: 'invalid-offset' });
  const anew = await stream(api, at(terminal, '/stream'));
  expect(anew.headers.get('holdfast-offset')).toBe(String(first));
  expect(anew.headers.get('holdfast-reader')).toBe('2');
  expect((await anew.read(end - first)).length).toBe(end - first);
  expect((await ack({ reader: 1, offset: 1 })).body).toMatchObject({
    status: 409,
    fault: 'terminal-taken',
    facts: { reader: 2 },
  });
});

test('C4: what a process printed before it exited while its pty was paused is not lost', async () => {
  const api = await open({ windowBytes: 4_096 });
  // More than a window, less than what a pty holds by itself: the process does not have to wait, and is gone.
  const terminal = await start(api, 'stty raw -echo; head -c 9000 /dev/zero | tr "\\0" x; echo pid $$.');
  await expect.poll(async () => (await statusOf(api, terminal)).paused).toBe(true);
  await new Promise((resolve) => setTimeout(resolve, 700));
  let text = '';
  for (let offset = 0; !text.includes('.'); offset = text.length) {
    const reader = await stream(api, at(terminal, `/stream?reader=1&offset=${offset}`));
    text += await reader.read(2_000);
    reader.close();
  }
  expect(text).toMatch(/^x{9000}pid \d+\.\n?$/);
});

test('C4: input is taken where it continues, once; a gap, a stranger and a flood are refused whole', async () => {
  const api = await open();
  const terminal = await start(api, 'stty raw -echo; echo .; exec head -c 9');
  const reader = await stream(api, at(terminal, '/stream?reader=1'));
  await reader.read(2);
  const type = async (query: string, text: string): Promise<Json> => {
    const response = await fetch(`${api.url}${at(terminal, `/input?${query}`)}`, {
      method: 'POST',
      headers: { authorization: `Bearer ${ROOT}` },
      body: text,
    });
    return response.json();
  };
  expect(await type('reader=1&offset=0', 'abc')).toMatchObject({ inputEnd: 3 });
  expect(await type('reader=1&offset=0', 'abc')).toMatchObject({ inputEnd: 3 });
  expect(await type('reader=1&offset=1', 'bcde')).toMatchObject({ inputEnd: 5 });
  expect(await type('reader=1&offset=9', 'z')).toMatchObject({ fault: 'invalid-offset', facts: { inputEnd: 5 } });
  expect(await type('reader=2&offset=5', 'z')).toMatchObject({ fault: 'terminal-taken', facts: { reader: 1 } });
  expect(await type('reader=1&offset=5', 'x'.repeat(70_000))).toMatchObject({ fault: 'body-too-large' });
  expect(await type('reader=1&offset=5', 'fghi')).toMatchObject({ inputEnd: 9 });
  expect(await reader.ended()).toBe('clean');
  expect(reader.rest()).toBe('abcdefghi');
  // The answer was lost, and its process has ended by what was typed.
  expect(await type('reader=1&offset=5', 'fghi')).toMatchObject({ inputEnd: 9 });
  expect(await type('reader=1&offset=9', 'j')).toMatchObject({
    fault: 'terminal-ended',
    facts: { exit: { exitCode: 0, signal: null } },
  });
});

test('C4: a process that does not read its input: what waits for it is bounded, and what is refused was not taken', async () => {
  const api = await open();
  const terminal = await start(api, 'stty raw -echo; sleep 100');
  await stream(api, at(terminal, '/stream?reader=1'));
  let inputEnd = 0;
  let refusal: Json;
  for (let n = 0; n < 20 && refusal === undefined; n++) {
    const response = await fetch(`${api.url}${at(terminal, `/input?reader=1&offset=${inputEnd}`)}`, {
      method: 'POST',
      headers: { authorization: `Bearer ${ROOT}` },
      body: 'x'.repeat(65_536),
    });
    const body: Json = await response.json();
    if (response.status === 200) inputEnd = body.inputEnd;
    else refusal = body;
  }
  expect(refusal).toMatchObject({ status: 429, fault: 'rate-limited', facts: { inputEnd } });
  expect(inputEnd).toBeLessThan(512 * 1024);
});

test('C4: its end, in ten ways: each leaves no process, and says what it was', async () => {
  const api = await open();
  const ends: readonly (readonly [script: string, exit: Json])[] = [
    ['exit 0', { exitCode: 0, signal: null }],
    ['exit 7', { exitCode: 7, signal: null }],
    ['kill -TERM $$', { exitCode: null, signal: 'SIGTERM' }],
    ['kill -KILL $$', { exitCode: null, signal: 'SIGKILL' }],
    ['kill -HUP $$', { exitCode: null, signal: 'SIGHUP' }],
    ['exec /bin/false', { exitCode: 1, signal: null }],
    // What it leaves on its terminal holds up nothing.
    ['sleep 100 & exit 3', { exitCode: 3, signal: null }],
    // Who closes the terminal is hung up.
    ['exec 0<&- 1>&- 2>&-; sleep 0.2; exit 4', { exitCode: null, signal: 'SIGHUP' }],
  ];
  for (const [script, exit] of ends) {
    const terminal = await start(api, `echo pid $$.; ${script}`);
    const reader = await stream(api, at(terminal, '/stream?reader=1'));
    expect(await reader.ended(), script).toBe('clean');
    expect(reader.rest(), script).toMatch(/^pid \d+\.\r\n$/);
    expect(await statusOf(api, terminal), script).toMatchObject({ state: 'exited', exit });
    expect(isAlive(Number(/\d+/.exec(reader.rest())?.[0])), script).toBe(false);
  }
  const nowhere = (await api.call('POST', '/v1/terminals', { command: ['/nowhere/at-all'] })).body;
  await expect.poll(async () => (await statusOf(api, nowhere)).exit?.exitCode).toBeGreaterThan(0);
  const deaf = await start(api, "trap '' HUP TERM INT; echo pid $$.; while :; do sleep 1; done");
  const pid = await pidOf(api, deaf);
  expect((await api.call('DELETE', at(deaf))).status).toBe(204);
  await expect.poll(() => isAlive(pid)).toBe(false);
  await expect.poll(async () => (await statusOf(api, deaf)).fault).toBe('terminal-not-found');
});

test('C4: a terminal that nobody reads is hung up; one that is read is not, though nothing comes', async () => {
  const api = await open({ idleMs: 2_000 });
  const read = await start(api, 'echo pid $$.; sleep 100');
  await stream(api, at(read, '/stream'));
  // Its time begins after the other is read.
  const left = await start(api, 'echo pid $$.; sleep 100');
  const pid = await pidOf(api, left);
  await expect.poll(() => isAlive(pid)).toBe(false);
  // Its last bytes and its exit are still there, as soon as they are known here.
  await expect.poll(() => statusOf(api, left)).toMatchObject({ state: 'exited', exit: { signal: 'SIGHUP' } });
  expect(await statusOf(api, read)).toMatchObject({ state: 'running' });
});

test('C4: a stream ends with its token, and goes on with another one at its offset', async () => {
  const api = await open();
  const { token, tokenId } = await api.issue('admin', 'admin');
  const terminal = await start(api, 'echo one; read x; echo two');
  const reader = await stream(api, at(terminal, '/stream?reader=1&offset=0'), token);
  expect(await reader.read(5)).toBe('one\r\n');
  await api.call('DELETE', `/v1/tokens/${tokenId}`);
  expect(await reader.ended()).toBe('broken');
  expect((await stream(api, at(terminal, '/stream?reader=1&offset=5'), token)).fault).toMatchObject({
    fault: 'unauthorized',
  });
  expect((await stream(api, at(terminal, '/stream?reader=1&offset=5'))).status).toBe(200);
});

test("C4: another node's terminal is elsewhere where nodes share a store; alone, a process that is gone has taken it along", async () => {
  const api = await open();
  const id = `/v1/terminals/tm_0123abcd_${'0'.repeat(24)}`;
  expect((await api.call('GET', id)).body).toMatchObject({ status: 404, fault: 'terminal-not-found' });
  const log = openMemoryLog({ clock: systemClock });
  const data = mkdtempSync(join(tmpdir(), 'holdfast-node-'));
  onTestFinished(async () => {
    await log.close();
    rmSync(data, { recursive: true });
  });
  const many = await openApi(
    { terminals: { ...DEFAULTS, on: 'on' }, data, store: { kind: 'postgres', url: 'postgres://nobody@nowhere/none' } },
    { log },
  );
  expect((await many.call('GET', id)).body).toMatchObject({
    status: 421,
    fault: 'terminal-elsewhere',
    facts: { node: '0123abcd' },
  });
});

test('C4: HEAD takes no terminal over, and sizes have bounds', async () => {
  const api = await open();
  const terminal = await start(api, 'sleep 100');
  expect((await api.call('HEAD', at(terminal, '/stream'))).status).toBe(405);
  expect((await statusOf(api, terminal)).reader).toBe(1);
  for (const size of [{ cols: 0, rows: 5 }, { cols: 5, rows: 1_001 }, { cols: 5.5, rows: 5 }, { cols: 5 }])
    expect((await api.call('POST', at(terminal, '/resize'), { reader: 1, ...size })).body).toMatchObject({
      fault: 'invalid-request',
    });
});

test('R95: revoking the token that opened a terminal ends it and what runs on it; another token of the subject does not keep it', async () => {
  const api = await open();
  const [opener, other] = [await api.issue('root', 'admin'), await api.issue('root', 'admin')];
  const terminal = await start(api, 'sleep 600', opener.token);
  const seen = async (): Promise<number> =>
    (await api.call('GET', at(terminal), undefined, { token: other.token })).status;
  expect(await seen()).toBe(200);
  expect((await api.call('DELETE', `/v1/tokens/${opener.tokenId}`)).status).toBe(204);
  await expect.poll(seen, { timeout: 20_000 }).toBe(404);
});
