/**
 * A real gateway with the built page, in a process that can be killed and comes back at the same port with the same data.
 */
import { spawn, type ChildProcess } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';

const main = fileURLToPath(new URL('gateway-main.ts', import.meta.url));
const build = fileURLToPath(new URL('../dist', import.meta.url));

export interface Gateway extends AsyncDisposable {
  readonly url: string;
  /** Opens the page signed in, once. */
  readonly link: string;
  /** SIGKILL: nothing is said, nothing is put in order. */
  kill(): Promise<void>;
  /** Again, at the same port, with the same data. */
  start(): Promise<void>;
}

export async function startGatewayProcess(env: Readonly<Record<string, string>> = {}): Promise<Gateway> {
  if (!existsSync(path.join(build, 'index.html')))
    throw new Error('The page is not built, and these tests read the build. Run: node tools/setup.mjs --web');
  const data = await mkdtemp(path.join(tmpdir(), 'holdfast-web-'));
  let running = await run(data, '0', env);
  const { url, link } = running;
  return {
    url,
    link,
    kill: () => end(running.process),
    start: async () => {
      running = await run(data, new URL(url).port, env);
    },
    [Symbol.asyncDispose]: async () => {
      await end(running.process);
      await rm(data, { recursive: true, force: true });
    },
  };
}

interface Running {
  readonly process: ChildProcess;
  readonly url: string;
  readonly link: string;
}

async function run(data: string, port: string, env: Readonly<Record<string, string>>): Promise<Running> {
  const child = spawn(process.execPath, [main], {
    env: {
      ...process.env,
      HOLDFAST_PORT: port,
      HOLDFAST_DATA: data,
      HOLDFAST_OPEN: '0',
      HOLDFAST_LOG: 'warn',
      HOLDFAST_WEB: build,
      NODE_OPTIONS: '',
      ...env,
    },
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  for await (const line of createInterface({ input: child.stdout })) {
    const [word, url, link] = line.split(' ');
    if (word === 'ready' && url !== undefined && link !== undefined) return { process: child, url, link };
  }
  throw new Error('The gateway ended before it was ready; what it said stands above.');
}

function end(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return Promise.resolve();
  return new Promise((resolve) => {
    child.once('exit', () => resolve());
    child.kill('SIGKILL');
  });
}
