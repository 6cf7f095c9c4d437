/** What a person does in a conversation, in a real Chromium against a real gateway. */
import type { Browser } from 'playwright-core';
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

test('E7: an answer is one node from its first token to its settled message, and what it shows is what the log says', async () => {
  await using tab = await openTab(browser, gateway);
  await tab.say('/scene plain tokens=900 rate=300');
  await tab.answer.locator('.markdown').waitFor();
  await tab.answer.evaluate((element) => {
    Object.assign(element, { mine: true });
    Object.assign(element.querySelector('.markdown > *') as Element, { mine: true });
  });
  expect(await tab.answer.getAttribute('data-state')).toBe('streaming');
  await tab.settled();
  const kept = await tab.answer.evaluate((element) =>
    [element, element.querySelector('.markdown > *')].map((node) => node !== null && 'mine' in node),
  );
  expect(kept).toEqual([true, true]);
  const { messages } = await gateway.view(tab.sessionId());
  expect(await tab.shown()).toBe(messages.at(-1)?.text);
  expect(tab.faults).toEqual([]);
});

test('E9: a reload in mid-answer shows what was there and goes on; a second tab shows the same', async () => {
  await using tab = await openTab(browser, gateway);
  await tab.say('/scene plain tokens=1200 rate=150');
  await tab.answer.locator('.markdown > p').nth(1).waitFor();
  const before = await tab.shown();
  await tab.page.reload();
  await tab.answer.locator('.markdown').waitFor();
  expect(await tab.shown()).toContain(before.slice(0, before.length - 1));
  expect(await tab.answer.getAttribute('data-state')).toBe('streaming');

  await using second = await openTab(browser, gateway, {
    context: tab.context,
    path: new URL(tab.page.url()).pathname,
  });
  await Promise.all([tab.settled(), second.settled()]);
  const { messages } = await gateway.view(tab.sessionId());
  expect(await tab.shown()).toBe(messages.at(-1)?.text);
  expect(await second.shown()).toBe(messages.at(-1)?.text);
  expect([...tab.faults, ...second.faults]).toEqual([]);
});

test('R71: Escape stops the turn, and what was shown stays', async () => {
  await using tab = await openTab(browser, gateway);
  await tab.say('/scene plain tokens=2000 rate=100');
  await tab.answer.locator('.markdown > p').nth(1).waitFor();
  const before = await tab.shown();
  await tab.page.keyboard.press('Escape');
  await tab.settled('cancelled');
  expect((await tab.shown()).startsWith(before)).toBe(true);
  expect(await tab.page.locator('.message.is-question').last().innerText()).toContain('/scene plain');
  expect(await tab.answer.locator('.turn-usage').innerText()).toContain('Stopped');
  expect(tab.faults).toEqual([]);
});

test('R28: an approval is answered in one tab and recorded in the other; the turn goes on', async () => {
  await using tab = await openTab(browser, gateway);
  await tab.say('/scene approval rate=400');
  await tab.page.locator('.prompt.is-open').waitFor();
  expect(await tab.answer.getAttribute('data-state')).toBe('parked');
  await using second = await openTab(browser, gateway, {
    context: tab.context,
    path: new URL(tab.page.url()).pathname,
  });
  await second.page.getByRole('button', { name: 'Allow once' }).click();
  await tab.page.locator('.prompt-record').waitFor();
  expect(await tab.page.locator('.prompt-record').innerText()).toContain('Allowed once');
  await Promise.all([tab.settled(), second.settled()]);
  expect(await tab.page.locator('.tool').getAttribute('data-state')).toBe('done');
  expect(await tab.page.locator('.pulse').count()).toBe(0);
  expect([...tab.faults, ...second.faults]).toEqual([]);
});

