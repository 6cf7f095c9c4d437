/**
 * The page in a real browser, as a person has it: signed in, watched for whatever no test may leave behind.
 *
 * 1. The policy is stricter than the gateway's own: styles, scripts and workers from files of this origin alone. What the page
 *    does must fit into it, a terminal apart: what draws it writes inline styles.
 * 2. `faults` collects errors of the console, errors that nobody caught and violations of the policy.
 */
import type { Browser, BrowserContext, BrowserContextOptions, Locator, Page } from 'playwright-core';

import { expect } from 'vitest';

import type { Gateway } from './gateway.ts';

const policy = (hasInlineStyles: boolean): string =>
  [
    "default-src 'none'",
    "script-src 'self'",
    `style-src 'self' 'report-sample'${hasInlineStyles ? " 'unsafe-inline'" : ''}`,
    "img-src 'self' data: blob:",
    "font-src 'self'",
    "connect-src 'self'",
    "worker-src 'self'",
    "base-uri 'self'",
    "form-action 'none'",
    "frame-ancestors 'none'",
  ].join('; ');

export interface Tab extends AsyncDisposable {
  readonly context: BrowserContext;
  readonly page: Page;
  readonly faults: readonly string[];
  /** The last answer. */
  readonly answer: Locator;
  say(text: string): Promise<void>;
  sessionId(): string;
  /** What the last answer shows, its paragraphs as the log has them. For plain text. */
  shown(): Promise<string>;
  /** Resolves when the last message is an answer in this state. */
  settled(state?: string): Promise<void>;
}

export interface TabOptions extends BrowserContextOptions {
  /** A network that is taken away, or a gateway that is killed, leaves its marks in the console. */
  readonly mayLoseNetwork?: boolean;
  /** Another tab of the same browser. */
  readonly context?: BrowserContext;
  readonly path?: string;
  /** Another way to the gateway: a proxy, a name. */
  readonly origin?: string;
  readonly hasInlineStyles?: boolean;
}

/** What will be true, on a machine that is busy too. */
export const eventually = (look: () => unknown): ReturnType<typeof expect.poll> => expect.poll(look);

const LOST_NETWORK = /Failed to load resource: net::|ERR_(?:CONNECTION|INTERNET|NETWORK|INCOMPLETE|EMPTY)/;

export async function openTab(browser: Browser, gateway: Gateway, options: TabOptions = {}): Promise<Tab> {
  const { mayLoseNetwork = false, hasInlineStyles = false, context: given, path, ...rest } = options;
  const { origin = gateway.url, ...contextOptions } = rest;
  const context = given ?? (await browser.newContext({ viewport: { width: 1100, height: 800 }, ...contextOptions }));
  const page = await context.newPage();
  const faults: string[] = [];
  // A page that a test hands out has no address, and Chromium keeps such a one on plain http from calling its own machine.
  const isTrusted = /^https:|\/\/(?:127\.|localhost)/.test(origin);
  const add = (fault: string): void => {
    if (mayLoseNetwork && LOST_NETWORK.test(fault)) return;
    // On plain http Chromium says of this header that it does nothing there.
    if (!isTrusted && fault.includes('Cross-Origin-Opener-Policy')) return;
    faults.push(fault);
  };
  page.on('console', (message) => {
    if (message.type() === 'error' || message.type() === 'warning') add(`${message.type()}: ${message.text()}`);
  });
  // The browser's own line says which rule was broken, not by what.
  await page.addInitScript(() =>
    addEventListener('securitypolicyviolation', ({ sample, sourceFile, lineNumber, columnNumber }) =>
      console.error(`The policy refused "${sample}" at ${sourceFile}:${lineNumber}:${columnNumber}`),
    ),
  );
  page.on('pageerror', (error) => add(`uncaught: ${error.stack ?? error.message}`));
  if (isTrusted)
    await page.route(
      (url) => !url.pathname.startsWith('/v1/') && !/\.\w+$/.test(url.pathname),
      async (route) => {
        // By ourselves: what the browser would send along with it is no navigation's.
        const response = await fetch(gateway.url + new URL(route.request().url()).pathname).catch(() => undefined);
        if (response === undefined) return route.abort('connectionrefused');
        const headers = {
          'content-type': 'text/html; charset=utf-8',
          'content-security-policy': policy(hasInlineStyles),
        };
        return route.fulfill({ status: response.status, headers, body: await response.text() });
      },
    );
  await page.goto(origin + (path ?? (await gateway.link()).slice(gateway.url.length)));
  await page.locator('.connection[data-state=live]').first().waitFor({ state: 'attached' });

  const answer = page.locator('.message.is-answer').last();
  return {
    context,
    page,
    faults,
    answer,
    say: async (text) => {
      await page.locator('.composer-text').fill(text);
      await page.keyboard.press('Enter');
      // C1: it is empty once the message is safe; then it is shown, in the conversation or in the queue.
      await page.waitForFunction(
        (text) =>
          document.querySelector<HTMLTextAreaElement>('.composer-text')?.value === '' &&
          [...document.querySelectorAll('.bubble, .queue-text, .aside-text')].some((row) =>
            row.textContent.includes(text),
          ),
        text,
      );
    },
    sessionId: () => new URL(page.url()).pathname.replace('/s/', ''),
    shown: () =>
      answer.evaluate((element) =>
        [...element.querySelectorAll('.markdown > *')].map((block) => block.textContent).join('\n\n'),
      ),
    settled: async (state = 'completed') => {
      await page.waitForFunction(
        (state) => [...document.querySelectorAll<HTMLElement>('.message')].at(-1)?.dataset['state'] === state,
        state,
      );
    },
    [Symbol.asyncDispose]: async () => {
      await (given === undefined ? context : page).close();
    },
  };
}
