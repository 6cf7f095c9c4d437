/**
 * The page's files: what is served, how long it is kept, and that there is no way out of the directory.
 */
import { mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { openApi } from './harness.ts';

const INDEX =
  '<!doctype html><html><head><title>Holdfast</title><script type="module" src="./assets/index-B1c2D3e4.js"></script></head></html>';

function build(): string {
  const directory = mkdtempSync(join(tmpdir(), 'holdfast-web-'));
  const web = join(directory, 'dist');
  mkdirSync(join(web, 'assets'), { recursive: true });
  writeFileSync(join(web, 'index.html'), INDEX);
  writeFileSync(join(web, 'assets', 'index-B1c2D3e4.js'), 'export {};');
  writeFileSync(join(web, 'favicon.svg'), '<svg/>');
  writeFileSync(join(directory, 'secret.txt'), 'secret');
  onTestFinished(() => rmSync(directory, { recursive: true }));
  return web;
}

test('the index needs no token, is never kept, and lets nothing inline run', async () => {
  const api = await openApi({ web: build() });
  for (const path of ['/', '/index.html', '/s/some-session', '/s/notes.2026']) {
    const { status, headers, text } = await api.call('GET', path, undefined, { token: null });
    expect([status, headers.get('content-type'), headers.get('cache-control')]).toEqual([
      200,
      'text/html; charset=utf-8',
      'no-store',
    ]);
    expect(text).toContain('<base href="/">');
    const policy = headers.get('content-security-policy')!;
    expect(policy).toContain("default-src 'none'");
    expect(/script-src ([^;]*)/.exec(policy)![1]).toBe("'self' 'wasm-unsafe-eval'");
    expect(policy).toContain("frame-ancestors 'none'");
    expect(headers.get('x-content-type-options')).toBe('nosniff');
    expect(headers.get('referrer-policy')).toBe('same-origin');
  }
});

test('a file with a hash in its name is kept for ever, another is asked for again', async () => {
  const api = await openApi({ web: build() });
  const script = await api.call('GET', '/assets/index-B1c2D3e4.js', undefined, { token: null });
  expect([script.status, script.headers.get('content-type'), script.headers.get('cache-control')]).toEqual([
    200,
    'text/javascript; charset=utf-8',
    'public, max-age=31536000, immutable',
  ]);
  const icon = await api.call('GET', '/favicon.svg', undefined, { token: null });
  expect(icon.headers.get('cache-control')).toBe('no-cache');
  const again = await api.call('GET', '/favicon.svg', undefined, {
    token: null,
    headers: { 'if-none-match': icon.headers.get('etag')! },
  });
  expect([again.status, again.text]).toEqual([304, '']);
});

test('an asset that is not there is 404, never the index', async () => {
  const api = await openApi({ web: build() });
  expect((await api.call('GET', '/assets/index-00000000.js', undefined, { token: null })).body).toMatchObject({
    status: 404,
  });
});

test('HEAD tells the length of a file and leaves nothing open', async () => {
  const web = build();
  // More than a stream reads before anybody asks.
  writeFileSync(join(web, 'large.wasm'), Buffer.alloc(1_000_000));
  const api = await openApi({ web });
  const head = (): ReturnType<typeof api.call> => api.call('HEAD', '/large.wasm', undefined, { token: null });
  const openFiles = (): number => readdirSync('/dev/fd').length;
  expect((await head()).headers.get('content-length')).toBe('1000000');
  const before = openFiles();
  for (let asked = 0; asked < 100; asked += 1) await head();
  expect(openFiles()).toBeLessThan(before + 10);
});

test('a build that replaces another is served without a restart', async () => {
  const web = build();
  const api = await openApi({ web });
  await api.call('GET', '/assets/index-B1c2D3e4.js', undefined, { token: null });
  writeFileSync(join(web, 'assets', 'index-F5g6H7i8.js'), 'export const a = 1;');
  await expect
    .poll(async () => (await api.call('GET', '/assets/index-F5g6H7i8.js', undefined, { token: null })).status)
    .toBe(200);
  expect((await api.call('GET', '/assets/index-B1c2D3e4.js', undefined, { token: null })).status).toBe(200);
});

test.each([
  '/../secret.txt',
  '/assets/../../secret.txt',
  '/%2e%2e/secret.txt',
  '/..%2fsecret.txt',
  '/assets/..%5c..%5csecret.txt',
  '//secret.txt',
  '/%00secret.txt',
])('%s leads nowhere', async (path) => {
  const api = await openApi({ web: build() });
  const text = await new Promise<string>((resolve) => {
    const socket = connect(api.gateway.port, '127.0.0.1');
    let got = '';
    socket.on('data', (chunk) => (got += chunk.toString()));
    socket.on('close', () => resolve(got));
    socket.write(`GET ${path} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n`);
  });
  expect(text).toMatch(/^HTTP\/1\.1 (404|400)/);
  expect(text).not.toContain('secret\n');
});

test('without a build the page says so, and what to do', async () => {
  const api = await openApi({ web: '/nowhere/at/all' });
  const { status, text } = await api.call('GET', '/', undefined, { token: null });
  expect(status).toBe(200);
  expect(text).toContain('npm start');
  expect(text).toContain('HOLDFAST_WEB');
});
