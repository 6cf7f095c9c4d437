/** C4 with a gateway in a process of its own: what it holds in memory, and what it leaves when it is killed. */
import { spawn } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

import { expect, onTestFinished, test } from 'vitest';

import { createCredentials, TerminalClient, type TerminalStatus } from '../src/index.ts';
import { nodeTransport } from '../src/node/index.ts';
import { hashOfPattern, printing, readAll, textUntil, TOKEN } from './terminal-stand.ts';

const MIB = 1024 * 1024;

interface GatewayProcess {
  readonly url: string;
  readonly pid: number;
  readonly terminals: TerminalClient;
  info(terminalId: string): Promise<TerminalStatus>;
  kill(signal: 'SIGKILL' | 'SIGTERM'): void;
}

async function startProcess(env: Readonly<Record<string, string>> = {}): Promise<GatewayProcess> {
  const main = fileURLToPath(new URL('../../gateway/test/gateway-process.ts', import.meta.url));
  const child = spawn(process.execPath, [main], {
    env: {
      ...process.env,
      HOLDFAST_STORE: 'memory',
      HOLDFAST_PORT: '0',
      HOLDFAST_TOKEN: TOKEN,
      HOLDFAST_DRAIN_MS: '200',
      HOLDFAST_CONFIG: '',
      HOLDFAST_LOG: 'error',
      HOLDFAST_TERMINALS: 'on',
      ...env,
    },
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  onTestFinished(() => void child.kill('SIGKILL'));
  let stdout = '';
  child.stdout.on('data', (chunk: Buffer) => (stdout += chunk.toString()));
  await expect.poll(() => stdout).toMatch(/^holdfast ready http.*\n/);
  const url = stdout.trim().split(' ')[2]!;
  const transport = nodeTransport();
  onTestFinished(() => transport.close());
  const credentials = createCredentials({ token: TOKEN });
  return {
    url,
    pid: child.pid!,
    terminals: new TerminalClient({ baseUrl: url, transport, credentials, ports: { random: () => 0.02 } }),
    info: async (terminalId) => {
      const response = await fetch(`${url}/v1/terminals/${terminalId}`, {
        headers: { authorization: `Bearer ${TOKEN}` },
      });
      return (await response.json()) as TerminalStatus;
    },
    kill: (signal) => void child.kill(signal),
  };
}

const residentMib = (pid: number): number =>
  Number(/VmRSS:\s+(\d+) kB/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]) / 1024;

const isAlive = (pid: number): boolean =>
  existsSync(`/proc/${pid}`) && !/^State:\s+Z/m.test(readFileSync(`/proc/${pid}/status`, 'utf8'));

test('C4: 64 MiB through a reader that stops and then is slow: every byte, the process stands still meanwhile, and the gateway holds a window', async () => {
  const gateway = await startProcess();
  const warm = await gateway.terminals.open({ command: printing(16 * MIB, 1) });
  expect((await readAll(warm)).hash).toBe(hashOfPattern(16 * MIB, 1));
  const beforeMib = residentMib(gateway.pid);

  const bytes = 64 * MIB;
  const terminal = await gateway.terminals.open({ command: printing(bytes, 2) });
  let highestMib = 0;
  let sampled = 0;
  let hasStopped = false;
  const startedMs = performance.now();
  const read = await readAll(terminal, async (offset) => {
    if (!hasStopped && offset > 4 * MIB) {
      hasStopped = true;
      await expect.poll(async () => (await gateway.info(terminal.terminalId)).paused).toBe(true);
      const stopped = await gateway.info(terminal.terminalId);
      // What is not confirmed is a window and what was under way; the rest was never printed.
      expect(stopped.end - stopped.confirmed).toBeLessThan(MIB + 65_536);
      for (let look = 0; look < 20; look++) {
        await new Promise((resolve) => setTimeout(resolve, 10));
        expect((await gateway.info(terminal.terminalId)).end).toBe(stopped.end);
      }
    }
    // 16 MiB a second.
    const aheadMs = (offset / (16 * MIB)) * 1_000 - (performance.now() - startedMs);
    if (aheadMs > 20) await new Promise((resolve) => setTimeout(resolve, aheadMs));
    if (offset - sampled > MIB) {
      sampled = offset;
      highestMib = Math.max(highestMib, residentMib(gateway.pid));
    }
  });
  expect(read).toEqual({ bytes, hash: hashOfPattern(bytes, 2) });
  expect(await terminal.exit).toEqual({ exitCode: 0, signal: null });
  expect(hasStopped).toBe(true);
  // Most of it is garbage that is not collected yet; without a window it would be the 64 MiB, twice.
  expect(highestMib - beforeMib).toBeLessThan(48);
});

test('C4: kill -9 of the gateway: the kernel hangs up, and what ran on its terminals ends', async () => {
  const gateway = await startProcess();
  const pids: number[] = [];
  for (let n = 0; n < 3; n++) {
    const terminal = await gateway.terminals.open({
      command: ['/bin/sh', '-c', 'sleep 1000 & echo pids $$ $! .; wait'],
    });
    const text = await textUntil(terminal[Symbol.asyncIterator](), /pids \d+ \d+ \./);
    pids.push(...(text.match(/\d+/g) ?? []).map(Number));
    onTestFinished(() => terminal.detach());
  }
  expect(pids.map(isAlive)).toEqual(pids.map(() => true));
  gateway.kill('SIGKILL');
  await expect.poll(() => pids.filter(isAlive)).toEqual([]);
});

test('C4: SIGTERM of the gateway ends terminals that ignore SIGHUP, with the jobs of their shells', async () => {
  const gateway = await startProcess();
  // Its jobs are process groups of their own, as in a shell that a person types to.
  const command = ['/bin/bash', '-c', "set -m; trap '' HUP TERM; sleep 1000 & echo pids $$ $! .; wait"];
  const terminal = await gateway.terminals.open({ command });
  const text = await textUntil(terminal[Symbol.asyncIterator](), /pids \d+ \d+ \./);
  const pids = (text.match(/\d+/g) ?? []).map(Number);
  gateway.kill('SIGTERM');
  await expect.poll(() => pids.filter(isAlive)).toEqual([]);
  terminal.detach();
});