test('E5: a turn that ends otherwise closes its prompt on screen', async () => {
  await using tab = await openTab(browser, gateway);
  await tab.say('/scene approval rate=400');
  await tab.page.locator('.prompt.is-open').waitFor();
  await tab.page.getByRole('button', { name: 'Stop' }).click();
  await tab.settled('cancelled');
  expect(await tab.page.locator('.prompt.is-open').count()).toBe(0);
  expect(await tab.page.locator('.prompt-record').innerText()).toContain('the turn ended first');
  expect(await tab.page.locator('.pulse').count()).toBe(0);
  expect(tab.faults).toEqual([]);
});

test('a double click on an example begins one session', async () => {
  await using tab = await openTab(browser, gateway);
  let begun = 0;
  tab.page.on('request', (request) => {
    if (request.method() === 'POST' && new URL(request.url()).pathname === '/v1/sessions') begun += 1;
  });
  await tab.page.locator('.example').first().dblclick();
  await tab.settled();
  expect(begun).toBe(1);
  expect(tab.faults).toEqual([]);
});

test('a question that somebody else has answered meanwhile says how', async () => {
  await using tab = await openTab(browser, gateway);
  await tab.say('/scene question rate=400');
  await tab.page.locator('.prompt.is-open').waitFor();
  const { prompts } = await gateway.view(tab.sessionId());
  await tab.page.route('**/prompts/**', async (route) => {
    await gateway.answer(tab.sessionId(), prompts[0]?.promptId ?? '', 'coffee');
    await route.continue();
  });
  await tab.page.getByRole('button', { name: 'tea' }).click();
  await tab.page.locator('.notice', { hasText: 'Somebody was faster. Answered: coffee.' }).waitFor();
  await tab.settled();
  expect(tab.faults.filter((fault) => !fault.includes('409'))).toEqual([]);
});

test('a question takes an answer of one’s own', async () => {
  await using tab = await openTab(browser, gateway);
  await tab.say('/scene question rate=400');
  await tab.page.getByLabel('Another answer').fill('hot chocolate');
  await tab.page.keyboard.press('Enter');
  await tab.settled();
  expect(await tab.shown()).toContain('Your answer: hot chocolate.');
  expect(await tab.page.locator('.prompt-record').innerText()).toContain('Answered: hot chocolate');
  expect(tab.faults).toEqual([]);
});

test('what is sent while a turn runs waits in the queue: reordered, edited by arrow up, withdrawn, and then answered', async () => {
  await using tab = await openTab(browser, gateway);
  const queue = tab.page.locator('.queue-row');
  await tab.say('/scene approval rate=400');
  await tab.page.locator('.prompt.is-open').waitFor();
  for (const text of ['one', 'two', 'three']) await tab.say(text);
  await eventually(() => queue.locator('.queue-text').allInnerTexts()).toEqual(['one', 'two', 'three']);

  await queue.nth(1).getByRole('button', { name: 'Move up' }).click();
  await eventually(() => queue.locator('.queue-text').allInnerTexts()).toEqual(['two', 'one', 'three']);
  await queue.nth(0).getByRole('button', { name: 'Withdraw' }).click();
  await eventually(() => queue.locator('.queue-text').allInnerTexts()).toEqual(['one', 'three']);

  await tab.page.locator('.composer-text').press('ArrowUp');
  await tab.page.getByLabel('Edit message').fill('four');
  await tab.page.keyboard.press('Enter');
  await eventually(() => queue.locator('.queue-text').allInnerTexts()).toEqual(['one', 'four']);

  await tab.page.getByRole('button', { name: 'Deny' }).click();
  await eventually(() => tab.page.locator('.message.is-question').allInnerTexts()).toHaveLength(3);
  await tab.settled();
  expect((await tab.page.locator('.bubble').allInnerTexts()).slice(1)).toEqual(['one', 'four']);
  expect(tab.faults).toEqual([]);
});

