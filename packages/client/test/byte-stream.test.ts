/** The suite on both of Node's transports, and over TLS. `browser.browser.test.ts` runs it in Chromium. */
import { once } from 'node:events';
import { createServer, type AddressInfo } from 'node:net';

import type { Fault } from '@holdfast/protocol/fault';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';

import { openByteStream } from '../src/byte-stream.ts';
import { systemClock } from '../src/clock.ts';
import { createCredentials } from '../src/credentials.ts';
import { fetchTransport } from '../src/fetch-wire.ts';
import { nodeTransport } from '../src/node/index.ts';
import { streamPostWithRetry } from '../src/post.ts';
import { byteStreamCases, type Facts } from '../src/testing.ts';
import type { Transport } from '../src/transport.ts';
import type { WireExchange } from '../src/wire.ts';
import { startStreamServer, type StreamServer } from './stream-server.ts';
import { TLS } from './tls.ts';

let server: StreamServer;
let secure: StreamServer;
let unhandled = 0;
const onUnhandled = (): void => void unhandled++;

beforeAll(async () => {
  process.on('unhandledRejection', onUnhandled);
  server = await startStreamServer();
  secure = await startStreamServer({}, TLS);
});
afterAll(async () => {
  process.off('unhandledRejection', onUnhandled);
  await server.close();
  await secure.close();
});

/** TCP's own buffers, on loopback. */
const platformBytesMax = 12 * 1024 * 1024;

const transports: readonly [string, () => Transport, () => StreamServer][] = [
  ['node:http', nodeTransport, () => server],
  ['node:https', () => nodeTransport({ tls: { ca: TLS.cert } }), () => secure],
  ['fetch', fetchTransport, () => server],
];

describe.each(transports)('a byte stream over %s', (name, makeTransport, serverOf) => {
  test.each(byteStreamCases.map((it) => [it.name, it] as const))('%s', async (caseName, it) => {
    const transport = makeTransport();
    const key = encodeURIComponent(`${name} ${caseName}`);
    // Discard: nobody listens on port 9 of the loopback.
    await it.run({
      transport,
      origin: serverOf().origin,
      deadUrl: 'http://127.0.0.1:9/',
      clock: systemClock,
      platformBytesMax,
      key,
    });
    transport.close();
    expect(unhandled).toBe(0);
  });
});

test('A9, A2: over sockets nothing is left: the server has no socket', async () => {
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

test('A10: over a socket the retry goes out on the socket of the 401, which was drained', async () => {
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

test('A2: a server whose certificate nobody vouches for, and one that speaks no HTTP, are told as what they are', async () => {
  const transport = nodeTransport();
  await using connection = transport.open();
  const stranger = openByteStream(connection, { url: `${secure.origin}/bytes?key=stranger&bytes=1` });
  await expect(stranger).rejects.toMatchObject({
    fault: { kind: 'disconnected', detail: expect.stringContaining('certificate') },
  });
  const plain = openByteStream(connection, {
    url: `${secure.origin.replace('https', 'http')}/bytes?key=plain&bytes=1`,
  });
  await expect(plain).rejects.toMatchObject({ fault: { kind: 'disconnected' } });
  const noServer = openByteStream(connection, { url: 'ftp://127.0.0.1/' });
  await expect(noServer).rejects.toMatchObject({ fault: { kind: 'invalid-request' } });
  const split = openByteStream(connection, { url: server.origin, headers: { 'x-one': 'a\r\nx-two: b' } });
  await expect(split).rejects.toMatchObject({ fault: { kind: 'invalid-request' } });
  transport.close();
});

test('A2: what comes after a response, before anybody asked, is nobody’s answer', async () => {
  const answer = (text: string): string => `HTTP/1.1 200 OK\r\ncontent-length: ${text.length}\r\n\r\n${text}`;
  let connections = 0;
  const bare = createServer((socket) => {
    connections += 1;
    socket.on('error', () => undefined);
    socket.on('data', () => void socket.write(answer('asked for') + answer('not asked for')));
  }).listen(0, '127.0.0.1');
  await once(bare, 'listening');
  const transport = nodeTransport();
  await using connection = transport.open();
  for (let n = 1; n <= 3; n += 1) {
    const { port } = bare.address() as AddressInfo;
    const { body } = await openByteStream(connection, { url: `http://127.0.0.1:${port}/` });
    expect(await body.text()).toBe('asked for');
    expect(connections).toBe(n);
  }
  transport.close();
  bare.close();
});

test.each([
  ['ends with its connection', 'HTTP/1.0 200 OK\r\n\r\nall of it', 'all of it'],
  ['comes after another that was for somebody else', 'HTTP/1.1 103 Early\r\n\r\nHTTP/1.1 200 OK\r\n\r\nit', 'it'],
  ['has no body', 'HTTP/1.1 204 No Content\r\n\r\n', ''],
])('A2: a response that %s is read whole', async (_what, answer, text) => {
  const bare = createServer((socket) => void socket.end(answer)).listen(0, '127.0.0.1');
  await once(bare, 'listening');
  const transport = nodeTransport();
  await using connection = transport.open();
  const { body } = await openByteStream(connection, {
    url: `http://127.0.0.1:${(bare.address() as AddressInfo).port}/`,
  });
  expect(await body.text()).toBe(text);
  transport.close();
  bare.close();
});

/** Answers each request with this, on as many connections as there are. */
async function bareServer(reply: string): Promise<{ readonly url: string; close(): void }> {
  const bare = createServer((socket) => {
    socket.on('error', () => undefined);
    socket.on('data', () => void socket.write(reply));
  }).listen(0, '127.0.0.1');
  await once(bare, 'listening');
  return { url: `http://127.0.0.1:${(bare.address() as AddressInfo).port}/`, close: () => void bare.close() };
}
const TEN = 'HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\n0123456789';

test('A7, A2: a response that was held at its last piece leaves a socket that is read', async () => {
  const { url, close } = await bareServer(TEN);
  const transport = nodeTransport();
  await using connection = transport.open();
  const one = await openByteStream(connection, { url, highWaterBytes: 5, lowWaterBytes: 1 });
  await expect.poll(() => one.body.bufferedBytes).toBe(10);
  expect(await one.body.text()).toBe('0123456789');
  const two = await openByteStream(connection, { url });
  expect(await two.body.text()).toBe('0123456789');
  transport.close();
  close();
});

test('A4: an exchange that is over does not touch the next one on its socket', async () => {
  const { url, close } = await bareServer(TEN);
  const transport = nodeTransport();
  const connection = transport.open();
  const send = (): { readonly ended: Promise<string>; readonly exchange: WireExchange } => {
    const { promise, resolve } = Promise.withResolvers<string>();
    const request = { url, method: 'GET', headers: {}, body: undefined };
    const sink = { head() {}, chunk() {}, end: () => resolve('end'), fail: ({ kind }: Fault) => resolve(kind) };
    return { ended: promise, exchange: connection.send(request, sink) };
  };
  const first = send();
  expect(await first.ended).toBe('end');
  const second = send();
  first.exchange.hold();
  first.exchange.cancel();
  expect(await second.ended).toBe('end');
  connection.close();
  transport.close();
  close();
});
