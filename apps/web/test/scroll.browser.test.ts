/** What is read stays where it is, whatever comes in above and below, and thousands of messages stay light. */
import type { Browser, Page } from 'playwright-core';
import { afterAll, beforeAll, expect, test } from 'vitest';

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

const distanceToEnd = (page: Page): Promise<number> =>
  page.locator('.transcript').evaluate((box) => box.scrollHeight - box.clientHeight - box.scrollTop);

/** Notes, at each frame, where an element is and how far the end is. */
const watchFrames = (page: Page, selector: string): Promise<void> =>
  page.evaluate((selector) => {
    const frames: { top: number; toEnd: number }[] = [];
    Object.assign(window, { frames });
    const look = (): void => {
      const element = document.querySelector(selector);
      const box = document.querySelector('.transcript');
      if (element !== null && box !== null)
        frames.push({
          top: element.getBoundingClientRect().top,
          toEnd: box.scrollHeight - box.clientHeight - box.scrollTop,
        });
      next();
    };
    // A task right after the frame: what is seen then is what was painted.
    const next = (): void => void requestAnimationFrame(() => setTimeout(look, 0));
    next();
  }, selector);
const framesOf = (page: Page): Promise<{ top: number; toEnd: number }[]> =>
  page.evaluate(() => (window as unknown as { frames: { top: number; toEnd: number }[] }).frames);

/** What the page's thread worked, in seconds of its own: what else the machine does is no part of it. */
async function workOf(page: Page): Promise<{ of(run: () => Promise<unknown>): Promise<number> }> {
  const devtools = await page.context().newCDPSession(page);
  await devtools.send('Performance.enable', { timeDomain: 'threadTicks' });
  const worked = async (): Promise<number> => {
    const { metrics } = await devtools.send('Performance.getMetrics');
    return metrics.find(({ name }) => name === 'TaskDuration')?.value ?? NaN;
  };
  return {
    of: async (run) => {
      const before = await worked();
      await run();
      return (await worked()) - before;
    },
  };
}

test('E7: who reads above the end is not moved while the answer grows and settles; a button leads down', async () => {
  await using tab = await openTab(browser, gateway);
  await tab.say('/scene plain tokens=1200 rate=400');
  await tab.answer.locator('.markdown > p').nth(7).waitFor();
  await tab.page.locator('.transcript').hover();
  await tab.page.mouse.wheel(0, -500);
  await tab.page.locator('.jump').waitFor({ state: 'visible' });
  await watchFrames(tab.page, '.markdown > p:nth-child(3)');
  await tab.settled();
  await tab.page.locator('.turn-usage', { hasText: 'tokens' }).waitFor();
  await tab.page.waitForFunction(() => (window as unknown as { frames: unknown[] }).frames.length > 30);
  const tops = new Set((await framesOf(tab.page)).slice(20).map(({ top }) => Math.round(top)));
  expect([...tops]).toHaveLength(1);

  await tab.page.locator('.jump').click();
  await tab.page.locator('.jump').waitFor({ state: 'hidden' });
  expect(await distanceToEnd(tab.page)).toBeLessThan(2);
  expect(tab.faults).toEqual([]);
});

test('E7: who is at the end stays at the end in every frame, and settling moves nothing', async () => {
  await using tab = await openTab(browser, gateway);
  await tab.say('/scene plain tokens=1800 rate=500');
  await tab.answer.locator('.markdown > p').nth(5).waitFor();
  await watchFrames(tab.page, '.message.is-answer');
  await tab.settled();
  const atSettling = (await framesOf(tab.page)).at(-1)?.top;
  await tab.page.locator('.turn-usage', { hasText: 'tokens' }).waitFor();
  await tab.page.waitForTimeout(300);
  const frames = await framesOf(tab.page);
  expect(frames.every(({ toEnd }) => toEnd < 2)).toBe(true);
  expect(frames.at(-1)?.top).toBe(atSettling);
  expect(tab.faults).toEqual([]);
});

test('E7: who compares versions of a question stays at it; all that is in sight is the end', async () => {
  await using tab = await openTab(browser, gateway);
  const top = (): Promise<number> =>
    tab.page.locator('.bubble').evaluate((bubble) => {
      const box = bubble.closest('.transcript') as Element;
      return bubble.getBoundingClientRect().top - box.getBoundingClientRect().top;
    });
  await tab.say('/scene plain tokens=10');
  await tab.settled();
  const there = await top();
  await tab.page.getByRole('button', { name: 'Edit and ask again' }).click();
  await tab.page.getByLabel('Edit message').fill('/scene plain tokens=900 rate=0');
  await tab.page.keyboard.press('Enter');
  const versions = tab.page.getByRole('group', { name: 'Versions of this message' });
  await versions.waitFor();
  await tab.settled();
  await eventually(() => distanceToEnd(tab.page)).toBeLessThan(2);

  await versions.getByRole('button', { name: 'Previous message' }).click();
  await eventually(() => tab.page.locator('.bubble').innerText()).toContain('tokens=10');
  await eventually(() => tab.page.locator('.jump').isVisible()).toBe(false);
  await versions.getByRole('button', { name: 'Next message' }).click();
  await eventually(() => tab.page.locator('.bubble').innerText()).toContain('tokens=900');
  await eventually(() => tab.page.locator('.jump').isVisible()).toBe(true);
  expect(await top()).toBe(there);
  await tab.page.locator('.jump').click();
  await eventually(() => distanceToEnd(tab.page)).toBeLessThan(2);
  expect(tab.faults).toEqual([]);
});

