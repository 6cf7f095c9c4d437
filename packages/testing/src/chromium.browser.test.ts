import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';

import { expect, test } from 'vitest';

import { launchChromium } from './chromium.ts';

const page = `<!doctype html><meta charset="utf-8"><title>hold</title>
<body style="margin:0;font:40px sans-serif;background:#fff"><p id="latin">Hold fast</p><p id="han">漢字かな</p></body>`;

test('a real Chromium renders a page of localhost, with Latin and CJK text that has shapes', async () => {
  const server = createServer((_request, response) => response.setHeader('content-type', 'text/html').end(page));
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  await using browser = await launchChromium();
  try {
    const tab = await browser.newPage({ viewport: { width: 400, height: 300 } });
    await tab.goto(`http://127.0.0.1:${(server.address() as AddressInfo).port}/`);
    expect(await tab.title()).toBe('hold');

    const picture = await tab.screenshot();
    expect(picture.subarray(1, 4).toString('latin1')).toBe('PNG');
    // Rule 4: a missing glyph is the same box for every character, so the pictures of two of them are the same.
    expect(await pictureOf('漢')).not.toEqual(await pictureOf('字'));
    expect(await pictureOf('a')).not.toEqual(await pictureOf('b'));

    async function pictureOf(character: string): Promise<Buffer> {
      await tab.locator('#han').evaluate((element, text) => (element.textContent = text), character);
      return tab.locator('#han').screenshot();
    }
  } finally {
    server.close();
  }
});

test('HOLDFAST_CHROME that names no file is an error with its cure, not a skipped test', async () => {
  const before = process.env['HOLDFAST_CHROME'];
  process.env['HOLDFAST_CHROME'] = '/nowhere/chrome';
  try {
    await expect(launchChromium()).rejects.toThrow(/no file.*set HOLDFAST_CHROME/su);
  } finally {
    if (before === undefined) delete process.env['HOLDFAST_CHROME'];
    else process.env['HOLDFAST_CHROME'] = before;
  }
});