test('a message whose turn begins while it is being changed is sent as it was, and the new words are kept', async () => {
  await using tab = await openTab(browser, gateway);
  await tab.say('/scene approval rate=400');
  await tab.page.locator('.prompt.is-open').waitFor();
  await tab.say('as it was');
  await tab.page.locator('.queue-row[data-queued]').waitFor();
  await tab.page.locator('.composer-text').press('ArrowUp');
  await tab.page.getByLabel('Edit message').fill('as it should be');
  const { prompts } = await gateway.view(tab.sessionId());
  await gateway.answer(tab.sessionId(), prompts[0]?.promptId ?? '', 'deny');
  await tab.page.locator('.bubble', { hasText: 'as it was' }).waitFor();
  await eventually(() => tab.page.locator('.composer-text').inputValue()).toBe('as it should be');
  await tab.page.locator('.notice', { hasText: 'kept in the message box' }).waitFor();
  await tab.settled();
  expect(tab.faults).toEqual([]);
});

test('a message that steers is put into the answer that is being written', async () => {
  await using tab = await openTab(browser, gateway);
  await tab.say('/scene plain tokens=1200 rate=150');
  await tab.answer.locator('.markdown').waitFor();
  await tab.page.locator('.segment', { hasText: 'Steer' }).click();
  await tab.say('shorter, please');
  await tab.page.locator('.aside', { hasText: 'shorter, please' }).waitFor();
  await tab.settled();
  expect(await tab.page.locator('.message.is-question').count()).toBe(1);
  expect(tab.faults).toEqual([]);
});

test('an edited message and an answer that is made again are versions that one can switch between', async () => {
  await using tab = await openTab(browser, gateway);
  await tab.say('/scene plain tokens=10 seed=1');
  await tab.settled();
  await tab.page.getByRole('button', { name: 'Answer again' }).click();
  await tab.page.getByRole('group', { name: 'Versions of this answer' }).waitFor();
  await tab.settled();
  expect(await tab.page.locator('.versions-at').innerText()).toBe('2/2');

  await tab.page.locator('.message.is-question').hover();
  await tab.page.getByRole('button', { name: 'Edit and ask again' }).click();
  await tab.page.getByLabel('Edit message').fill('/scene plain tokens=10 seed=2');
  await tab.page.keyboard.press('Enter');
  const versions = tab.page.getByRole('group', { name: 'Versions of this message' });
  await versions.waitFor();
  await tab.settled();
  expect(await tab.page.locator('.bubble').allInnerTexts()).toEqual(['/scene plain tokens=10 seed=2']);
  await versions.getByRole('button', { name: 'Previous message' }).click();
  await eventually(() => tab.page.locator('.bubble').allInnerTexts()).toEqual(['/scene plain tokens=10 seed=1']);
  expect(tab.faults).toEqual([]);
});

test('a failed turn says why and what helps, and what was written stays', async () => {
  await using tab = await openTab(browser, gateway);
  await tab.say('/scene fail rate=400 fault=model-rate-limited');
  await tab.settled('failed');
  expect(await tab.page.locator('.ending').innerText()).toMatch(/model is rate limited[^]*Wait a little/);
  const { messages } = await gateway.view(tab.sessionId());
  expect(await tab.shown()).toBe(messages.at(-1)?.text);
  await tab.page.getByRole('button', { name: 'Try again' }).click();
  await tab.page.getByRole('group', { name: 'Versions of this answer' }).waitFor();
  expect(tab.faults).toEqual([]);
});

test('a fence that is closed is highlighted by the worker, without a change to its text', async () => {
  await using tab = await openTab(browser, gateway);
  await tab.say('/scene markdown tokens=500 rate=2000');
  await tab.settled();
  await eventually(() =>
    tab.page.evaluate(() => [...CSS.highlights.values()].reduce((sum, { size }) => sum + size, 0)),
  ).toBeGreaterThan(10);
  expect(
    await tab.page
      .locator('.code code')
      .first()
      .evaluate((code) => code.childNodes.length),
  ).toBe(1);
  expect(tab.faults).toEqual([]);
});

