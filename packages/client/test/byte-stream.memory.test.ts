/** Slow readers of real sockets: memory stays bounded, the sender is slowed, every byte comes (A7, A9). */
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
/** 256 MiB by hand; less in every run of the tests. */
const BYTES = Number(process.env['HOLDFAST_SLOW_READER_MIB'] ?? 48) * MIB;
const BYTES_PER_SECOND = 40 * MIB;

let server: ChildProcess;
let origin = '';
beforeAll(async () => {
  server = fork(fileURLToPath(new URL('./stream-server.main.ts', import.meta.url)));
  origin = String((await once(server, 'message'))[0]);
});
afterAll(() => server.kill());

/** More than once, with a breath between: array buffers are swept beside the program. */
async function memoryBytes(): Promise<number> {
  for (let i = 0; i < 3; i++) {
    globalThis.gc?.();
    await pause(10);
  }
  const { heapUsed, external, arrayBuffers } = process.memoryUsage();
  return heapUsed + external + arrayBuffers;
}

const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

describe.each([
  ['node:http', nodeTransport],
  ['fetch', fetchTransport],
] as const)('over %s', (name, makeTransport) => {
  test('A7, A9: a slow reader gets every byte in bounded memory', { timeout: 60_000 }, async () => {
    const transport = makeTransport();
    await using connection = transport.open();
    const url = `${origin}/bytes?key=slow-${encodeURIComponent(name)}&bytes=${BYTES}`;
    const before = await memoryBytes();
    let most = 0;
    const { body } = await openByteStream(connection, { url });
    const hash = createHash('sha256');
    let read = 0;
    let nextLook = 0;
    const startedAt = performance.now();
    for await (const bytes of body) {
      hash.update(bytes);
      read += bytes.length;
      const aheadMs = (read / BYTES_PER_SECOND) * 1000 - (performance.now() - startedAt);
      if (aheadMs > 5) await pause(aheadMs);
      if (read < nextLook) continue;
      nextLook += 4 * MIB;
      most = Math.max(most, (await memoryBytes()) - before);
    }
    expect(read).toBe(BYTES);
    const expected = createHash('sha256');
    for (let at = 0; at < BYTES; at += MIB) expected.update(patternBytes(at, Math.min(MIB, BYTES - at)));
    expect(hash.digest('hex')).toBe(expected.digest('hex'));
    expect(most).toBeLessThan(8 * MIB);
    expect(body.pauses).toBeLessThanOrEqual(BYTES / (0.75 * MIB) + 1);
    transport.close();
  });
});

test('A7: a reader that stops for good costs less than 8 MiB, also with small chunks, and the server waits', async () => {
  for (const chunk of [200, 65_536]) {
    const transport = nodeTransport();
    await using connection = transport.open();
    const before = await memoryBytes();
    const key = `stopped-${chunk}`;
    await openByteStream(connection, { url: `${origin}/bytes?key=${key}&bytes=${64 * MIB}&chunk=${chunk}` });
    let sent = -1;
    for (let same = 0; same < 10;) {
      await pause(25);
      const { body } = await openByteStream(transport.short, { url: `${origin}/facts?key=${key}` });
      const { sentBytes } = JSON.parse(await body.text()) as Facts;
      same = sentBytes === sent ? same + 1 : 0;
      sent = sentBytes;
    }
    expect(sent).toBeLessThan(12 * MIB);
    expect((await memoryBytes()) - before).toBeLessThan(8 * MIB);
    transport.close();
  }
});
