/** Which wire is the default, and what the one over `fetch` says where `fetch` does not know. `dist.test.ts` has the same of the built package. */
import { execFile } from 'node:child_process';
import { createRequire } from 'node:module';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';

import { rolldown } from 'rolldown';
import { afterAll, beforeAll, expect, test, vi } from 'vitest';

import { fetchTransport as portableFetchTransport } from '../src/index.ts';
import { BtwClient, createClient, fetchTransport, openByteStream } from '../src/index.node.ts';
import type { Transport } from '../src/transport.ts';
import { startHostileServer, type HostileServer } from './hostile-server.ts';
import { startStreamServer, type StreamServer } from './stream-server.ts';

let server: StreamServer;
let hostile: HostileServer;
beforeAll(async () => {
  server = await startStreamServer();
  hostile = await startHostileServer();
});
afterAll(async () => {
  hostile.close();
  await server.close();
});

const run = promisify(execFile);

test('R108: in Node the package is the entry with the node:http wire', () => {
  const resolved = createRequire(import.meta.url).resolve('@holdfast/client');
  expect(path.basename(resolved)).toBe('index.node.ts');
});

test('R108: no default in Node touches fetch', async () => {
  const fetch = vi.spyOn(globalThis, 'fetch').mockRejectedValue(new Error('fetch was called'));
  try {
    const url = `${server.origin}/status?key=default&status=200`;
    expect(await (await openByteStream({ url })).body.text()).toBe('body');
    const transport = fetchTransport();
    expect(await (await openByteStream(transport.open(), { url })).body.text()).toBe('body');
    transport.close();
    const client = createClient({ baseUrl: server.origin });
    await client.call('POST', '/status?key=default&status=404');
    await client.close();
    const btws = new BtwClient({ baseUrl: hostile.origin });
    await expect(btws.ask('s_1', 'Is it?').text()).rejects.toMatchObject({ fault: { kind: expect.any(String) } });
    await btws.close();
    expect(fetch).not.toHaveBeenCalled();
  } finally {
    fetch.mockRestore();
  }
});

test('A9: a stream without a connection of the caller’s leaves no socket', async () => {
  const before = server.sockets();
  await (await openByteStream({ url: `${server.origin}/status?key=own&status=200` })).body.text();
  const left = await openByteStream({ url: `${server.origin}/bytes?key=left&bytes=1000&end=hang` });
  for await (const _ of left.body) break;
  const stop = new AbortController();
  const opening = openByteStream({ url: `${server.origin}/never?key=own`, signal: stop.signal });
  stop.abort();
  await expect(opening).rejects.toMatchObject({ fault: { kind: 'cancelled' } });
  const endless = await openByteStream({ url: `${server.origin}/bytes?key=endless&bytes=1000&end=hang` });
  endless.body.cancel();
  await expect.poll(() => server.sockets()).toBe(before);
});

test('R108: with a fetch of the caller’s a body that ends with its connection is disconnected in Node', async () => {
  const own: typeof fetch = (...request) => fetch(...request);
  const endOf = async (transport: Transport, url: string): Promise<string> => {
    const { body } = await openByteStream(transport.open(), { url });
    return body.text().then(
      () => 'end',
      (error: { readonly fault: { readonly kind: string } }) => error.fault.kind,
    );
  };
  const transport = fetchTransport({ fetch: own });
  const body = (framing: string): string => `${hostile.origin}/?framing=${framing}&bytes=1000`;
  expect(await endOf(transport, body('http10'))).toBe('disconnected');
  expect(await endOf(transport, body('close-length'))).toBe('end');
  expect(await endOf(transport, `${server.origin}/bytes?key=chunked&bytes=1000`)).toBe('end');
  expect(await endOf(transport, `${server.origin}/status?key=none&status=204`)).toBe('end');
  expect(await endOf(fetchTransport({ fetch: async () => new Response('in process') }), 'http://x/')).toBe('end');
  expect(await endOf(portableFetchTransport({ fetch: own }), body('http10'))).toBe('end');
});

test.each([
  ['a page', ['browser', 'import', 'module']],
  ['workerd', ['workerd', 'worker', 'browser', 'import']],
  ['an edge runtime', ['edge-light', 'worker', 'import']],
  ['React Native', ['react-native', 'import']],
  ['a bundler that sets node too', ['browser', 'node', 'import']],
  ['a bundler that sets nothing', ['import', 'default']],
])('R108: the bundle for %s has no code of Node', async (_name, conditionNames) => {
  const { modules, platform } = await bundled(conditionNames);
  expect(platform).toEqual([]);
  expect(modules.filter((id) => /node\/|\.node\./.test(id))).toEqual([]);
  expect(modules).toContain('fetch-wire.ts');
});

test.each([['node'], ['bun'], ['deno']])('R108: the bundle for %s has the node:http wire', async (condition) => {
  const { modules, platform } = await bundled([condition, 'import']);
  expect(platform).toEqual(expect.arrayContaining(['node:http', 'node:https']));
  expect(modules).toContain('node/http-wire.ts');
});

/** Of all that the package exports: its modules, and the modules of the platform that they import. */
async function bundled(
  conditionNames: string[],
): Promise<{ readonly modules: readonly string[]; readonly platform: readonly string[] }> {
  const entry = 'virtual:entry';
  const build = await rolldown({
    input: entry,
    platform: 'neutral',
    external: [/^node:/],
    resolve: { conditionNames },
    logLevel: 'silent',
    plugins: [
      {
        name: 'entry',
        resolveId: (id) => (id === entry ? path.join(import.meta.dirname, 'whole-client.ts') : null),
        load: (id) => (path.basename(id) === 'whole-client.ts' ? "export * from '@holdfast/client';" : null),
      },
    ],
  });
  const { output } = await build.generate({ format: 'esm' });
  await build.close();
  const chunks = output.filter((it) => it.type === 'chunk');
  return {
    modules: chunks.flatMap(({ moduleIds }) => moduleIds.map((id) => id.replace(/^.*\/client\/src\//, ''))),
    platform: chunks.flatMap(({ imports }) => imports.filter((id) => id.startsWith('node:'))),
  };
}

test('R108, A2, A6: a process that reads 2,000 bodies without keep-alive, held, ended and reset, exits by itself', async () => {
  const reader = fileURLToPath(new URL('hostile-reader.main.ts', import.meta.url));
  const { stdout } = await run(process.execPath, [reader, hostile.origin, '2000'], { timeout: 150_000 });
  expect(JSON.parse(stdout)).toEqual({ streams: 2000, wrong: [] });
});
