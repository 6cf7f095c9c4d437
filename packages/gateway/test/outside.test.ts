/**
 * Clients that nobody here wrote: curl, and the `eventsource` package.
 */
import { execFile } from 'node:child_process';
import { createServer, connect, type Socket } from 'node:net';
import { promisify } from 'node:util';
import { EventSource } from 'eventsource';
import { rehearse } from '@holdfast/agents';
import { expect, onTestFinished, test } from 'vitest';
import { openApi, ROOT } from './harness.ts';

const run = promisify(execFile);

test('curl -N reads a turn to its end and succeeds', async () => {
  const api = await openApi();
  const id = await api.session();
  const scene = '/scene markdown tokens=120 rate=2000 seed=3';
  const { turnId } = (await api.send(id, scene)).body;
  const { stdout } = await run('curl', [
    '-sS',
    '-N',
    '--fail',
    '--max-time',
    '20',
    '-H',
    `Authorization: Bearer ${ROOT}`,
    `${api.url}/v1/sessions/${id}/turns/${turnId}/stream`,
  ]);
  const events = stdout
    .split('\n')
    .filter((line) => line.startsWith('data: '))
    .map((line) => JSON.parse(line.slice(6)) as { type?: string; text?: string });
  const text = events
    .filter(({ type }) => type === 'text-delta')
    .map((event) => event.text)
    .join('');
  expect(text).toBe(rehearse(scene));
  expect(events.at(-1)?.type).toBe('stream-end');
});

test('curl -N fails on a stream that was cut off, instead of taking it for the whole', async () => {
  const api = await openApi({}, { readers: { sweepMs: 20, lingerMs: 1 } });
  const id = await api.session();
  const { turnId } = (await api.send(id, '/scene long rate=20')).body;
  const proxy = await cuttingProxy(api.gateway.port);
  const asked = run('curl', [
    '-sS',
    '-N',
    '--max-time',
    '20',
    '-H',
    `Authorization: Bearer ${ROOT}`,
    `http://127.0.0.1:${proxy.port}/v1/sessions/${id}/turns/${turnId}/stream`,
  ]);
  await proxy.connected;
  proxy.cut();
  await expect(asked).rejects.toMatchObject({ code: expect.toBeOneOf([18, 52, 56]) });
});

test('eventsource goes on after a reset where it was: Last-Event-ID, no gap, no repetition', async () => {
  const api = await openApi();
  const id = await api.session();
  const proxy = await cuttingProxy(api.gateway.port);
  const source = new EventSource(`http://127.0.0.1:${proxy.port}/v1/sessions/${id}/events?after=0`, {
    fetch: (url, init) => fetch(url, { ...init, headers: { ...init.headers, authorization: `Bearer ${ROOT}` } }),
  });
  onTestFinished(() => source.close());
  const seqs: number[] = [];
  let text = '';
  let opened = 0;
  source.addEventListener('open', () => (opened += 1));
  const ended = new Promise<void>((resolve) => {
    const take = ({ data, type }: MessageEvent<string>) => {
      const entry = JSON.parse(data) as { seq: number; text?: string };
      seqs.push(entry.seq);
      if (type === 'text-delta') text += entry.text;
      // In mid-turn.
      if (seqs.length === 10) proxy.cut();
      if (type === 'stream-end') resolve();
    };
    for (const type of [
      'session-open',
      'message',
      'turn-start',
      'text-delta',
      'turn-end',
      'usage',
      'title-status',
      'title',
      'stream-end',
    ])
      source.addEventListener(type, take);
  });
  const scene = '/scene plain tokens=80 rate=100 seed=5';
  await api.send(id, scene);
  await ended;
  expect(seqs).toEqual(seqs.map((_, index) => index + 1));
  expect(text).toBe(rehearse(scene));
  expect(opened).toBe(2);
});

interface Proxy {
  readonly port: number;
  readonly connected: Promise<void>;
  /** Breaks every connection with a reset. */
  cut(): void;
}

async function cuttingProxy(port: number): Promise<Proxy> {
  const sockets = new Set<Socket>();
  let onData: () => void = () => undefined;
  const connected = new Promise<void>((resolve) => (onData = resolve));
  const server = createServer((client) => {
    const upstream = connect(port, '127.0.0.1');
    for (const socket of [client, upstream]) {
      sockets.add(socket);
      socket.on('error', () => undefined);
      socket.on('close', () => {
        sockets.delete(socket);
        client.destroy();
        upstream.destroy();
      });
    }
    upstream.on('data', () => onData());
    client.pipe(upstream);
    upstream.pipe(client);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  onTestFinished(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  const address = server.address();
  return {
    port: typeof address === 'object' && address !== null ? address.port : 0,
    connected,
    cut: () => {
      for (const socket of sockets) socket.resetAndDestroy();
    },
  };
}
