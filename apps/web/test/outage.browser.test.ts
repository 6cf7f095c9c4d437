/** The page when something breaks in between: the gateway, the network, the tab's attention. */
import type { Browser, Page } from 'playwright-core';
import { afterAll, beforeAll, expect, test } from 'vitest';

import { startFaultProxy } from '@holdfast/testing/fault-proxy';
import { launchChromium } from '@holdfast/testing/chromium';
import { startGatewayProcess, type Gateway } from './gateway.ts';
import { eventually, openTab } from './page.ts';

let gateway: Gateway;
let browser: Browser;

beforeAll(async () => {
  [gateway, browser] = await Promise.all([startGatewayProcess(), launchChromium()]);
});
afterAll(async () => {
  await browser?.close();
  await gateway?.[Symbol.asyncDispose]();
});

/** As a browser hides a tab: no frames, timers once a second, and the page is told. */
const setHidden = (page: Page, isHidden: boolean): Promise<void> =>
  page.evaluate((isHidden) => {
    const saved = window as unknown as { raf?: typeof requestAnimationFrame };
    saved.raf ??= requestAnimationFrame;
    window.requestAnimationFrame = isHidden ? () => 0 : saved.raf;
    Object.defineProperty(document, 'visibilityState', {
      configurable: true,
      get: () => (isHidden ? 'hidden' : 'visible'),
    });
    Object.defineProperty(document, 'hidden', { configurable: true, get: () => isHidden });
    document.dispatchEvent(new Event('visibilitychange'));
  }, isHidden);

test('E3: kill -9 of the gateway in mid-answer: the page recovers by itself, and the transcript is the log with all that was seen', async () => {
  await using tab = await openTab(browser, gateway, { mayLoseNetwork: true });
  await tab.say('/scene plain tokens=3000 rate=150');
  await tab.answer.locator('.markdown > p').nth(2).waitFor();
  await gateway.kill();
  const seen = await tab.shown();
  await tab.answer.evaluate((element) => Object.assign(element, { mine: true }));
  await tab.page.locator('.banner.is-warning').waitFor();
  expect(await tab.shown()).toBe(seen);

  await tab.page.locator('.composer-text').fill('/scene plain tokens=10');
  await tab.page.keyboard.press('Enter');
  await tab.page.locator('[data-outbox]').waitFor();

  await gateway.start();
  await tab.page.locator('.message.is-answer[data-state=interrupted]').waitFor();
  await tab.page.locator('.banner.is-warning').waitFor({ state: 'detached' });
  const interrupted = tab.page.locator('.message.is-answer').first();
  expect(await interrupted.evaluate((element) => 'mine' in element)).toBe(true);
  // What was sent meanwhile went out, once.
  await tab.settled();
  const { messages } = await gateway.view(tab.sessionId());
  expect(messages.map(({ role }) => role)).toEqual(['user', 'assistant', 'user', 'assistant']);
  expect(messages[1]?.text.startsWith(seen)).toBe(true);
  const shown = await interrupted.evaluate((element) =>
    [...element.querySelectorAll('.markdown > *')].map((block) => block.textContent).join('\n\n'),
  );
  expect(shown).toBe(messages[1]?.text.trimEnd());
  expect(await tab.shown()).toBe(messages[3]?.text);
  expect(tab.faults).toEqual([]);
});

test('R34: an interrupted answer offers to go on, and goes on', async () => {
  await using tab = await openTab(browser, gateway, { mayLoseNetwork: true });
  await tab.say('/scene plain tokens=3000 rate=150');
  await tab.answer.locator('.markdown > p').first().waitFor();
  await gateway.kill();
  await gateway.start();
  await tab.page.getByRole('button', { name: 'Continue', exact: true }).click();
  await tab.settled();
  expect(await tab.page.locator('.message').count()).toBe(4);
  expect(await tab.page.locator('.ending button').count()).toBe(0);
  expect(tab.faults).toEqual([]);
});

test('R72: offline, a message waits in its own session’s outbox through a reload, and goes out once', async () => {
  await using tab = await openTab(browser, gateway, { mayLoseNetwork: true });
  await tab.say('/scene plain tokens=10');
  await tab.settled();
  const id = tab.sessionId();
  await gateway.kill();
  await tab.page.locator('.composer-text').fill('/scene plain tokens=12 seed=4');
  await tab.page.keyboard.press('Enter');
  await tab.page.locator('[data-outbox]').waitFor();
  await tab.page.getByRole('button', { name: 'New session', exact: true }).click();
  await gateway.start();
  await eventually(async () =>
    (await gateway.view(id)).messages.filter(({ role }) => role === 'user').map(({ text }) => text),
  ).toEqual(['/scene plain tokens=10', '/scene plain tokens=12 seed=4']);
  await tab.page.goBack();
  await tab.page.locator('.bubble', { hasText: 'seed=4' }).waitFor();
  await tab.settled();
  await eventually(() => tab.page.locator('[data-outbox]').count()).toBe(0);
  expect(tab.faults).toEqual([]);
});

