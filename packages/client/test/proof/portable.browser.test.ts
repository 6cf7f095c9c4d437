/** The portable cases in Chromium: on localhost, and on a plain-http origin of the LAN, which is no secure context. */
import { launchChromium } from '@holdfast/testing/chromium';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';

import { bundle, HTML } from '../bundle.ts';
import { WireServer } from '../wire-server.ts';
import { portableCases } from './portable-cases.ts';
import type { Portable } from './portable-page.ts';

declare const portable: Portable;

type Browser = Awaited<ReturnType<typeof launchChromium>>;

let browser: Browser;
let server: WireServer;

beforeAll(async () => {
  server = await WireServer.start({ '/': HTML, '/page.js': await bundle('./proof/portable-page.ts') });
  browser = await launchChromium({ args: ['--host-resolver-rules=MAP lan.test 127.0.0.1'] });
});
afterAll(async () => {
  await browser.close();
  await server.close();
});

describe.each(['localhost', 'lan.test'])('Chromium on http://%s', (host) => {
  let tab: Awaited<ReturnType<Browser['newPage']>>;
  beforeAll(async () => {
    tab = await browser.newPage();
    await tab.goto(`http://${host}:${server.port}/`);
    expect(await tab.evaluate(() => isSecureContext)).toBe(host === 'localhost');
  });
  afterAll(() => tab.close());

  test.each(portableCases.map((it, index) => [it.name, `${host}-${index}`] as const))('%s', async (name, key) => {
    await tab.evaluate(([name, key]) => portable.run(name, key), [name, key] as const);
  });
});
