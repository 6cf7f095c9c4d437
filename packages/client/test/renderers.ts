/** The processes behind a browser's pages: what they hold, and that they can be frozen. */
import { readFile } from 'node:fs/promises';

import type { launchChromium } from '@holdfast/testing/chromium';

type Browser = Awaited<ReturnType<typeof launchChromium>>;

export async function rendererPids(browser: Browser): Promise<readonly number[]> {
  const session = await browser.newBrowserCDPSession();
  const { processInfo } = await session.send('SystemInfo.getProcessInfo');
  await session.detach();
  return processInfo.filter(({ type }) => type === 'renderer').map(({ id }) => id);
}

/** As the kernel counts it: JavaScript or not. */
export async function residentBytes(pid: number): Promise<number> {
  const status = await readFile(`/proc/${pid}/status`, 'utf8');
  return Number(/^VmRSS:\s+(\d+) kB$/m.exec(status)?.[1]) * 1024;
}
