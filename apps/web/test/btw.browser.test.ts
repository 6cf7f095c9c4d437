/** Side questions in the page: asked beside a running turn, kept, and cancelled by who leaves. */
import { launchChromium } from '@holdfast/testing/chromium';
import type { Browser } from 'playwright-core';
import { afterAll, beforeAll, expect, test } from 'vitest';

import { startGatewayProcess, type Gateway } from './gateway.ts';
import { eventually, openTab } from './page.ts';

let browser: Browser;
let gateway: Gateway;

beforeAll(async () => {
  [browser, gateway] = await Promise.all([launchChromium(), startGatewayProcess()]);
});
afterAll(async () => {
  await browser?.close();
  await gateway?.[Symbol.asyncDispose]();
});

test('C1: a question is answered beside a turn that goes on as if nobody had asked; kept, a reload shows it', async () => {
  await using tab = await openTab(browser, gateway);
  const { page } = tab;
  await tab.say('/scene plain tokens=800 rate=80 seed=7');
  await tab.answer.locator('.markdown > p').first().waitFor();
  await page.getByRole('button', { name: 'Ask beside' }).click();
  await page.getByRole('textbox', { name: 'Side question' }).fill('How far are you?');
  await page.keyboard.press('Enter');
  await page.locator('.btw-answer[data-status=completed]').waitFor();
  expect(await page.locator('.btw-answer .markdown').innerText()).toContain('the last one is being written');
  expect(await tab.answer.getAttribute('data-state')).toBe('streaming');
  await page.getByRole('button', { name: 'Keep' }).click();
  const kept = page.locator('.btw-kept');
  await kept.waitFor();
  await tab.settled();
  const { messages } = await gateway.view(tab.sessionId());
  expect(messages.map(({ role }) => role)).toEqual(['user', 'assistant']);
  expect(messages.at(-1)?.btws?.map(({ question }) => question)).toEqual(['How far are you?']);
  await page.reload();
  await kept.waitFor();
  expect(await kept.innerText()).toContain('How far are you?');
  expect(tab.faults).toEqual([]);
});

test('C2: closing the box and asking anew cancel the answer, and the gateway sees it', async () => {
  await using tab = await openTab(browser, gateway);
  const { page } = tab;
  await tab.say('/scene plain tokens=5');
  await tab.settled();
  const ask = async (question: string): Promise<void> => {
    await page.getByRole('textbox', { name: 'Side question' }).fill(question);
    await page.keyboard.press('Enter');
    await page.locator('.btw-question', { hasText: question }).waitFor();
    await page.locator('.btw-answer .markdown > p').first().waitFor();
  };
  await page.getByRole('button', { name: 'Ask beside' }).click();
  await ask('/scene plain tokens=2000 rate=20 seed=1');
  await ask('/scene plain tokens=2000 rate=20 seed=2');
  await eventually(() => gateway.btws()).toBe(1);
  expect(await page.locator('.btw-question').innerText()).toContain('seed=2');
  await page.getByRole('textbox', { name: 'Side question' }).press('Escape');
  // Within the ten seconds that a lost connection would have.
  await eventually(() => gateway.btws()).toBe(0);
  expect(await page.locator('.btw').count()).toBe(0);
  expect(tab.faults).toEqual([]);
});
