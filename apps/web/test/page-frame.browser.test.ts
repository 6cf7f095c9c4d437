/** What stands around the conversation: the list, the keys, small screens, new versions, the build itself. */
import { readdirSync, readFileSync, statSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { gzipSync } from 'node:zlib';
import type { Browser } from 'playwright-core';
import { afterAll, beforeAll, expect, test } from 'vitest';

import { launchChromium } from '@holdfast/testing/chromium';
import { startGatewayProcess, type Gateway } from './gateway.ts';
import { eventually, openTab } from './page.ts';

let gateway: Gateway;
let browser: Browser;

beforeAll(async () => {
  [gateway, browser] = await Promise.all([startGatewayProcess({ HOLDFAST_QUEUE_MAX: '1' }), launchChromium()]);
});
afterAll(async () => {
  await browser?.close();
  await gateway?.[Symbol.asyncDispose]();
});

test('the list: renamed, pinned, archived and deleted by menu; another tab sees it live', async () => {
  await using tab = await openTab(browser, gateway);
  await tab.say('/scene plain tokens=5');
  await tab.settled();
  const id = tab.sessionId();
  await using second = await openTab(browser, gateway, { context: tab.context, path: '/' });
  const row = tab.page.locator(`[data-session=${id}]`);
  const choose = async (item: string): Promise<void> => {
    await row.hover();
    await row.getByRole('button').click();
    await row.getByRole('menuitem', { name: item, exact: true }).click();
  };
  await choose('Rename');
  await tab.page.locator('.sidebar').getByLabel('Title').fill('Winter berths');
  await tab.page.keyboard.press('Enter');
  const there = second.page.locator(`[data-session=${id}]`);
  await eventually(() => there.locator('.row-title').innerText()).toBe('Winter berths');
  await eventually(() => tab.page.locator('.page-title').innerText()).toBe('Winter berths');

  await choose('Pin');
  await second.page.getByRole('region', { name: 'Pinned' }).locator('.row', { hasText: 'Winter berths' }).waitFor();
  await choose('Archive');
  await second.page.getByRole('button', { name: 'Archived (1)' }).waitFor();
  await second.page.getByRole('button', { name: 'Archived (1)' }).click();
  await there.waitFor();

  await tab.page.getByRole('button', { name: 'Archived (1)' }).click();
  await choose('Delete');
  await tab.page.getByRole('dialog').getByRole('button', { name: 'Delete' }).click();
  await there.waitFor({ state: 'detached' });
  await tab.page.getByText('This session was deleted').waitFor();
  expect([...tab.faults, ...second.faults]).toEqual([]);
});

test('R72: what is written in a session that was deleted meanwhile begins another, and what was sent into it is to be seen', async () => {
  await using tab = await openTab(browser, gateway, { mayLoseNetwork: true });
  await tab.say('/scene plain tokens=5');
  await tab.settled();
  const id = tab.sessionId();
  await tab.context.setOffline(true);
  await tab.page.locator('.composer-text').fill('sent too late');
  await tab.page.keyboard.press('Enter');
  await tab.page.locator('.message[data-outbox]', { hasText: 'sent too late' }).waitFor();
  await tab.page.locator('.composer-text').fill('not sent yet');
  await gateway.remove(id);
  await tab.context.setOffline(false);
  await tab.page.getByText('This session was deleted').waitFor();
  await tab.page.locator('.queue-row[data-outbox=refused]', { hasText: 'sent too late' }).waitFor();

  await tab.page.locator('.composer-text').press('Enter');
  await tab.page.locator('.bubble', { hasText: 'not sent yet' }).waitFor();
  expect(tab.sessionId()).not.toBe(id);
  await tab.settled();
  expect(await tab.page.locator('.composer-text').inputValue()).toBe('');
  expect(tab.faults.filter((fault) => !fault.includes('410'))).toEqual([]);
});

test('a session is renamed by the keys alone, where one reads it too, and a name that does not get through is told', async () => {
  await using tab = await openTab(browser, gateway, { mayLoseNetwork: true });
  await tab.say('/scene plain tokens=5');
  await tab.settled();
  const focused = (): Promise<string | undefined> => tab.page.evaluate(() => document.activeElement?.className);
  const title = tab.page.locator('.page-title-button');
  await title.press('Enter');
  await tab.page.keyboard.type('Winter berths by the sea');
  await tab.page.keyboard.press('Enter');
  await eventually(() => title.innerText()).toBe('Winter berths by the sea');
  expect(await focused()).toBe('page-title-button');

  const row = tab.page.locator(`[data-session=${tab.sessionId()}]`);
  await row.getByRole('button').press('Enter');
  await row.getByRole('menuitem', { name: 'Rename' }).press('Enter');
  await tab.page.keyboard.press('Escape');
  await eventually(focused).toBe('row');

  await tab.context.setOffline(true);
  await title.press('Enter');
  await tab.page.keyboard.type('Lost');
  await tab.page.keyboard.press('Enter');
  await tab.page.locator('.notice.is-error', { hasText: 'The connection was lost' }).waitFor();
  expect(await title.innerText()).toBe('Winter berths by the sea');
  await tab.context.setOffline(false);
  expect(tab.faults).toEqual([]);
});

test('Ctrl+K searches the words of all sessions, and the arrow leads to what was found', async () => {
  await using tab = await openTab(browser, gateway);
  await tab.say('where is the quokka?');
  await tab.settled();
  const id = tab.sessionId();
  await tab.page.getByRole('button', { name: 'New session', exact: true }).click();
  await tab.page.keyboard.press('Control+k');
  await tab.page.keyboard.type('quokka');
  // Not what was found for its first letters.
  await eventually(() => tab.page.locator('.row').count()).toBe(1);
  await tab.page.getByRole('region', { name: 'Found' }).locator(`[data-session=${id}]`).waitFor();
  await tab.page.keyboard.press('ArrowDown');
  await tab.page.keyboard.press('Enter');
  await eventually(() => tab.sessionId()).toBe(id);
  await tab.page.keyboard.press('Control+k');
  await tab.page.keyboard.press('Escape');
  await tab.page.getByRole('region', { name: 'Found' }).waitFor({ state: 'detached' });
  expect(tab.faults).toEqual([]);
});

test('where the list stands beside the session, searching it leaves the session within reach', async () => {
  await using tab = await openTab(browser, gateway);
  await tab.page.keyboard.press('Control+k');
  await tab.page.keyboard.type('quokka');
  await tab.page.locator('.composer-text').click();
  await tab.page.keyboard.type('still here');
  expect(await tab.page.locator('.composer-text').inputValue()).toBe('still here');
  expect(await tab.page.locator('.search-input').inputValue()).toBe('quokka');
  await tab.page.locator('.composer-text').fill('');

  // Escape clears the search, then leaves it; what is being answered goes on.
  await tab.say('/scene plain tokens=3000 rate=100');
  await tab.answer.locator('.markdown').waitFor();
  await tab.page.keyboard.press('Control+k');
  await tab.page.keyboard.press('Escape');
  await tab.page.keyboard.press('Escape');
  await tab.page.keyboard.type('back');
  expect(await tab.page.locator('.composer-text').inputValue()).toBe('back');
  expect(await tab.answer.getAttribute('data-state')).toBe('streaming');
  await tab.page.keyboard.press('Escape');
  await tab.settled('cancelled');

  // Where there is little room it comes over the session, with the keys in it.
  await tab.page.setViewportSize({ width: 600, height: 700 });
  await eventually(() => tab.page.locator('.sidebar').isVisible()).toBe(false);
  await tab.page.keyboard.press('Control+k');
  await tab.page.keyboard.type('kookaburra');
  expect(await tab.page.locator('.search-input').inputValue()).toBe('kookaburra');
  await tab.page.keyboard.press('Escape');
  const focused = (): Promise<string | null | undefined> =>
    tab.page.evaluate(() => document.activeElement?.getAttribute('aria-label'));
  await eventually(focused).toBe('Sessions');
  await tab.page.keyboard.press('Enter');
  await eventually(focused).toBe('Close the list');
  await tab.page.setViewportSize({ width: 1100, height: 800 });
  await tab.page.locator('.composer-text').click();
  expect(tab.faults).toEqual([]);
});

test('the window has the title of the session that is shown, and an address that cannot be read is a new one', async () => {
  await using tab = await openTab(browser, gateway);
  for (const title of ['Ebb', 'Flood']) await gateway.open(title);
  for (const title of ['Ebb', 'Flood', 'Ebb']) {
    await tab.page.locator('.row', { hasText: title }).click();
    await eventually(() => tab.page.title()).toBe(`${title} · Holdfast`);
  }
  await tab.page.goBack();
  await eventually(() => tab.page.title()).toBe('Flood · Holdfast');
  await tab.page.goto(`${gateway.url}/s/%E0%A4%A`);
  await tab.page.getByRole('heading', { name: 'New session' }).waitFor();
  expect(tab.faults).toEqual([]);
});

test('at 360 px the list is a drawer, nothing is wider than the screen, and everything can be done', async () => {
  await using tab = await openTab(browser, gateway, { viewport: { width: 360, height: 640 }, hasTouch: true });
  await tab.say('/scene markdown tokens=400 rate=0');
  await tab.settled();
  const overflow = (): Promise<number> => tab.page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
  expect(await overflow()).toBeLessThanOrEqual(0);
  expect(await tab.page.locator('.transcript').evaluate((box) => box.scrollWidth - box.clientWidth)).toBe(0);
  await tab.say('/scene approval rate=400');
  await tab.page.locator('.prompt.is-open').waitFor();
  for (const width of [320, 360]) {
    await tab.page.setViewportSize({ width, height: 640 });
    for (const name of ['Queue', 'Steer', 'Interrupt']) {
      // By the keys: its label is out of sight.
      await tab.page.getByRole('radio', { name }).press('Space');
      await tab.page.getByRole('button', { name, exact: true }).waitFor();
      const bar = tab.page.locator('.composer-bar, .segments');
      const beyond = await bar.evaluateAll((boxes) => boxes.map((box) => box.scrollWidth - box.clientWidth));
      expect([width, name, ...beyond]).toEqual([width, name, 0, 0]);
    }
  }
  await tab.page.getByRole('button', { name: 'Stop', exact: true }).click();
  await tab.settled('cancelled');
  expect(await tab.page.locator('.sidebar').isVisible()).toBe(false);
  await tab.page.getByRole('button', { name: 'Sessions', exact: true }).click();
  await tab.page.locator('.row').first().waitFor();
  expect(await overflow()).toBeLessThanOrEqual(0);
  await tab.page.keyboard.press('Escape');
  await eventually(() => tab.page.locator('.sidebar').isVisible()).toBe(false);
  expect(tab.faults).toEqual([]);
});

test('the theme is the system’s until one is chosen, and the choice is there before the first paint', async () => {
  await using tab = await openTab(browser, gateway, { colorScheme: 'dark' });
  const ground = (): Promise<string> =>
    tab.page.evaluate(() => getComputedStyle(document.documentElement).backgroundColor);
  const dark = await ground();
  await tab.page.getByRole('button', { name: 'Light or dark: as the system' }).click();
  await eventually(ground).not.toBe(dark);
  await tab.page.reload();
  await tab.page.locator('.preferences').waitFor();
  expect(await ground()).not.toBe(dark);
  expect(tab.faults).toEqual([]);
});

test('a message that the gateway does not take says why, and is kept until it is taken or discarded', async () => {
  await using tab = await openTab(browser, gateway);
  await tab.say('/scene approval rate=400');
  await tab.page.locator('.prompt.is-open').waitFor();
  await tab.say('one');
  await tab.page.locator('.queue-row', { hasText: 'one' }).waitFor();
  await tab.say('two');
  const refused = tab.page.locator('.queue-row[data-outbox]', { hasText: 'The queue of this session is full' });
  await refused.waitFor();
  await refused.getByRole('button', { name: 'Discard' }).click();
  await refused.waitFor({ state: 'detached' });
  // The refusal is an answer of the gateway, and Chromium writes such answers into the console.
  expect(tab.faults.filter((fault) => !fault.includes('429'))).toEqual([]);
});

test('a page that is older than the gateway’s offers to reload, and keeps what was being written', async () => {
  await using tab = await openTab(browser, gateway, { mayLoseNetwork: true });
  await tab.say('/scene plain tokens=5');
  await tab.settled();
  await tab.page.locator('.composer-text').fill('not sent yet');
  await tab.page.route(
    (url) => url.pathname === '/',
    (route) =>
      route.fulfill({ contentType: 'text/html', body: '<script type="module" src="./assets/newer.js"></script>' }),
    { times: 1 },
  );
  await gateway.kill();
  await gateway.start();
  await tab.page.getByRole('button', { name: 'Reload' }).click();
  await tab.page.locator('.banner.is-news').waitFor({ state: 'detached' });
  await eventually(() => tab.page.locator('.composer-text').inputValue()).toBe('not sent yet');
  expect(tab.faults).toEqual([]);
});

test('what screen readers need is there: landmarks, names, a polite voice that says beginnings and ends', async () => {
  await using tab = await openTab(browser, gateway);
  await tab.page.evaluate(() => {
    const said: string[] = [];
    Object.assign(window, { said });
    new MutationObserver(() => {
      const text = document.querySelector('output.visually-hidden')?.textContent ?? '';
      if (text !== '' && said.at(-1) !== text) said.push(text);
    }).observe(document.body, { subtree: true, childList: true, characterData: true });
  });
  await tab.say('/scene plain tokens=600 rate=200');
  await tab.settled();
  await eventually(() => tab.page.evaluate(() => (window as unknown as { said: string[] }).said)).toEqual([
    'The answer begins.',
    'The answer is finished.',
  ]);
  for (const role of ['main', 'navigation', 'complementary', 'log'] as const)
    expect(await tab.page.getByRole(role).count(), role).toBe(1);
  const nameless = await tab.page.evaluate(() =>
    [...document.querySelectorAll('button, a, input, textarea')]
      .filter(
        (element) => element.checkVisibility() && !(element instanceof HTMLInputElement && element.type === 'file'),
      )
      .filter((element) => (element.getAttribute('aria-label') ?? element.textContent).trim() === '')
      .filter((element) => !(element instanceof HTMLInputElement && (element.labels?.length ?? 0) > 0))
      .map((element) => element.outerHTML),
  );
  expect(nameless).toEqual([]);
  expect(tab.faults).toEqual([]);
});

test('the build: one small script to begin with, nothing inline, nothing that is evaluated', () => {
  const dist = fileURLToPath(new URL('../dist/', import.meta.url));
  const html = readFileSync(`${dist}index.html`, 'utf8');
  expect(html).not.toMatch(/<script(?![^>]*\ssrc=)|<style|\sstyle=|\son\w+=/);
  const first = [...html.matchAll(/(?:src|href)="\.\/(assets\/[^"]+\.js)"/g)].map(([, file]) =>
    readFileSync(dist + file),
  );
  expect(first.length).toBeGreaterThan(0);
  expect(first.reduce((sum, bytes) => sum + gzipSync(bytes).length, 0)).toBeLessThan(150_000);
  const newest = readdirSync(`${dist}assets`).filter(
    (name) => html.includes(name) || statSync(`${dist}assets/${name}`).isFile(),
  );
  for (const name of newest.filter((name) => name.endsWith('.js') && html.includes(name)))
    expect(readFileSync(`${dist}assets/${name}`, 'utf8')).not.toMatch(/\bnew Function\(|[^.\w]eval\(/);
});
