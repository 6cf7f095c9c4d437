/** The hooks in a real browser, strict and concurrent; and the example, built and used as a person would. */
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

import { configOf, startGateway } from '@holdfast/gateway';
import { launchChromium } from '@holdfast/testing/chromium';
import { rolldown } from 'rolldown';
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest';

const HTML = '<!doctype html><meta charset="utf-8"><title>hold</title><body><script src="/page.js"></script>';

type Browser = Awaited<ReturnType<typeof launchChromium>>;
type BrowserContext = Awaited<ReturnType<Browser['newContext']>>;
type Page = Awaited<ReturnType<Browser['newPage']>>;

let browser: Browser;
beforeAll(async () => {
  browser = await launchChromium();
});
afterAll(() => browser.close());

/** A file below this directory; with `code`, as if it stood there. */
async function bundle(file: string, code?: string): Promise<string> {
  const input = fileURLToPath(new URL(file, import.meta.url));
  const define = { 'process.env.NODE_ENV': '"development"' };
  const plugins =
    code === undefined
      ? []
      : [
          {
            name: 'as if',
            resolveId: (id: string) => (id === input ? id : null),
            load: (id: string) => (id === input ? code : null),
          },
        ];
  await using build = await rolldown({
    input,
    plugins,
    platform: 'browser',
    logLevel: 'silent',
    transform: { define },
  });
  const { output } = await build.generate({ format: 'iife' });
  return output[0].code;
}

/** Everything that a page must not say. */
function listen(page: Page): string[] {
  const said: string[] = [];
  page.on('pageerror', (error) => said.push(String(error)));
  page.on('console', (message) => {
    if (message.type() === 'error' || message.type() === 'warning') said.push(message.text());
  });
  return said;
}

const NAMES = [
  'E7: a token renders its own message alone, once a frame, and nobody else',
  'C2: a view that was hidden and is shown again asks as before',
  'B3: strict mode mounts twice and follows once; unmounting leaves nothing',
  'concurrent rendering: what one commit shows is of one state',
  'an inline selector that makes a new object each time renders only when its parts change',
  'R72: a draft belongs to its session, and two clicks in one frame send once',
  'R73: the end of a turn is heard once, in strict mode and through a lost connection',
  'a server renders the first state, and the page takes over without a mismatch',
];

describe('hooks', () => {
  let page: Page;
  let said: string[];
  beforeAll(async () => {
    const script = await bundle('page.tsx');
    const server = createServer((request, response) => {
      const isScript = request.url === '/page.js';
      response.setHeader('content-type', isScript ? 'text/javascript' : 'text/html').end(isScript ? script : HTML);
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    page = await browser.newPage();
    said = listen(page);
    await page.goto(`http://127.0.0.1:${(server.address() as AddressInfo).port}/`);
    server.close();
    expect(await page.evaluate(() => window.page.names)).toEqual(NAMES);
  });
  afterAll(() => page.close());

  test.each(NAMES)('%s', async (name) => {
    await page.evaluate((it) => window.page.run(it), name);
    expect(said).toEqual([]);
  });
});

describe('the example', () => {
  /** The page that is built from it. */
  async function openExample(script: string): Promise<{
    readonly context: BrowserContext;
    readonly url: string;
    code(): Promise<string>;
  }> {
    const web = await mkdtemp(path.join(tmpdir(), 'holdfast-example-'));
    await writeFile(path.join(web, 'index.html'), HTML);
    await writeFile(path.join(web, 'page.js'), script);
    const gateway = await startGateway(
      configOf({ port: 0, store: { kind: 'memory' }, log: 'silent', drainMs: 100, web }),
    );
    const context = await browser.newContext();
    onTestFinished(async () => {
      await context.close();
      await gateway.close();
      await rm(web, { recursive: true });
    });
    const code = async (): Promise<string> => (await gateway.startLink()).split('start=')[1] ?? '';
    return { context, url: gateway.url, code };
  }

  async function post(context: BrowserContext, url: string, route: string, json: unknown): Promise<void> {
    const page = await context.newPage();
    await page.goto(`${url}/healthz`);
    const headers = { 'content-type': 'application/json' };
    const status = await page.evaluate(async ([it, init]) => (await fetch(it, init)).status, [
      route,
      { method: 'POST', headers, body: JSON.stringify(json) },
    ] as const);
    expect(status).toBeLessThan(300);
    await page.close();
  }

  async function openPage(
    context: BrowserContext,
    url: string,
  ): Promise<{ readonly page: Page; readonly said: string[] }> {
    const page = await context.newPage();
    const said = listen(page);
    await page.goto(url);
    return { page, said };
  }

  test('E9: a chat is begun, answered, and the same after a reload and in a second tab; an approval is given', async () => {
    const { context, url, code } = await openExample(await bundle('../example/app.tsx'));
    await post(context, url, '/v1/start', { code: await code() });
    const { page, said } = await openPage(context, url);
    await page.getByRole('button', { name: 'New' }).click();
    await page.getByLabel('message').fill('/scene plain tokens=30 rate=0 delay=0 seed=4');
    await page.getByRole('button', { name: 'Send' }).click();
    const answer = page.locator('article[data-role=assistant][data-state=completed]');
    await answer.waitFor();
    const text = await answer.textContent();
    expect(text?.length).toBeGreaterThan(50);
    expect(await page.getByLabel('message').inputValue()).toBe('');

    await page.getByLabel('message').fill('/scene approval tokens=10 rate=0 delay=0');
    await page.getByRole('button', { name: 'Send' }).click();
    await page.getByRole('button', { name: 'once' }).click();
    await expect.poll(() => answer.count()).toBe(2);

    await page.reload();
    await page.locator('nav button').nth(1).click();
    await expect.poll(() => answer.count()).toBe(2);
    expect(await answer.first().textContent()).toBe(text);
    const second = await openPage(context, url);
    await second.page.locator('nav button').nth(1).click();
    await second.page.locator('article').nth(3).waitFor();
    expect(await second.page.locator('article').allTextContents()).toEqual(
      await page.locator('article').allTextContents(),
    );
    expect([...said, ...second.said]).toEqual([]);
  });

  test('it is a whole chat in under a hundred lines', async () => {
    const text = await readFile(new URL('../example/app.tsx', import.meta.url), 'utf8');
    expect(text.trimEnd().split('\n').length).toBeLessThan(100);
  });

  test('K6: what the README shows works as it stands there, on a session that does not exist yet', async () => {
    const readme = await readFile(new URL('../README.md', import.meta.url), 'utf8');
    const [, shown = ''] = /```tsx\n([\s\S]*?)```/.exec(readme) ?? [];
    const [, element = ''] = /^(<HoldfastProvider.*);$/m.exec(shown) ?? [];
    const rendered = `createRoot(document.body.appendChild(document.createElement('div'))).render(${element})`;
    const script = `import { createRoot } from 'react-dom/client';\n${shown.replace(element, rendered)}`;
    const { context, url, code } = await openExample(await bundle('readme.tsx', script));
    await post(context, url, '/v1/start', { code: await code() });
    const { page, said } = await openPage(context, url);
    const send = page.getByRole('button', { name: 'Send' });
    expect(await send.isDisabled()).toBe(true);
    await page.getByRole('textbox').fill('/scene plain tokens=30 rate=0 delay=0 seed=4');
    await send.click();
    const answer = page.locator('article').nth(1);
    await expect.poll(async () => (await answer.textContent())?.length).toBeGreaterThan(50);
    expect(await page.getByRole('textbox').inputValue()).toBe('');
    expect(said).toEqual([]);
  });
});
