/** The gateway of a crash run: the real command in a process of its own, killed and started again on what is left of its data. */
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';

const BIN = new URL('../../../../apps/cli/bin/holdfast.mjs', import.meta.url).pathname;
/** `kill('SIGUSR2')` of a gateway with this in its environment steps its wall clock. */
export const STEPPED_CLOCK: Readonly<Record<string, string>> = {
  NODE_OPTIONS: `--import=${new URL('stepped-clock.ts', import.meta.url).href}`,
};
export const TOKEN = 'hf_crash_run_token';

/** It does not start on the data that it is given. */
export class GatewayBroken extends Error {}

export interface GatewayProcess {
  readonly url: string;
  readonly pid: number | undefined;
  /** Resolves when it is gone, with what it said on standard error. */
  readonly gone: Promise<string>;
  kill(signal: 'SIGKILL' | 'SIGTERM' | 'SIGSTOP' | 'SIGCONT' | 'SIGUSR2'): void;
}

export async function startGateway(env: Readonly<Record<string, string>>): Promise<GatewayProcess> {
  const { PATH, HOME } = process.env;
  const child: ChildProcess = spawn(process.execPath, [BIN, 'serve'], {
    env: {
      PATH,
      HOME,
      HOLDFAST_PORT: '0',
      HOLDFAST_OPEN: '0',
      HOLDFAST_LOG: 'warn',
      HOLDFAST_CONFIG: '',
      HOLDFAST_TOKEN: TOKEN,
      ...env,
    },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let said = '';
  child.stderr?.setEncoding('utf8').on('data', (text: string) => (said = (said + text).slice(-20_000)));
  const gone = once(child, 'close').then(() => said);
  const ready = Promise.withResolvers<string>();
  createInterface({ input: child.stdout! }).on('line', (line) => {
    const url = /^holdfast ready (\S+)$/.exec(line)?.[1];
    if (url !== undefined) ready.resolve(url);
  });
  void gone.then((text) => ready.reject(new GatewayBroken(`The gateway did not start: ${text}`)));
  const url = await ready.promise;
  return { url, pid: child.pid, gone, kill: (signal) => void child.kill(signal) };
}
