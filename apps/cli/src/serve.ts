/**
 * `holdfast serve`: the gateway until a signal ends it. One line says where it is, one more opens the page.
 */
import { spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { closeOnSignals, startGateway } from '@holdfast/gateway';
import { readConfig } from './config.ts';

export async function serve(): Promise<void> {
  const config = readConfig();
  const webDirectory = fileURLToPath(new URL('../../web/dist/', import.meta.url));
  const gateway = await startGateway(config, { webDirectory });
  const ended = closeOnSignals(gateway);
  process.stdout.write(`holdfast ready ${gateway.url}\n`);
  const link = await gateway.startLink();
  process.stdout.write(`open ${link}\n`);
  if (config.open && hasDisplay()) openBrowser(link);
  await ended;
}

function hasDisplay(): boolean {
  if (process.env['CI'] !== undefined || !process.stdout.isTTY) return false;
  return (
    process.platform !== 'linux' || process.env['DISPLAY'] !== undefined || process.env['WAYLAND_DISPLAY'] !== undefined
  );
}

/** The link stays in the terminal if this fails: nobody needs to hear of it. */
function openBrowser(link: string): void {
  const [command, ...args] =
    process.platform === 'darwin'
      ? ['open', link]
      : process.platform === 'win32'
        ? ['cmd', '/c', 'start', '', link]
        : ['xdg-open', link];
  spawn(command ?? 'xdg-open', args, { stdio: 'ignore', detached: true })
    .on('error', () => undefined)
    .unref();
}
