/** Terminals in the page: typed to, drawn, left and found again, where the gateway opens them. */
import { launchChromium } from '@holdfast/testing/chromium';
import type { Browser } from 'playwright-core';
import { afterAll, beforeAll, expect, test } from 'vitest';

import { startGatewayProcess, type Gateway } from './gateway.ts';
import { eventually, openTab } from './page.ts';

let browser: Browser;
let gateway: Gateway;

beforeAll(async () => {
  [browser, gateway] = await Promise.all([
    launchChromium(),
    startGatewayProcess({ HOLDFAST_TERMINALS: 'on', HOLDFAST_TERMINAL_SHELL: '/bin/sh' }),
  ]);
});
afterAll(async () => {
  await browser?.close();
  await gateway?.[Symbol.asyncDispose]();
});

test('C4: a terminal in the page is drawn and typed to; Escape is its own; closed, or the page loaded anew, it goes on', async () => {
  await using tab = await openTab(browser, gateway, { hasInlineStyles: true });
  const { page } = tab;
  const shown = (): Promise<string> => page.locator('.terminal .xterm-rows').innerText();
  const open = async (): Promise<void> => {
    await page.getByRole('button', { name: 'Terminal', exact: true }).click();
    await eventually(shown).toMatch(/[$#]/);
  };
  await open();
  await page.keyboard.type('kept=here; echo "size $(stty size)"\n');
  await eventually(shown).toMatch(/size \d{1,2} \d{2,3}/);
  const [, rows] = /size (\d+) /.exec(await shown()) ?? [];
  expect(await page.locator('.xterm-rows > div').count()).toBe(Number(rows));

  // A cell is as wide as a letter.
  const cell = page.locator('.xterm-rows span').first();
  expect(
    await cell.evaluate((it) => Math.abs(Number.parseFloat(getComputedStyle(it).letterSpacing) || 0)),
  ).toBeLessThan(1);

  // Many lines more than the screen has, and the last of them is there.
  await page.keyboard.type('seq 20000\n');
  await eventually(shown).toMatch(/\b20000\b/);

  // Escape stops a turn elsewhere on the page.
  await tab.say('/scene plain tokens=2000 rate=20 seed=7');
  await tab.answer.locator('.markdown > p').first().waitFor();
  await page.locator('.terminal-screen').click();
  await page.keyboard.press('Escape');
  await page.keyboard.press('Enter');
  await page.keyboard.type('echo "esca""ped"\n');
  await eventually(shown).toContain('escaped');
  expect(await tab.answer.getAttribute('data-state')).toBe('streaming');

  await tab.page.getByRole('button', { name: 'Close the terminal' }).click();
  expect(await page.locator('.terminal').count()).toBe(0);
  await open();
  await page.keyboard.type('echo "still $kept"\n');
  await eventually(shown).toContain('still here');

  await page.reload();
  await open();
  await page.keyboard.type('echo "again $kept"\n');
  await eventually(shown).toContain('again here');
  await page.keyboard.type('exit 3\n');
  await page.getByText('It ended with 3').waitFor();
  expect(tab.faults).toEqual([]);
});

test('C4: where the gateway opens no terminals the page does not offer one', async () => {
  await using without = await startGatewayProcess();
  await using tab = await openTab(browser, without);
  expect(await tab.page.getByRole('button', { name: 'Terminal', exact: true }).count()).toBe(0);
  expect(tab.faults).toEqual([]);
});
