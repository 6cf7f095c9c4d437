/**
 * A slow reader in a browser: what its process holds stays bounded, TCP holds the server back, every byte comes (A7, A9).
 *
 * It is read in steps. After each the reader stops until the server stands still, so that everything on the way is full; then
 * the renderer's memory is looked at, JavaScript or not. What a collection freed goes back to the kernel some time after, later
 * on a busy machine: so it is looked at until it is little enough. A client that hoards never comes there.
 */
import { existsSync, readFileSync } from 'node:fs';

import { launchChromium } from '@holdfast/testing/chromium';
import { afterAll, beforeAll, expect, test } from 'vitest';

import type { Facts } from '../../src/testing.ts';
import { bundle, HTML } from '../bundle.ts';
import { heldBytes, rendererPids } from '../renderers.ts';
import { startStreamServer, type StreamServer } from '../stream-server.ts';
import type { SlowReader } from './slow-reader-page.ts';

declare const slowReader: SlowReader;

const MIB = 1024 * 1024;
const BYTES = 256 * MIB;
const STEP_BYTES = 64 * MIB;
const GROWTH_BYTES_MAX = 8 * MIB;
/** The least of so many is what an idle page holds. */
const IDLE_LOOKS = 8;
/** What the client, the renderer and the network process may hold, besides the kernel. */
const AHEAD_BYTES_MAX = 12 * MIB;

let browser: Awaited<ReturnType<typeof launchChromium>>;
let server: StreamServer;

beforeAll(async () => {
  server = await startStreamServer({ '/': HTML, '/page.js': await bundle('./proof/slow-reader-page.ts') });
  browser = await launchChromium({ args: ['--host-resolver-rules=MAP lan.test 127.0.0.1'] });
});
afterAll(async () => {
  await browser.close();
  await server.close();
});

/** What the two ends of one connection may hold in the kernel. */
function kernelBytesMax(): number {
  const files = ['/proc/sys/net/ipv4/tcp_rmem', '/proc/sys/net/ipv4/tcp_wmem'];
  const most = files.map((file) => (existsSync(file) ? Number(readFileSync(file, 'utf8').split(/\s+/)[2]) : 8 * MIB));
  return most.reduce((a, b) => a + b);
}

/** Where the server's count does not move any more. */
async function standstill(key: string): Promise<number> {
  let sent = -1;
  for (let same = 0; same < 20;) {
    await new Promise((resolve) => setTimeout(resolve, 25));
    const facts = (await (await fetch(`${server.origin}/facts?key=${key}`)).json()) as Facts;
    same = facts.sentBytes === sent ? same + 1 : 0;
    sent = facts.sentBytes;
  }
  return sent;
}

test.each(['localhost', 'lan.test'])('A7, A9: a slow reader of 256 MiB in Chromium on http://%s', async (host) => {
  const context = await browser.newContext();
  const before = await rendererPids(browser);
  const tab = await context.newPage();
  await tab.goto(`http://${host}:${server.port}/`);
  const [pid = 0] = (await rendererPids(browser)).filter((it) => !before.includes(it));
  const devtools = await context.newCDPSession(tab);
  const look = async (): Promise<number> => {
    await devtools.send('HeapProfiler.collectGarbage');
    return heldBytes(pid);
  };
  const open = (key: string, bytes: number): Promise<void> =>
    tab.evaluate((url) => slowReader.open(url), `/bytes?key=${key}&bytes=${bytes}`);
  const readTo = (bytes: number): Promise<number> => tab.evaluate((it) => slowReader.readTo(it), bytes);

  // Code is compiled and pools are filled by the first stream: that is not growth.
  await open(`warm-${host}`, STEP_BYTES);
  expect(await readTo(Infinity)).toBe(STEP_BYTES);
  let idleBytes = Infinity;
  for (let i = 0; i < IDLE_LOOKS; i++) idleBytes = Math.min(idleBytes, await look());

  const key = `slow-${host}`;
  await open(key, BYTES);
  for (let mark = 0; mark < BYTES; mark += STEP_BYTES) {
    const read = await readTo(mark);
    const ahead = (await standstill(key)) - read;
    expect(ahead).toBeLessThan(kernelBytesMax() + AHEAD_BYTES_MAX);
    await expect.poll(async () => (await look()) - idleBytes).toBeLessThan(GROWTH_BYTES_MAX);
  }
  expect(await readTo(Infinity)).toBe(BYTES);
  await context.close();
});
