/**
 * `holdfast serve`: the gateway until a signal ends it. One line says where it is, the next opens the page.
 */
import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { closeOnSignals, startGateway } from '@holdfast/gateway';
import { readConfig } from './config.ts';

export interface ServeOptions {
  readonly host?: string;
  readonly port?: string;
  readonly data?: string;
  readonly open: boolean;
}

const WEB_BUILD = fileURLToPath(new URL('../../web/dist/', import.meta.url));

export async function serve({ host, port, data, open }: ServeOptions): Promise<void> {
  const config = readConfig({
    ...(host === undefined ? {} : { HOLDFAST_HOST: host }),
    ...(port === undefined ? {} : { HOLDFAST_PORT: port }),
    ...(data === undefined ? {} : { HOLDFAST_DATA: data }),
  });
  const gateway = await startGateway(config, existsSync(WEB_BUILD) ? { webDirectory: WEB_BUILD } : {});
  const ended = closeOnSignals(gateway);
  const link = await gateway.startLink();
  // In one piece: a reader that has seen enough after the first line must not end the gateway.
  process.stdout.write(`holdfast ready ${gateway.url}\nopen ${link}\n`);
  if (open && config.open && hasDisplay(process.env)) openBrowser(link);
  await ended;
}

function hasDisplay(env: Readonly<Record<string, string | undefined>>): boolean {
  if ((env['CI'] ?? '') !== '' || env['SSH_CONNECTION'] !== undefined || !process.stdout.isTTY) return false;
  return process.platform !== 'linux' || env['DISPLAY'] !== undefined || env['WAYLAND_DISPLAY'] !== undefined;
}

/** The link stands in the terminal, so a browser that does not come is no failure. Its code works once, and not for long. */
function openBrowser(link: string): void {
  const [command, args]: readonly [string, readonly string[]] =
    process.platform === 'darwin'
      ? ['open', [link]]
      : process.platform === 'win32'
        ? ['cmd', ['/c', 'start', '', link]]
        : ['xdg-open', [link]];
  spawn(command, args, { stdio: 'ignore', detached: true })
    .on('error', () => undefined)
    .unref();
}