test('a file is attached by paste, sent, and can be opened', async () => {
  await using tab = await openTab(browser, gateway);
  await tab.page.locator('.composer-text').evaluate((area) => {
    const clipboardData = new DataTransfer();
    clipboardData.items.add(new File(['the tide table'], 'tide.txt', { type: 'text/plain' }));
    area.dispatchEvent(new ClipboardEvent('paste', { clipboardData, bubbles: true, cancelable: true }));
  });
  await tab.page.locator('.attached-file', { hasText: '14 B' }).waitFor();
  await tab.say('what does it say?');
  const link = tab.page.locator('.bubble .attachment');
  await link.waitFor();
  const text = await link.evaluate(async (a: HTMLAnchorElement) => (await fetch(a.href)).text());
  expect(text).toBe('the tide table');
  expect(tab.faults).toEqual([]);
});

test('files that are picked together keep their order, names of any length and the limit', async () => {
  await using tab = await openTab(browser, gateway);
  const last = Promise.withResolvers<void>();
  await tab.page.route('**/v1/blobs', async (route) => {
    const body = route.request().postData();
    if (body === 'file 0') await last.promise;
    await route.fulfill({ response: await route.fetch() });
    if (body === 'file 31') last.resolve();
  });
  await tab.page.locator('input[type=file]').setInputFiles(
    Array.from({ length: 34 }, (_, index) => ({
      name: index === 1 ? `${'long '.repeat(60)}.txt` : `${index}.txt`,
      mimeType: 'text/plain',
      buffer: Buffer.from(`file ${index}`),
    })),
  );
  await tab.page.locator('.notice.is-error', { hasText: 'A message takes 32 files' }).waitFor();
  await tab.page.locator('.attached-file:not(.is-uploading)').nth(31).waitFor();
  await tab.say('/scene plain tokens=5');
  await tab.settled();
  const { messages } = await gateway.view(tab.sessionId());
  const names = (messages[0]?.parts ?? []).flatMap((part) => (part.type === 'file' ? [part.name] : []));
  expect(names.filter((_, index) => index !== 1)).toEqual(
    Array.from({ length: 32 }, (_, index) => `${index}.txt`).filter((_, index) => index !== 1),
  );
  expect(names[1]).toMatch(/^long .*….* \.txt$/);
  expect(tab.faults).toEqual([]);
});

test('what one writes in another direction runs in it, line by line', async () => {
  await using tab = await openTab(browser, gateway);
  await tab.say('/scene plain tokens=5\nمرحبا، كيف حالك؟ (1)');
  await tab.settled();
  const gaps = await tab.page.locator('.bubble > p').evaluate((p) => {
    const text = p.firstChild as Text;
    const box = p.getBoundingClientRect();
    return [0, text.data.indexOf('م')].map((at) => {
      const range = new Range();
      range.setStart(text, at);
      range.setEnd(text, at + 1);
      const sign = range.getBoundingClientRect();
      return { left: Math.round(sign.left - box.left), right: Math.round(box.right - sign.right) };
    });
  });
  expect([gaps[0]?.left, gaps[1]?.right]).toEqual([0, 0]);
  expect(tab.faults).toEqual([]);
});

test('a draft is kept per session and survives a reload', async () => {
  await using tab = await openTab(browser, gateway);
  await tab.say('/scene plain tokens=10');
  await tab.settled();
  await tab.page.locator('.composer-text').fill('half a thought');
  await tab.page.getByRole('button', { name: 'New session', exact: true }).click();
  expect(await tab.page.locator('.composer-text').inputValue()).toBe('');
  await tab.page.goBack();
  expect(await tab.page.locator('.composer-text').inputValue()).toBe('half a thought');
  await tab.page.reload();
  await eventually(() => tab.page.locator('.composer-text').inputValue()).toBe('half a thought');
  expect(tab.faults).toEqual([]);
});
