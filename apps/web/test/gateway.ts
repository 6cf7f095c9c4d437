/**
 * A real gateway with the built page, in a process that can be killed and comes back at the same port with the same data.
 */
import { spawn, type ChildProcess } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as soon } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';

import { isBusy, type View } from '@holdfast/protocol/view';

const main = fileURLToPath(new URL('gateway-main.ts', import.meta.url));
/** Below the bound of a session's queue. */
const QUEUE_STEP = 50;
const TOKEN = 'for-the-tests-of-the-page-alone';
const build = fileURLToPath(new URL('../dist', import.meta.url));

export interface Gateway extends AsyncDisposable {
  readonly url: string;
  /** Opens the page signed in, in one browser. */
  link(): Promise<string>;
  /** What the log says, by the interface. */
  view(sessionId: string): Promise<View>;
  /** A session with this title. @returns its id. */
  open(title: string, pinned?: boolean): Promise<string>;
  remove(sessionId: string): Promise<void>;
  answer(sessionId: string, promptId: string, answer: string): Promise<void>;
  say(sessionId: string, text: string): Promise<void>;
  /** How many side questions are being answered. */
  btws(): Promise<number>;
  /** So many short turns. */
  fill(sessionId: string, turns: number): Promise<void>;
  /** SIGKILL: nothing is said, nothing is put in order. */
  kill(): Promise<void>;
  /** Again, at the same port, with the same data. */
  start(): Promise<void>;
}

export async function startGatewayProcess(env: Readonly<Record<string, string>> = {}): Promise<Gateway> {
  if (!existsSync(path.join(build, 'index.html')))
    throw new Error('The page is not built, and these tests read the build. Run: node tools/setup.mjs --web');
  const data = await mkdtemp(path.join(tmpdir(), 'holdfast-web-'));
  let running = await runSomewhere(data, env);
  const { url } = running;
  const ask = async (method: string, path: string, json?: unknown): Promise<unknown> => {
    const headers = { authorization: `Bearer ${TOKEN}`, 'content-type': 'application/json' };
    const body = json === undefined ? {} : { body: JSON.stringify(json) };
    const response = await fetch(url + path, { method, headers, ...body });
    if (!response.ok) throw new Error(`${method} ${path}: ${response.status} ${await response.text()}`);
    return response.status === 204 ? undefined : response.json();
  };
  return {
    url,
    link: async () => ((await ask('POST', '/v1/tokens/link')) as { readonly url: string }).url,
    view: async (sessionId) => ((await ask('GET', `/v1/sessions/${sessionId}`)) as { readonly view: View }).view,
    open: async (title, pinned = false) => {
      const { session } = (await ask('POST', '/v1/sessions', { title })) as { session: { sessionId: string } };
      if (pinned) await ask('PATCH', `/v1/sessions/${session.sessionId}`, { pinned });
      return session.sessionId;
    },
    remove: async (sessionId) => void (await ask('DELETE', `/v1/sessions/${sessionId}`)),
    answer: async (sessionId, promptId, answer) =>
      void (await ask('POST', `/v1/sessions/${sessionId}/prompts/${promptId}`, { answer })),
    say: async (sessionId, text) => void (await ask('POST', `/v1/sessions/${sessionId}/messages`, { text })),
    btws: async () => {
      const metrics = await fetch(`${url}/metrics`, { headers: { authorization: `Bearer ${TOKEN}` } });
      return Number(/^holdfast_btws_running (\d+)$/m.exec(await metrics.text())?.[1]);
    },
    fill: async (sessionId, turns) => {
      const text = '/scene plain tokens=30 rate=0 delay=0';
      for (let sent = 0; sent < turns; sent += QUEUE_STEP) {
        const count = Math.min(QUEUE_STEP, turns - sent);
        await Promise.all(
          Array.from({ length: count }, () => ask('POST', `/v1/sessions/${sessionId}/messages`, { text })),
        );
        while (isBusy(((await ask('GET', `/v1/sessions/${sessionId}`)) as { readonly view: View }).view))
          await soon(50);
      }
    },
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

async function runSomewhere(data: string, env: Readonly<Record<string, string>>): Promise<Running> {
  for (let tries = 1; ; tries += 1) {
    try {
      return await run(data, String(lowPort()), env);
    } catch (error) {
      // Somebody else has that port.
      if (tries === 5) throw error;
    }
  }
}

interface Running {
  readonly process: ChildProcess;
  readonly url: string;
}

/** Below the ports that the system hands out: what comes back at its port must find it free. */
const lowPort = (): number => 20_000 + Math.floor(Math.random() * 12_000);

async function run(data: string, port: string, env: Readonly<Record<string, string>>): Promise<Running> {
  const child = spawn(process.execPath, [main], {
    env: {
      ...process.env,
      HOLDFAST_PORT: port,
      HOLDFAST_DATA: data,
      HOLDFAST_OPEN: '0',
      HOLDFAST_LOG: 'warn',
      HOLDFAST_WEB: build,
      HOLDFAST_TOKEN: TOKEN,
      NODE_OPTIONS: '',
      ...env,
    },
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  for await (const line of createInterface({ input: child.stdout })) {
    const [word, url] = line.split(' ');
    if (word === 'ready' && url !== undefined) return { process: child, url };
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
