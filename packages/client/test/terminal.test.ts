/** C4: terminals, from the client through broken connections to a process on a pty. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';

import { configOf, startGateway, type RunningGateway } from '@holdfast/gateway';
import { systemClock as logClock } from '@holdfast/log';
import { openMemoryLog } from '@holdfast/log/memory';
import { startBalancer } from '@holdfast/testing/balancer';
import { expect, onTestFinished, test } from 'vitest';

import { createCredentials, systemClock, TerminalClient, type Clock } from '../src/index.ts';
import { nodeTransport } from '../src/node/index.ts';
import { diceOf, hashOfPattern, openTerminalStand, printing, readAll, textUntil, TOKEN } from './terminal-stand.ts';

const MIB = 1024 * 1024;

test('C4: what a process printed arrives whole, with its exit', async () => {
  const { terminals } = await openTerminalStand();
  const terminal = await terminals.open({ command: printing(300_000, 7) });
  expect(await readAll(terminal)).toEqual({ bytes: 300_000, hash: hashOfPattern(300_000, 7) });
  expect(await terminal.exit).toEqual({ exitCode: 0, signal: null });
});

test('C4: connections are cut at any byte: the joined bytes are the same, of the same process', async () => {
  const stand = await openTerminalStand();
  const bytes = 4 * MIB;
  const dice = diceOf(11);
  stand.plan = () => ({ cut: { afterBytes: Math.floor(dice() * 200_000), how: dice() < 0.5 ? 'reset' : 'close' } });
  const terminal = await stand.terminals.open({ command: printing(bytes, 3) });
  expect(await readAll(terminal)).toEqual({ bytes, hash: hashOfPattern(bytes, 3) });
  expect(await terminal.exit).toEqual({ exitCode: 0, signal: null });
  expect(stand.proxy.strikes).toBeGreaterThan(20);
});

test('C4: input is typed once, though every other answer is lost', async () => {
  const stand = await openTerminalStand();
  const terminal = await stand.terminals.open({
    command: ['/bin/sh', '-c', 'stty raw -echo; echo ready; exec head -c 600'],
  });
  const chunks = terminal[Symbol.asyncIterator]();
  await textUntil(chunks, /ready/);
  // Requests go through, and their answers break off: in the head, in the body, or after a few.
  const dice = diceOf(5);
  stand.plan = () => ({ cut: { afterBytes: 1 + Math.floor(dice() * 1_500), how: 'reset' } });
  stand.proxy.cutAll();
  const typed = Array.from({ length: 60 }, (_, n) => `typed-${String(n).padStart(4, '0')}`);
  void (async () => {
    for (const text of typed) await terminal.write(text);
    // The answer to the last one may be lost, and the process gone that it ended.
  })().catch(() => {});
  let text = '';
  for (;;) {
    const next = await chunks.next();
    if (next.done === true) break;
    text += new TextDecoder().decode(next.value.bytes);
  }
  expect(text.trim()).toBe(typed.join(''));
  expect(stand.proxy.strikes).toBeGreaterThan(20);
});

test('C4: a reader that takes over gets what was not confirmed; the one before is told and ends', async () => {
  const { terminals } = await openTerminalStand();
  const first = await terminals.open({ command: ['/bin/sh', '-c', 'echo one; read x; echo two $x'] });
  const before = first[Symbol.asyncIterator]();
  await textUntil(before, /one/);
  const second = terminals.attach(first.terminalId);
  const after = second[Symbol.asyncIterator]();
  expect(await textUntil(after, /one/)).toBe('one\r\n');
  await expect(before.next()).rejects.toMatchObject({ fault: { kind: 'terminal-taken' } });
  await expect(first.write('mine\n')).rejects.toMatchObject({ fault: { kind: 'terminal-taken' } });
  await second.write('yours\n');
  expect(await textUntil(after, /two/)).toContain('two yours');
  await expect(first.exit).rejects.toMatchObject({ fault: { kind: 'terminal-taken' } });
});

test('C4: the size is the one that was asked for, also after a resize', async () => {
  const { terminals } = await openTerminalStand();
  const terminal = await terminals.open({
    cols: 101,
    rows: 33,
    command: ['/bin/sh', '-c', 'stty size; read x; stty size'],
  });
  const chunks = terminal[Symbol.asyncIterator]();
  await textUntil(chunks, /33 101/);
  await terminal.resize({ cols: 90, rows: 44 });
  await terminal.write('\n');
  await textUntil(chunks, /44 90/);
  await expect(terminal.resize({ cols: 0, rows: 1 })).rejects.toMatchObject({ fault: { kind: 'invalid-request' } });
});

test('C4: who leaves the loop leaves nothing behind but the process, and finds it again at its offset', async () => {
  const stand = await openTerminalStand();
  const terminal = await stand.terminals.open({ command: ['/bin/sh', '-c', 'echo one; read x; echo two; read x'] });
  for await (const chunk of terminal) if (chunk.bytes.length > 0) break;
  await expect(terminal.write('x')).rejects.toMatchObject({ fault: { kind: 'cancelled' } });
  const again = stand.terminals.attach(terminal.terminalId, terminal.offset);
  await Promise.all([again.write('\n'), textUntil(again[Symbol.asyncIterator](), /two/)]);
  await again.close();
  const listed = await stand.terminals.list();
  expect(listed.filter(({ state }) => state === 'running').length).toBeLessThanOrEqual(1);
});

test('C4, A10: a token that ends in mid-stream is renewed, and the stream goes on at its byte', async () => {
  const stand = await openTerminalStand();
  const issue = async (more: object = {}): Promise<{ readonly accessToken: string }> =>
    (await stand.ask('POST', '/v1/tokens', { subject: 'admin', scopes: ['admin'], ...more })).body as never;
  const first = await issue({ expiresInS: 2 });
  let renewals = 0;
  const credentials = createCredentials({
    token: first.accessToken,
    refresh: async () => {
      renewals++;
      return { kind: 'renewed', token: (await issue()).accessToken };
    },
  });
  const transport = nodeTransport();
  onTestFinished(() => transport.close());
  const ports = { random: () => 0.02 };
  const terminals = new TerminalClient({ baseUrl: stand.proxy.origin, transport, credentials, ports });
  const terminal = await terminals.open({ command: printing(3_000_000, 9) });
  const headers = { authorization: `Bearer ${first.accessToken}` };
  const isRefused = async (): Promise<number> => (await fetch(`${stand.proxy.origin}/v1/me`, { headers })).status;
  let expired: Promise<void> | undefined;
  const read = await readAll(terminal, async () => {
    expired ??= expect.poll(isRefused, { timeout: 20_000 }).toBe(401);
    await expired;
  });
  expect(read).toEqual({ bytes: 3_000_000, hash: hashOfPattern(3_000_000, 9) });
  expect(renewals).toBe(1);
});

test('C4: a connection that died without a word is found out, because it owes bytes', async () => {
  const stand = await openTerminalStand();
  // An hour passes in the time of a test.
  const clock: Clock = {
    now: () => systemClock.now() * 50,
    after: (delayMs, callback) => systemClock.after(delayMs / 50, callback),
  };
  const transport = nodeTransport();
  onTestFinished(() => transport.close());
  const credentials = createCredentials({ token: TOKEN });
  const ports = { random: () => 0.02, clock };
  const terminals = new TerminalClient({ baseUrl: stand.proxy.origin, transport, credentials, ports });
  const terminal = await terminals.open({ command: printing(400_000, 4) });
  // The stream is the next connection; requests go on by others.
  let stalled = 0;
  stand.plan = () => (stalled++ === 0 ? { cut: { afterBytes: 100_000, how: 'stall' } } : {});
  expect(await readAll(terminal)).toEqual({ bytes: 400_000, hash: hashOfPattern(400_000, 4) });
  expect(stand.proxy.strikes).toBe(1);
});

test('C4: a terminal that is quiet is left in peace: no second stream is opened for it', async () => {
  const stand = await openTerminalStand();
  const clock: Clock = {
    now: () => systemClock.now() * 100,
    after: (delayMs, callback) => systemClock.after(delayMs / 100, callback),
  };
  const transport = nodeTransport();
  onTestFinished(() => transport.close());
  const credentials = createCredentials({ token: TOKEN });
  const terminals = new TerminalClient({ baseUrl: stand.proxy.origin, transport, credentials, ports: { clock } });
  const terminal = await terminals.open({ command: ['/bin/sh', '-c', 'echo one; sleep 1.5; echo two'] });
  const chunks = terminal[Symbol.asyncIterator]();
  await textUntil(chunks, /two/);
  // One for the stream, one for requests.
  expect(stand.proxy.accepted).toBe(2);
  terminal.detach();
});

test('C4: behind a balancer that knows nothing, a node that has not the terminal says so, and the client asks until it meets the one that has', async () => {
  const gateways = await Promise.all([0, 1].map(() => openNode()));
  const balancer = await startBalancer(gateways.map(({ port }) => port));
  const transport = nodeTransport();
  onTestFinished(async () => {
    transport.close();
    await balancer.close();
  });
  const credentials = createCredentials({ token: TOKEN });
  const ports = { random: () => 0.02 };
  const terminals = new TerminalClient({ baseUrl: balancer.origin, transport, credentials, ports });
  const terminal = await terminals.open({ command: ['/bin/sh', '-c', 'stty raw -echo; echo ready; exec head -c 60'] });
  const chunks = terminal[Symbol.asyncIterator]();
  await textUntil(chunks, /ready/);
  for (let n = 0; n < 10; n++) {
    balancer.cutAll();
    await terminal.write(`typed${n}`);
  }
  await textUntil(chunks, /typed0.*typed9/);
  // One that no node has any more is lost, after some tries.
  const lost = terminals.attach(terminal.terminalId.replace(/tm_.{8}/, 'tm_00000000'));
  await expect(lost[Symbol.asyncIterator]().next()).rejects.toMatchObject({ fault: { kind: 'terminal-elsewhere' } });
});

/** As one of many nodes sees itself. */
async function openNode(): Promise<RunningGateway> {
  const log = openMemoryLog({ clock: logClock });
  const data = await mkdtemp(path.join(tmpdir(), 'holdfast-node-'));
  const config = configOf({
    port: 0,
    data,
    store: { kind: 'postgres', url: 'postgres://nobody@nowhere/none' },
    token: TOKEN,
    log: 'silent',
    drainMs: 100,
    terminals: { ...configOf({}).terminals, on: 'on' },
  });
  const gateway = await startGateway(config, { log });
  onTestFinished(async () => {
    await gateway.close();
    await log.close();
    await rm(data, { recursive: true });
  });
  return gateway;
}
