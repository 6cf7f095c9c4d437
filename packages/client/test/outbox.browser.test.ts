/** Unsent messages in a real IndexedDB, through reloads, dying pages and second tabs. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';

import { configOf, startGateway } from '@holdfast/gateway';
import { launchChromium } from '@holdfast/testing/chromium';
import { expect, onTestFinished, test } from 'vitest';

import { bundle, HTML } from './bundle.ts';

const TOKEN = 'hf_root_of_the_tests';
type Page = Awaited<ReturnType<Awaited<ReturnType<typeof launchChromium>>['newPage']>>;

async function openBrowser(): Promise<{ newPage(subject?: string): Promise<Page> }> {
  const web = await mkdtemp(path.join(tmpdir(), 'holdfast-outbox-'));
  await writeFile(path.join(web, 'index.html'), HTML);
  await writeFile(path.join(web, 'page.js'), await bundle('outbox-page.ts'));
  const gateway = await startGateway(
    configOf({ port: 0, store: { kind: 'memory' }, token: TOKEN, log: 'silent', drainMs: 100, web }),
  );
  const browser = await launchChromium();
  const context = await browser.newContext();
  onTestFinished(async () => {
    await browser.close();
    await gateway.close();
    await rm(web, { recursive: true });
  });
  return {
    async newPage(subject) {
      const page = await context.newPage();
      await page.goto(gateway.url);
      await page.evaluate(([token, it]) => window.outboxPage.open(token ?? '', it), [TOKEN, subject]);
      return page;
    },
  };
}

const SENDS = /\/messages$/;
const state = (page: Page): Promise<ReturnType<typeof window.outboxPage.state>> =>
  page.evaluate(() => window.outboxPage.state());
const stored = (page: Page): Promise<readonly string[]> => page.evaluate(() => window.outboxPage.stored());
const send = (page: Page, text: string): Promise<void> => page.evaluate((it) => window.outboxPage.send(it), text);

test('a page that dies with unsent messages loses none: the next one sends them, once, in order (R25, R54)', async () => {
  const browser = await openBrowser();
  const first = await browser.newPage();
  await first.evaluate(() => window.outboxPage.create());
  await first.route(SENDS, (route) => route.abort());
  await send(first, 'one');
  await send(first, 'two');
  await expect.poll(async () => (await state(first)).outbox).toEqual(['one unconfirmed', 'two sending']);
  // Who is signed in was asked of the gateway.
  expect(await stored(first)).toEqual(['admin: one', 'admin: two']);
  await first.close();

  const second = await browser.newPage();
  await expect.poll(() => state(second)).toEqual({ messages: ['one', 'two'], outbox: [] });
  expect(await stored(second)).toEqual([]);
});

test('a person who clears the site’s data clears what was unsent, and not the place of what is written afterwards (R25)', async () => {
  const browser = await openBrowser();
  const page = await browser.newPage();
  await page.evaluate(() => window.outboxPage.create());
  await page.route(SENDS, (route) => route.abort());
  await send(page, 'before');
  // The browser tells each connection in turn, and the last is that of this test.
  await page.evaluate(
    () =>
      new Promise<void>((opened) => {
        const asked = indexedDB.open('holdfast-outbox');
        asked.addEventListener('success', () => {
          const told = new Promise((resolve) => asked.result.addEventListener('close', resolve));
          Object.assign(window, { told });
          opened();
        });
      }),
  );
  const devtools = await page.context().newCDPSession(page);
  const { origin } = new URL(page.url());
  await devtools.send('Storage.clearDataForOrigin', { origin, storageTypes: 'indexeddb' });
  await page.evaluate(() => (window as unknown as { readonly told: Promise<void> }).told);
  await send(page, 'after');
  expect(await stored(page)).toEqual(['admin: after']);
});

test('two tabs hold the same unsent message: it arrives once', async () => {
  const browser = await openBrowser();
  const first = await browser.newPage();
  await first.evaluate(() => window.outboxPage.create());
  await first.route(SENDS, (route) => route.abort());
  await send(first, 'shared');
  await expect.poll(async () => (await state(first)).outbox).toEqual(['shared unconfirmed']);
  const second = await browser.newPage();
  await expect.poll(() => state(second)).toEqual({ messages: ['shared'], outbox: [] });
  await first.unroute(SENDS);
  await expect.poll(() => state(first)).toEqual({ messages: ['shared'], outbox: [] });
  await expect.poll(() => stored(first)).toEqual([]);
});

test('O3: who signs in next neither sends nor sees what another left', async () => {
  const browser = await openBrowser();
  const ann = await browser.newPage('ann');
  await ann.evaluate(() => window.outboxPage.create());
  await ann.route(SENDS, (route) => route.abort());
  await send(ann, 'anns');
  await expect.poll(async () => (await state(ann)).outbox).toEqual(['anns unconfirmed']);
  await ann.close();
  const bob = await browser.newPage('bob');
  await send(bob, 'bobs');
  await expect.poll(() => state(bob)).toEqual({ messages: ['bobs'], outbox: [] });
  expect(await stored(bob)).toEqual(['ann: anns']);
  await bob.close();
  const again = await browser.newPage('ann');
  await expect.poll(() => state(again)).toEqual({ messages: ['bobs', 'anns'], outbox: [] });
});
