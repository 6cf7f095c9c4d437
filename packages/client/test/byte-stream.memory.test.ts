/**
 * Slow readers of real sockets: memory stays bounded, TCP holds the sender back, every byte comes (A7, A9).
 * `proof/slow-reader.browser.test.ts` is the same in a browser.
 */
import { fork, type ChildProcess } from 'node:child_process';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';

import { afterAll, beforeAll, describe, expect, test } from 'vitest';

import { openByteStream } from '../src/byte-stream.ts';
import { fetchTransport } from '../src/fetch-wire.ts';
import { nodeTransport } from '../src/node/index.ts';
import { patternBytes, type Facts } from '../src/testing.ts';

const MIB = 1024 * 1024;
const BYTES = 256 * MIB;
const LOOK_EVERY_BYTES = 16 * MIB;
/** Far below what the sender can: it is held back from the first second on. By hand at 20, which takes 13 s a transport. */
const BYTES_PER_SECOND = Number(process.env['HOLDFAST_SLOW_READER_MIB_PER_SECOND'] ?? 160) * MIB;
/** What a server can have written that nobody has read: both kernels' buffers and our queue. */
const AHEAD_BYTES_MAX = 12 * MIB;
const GROWTH_BYTES_MAX = 8 * MIB;
const LOOKS_MAX = 500;

let server: ChildProcess;
let origin = '';
beforeAll(async () => {
  // A process of its own: what the sender holds is not the reader's.
  server = fork(fileURLToPath(new URL('./stream-server.main.ts', import.meta.url)));
  origin = String((await once(server, 'message'))[0]);
});
afterAll(() => server.kill());

/**
 * What is held: the least that collections leave. Array buffers are swept beside the program, some time after, later on a busy
 * machine: it is looked at until it is little enough. A client that hoards never comes there.
 */
async function memoryBytes(enoughBytes: number = 0, looksMax: number = 10): Promise<number> {
  let least = Infinity;
  for (let i = 0; i < looksMax && least >= enoughBytes; i++) {
    globalThis.gc?.();
    await pause(10);
    const { heapUsed, external, arrayBuffers } = process.memoryUsage();
    least = Math.min(least, heapUsed + external + arrayBuffers);
  }
  return least;
}

const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

async function sentBytes(key: string): Promise<number> {
  const facts = (await (await fetch(`${origin}/facts?key=${key}`)).json()) as Facts;
  return facts.sentBytes;
}

/** Where the server's count does not move any more. */
async function standstill(key: string): Promise<number> {
  let sent = -1;
  for (let same = 0; same < 10;) {
    await pause(25);
    const now = await sentBytes(key);
    same = now === sent ? same + 1 : 0;
    sent = now;
  }
  return sent;
}

describe.each([
  ['node-http', nodeTransport],
  ['fetch', fetchTransport],
] as const)('over %s', (name, makeTransport) => {
  test('A7, A9: a slow reader, which also stops half way, gets 256 MiB in bounded memory', async () => {
    const transport = makeTransport();
    await using connection = transport.open();
    const key = `slow-${name}`;
    await sentBytes(key);
    const before = await memoryBytes();
    const { body } = await openByteStream(connection, { url: `${origin}/bytes?key=${key}&bytes=${BYTES}` });
    const hash = createHash('sha256');
    let [read, nextLook, ahead] = [0, 0, 0];
    let startedAt = performance.now();
    for await (const bytes of body) {
      hash.update(bytes);
      read += bytes.length;
      const earlyMs = (read / BYTES_PER_SECOND) * 1000 - (performance.now() - startedAt);
      if (earlyMs > 5) await pause(earlyMs);
      if (read < nextLook) continue;
      nextLook += LOOK_EVERY_BYTES;
      const isHalfWay = nextLook === BYTES / 2;
      ahead = Math.max(ahead, (isHalfWay ? await standstill(key) : await sentBytes(key)) - read);
      expect((await memoryBytes(before + GROWTH_BYTES_MAX, LOOKS_MAX)) - before).toBeLessThan(GROWTH_BYTES_MAX);
      // What the looks took is not made up for.
      startedAt = performance.now() - (read / BYTES_PER_SECOND) * 1000;
    }
    expect(read).toBe(BYTES);
    expect(hash.digest('hex')).toBe(patternHash());
    expect(ahead).toBeLessThan(AHEAD_BYTES_MAX);
    expect(body.pauses).toBeLessThanOrEqual(BYTES / (0.75 * MIB) + 1);
    transport.close();
  });
});

function patternHash(): string {
  const hash = createHash('sha256');
  for (let at = 0; at < BYTES; at += MIB) hash.update(patternBytes(at, MIB));
  return hash.digest('hex');
}

test('A7: a reader that stops for good costs less than 8 MiB, also with small chunks, and the server waits', async () => {
  for (const chunk of [200, 65_536]) {
    const transport = nodeTransport();
    await using connection = transport.open();
    const before = await memoryBytes();
    const key = `stopped-${chunk}`;
    await openByteStream(connection, { url: `${origin}/bytes?key=${key}&bytes=${64 * MIB}&chunk=${chunk}` });
    expect(await standstill(key)).toBeLessThan(AHEAD_BYTES_MAX);
    expect((await memoryBytes(before + GROWTH_BYTES_MAX, LOOKS_MAX)) - before).toBeLessThan(GROWTH_BYTES_MAX);
    transport.close();
  }
});
