/** The client as a bundler splits it, in a real browser, on networks that are there for one of the parts and not for the other. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';

import { configOf, startGateway } from '@holdfast/gateway';
import { launchChromium } from '@holdfast/testing/chromium';
import { expect, onTestFinished, test } from 'vitest';

import { bundleInParts, HTML_OF_PARTS } from './bundle.ts';

const TOKEN = 'hf_root_of_the_tests';
/** What the page loads by itself once a client is made. */
const LIVE = /\/live\.js$/;
type Page = Awaited<ReturnType<Awaited<ReturnType<typeof launchChromium>>['newPage']>>;

/** An empty page of the gateway's with `window.outboxPage`, before a client is made. */
async function openPage(): Promise<Page> {
  const web = await mkdtemp(path.join(tmpdir(), 'holdfast-parts-'));
  await writeFile(path.join(web, 'index.html'), HTML_OF_PARTS);
  for (const [name, code] of await bundleInParts('outbox-page.ts')) await writeFile(path.join(web, name), code);
  const gateway = await startGateway(
    configOf({ port: 0, store: { kind: 'memory' }, token: TOKEN, log: 'silent', drainMs: 100, web }),
  );
  const browser = await launchChromium();
  onTestFinished(async () => {
    await browser.close();
    await gateway.close();
    await rm(web, { recursive: true });
  });
  const page = await browser.newPage();
  await page.goto(gateway.url);
  const headers = { authorization: `Bearer ${TOKEN}`, 'content-type': 'application/json' };
  const body = JSON.stringify({ sessionId: 's_idb' });
  await fetch(`${gateway.url}/v1/sessions`, { method: 'POST', headers, body });
  return page;
}

const open = (page: Page): Promise<void> => page.evaluate((token) => window.outboxPage.open(token, 'admin'), TOKEN);
const send = (page: Page, text: string): Promise<void> => page.evaluate((it) => window.outboxPage.send(it), text);
const stored = (page: Page): Promise<readonly string[]> => page.evaluate(() => window.outboxPage.stored());
const state = (page: Page): Promise<ReturnType<typeof window.outboxPage.state>> =>
  page.evaluate(() => window.outboxPage.state());

test('the network goes right after a client was made: it has all it needs, and what is sent meanwhile arrives', async () => {
  const page = await openPage();
  const asked = page.waitForResponse(LIVE);
  await open(page);
  // Nobody asked for anything yet: the part comes because a client was made.
  await asked;
  await page.context().setOffline(true);
  await send(page, 'into the dark');
  await expect.poll(async () => (await state(page)).outbox).toEqual(['into the dark unconfirmed']);
  expect(await stored(page)).toEqual(['admin: into the dark']);
  await page.context().setOffline(false);
  await expect.poll(() => state(page)).toEqual({ messages: ['into the dark'], outbox: [] });
  expect(await stored(page)).toEqual([]);
});

test('the live part does not come, and a browser does not ask for it twice: the page does without, a reload is whole', async () => {
  const page = await openPage();
  let asked = 0;
  await page.route(LIVE, (route) => {
    asked++;
    return route.abort();
  });
  await open(page);
  await expect.poll(() => page.evaluate(() => window.outboxPage.connection())).toBe('live');
  await send(page, 'by asking');
  await expect.poll(() => state(page)).toEqual({ messages: ['by asking'], outbox: [] });
  expect(await stored(page)).toEqual([]);

  // Decision 9 rests on this: the client asks for it each time, the browser does not.
  expect(asked).toBe(1);

  await page.unroute(LIVE);
  const streams = page.waitForRequest(/\/v1\/events$/);
  await page.reload();
  await open(page);
  await streams;
  await send(page, 'by a stream');
  await expect.poll(() => state(page)).toEqual({ messages: ['by asking', 'by a stream'], outbox: [] });
});
