/** The real command in a process of its own, with a data directory that goes with the test. */
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { createClient, type HoldfastClient } from '@holdfast/client';
import { nodeTransport } from '@holdfast/client/node';

export const BIN: string = fileURLToPath(new URL('../bin/holdfast.mjs', import.meta.url));
const TOKEN = 'hf_test_token_of_the_suite';

export type Env = Readonly<Record<string, string>>;

export interface TemporaryDir extends AsyncDisposable {
  readonly path: string;
  /** `serve` on this directory; it is ended before the directory is removed. */
  serve(more?: Env): Promise<Served>;
}

export async function temporaryDir(): Promise<TemporaryDir> {
  const dir = await mkdtemp(path.join(os.tmpdir(), 'holdfast-cli-'));
  const gateways: Served[] = [];
  return {
    path: dir,
    serve: async (more) => {
      const gateway = await serve(dir, more);
      gateways.push(gateway);
      return gateway;
    },
    [Symbol.asyncDispose]: async () => {
      for (const gateway of gateways) await gateway[Symbol.asyncDispose]();
      await rm(dir, { recursive: true, force: true });
    },
  };
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

/** A command that runs, with a pipe at each end. */
export class Running implements AsyncDisposable {
  readonly child: ChildProcess;
  readonly closed: Promise<Ran>;
  out = '';
  err = '';
  #wake: () => void = () => {};

  constructor(args: readonly string[], env: NodeJS.ProcessEnv, node: string = process.execPath) {
    this.child = spawn(node, [BIN, ...args], { env, stdio: ['pipe', 'pipe', 'pipe'] });
    this.child.stdout?.setEncoding('utf8').on('data', (text: string) => this.#hear({ out: text }));
    this.child.stderr?.setEncoding('utf8').on('data', (text: string) => this.#hear({ err: text }));
    // What is written to one that has ended is lost, as in a shell.
    this.child.stdin?.on('error', () => {});
    this.closed = once(this.child, 'close').then(([code]) => ({
      code: code as number | null,
      out: this.out,
      err: this.err,
    }));
    void this.closed.then(() => this.#wake());
  }

  write(text: string): void {
    this.child.stdin?.write(text);
  }

  /** Waits until this was printed; throws where it ends before. */
  async prints(where: 'out' | 'err', what: string | RegExp): Promise<void> {
    const isThere = (): boolean => (typeof what === 'string' ? this[where].includes(what) : what.test(this[where]));
    while (!isThere()) {
      if (this.child.exitCode !== null || this.child.signalCode !== null)
        throw new Error(`It ended without ${String(what)}. It printed: ${this.out}\n${this.err}`);
      await new Promise<void>((resolve) => (this.#wake = resolve));
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.child.kill('SIGKILL');
    await this.closed;
  }

  #hear({ out = '', err = '' }: { readonly out?: string; readonly err?: string }): void {
    this.out += out;
    this.err += err;
    this.#wake();
  }
}

/** Runs a command to its end. */
export function run(args: readonly string[], env: NodeJS.ProcessEnv, input = ''): Promise<Ran> {
  const running = new Running(args, env);
  running.child.stdin?.end(input);
  return running.closed;
}

/** The lines of a command that prints JSON. */
export async function runJson<T>(args: readonly string[], env: NodeJS.ProcessEnv): Promise<readonly T[]> {
  const { code, out, err } = await run([...args, '--json'], env);
  if (code !== 0) throw new Error(`holdfast ${args.join(' ')} ended with ${code}: ${err}`);
  return out
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line) as T);
}

export interface Served extends AsyncDisposable {
  readonly url: string;
  readonly token: string;
  readonly link: string;
  readonly child: ChildProcess;
  client(): HoldfastClient;
  /** @returns the exit code, or the signal that ended it */
  end(signal: 'SIGTERM' | 'SIGINT' | 'SIGKILL'): Promise<number | string>;
}

/** `holdfast serve`, as soon as it is ready. */
export async function serve(data: string, more: Env = {}, node: string = process.execPath): Promise<Served> {
  const child = spawn(node, [BIN, 'serve'], {
    env: environment(data, { HOLDFAST_TOKEN: TOKEN, ...more }),
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const closed = once(child, 'close') as Promise<[number | null, NodeJS.Signals | null]>;
  let err = '';
  child.stderr.setEncoding('utf8').on('data', (text: string) => (err += text));
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  const [ready, link] = [await lines.next(), await lines.next()].map((line) => String(line.value));
  const url = /^holdfast ready (https?:\S+)$/.exec(ready ?? '')?.[1];
  if (url === undefined) throw new Error(`The gateway did not start: ${err}`);
  const clients: HoldfastClient[] = [];
  const end = async (signal: 'SIGTERM' | 'SIGINT' | 'SIGKILL'): Promise<number | string> => {
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