test('E7: a selection and the focus stay while an answer is written and when it settles', async () => {
  await using tab = await openTab(browser, gateway);
  await tab.say('/scene markdown tokens=900 rate=600');
  await tab.answer.locator('.code code').first().waitFor();
  await tab.page.evaluate(() => {
    const code = document.querySelector('.code code');
    if (code !== null) getSelection()?.selectAllChildren(code);
  });
  await tab.page.locator('.composer-text').focus();
  const selected = await tab.page.locator('.code code').first().innerText();
  await tab.page.evaluate(() => {
    const code = document.querySelector('.code code');
    if (code !== null) getSelection()?.selectAllChildren(code);
  });
  await tab.settled();
  expect(await tab.page.evaluate(() => getSelection()?.toString().trim())).toContain(selected.trim().slice(0, 40));
  expect(tab.faults).toEqual([]);
});

test('older messages come in above without moving what is read, and a session of 2,000 scrolls and streams smoothly', async () => {
  await using tab = await openTab(browser, gateway);
  const work = await workOf(tab.page);
  const answer = async (): Promise<void> => {
    await tab.say('/scene plain tokens=1000 rate=1000');
    await tab.settled();
  };
  await tab.say('/scene plain tokens=10 rate=0 delay=0');
  await tab.settled();
  await answer();
  const alone = await work.of(answer);
  await gateway.fill(tab.sessionId(), 1_000);
  await tab.page.reload();
  await tab.answer.waitFor();
  expect(await tab.page.locator('.message').count()).toBeLessThanOrEqual(100);

  const box = tab.page.locator('.transcript');
  const keptPlace = async (): Promise<boolean> => {
    await box.evaluate((element) => (element.scrollTop = 700));
    await tab.page.evaluate(
      () => new Promise((resolve) => requestAnimationFrame(() => requestAnimationFrame(resolve))),
    );
    await tab.page.locator('.earlier:not([disabled])').waitFor({ state: 'attached' });
    const count = await tab.page.locator('.message').count();
    const before = await box.evaluate((element) => {
      const edge = element.getBoundingClientRect().top;
      const row = [...element.querySelectorAll('.message')].find((each) => each.getBoundingClientRect().top > edge);
      Object.assign(window, { watched: row });
      return row?.getBoundingClientRect().top ?? 0;
    });
    await box.evaluate((element) => element.querySelector<HTMLElement>('.earlier')?.click());
    await tab.page.waitForFunction((count) => document.querySelectorAll('.message').length > count, count);
    await tab.page.evaluate(
      () => new Promise((resolve) => requestAnimationFrame(() => requestAnimationFrame(resolve))),
    );
    const after = await tab.page.evaluate(
      () => (window as unknown as { watched: Element }).watched.getBoundingClientRect().top,
    );
    return Math.abs(after - before) < 3;
  };
  expect(await keptPlace()).toBe(true);

  // Up to the very first one; what the page holds stays bounded.
  await eventually(async () => {
    await box.evaluate((element) => (element.scrollTop = 0));
    return tab.page.locator('.earlier').count();
  }).toBe(0);
  expect(await tab.page.locator('.bubble').first().textContent()).toBe('/scene plain tokens=10 rate=0 delay=0');
  expect(await tab.page.locator('.message').count()).toBeLessThanOrEqual(500);

  const leap = await work.of(() =>
    tab.page.evaluate(async () => {
      const box = document.querySelector('.transcript');
      for (let step = 0; step < 60; step += 1) {
        box?.scrollBy(0, step % 2 === 0 ? 3_000 : -1_200);
        await new Promise(requestAnimationFrame);
      }
    }),
  );
  expect(leap / 60).toBeLessThan(0.1);
  // The same answer costs what it costs in an empty session, and a little for what is kept above.
  expect((await work.of(answer)) / alone).toBeLessThan(3);
  expect(tab.faults).toEqual([]);
});

test('5,000 tokens a second leave the page responsive', async () => {
  await using tab = await openTab(browser, gateway);
  const work = await workOf(tab.page);
  // It would go on for minutes: what is seen is seen in the middle of it.
  await tab.say('/scene fast tokens=1000000 rate=5000');
  await tab.page.waitForFunction(
    () => (document.querySelector('.message.is-answer:last-of-type .markdown')?.textContent.length ?? 0) > 50_000,
  );
  // A key that is pressed is seen, again and again, and the page's thread has not done much else before.
  const waits: number[] = [];
  for (let n = 1; n <= 10; n += 1)
    waits.push(
      await work.of(async () => {
        await tab.page.locator('.composer-text').press('x');
        await tab.page.waitForFunction(
          (n) => document.querySelector<HTMLTextAreaElement>('.composer-text')?.value.length === n,
          n,
        );
      }),
    );
  expect(await tab.answer.getAttribute('data-state')).toBe('streaming');
  expect(waits.toSorted((a, b) => a - b)[5]).toBeLessThan(0.25);
  await tab.page.getByRole('button', { name: 'Stop' }).click();
  await tab.settled('cancelled');
  const { messages } = await gateway.view(tab.sessionId());
  expect(await tab.shown()).toBe(messages.at(-1)?.text);
  expect(tab.faults).toEqual([]);
});
