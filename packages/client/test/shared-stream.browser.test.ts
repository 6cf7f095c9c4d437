/** Eight tabs of a real browser share one stream (R50): on localhost with Web Locks, on a plain-http origin without. */
import { launchChromium } from '@holdfast/testing/chromium';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';

import type { BrowserPage } from './browser-page.ts';
import { bundle, HTML } from './bundle.ts';
import { rendererPids } from './renderers.ts';
import { WireServer } from './wire-server.ts';

type Browser = Awaited<ReturnType<typeof launchChromium>>;
type Context = Awaited<ReturnType<Browser['newContext']>>;
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

describe.each(['localhost', 'lan.test'])('on http://%s', (host) => {
  async function open(context: Context, session: string) {
    const tab = await context.newPage();
    await tab.goto(`http://${host}:${server.port}/`);
    await tab.evaluate(([host, session]) => page.share(host, [session]), [host, session] as const);
    const read = (): Promise<string> => tab.evaluate(() => page.shared());
    return {
      close: () => tab.close(),
      hide: () => tab.evaluate(() => page.hide()),
      answers: () => tab.evaluate(() => page.ask()),
      hasAll: () => expect.poll(() => read()).toBe(`${session}:${server.log(session).text}`),
    };
  }
  const streams = (count: number): Promise<void> => expect.poll(() => server.readers).toBe(count);

  test(`R50: ${TABS} tabs, one stream; a frozen leader and a closed one are replaced, and nothing is lost`, async () => {
    const context = await browser.newContext();
    const session = `shared-${host}`;
    server.append(session, '0');
    const before = await rendererPids(browser);
    const tabs = [];
    for (let i = 0; i < TABS - 1; i++) tabs.push(await open(context, session));
    const others = (await rendererPids(browser)).filter((pid) => !before.includes(pid));
    tabs.push(await open(context, session));
    const last = tabs.at(-1);
    await last?.hasAll();
    await streams(1);
    // Each has a socket left to ask with: without one stream for all, the seventh had none.
    for (const tab of tabs) expect(await tab.answers()).toBe(404);

    // All but the last are frozen, the leader among them: it neither says goodbye nor closes its socket.
    for (const pid of others) process.kill(pid, 'SIGSTOP');
    server.append(session, '1');
    try {
      await last?.hasAll();
      await streams(2);
    } finally {
      for (const pid of others) process.kill(pid, 'SIGCONT');
    }
    server.append(session, '2');
    for (const tab of tabs) await tab.hasAll();
    await streams(1);

    await last?.close();
    tabs.pop();
    server.append(session, '3');
    for (const tab of tabs) await tab.hasAll();
    await streams(1);
    await context.close();
    await streams(0);
  });

  test('R50: a visible tab takes the lead from a hidden one, whichever came first, and no other does', async () => {
    const context = await browser.newContext();
    const session = `hidden-${host}`;
    server.append(session, '0');
    const first = await open(context, session);
    await first.hasAll();
    const second = await open(context, session);
    await second.hasAll();
    const opened = server.opened;

    await first.hide();
    await expect.poll(() => server.opened).toBe(opened + 1);
    await streams(1);
    server.append(session, '1');
    for (const tab of [first, second]) await tab.hasAll();
    // The second leads: that the first one goes changes nothing.
    await first.close();
    server.append(session, '2');
    await second.hasAll();
    expect(server.opened).toBe(opened + 1);

    await second.hide();
    const third = await open(context, session);
    await third.hasAll();
    await expect.poll(() => server.opened).toBe(opened + 2);
    await streams(1);
    server.append(session, '3');
    for (const tab of [second, third]) await tab.hasAll();
    await context.close();
    await streams(0);
  });
});