test('R48: the browser goes offline and comes back: it is said, and everything that happened meanwhile is there', async () => {
  const proxy = await startFaultProxy({ target: { port: Number(new URL(gateway.url).port) } });
  await using tab = await openTab(browser, gateway, { mayLoseNetwork: true, origin: proxy.origin });
  await tab.say('/scene plain tokens=200 rate=100');
  await tab.answer.locator('.markdown').waitFor();
  await tab.context.setOffline(true);
  proxy.cutAll();
  await tab.page.locator('.banner.is-warning').waitFor();
  await tab.context.setOffline(false);
  await tab.page.locator('.banner.is-warning').waitFor({ state: 'detached' });
  await tab.settled();
  const { messages } = await gateway.view(tab.sessionId());
  expect(await tab.shown()).toBe(messages.at(-1)?.text);
  expect(tab.faults).toEqual([]);
  await proxy.close();
});

test('E9: a hidden tab shows the same when it is looked at again, and the title calls', async () => {
  await using tab = await openTab(browser, gateway);
  await tab.say('/scene plain tokens=200 rate=200');
  await tab.answer.locator('.markdown').waitFor();
  await setHidden(tab.page, true);
  await eventually(async () => (await gateway.view(tab.sessionId())).turn).toBe(null);
  await setHidden(tab.page, false);
  await tab.settled();
  const { messages } = await gateway.view(tab.sessionId());
  expect(await tab.shown()).toBe(messages.at(-1)?.text);
  expect(tab.faults).toEqual([]);
});

test('R68: a background session’s end marks its row and leaves the visible one alone', async () => {
  await using tab = await openTab(browser, gateway);
  await tab.say('/scene plain tokens=1000 rate=100');
  await tab.answer.locator('.markdown').waitFor();
  const first = tab.sessionId();
  await tab.page.getByRole('button', { name: 'New session', exact: true }).click();
  await tab.say('/scene approval rate=400');
  await tab.page.locator('.prompt.is-open').waitFor();
  const row = tab.page.locator(`[data-session=${first}]`);
  expect(await row.getAttribute('data-mark')).toBe('running');
  await eventually(() => row.getAttribute('data-mark')).toBe('unread');
  expect(await tab.page.locator('.prompt.is-open').count()).toBe(1);
  expect(await tab.page.title()).toMatch(/^● \(\d+\) /);
  await row.locator('a').click();
  await eventually(() => row.getAttribute('data-mark')).toBe(null);
  await eventually(async () => (await gateway.view(first)).readSeq).toBeGreaterThan(0);
  expect(tab.faults).toEqual([]);
});

test('a browser without a cookie is told how to get one, and gets in with a pasted link', async () => {
  const context = await browser.newContext();
  const page = await context.newPage();
  await page.goto(gateway.url);
  await page.getByText('This browser is not signed in').waitFor();
  await page.getByLabel('Start link').fill(await gateway.link());
  await page.getByRole('button', { name: 'Sign in' }).click();
  await page.locator('.connection[data-state=live]').waitFor();
  await context.close();
});

test('a page of another device over plain http works, and says what it lacks', async () => {
  const lan = await launchChromium({ args: ['--host-resolver-rules=MAP lan.test 127.0.0.1'] });
  await using named = await startGatewayProcess({ HOLDFAST_HOSTS: 'lan.test' });
  const origin = named.url.replace('127.0.0.1', 'lan.test');
  await using tab = await openTab(lan, named, { origin });
  expect(await tab.page.evaluate(() => isSecureContext)).toBe(false);
  await tab.say('/scene plain tokens=20 rate=0');
  await tab.settled();
  await tab.page.getByRole('button', { name: 'Copy answer' }).click();
  await tab.page.getByRole('button', { name: 'Copied' }).waitFor();
  await tab.page.getByRole('button', { name: 'Some features are missing' }).click();
  expect(await tab.page.locator('.notice').innerText()).toContain('plain http');
  expect(tab.faults).toEqual([]);
  await lan.close();
});
