/** The real command in a process of its own, with a data directory that goes with the test. */
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { createInterface } from 'node:readline';
import { createClient, type HoldfastClient } from '@holdfast/client';
import { nodeTransport } from '@holdfast/client/node';

const bin = new URL('../bin/holdfast.mjs', import.meta.url).pathname;
const TOKEN = 'hf_test_token_of_the_suite';

export type Env = Readonly<Record<string, string>>;

export async function temporaryDir(): Promise<AsyncDisposable & { readonly path: string }> {
  const dir = await mkdtemp(path.join(os.tmpdir(), 'holdfast-cli-'));
  return { path: dir, [Symbol.asyncDispose]: () => rm(dir, { recursive: true, force: true }) };
}

export function environment(data: string, more: Env = {}): NodeJS.ProcessEnv {
  const { PATH, HOME, TMPDIR } = process.env;
  return {
    PATH,
    HOME,
    TMPDIR,
    HOLDFAST_DATA: data,
    HOLDFAST_PORT: '0',
    HOLDFAST_OPEN: '0',
    HOLDFAST_LOG: 'silent',
    HOLDFAST_CONFIG: '',
    ...more,
  };
}

export interface Ran {
  readonly code: number | null;
  readonly out: string;
  readonly err: string;
}

/** Runs a command to its end. */
export async function run(args: readonly string[], env: NodeJS.ProcessEnv, input?: string): Promise<Ran> {
  const child = spawn(process.execPath, [bin, ...args], { env, stdio: ['pipe', 'pipe', 'pipe'] });
  let out = '';
  let err = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => (out += text));
  child.stderr.setEncoding('utf8').on('data', (text: string) => (err += text));
  child.stdin.end(input ?? '');
  const [code] = (await once(child, 'close')) as [number | null];
  return { code, out, err };
}

export interface Served extends AsyncDisposable {
  readonly url: string;
  readonly token: string;
  readonly link: string;
  readonly child: ChildProcess;
  client(): HoldfastClient;
  /** @returns the exit code, or the signal that ended it */
  end(signal: 'SIGTERM' | 'SIGKILL'): Promise<number | string>;
}

/** `holdfast serve`, as soon as it is ready. */
export async function serve(data: string, more: Env = {}): Promise<Served> {
  const child = spawn(process.execPath, [bin, 'serve'], {
    env: environment(data, { HOLDFAST_TOKEN: TOKEN, ...more }),
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const closed = once(child, 'close') as Promise<[number | null, NodeJS.Signals | null]>;
  let err = '';
  child.stderr.setEncoding('utf8').on('data', (text: string) => (err += text));
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  const [ready, link] = [await lines.next(), await lines.next()].map((line) => String(line.value));
  const url = /^holdfast ready (http:\S+)$/.exec(ready ?? '')?.[1];
  if (url === undefined) throw new Error(`The gateway did not start: ${err}`);
  const clients: HoldfastClient[] = [];
  const end = async (signal: 'SIGTERM' | 'SIGKILL'): Promise<number | string> => {
    child.kill(signal);
    const [code, by] = await closed;
    return code ?? by ?? 'nothing';
  };
  return {
    url,
    token: TOKEN,
    link: (link ?? '').replace('open ', ''),
    child,
    end,
    client: () => {
      const client = createClient({ baseUrl: url, token: TOKEN, transport: nodeTransport() });
      clients.push(client);
      return client;
    },
    [Symbol.asyncDispose]: async () => {
      await Promise.all(clients.map((client) => client.close()));
      if (child.exitCode === null && child.signalCode === null) await end('SIGKILL');
    },
  };
}
