/**
 * Seven tabs of one browser on a real gateway over HTTP/1.1, where a browser has six sockets for all of them (R50): each of
 * them sends, and each shows everything that the others sent and what was answered.
 */
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';

import { configOf, startGateway } from '@holdfast/gateway';
import { launchChromium } from '@holdfast/testing/chromium';
import { afterAll, beforeAll, expect, test } from 'vitest';

import { bundle, HTML } from '../bundle.ts';
import type { TabPage } from './tabs-page.ts';

declare const tabPage: TabPage;

const TOKEN = 'hf_root_of_the_tests';
const TABS = 7;

type Gateway = Awaited<ReturnType<typeof startGateway>>;

let browser: Awaited<ReturnType<typeof launchChromium>>;
let gateway: Gateway;
let web = '';

beforeAll(async () => {
  web = await mkdtemp(path.join(tmpdir(), 'holdfast-tabs-'));
  await writeFile(path.join(web, 'index.html'), HTML);
  await writeFile(path.join(web, 'page.js'), await bundle('./proof/tabs-page.ts'));
  const publicUrl = new URL('http://lan.test');
  const config = configOf({
    port: 0,
    store: { kind: 'memory' },
    token: TOKEN,
    log: 'silent',
    drainMs: 100,
    web,
    publicUrl,
  });
  gateway = await startGateway(config);
  browser = await launchChromium({ args: ['--host-resolver-rules=MAP lan.test 127.0.0.1'] });
});
afterAll(async () => {
  await browser.close();
  await gateway.close();
  await rm(web, { recursive: true });
});

test.each(['localhost', 'lan.test'])(`R50, E9: ${TABS} tabs on http://%s send and show the same`, async (host) => {
  const context = await browser.newContext();
  const tabs = [];
  for (let i = 0; i < TABS; i++) {
    const tab = await context.newPage();
    await tab.goto(`http://${host}:${gateway.port}/`);
    await tab.evaluate(([token, id]) => tabPage.open(token, id), [TOKEN, `s_${host}`] as const);
    tabs.push(tab);
  }
  for (const [i, tab] of tabs.entries())
    await tab.evaluate((text) => tabPage.send(text), `/scene plain tokens=20 rate=0 delay=0 seed=${i}`);
  const shown = await Promise.all(tabs.map((tab) => tab.evaluate((count) => tabPage.settled(count), TABS)));
  expect(shown[0]?.match(/^user: /gm)).toHaveLength(TABS);
  expect(shown[0]?.match(/^assistant: .{20}/gm)).toHaveLength(TABS);
  expect(new Set(shown).size).toBe(1);
  await context.close();
});
