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

/**
 * What a process holds itself, JavaScript or not: its own pages and its part of shared memory, as the kernel counts them.
 * Pages of files (the browser's own code) come and go with the machine's other work: they are no part of it.
 */
export async function heldBytes(pid: number): Promise<number> {
  const rollup = await readFile(`/proc/${pid}/smaps_rollup`, 'utf8');
  const kibOf = (field: string): number => Number(new RegExp(`^${field}:\\s+(\\d+) kB$`, 'm').exec(rollup)?.[1]);
  return (kibOf('Anonymous') + kibOf('Pss_Shmem')) * 1024;
}
