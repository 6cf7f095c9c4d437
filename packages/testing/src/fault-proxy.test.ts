import { createServer, get, type IncomingMessage } from 'node:http';
import type { AddressInfo } from 'node:net';

import { afterAll, beforeAll, expect, test } from 'vitest';

import { startFaultProxy, type FaultPlan } from './fault-proxy.ts';

const body = `data: {"text":"${'漢字 '.repeat(2000)}"}\n\n`;
const server = createServer((_request, response) => response.end(body));
let port = 0;

beforeAll(async () => {
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  ({ port } = server.address() as AddressInfo);
});
afterAll(() => server.close());

type Seen = { status: number; bytes: Buffer; end: 'end' | 'error' | 'waiting' };

/** What a client sees of one request through a proxy with this plan; `waiting` when nothing has come for so long. */
async function through(plan: FaultPlan, quietMs?: number): Promise<Seen> {
  const proxy = await startFaultProxy({ target: { port }, plan: () => plan });
  const seen: Seen = { status: 0, bytes: Buffer.alloc(0), end: 'waiting' };
  const request = get({ port: proxy.port, agent: false });
  await new Promise<void>((resolve) => {
    let quiet: NodeJS.Timeout | undefined;
    const finish = (end: 'end' | 'error'): void => {
      if (seen.end === 'waiting') seen.end = end;
      resolve();
    };
    request.on('error', () => finish('error'));
    request.on('response', (response: IncomingMessage) => {
      seen.status = response.statusCode ?? 0;
      response.on('data', (chunk: Buffer) => {
        seen.bytes = Buffer.concat([seen.bytes, chunk]);
        clearTimeout(quiet);
        if (quietMs !== undefined) quiet = setTimeout(resolve, quietMs);
      });
      response.on('end', () => finish('end'));
      response.on('error', () => finish('error'));
    });
  });
  request.destroy();
  await proxy.close();
  expect(proxy.open).toBe(0);
  return seen;
}

test('without a fault every byte passes, also slowly, byte by byte or late', async () => {
  for (const plan of [{}, { trickle: true }, { delayMs: 30 }, { bytesPerSecond: 100_000 }]) {
    expect(await through(plan)).toEqual({ status: 200, bytes: Buffer.from(body), end: 'end' });
  }
});

test('a cut before the headers is a lost connection, by reset and by close', async () => {
  for (const how of ['reset', 'close'] as const) {
    expect(await through({ cut: { afterBytes: 0, how } })).toMatchObject({ status: 0, end: 'error' });
  }
});

test('a cut strikes in mid-frame and in mid-character, after every byte before it', async () => {
  const inFrame = await through({ cut: { afterBytes: 50, where: 'in-frame', how: 'reset' } });
  expect(inFrame.end).toBe('error');
  expect(inFrame.bytes.toString()).toBe('data: {');

  const inCharacter = await through({ cut: { afterBytes: 3000, where: 'in-character', how: 'close' } });
  expect(inCharacter.end).toBe('error');
  expect(inCharacter.bytes.length).toBeGreaterThan(2000);
  expect(inCharacter.bytes.toString().endsWith('\uFFFD')).toBe(true);
  expect(Buffer.from(body).subarray(0, inCharacter.bytes.length)).toEqual(inCharacter.bytes);
});

test('a stall is half open: nothing comes, and nobody says so', async () => {
  expect(await through({ cut: { afterBytes: 4000, how: 'stall' } }, 500)).toMatchObject({
    status: 200,
    end: 'waiting',
  });
});

test('it answers by itself, with headers', async () => {
  const headers = { 'retry-after': '7' };
  expect(await through({ answer: { status: 503, headers } })).toMatchObject({ status: 503, end: 'end' });
});
