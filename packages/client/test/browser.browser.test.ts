/** The suites in a real Chromium: on localhost, and on a plain-http origin of the LAN, which is no secure context. */
import type { SessionId } from '@holdfast/protocol/ids';
import { launchChromium } from '@holdfast/testing/chromium';
import { startFaultProxy } from '@holdfast/testing/fault-proxy';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';

import type { BrowserPage } from './browser-page.ts';
import { bundle, HTML } from './bundle.ts';
import { startStreamServer, type StreamServer } from './stream-server.ts';
import { WireServer } from './wire-server.ts';

import { byteStreamCases, type Facts } from '../src/testing.ts';

type Browser = Awaited<ReturnType<typeof launchChromium>>;
type Page = Awaited<ReturnType<Browser['newPage']>>;
declare const page: BrowserPage;

let browser: Browser;
let server: StreamServer;
let wire: WireServer;

beforeAll(async () => {
  const pages = { '/': HTML, '/page.js': await bundle('./browser-page.ts') };
  [server, wire] = await Promise.all([startStreamServer(pages), WireServer.start(pages)]);
  browser = await launchChromium({ args: ['--host-resolver-rules=MAP lan.test 127.0.0.1'] });
});
afterAll(async () => {
  await browser.close();
  await Promise.all([server.close(), wire.close()]);
});

describe.each(['localhost', 'lan.test'])('Chromium on http://%s', (host) => {
  let tab: Page;
  const visit = async (port: number): Promise<Page> => {
    const tab = await browser.newPage();
    await tab.goto(`http://${host}:${port}/`);
    return tab;
  };
  beforeAll(async () => {
    tab = await visit(server.port);
    expect(await tab.evaluate(() => isSecureContext)).toBe(host === 'localhost');
  });
  afterAll(() => tab.close());

  test.each(byteStreamCases.map(({ name }) => name))('%s', async (name) => {
    const key = encodeURIComponent(`${host} ${name}`);
    await tab.evaluate(([name, key]) => page.runCase(name, key), [name, key] as const);
  });

  test('B5: 60 drops at random bytes, in frames and in characters: the text is byte-equal, once', async () => {
    const session = `drops-${host}` as SessionId;
    for (let i = 0; i < 3000; i++) wire.append(session, `${['漢字', '🎉', 'word '][i % 3]}${i}`);
    let drops = 0;
    let dropping = false;
    const wheres = ['anywhere', 'in-frame', 'in-character'] as const;
    const proxy = await startFaultProxy({
      target: { port: wire.port },
      plan: (index) =>
        dropping && drops++ < 60
          ? {
              cut: {
                afterBytes: (index * 7919) % 9000,
                where: wheres[index % 3] ?? 'anywhere',
                how: index % 2 === 0 ? 'reset' : 'close',
              },
            }
          : {},
    });
    const tab = await visit(proxy.port);
    proxy.cutAll();
    dropping = true;
    const text = await tab.evaluate(([session]) => page.readSession(session, 3000), [session] as const);
    expect(text).toBe(wire.log(session).text);
    expect(proxy.strikes).toBeGreaterThan(40);
    await tab.close();
    await proxy.close();
    await expect.poll(() => wire.readers).toBe(0);
  });

  // Some of the aborts meet their response, and Chromium closes those with its next collection (`fetch-wire.ts`, F3).
  test('B3: 2,000 quick starts and stops leave no stream', async () => {
    const tab = await visit(wire.port);
    expect(await tab.evaluate(() => page.startAndStop('cycles', 2000))).toBe('closed');
    await expect.poll(() => wire.readers).toBe(0);
    await tab.close();
  });
});

test('R115: twenty restarts 3 ms apart hold at most two sockets, and the stream reads again within a second', async () => {
  const own = await WireServer.start({ '/': HTML, '/page.js': await bundle('./browser-page.ts') });
  const tab = await browser.newPage();
  await tab.goto(`http://localhost:${own.port}/`);
  for (let round = 0; round < 5; round++) {
    const session = `restarts-${round}`;
    expect(await tab.evaluate((id) => page.restartQuickly(id, 20, 3), session)).toBeLessThan(1_000);
    expect(own.readersMax).toBeLessThanOrEqual(2);
    await expect.poll(() => own.readers, { timeout: 10_000 }).toBe(0);
  }
  await tab.close();
  await own.close();
});

test('R47: two tabs that find the token stale at once refresh it once, by a Web Lock', async () => {
  const context = await browser.newContext();
  const tabs = await Promise.all([context.newPage(), context.newPage()]);
  await Promise.all(tabs.map((tab) => tab.goto(`http://localhost:${server.port}/`)));
  const tokens = await Promise.all(tabs.map((tab) => tab.evaluate(() => page.refresh('stale'))));
  expect(tokens).toEqual(['fresh', 'fresh']);
  const facts = (await (await fetch(`${server.origin}/facts?key=refresh`)).json()) as Facts;
  expect(facts.requests).toBe(1);
  await context.close();
});

test('R114: a refresh that hangs in one tab does not hold the lock of the others', async () => {
  const context = await browser.newContext();
  const [hanging, waiting] = await Promise.all([context.newPage(), context.newPage()]);
  await Promise.all([hanging, waiting].map((tab) => tab.goto(`http://localhost:${server.port}/`)));
  const hung = hanging.evaluate(() => page.refreshThatHangs(1_000));
  await expect.poll(() => hanging.evaluate(async () => (await navigator.locks.query()).held?.length)).toBe(1);
  expect(await waiting.evaluate(() => page.refresh('stale'))).toBe('fresh');
  expect(await hung).toBe('auth-unavailable');
  await context.close();
});
