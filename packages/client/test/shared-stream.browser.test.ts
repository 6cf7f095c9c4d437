/** Eight tabs of a real browser share one stream (R50): on localhost with Web Locks, on a plain-http origin without. */
import { launchChromium } from '@holdfast/testing/chromium';
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';

import type { BrowserPage } from './browser-page.ts';
import { bundle, HTML } from './bundle.ts';
import { WireServer } from './wire-server.ts';

type Browser = Awaited<ReturnType<typeof launchChromium>>;
declare const page: BrowserPage;

const TABS = 8;

let browser: Browser;
let server: WireServer;

beforeAll(async () => {
  server = await WireServer.start({ '/': HTML, '/page.js': await bundle('./browser-page.ts') });
  browser = await launchChromium({ args: ['--host-resolver-rules=MAP lan.test 127.0.0.1'] });
});
afterAll(async () => {
  await browser.close();
  await server.close();
});

async function rendererPids(): Promise<readonly number[]> {
  const session = await browser.newBrowserCDPSession();
  const { processInfo } = await session.send('SystemInfo.getProcessInfo');
  await session.detach();
  return processInfo.filter(({ type }) => type === 'renderer').map(({ id }) => id);
}

const patience = { timeout: 15_000, interval: 50 };

describe.each(['localhost', 'lan.test'])('on http://%s', (host) => {
  const session = `shared-${host}`;
  const text = (): string => `${session}:${server.log(session).text}`;

  async function open(context: Awaited<ReturnType<Browser['newContext']>>) {
    const tab = await context.newPage();
    await tab.goto(`http://${host}:${server.port}/`);
    await tab.evaluate(([host, session]) => page.share(host, [session]), [host, session] as const);
    return { read: () => tab.evaluate(() => page.shared()), close: () => tab.close() };
  }

  test(`R50: ${TABS} tabs, one stream; a frozen leader and a closed one are replaced, and nothing is lost`, async () => {
    const context = await browser.newContext();
    server.append(session, '0');
    const before = await rendererPids();
    const tabs = [];
    for (let i = 0; i < TABS - 1; i++) tabs.push(await open(context));
    const others = (await rendererPids()).filter((pid) => !before.includes(pid));
    tabs.push(await open(context));
    const last = tabs.at(-1);
    await vi.waitFor(async () => expect(await last?.read()).toBe(text()), patience);
    expect(server.readers).toBe(1);

    // All but the last are frozen, the leader among them: it neither says goodbye nor closes its socket.
    for (const pid of others) process.kill(pid, 'SIGSTOP');
    server.append(session, '1');
    try {
      await vi.waitFor(async () => expect(await last?.read()).toBe(text()), patience);
      expect(server.readers).toBe(2);
    } finally {
      for (const pid of others) process.kill(pid, 'SIGCONT');
    }
    server.append(session, '2');
    for (const tab of tabs) await vi.waitFor(async () => expect(await tab.read()).toBe(text()), patience);
    await vi.waitFor(() => expect(server.readers).toBe(1), patience);

    await last?.close();
    tabs.pop();
    server.append(session, '3');
    for (const tab of tabs) await vi.waitFor(async () => expect(await tab.read()).toBe(text()), patience);
    await vi.waitFor(() => expect(server.readers).toBe(1), patience);
    await context.close();
    await vi.waitFor(() => expect(server.readers).toBe(0), patience);
  }, 60_000);
});
