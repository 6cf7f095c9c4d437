/**
 * The suite that the published form passes on the oldest Node that it promises, on Bun and on Deno, under the runner of each. Bundled by
 * `dist.test.ts` with `@holdfast/client` left outside, so that it is the built package that is used.
 */
import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';

import { BtwClient, createClient, fetchTransport, systemClock } from '@holdfast/client';
import { fileOutbox, nodeTransport } from '@holdfast/client/node';
import { byteStreamCases, createTestGateway } from '@holdfast/client/testing';

import { portableCases } from './proof/portable-cases.ts';
import { startStreamServer, type StreamServer } from './stream-server.ts';
import { WireServer } from './wire-server.ts';

let unhandled = 0;
process.on('unhandledRejection', () => unhandled++);

const gatewayUrl = process.env['GATEWAY_URL'] ?? '';
const token = process.env['GATEWAY_TOKEN'] ?? '';

// A `fetch` of the caller's is used as it is; without one the transport may be the other of the two.
const ownFetch: typeof fetch = (...request) => fetch(...request);

for (const [name, makeTransport] of [
  ['node:http', nodeTransport],
  ['fetch', () => fetchTransport({ fetch: ownFetch })],
] as const) {
  void describe(`byte streams over ${name}`, () => {
    let server: StreamServer;
    before(async () => {
      server = await startStreamServer();
    });
    after(() => server.close());
    for (const it of byteStreamCases) {
      void test(it.name, async () => {
        const transport = makeTransport();
        await it.run({
          transport,
          origin: server.origin,
          deadUrl: 'http://127.0.0.1:9/',
          clock: systemClock,
          platformBytesMax: 12 * 1024 * 1024,
          key: encodeURIComponent(`${name} ${it.name}`),
        });
        transport.close();
      });
    }
  });

  void describe(`event streams, settling and unsent messages over ${name}`, () => {
    let server: WireServer;
    let dir = '';
    before(async () => {
      server = await WireServer.start();
      dir = await mkdtemp(path.join(tmpdir(), 'holdfast-dist-'));
    });
    after(async () => {
      await server.close();
      await rm(dir, { recursive: true });
    });
    for (const [index, it] of portableCases.entries()) {
      void test(it.name, async () => {
        const key = `dist-${index}`;
        const openOutbox = (): ReturnType<typeof fileOutbox> => fileOutbox(path.join(dir, `${key}.json`));
        await it.run({ makeTransport, origin: server.origin, openOutbox, key });
        assert.equal(unhandled, 0);
      });
    }
  });

  void test(`a message, its answer and a question beside it from a real gateway over ${name}`, async () => {
    const client = createClient({ baseUrl: gatewayUrl, token, transport: makeTransport() });
    const session = await client.createSession();
    const turn = await session.send('/scene plain tokens=40 rate=0 delay=0');
    let text = '';
    for await (const part of turn) if (part.type === 'text') text += part.text;
    assert.ok(text.length > 50);
    assert.equal(await turn.text(), text);
    const btws = new BtwClient({ baseUrl: gatewayUrl, token, transport: makeTransport() });
    assert.ok((await btws.ask(session.id, 'How far is it?').text()).length > 20);
    await btws.close();
    await client.close();
    assert.equal(client.inspect().streams, 0);
  });
}

void test('the gateway in memory, and an outbox in a file that the next process takes up', async () => {
  const dir = await mkdtemp(path.join(tmpdir(), 'holdfast-dist-'));
  const file = path.join(dir, 'unsent.json');
  const gateway = createTestGateway();
  const options = { baseUrl: 'http://test', subject: 'ann' };
  const first = createClient({ ...options, transport: gateway.transport, outbox: fileOutbox(file) });
  const session = await first.createSession({ id: 's_file' });
  gateway.offline = true;
  await session.send('kept');
  await first.close();
  gateway.offline = false;
  const second = createClient({ ...options, transport: gateway.transport, outbox: fileOutbox(file) });
  const kept = second.session('s_file');
  await new Promise<void>((resolve) => {
    kept.store.subscribe(() => {
      if (kept.store.getSnapshot().messages[1]?.state === 'completed') resolve();
    });
  });
  assert.deepEqual(
    gateway.view('s_file').messages.map(({ text }) => text),
    ['kept', 'You said: kept'],
  );
  await second.close();
  await rm(dir, { recursive: true });
});
