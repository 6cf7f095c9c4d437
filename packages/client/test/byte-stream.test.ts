/** The suite on both of Node's transports. `browser.browser.test.ts` runs it in Chromium. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';

import { openByteStream } from '../src/byte-stream.ts';
import { systemClock } from '../src/clock.ts';
import { createCredentials } from '../src/credentials.ts';
import { fetchTransport } from '../src/fetch-wire.ts';
import { nodeTransport } from '../src/node/index.ts';
import { streamPostWithRetry } from '../src/post.ts';
import { byteStreamCases, type Facts } from '../src/testing.ts';
import type { Transport } from '../src/transport.ts';
import { startStreamServer, type StreamServer } from './stream-server.ts';

let server: StreamServer;
let unhandled = 0;
const onUnhandled = (): void => void unhandled++;

beforeAll(async () => {
  process.on('unhandledRejection', onUnhandled);
  server = await startStreamServer();
});
afterAll(async () => {
  process.off('unhandledRejection', onUnhandled);
  await server.close();
});

/** TCP's own buffers, on loopback. */
const platformBytesMax = 12 * 1024 * 1024;

const transports: readonly [string, () => Transport][] = [
  ['node:http', nodeTransport],
  ['fetch', fetchTransport],
];

describe.each(transports)('a byte stream over %s', (name, makeTransport) => {
  test.each(byteStreamCases.map((it) => [it.name, it] as const))('%s', async (caseName, it) => {
    const transport = makeTransport();
    const key = encodeURIComponent(`${name} ${caseName}`);
    // Discard: nobody listens on port 9 of the loopback.
    await it.run({
      transport,
      origin: server.origin,
      deadUrl: 'http://127.0.0.1:9/',
      clock: systemClock,
      platformBytesMax,
      key,
    });
    transport.close();
    expect(unhandled).toBe(0);
  });
});

test('A9, A2: over node:http nothing is left: the server has no socket', async () => {
  const transport = nodeTransport();
  const before = server.sockets();
  const setting = {
    transport,
    origin: server.origin,
    deadUrl: 'http://127.0.0.1:9/',
    clock: systemClock,
    platformBytesMax,
  };
  for (const it of byteStreamCases.filter(({ name }) => /A[1245]/.test(name))) {
    await it.run({ ...setting, key: encodeURIComponent(`again ${it.name}`) });
  }
  transport.close();
  await expect.poll(() => server.sockets()).toBeLessThanOrEqual(before);
});

test('A10: over node:http the retry goes out on the socket of the 401, which was drained', async () => {
  const transport = nodeTransport();
  const url = `${server.origin}/guarded?key=same-socket&bytes=60000`;
  const credentials = createCredentials({
    token: 'stale',
    refresh: () => Promise.resolve({ kind: 'renewed', token: 'good' }),
  });
  await using connection = transport.open();
  const { body } = await streamPostWithRetry(connection, { url, json: 'hello' }, credentials);
  expect(await body.text()).toBe('"hello"');

  const facts = await openByteStream(transport.short, { url: `${server.origin}/facts?key=same-socket` });
  const { ports, authorizations } = JSON.parse(await facts.body.text()) as Facts;
  expect(authorizations).toEqual(['Bearer stale', 'Bearer good']);
  expect(new Set(ports).size).toBe(1);
  transport.close();
});
