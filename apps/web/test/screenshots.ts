/**
 * `npm run screenshots -w apps/web`: the pictures of the documents, taken from a real gateway and a rehearsal.
 * What is seen is what the page does; nothing is drawn for the picture.
 */
import { mkdir } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import type { Page } from 'playwright-core';

import { launchChromium } from '@holdfast/testing/chromium';
import { startGatewayProcess, type Gateway } from './gateway.ts';

const folder = fileURLToPath(new URL('../../../docs/screenshots/', import.meta.url));
const WIDE = { width: 1280, height: 820 };
const NARROW = { width: 390, height: 780 };

/** Sessions beside the one that is shown: each with a mark of its own. */
const BESIDE = [
  { title: 'Berths for the winter', say: '/scene plain tokens=40 rate=0', pinned: true },
  { title: 'Lines out of a byte stream', say: '/scene markdown tokens=200 rate=0', pinned: true },
  { title: 'Rename the logbooks', say: '/scene fail tokens=20 rate=0' },
  { title: 'Deploy the harbour lights', say: '/scene approval rate=0' },
  { title: 'A very long manifest', say: '/scene long tokens=100000 rate=40' },
  { title: 'Tide tables as JSON', say: '/scene plain tokens=60 rate=0' },
];

async function prepare(gateway: Gateway): Promise<void> {
  for (const { title, say, pinned = false } of BESIDE) {
    const id = await gateway.open(title, pinned);
    await gateway.say(id, say);
  }
}

async function say(page: Page, text: string, until: string): Promise<void> {
  await page.locator('.composer-text').fill(text);
  await page.keyboard.press('Enter');
  await page.waitForFunction(() => document.querySelector<HTMLTextAreaElement>('.composer-text')?.value === '');
  await page.locator(until).last().waitFor();
}

async function rename(page: Page, title: string): Promise<void> {
  await page.locator('.page-title-button').click();
  await page.locator('.page-head .rename').fill(title);
  await page.keyboard.press('Enter');
  await page.locator('.page-title', { hasText: title }).waitFor();
}

await using gateway = await startGatewayProcess();
await using browser = await launchChromium();
await mkdir(folder, { recursive: true });
await prepare(gateway);

const context = await browser.newContext({
  viewport: WIDE,
  deviceScaleFactor: 2,
  colorScheme: 'light',
  locale: 'en-GB',
});
const page = await context.newPage();
await page.goto(await gateway.link());
const shoot = async (name: string): Promise<void> => {
  await page.evaluate(() => document.fonts.ready);
  // The inks of code come from a worker.
  await page.waitForTimeout(600);
  await page.screenshot({ path: `${folder}${name}.png` });
};

await page.locator('.example').first().waitFor();
await shoot('welcome');

const done = (n: number): string => `.message.is-answer[data-state=completed] >> nth=${n}`;
await say(page, '/scene thinking tokens=36 rate=400 seed=5', done(0));
await say(page, '/scene tool lines=5 tokens=30 rate=400 seed=9', done(1));
await rename(page, 'From the rehearsal');
await say(page, '/scene markdown tokens=178 rate=2000 seed=12', done(2));
// From the tool on, with the code in the middle.
await page.locator('.transcript').evaluate((box) => {
  const tool = box.querySelector('.tool');
  if (tool !== null) box.scrollTop += tool.getBoundingClientRect().top - box.getBoundingClientRect().top - 40;
});
await page.locator('.page-about').hover();
await shoot('light');
await page.locator('.jump').click();

await page.emulateMedia({ colorScheme: 'dark' });
await say(page, '/scene approval rate=400 seed=3', '.prompt.is-open');
await page.locator('.tool').last().locator('.card-head').click();
await say(page, 'Then check the lights at the north pier', '.queue-row');
await say(page, 'And write it into the logbook', '.queue-row >> nth=1');
await page.locator('.composer-text').fill('Tell me when the tide turns');
await shoot('dark');

await page.setViewportSize(NARROW);
await page.locator('.composer-text').fill('');
await page.locator('.transcript').evaluate((box) => (box.scrollTop = box.scrollHeight));
await shoot('narrow');
