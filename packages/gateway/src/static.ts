/**
 * The page: the web app's build, from disk.
 *
 * 1. What is there is decided by a list made from the directory, never by joining a request's path to it: there is no path that
 *    leads out. The list is made anew when a file is asked for that it does not have, at most once a second: a build
 *    that replaces another is served at once, and old chunks as long as they lie there.
 * 2. Files with a hash in their name never change and are kept for ever; the index is never kept.
 * 3. The policy lets nothing run that did not come from here as a file: no inline script, no other origin.
 * 4. The page's own routes get the index, if the request takes HTML. Any other path without a file is a fault, as on the API (R83).
 */
import { createReadStream } from 'node:fs';
import { readdir, readFile, stat } from 'node:fs/promises';
import { extname, join, relative, sep } from 'node:path';
import { fault } from '@holdfast/protocol';
import type { Clock } from '@holdfast/session';
import { failed, type Headers, type Reply } from './http/reply.ts';
import type { ReadHeader } from './auth/door.ts';

const MEDIA_TYPES: Readonly<Record<string, string>> = {
  '.html': 'text/html; charset=utf-8',
  '.js': 'text/javascript; charset=utf-8',
  '.mjs': 'text/javascript; charset=utf-8',
  '.css': 'text/css; charset=utf-8',
  '.json': 'application/json; charset=utf-8',
  '.webmanifest': 'application/manifest+json',
  '.svg': 'image/svg+xml',
  '.png': 'image/png',
  '.ico': 'image/x-icon',
  '.woff2': 'font/woff2',
  '.wasm': 'application/wasm',
  '.txt': 'text/plain; charset=utf-8',
  '.map': 'application/json',
};

const POLICY = [
  "default-src 'none'",
  // Highlighting is compiled WebAssembly.
  "script-src 'self' 'wasm-unsafe-eval'",
  "style-src 'self' 'unsafe-inline'",
  "img-src 'self' data: blob:",
  "font-src 'self'",
  "media-src 'self' blob:",
  "connect-src 'self'",
  "worker-src 'self' blob:",
  "manifest-src 'self'",
  "base-uri 'self'",
  "form-action 'none'",
  "frame-ancestors 'none'",
].join('; ');

const PAGE_HEADERS: Headers = {
  'content-security-policy': POLICY,
  'cross-origin-opener-policy': 'same-origin',
  'permissions-policy': 'camera=(), geolocation=()',
};
/** The addresses that the page's own router knows (`apps/web/src/shell/route.ts`). */
const PAGE_ROUTES: readonly RegExp[] = [/^\/(?:index\.html)?$/, /^\/s\/[^/]+$/];
const HASHED = /[.-][A-Za-z0-9_-]{8,}\.\w+$/;
const LIST_EVERY_MS = 1_000;

const MISSING_PAGE = `<!doctype html><meta charset="utf-8"><title>Holdfast</title>
<h1>The gateway runs; its page is not built</h1>
<p>The interface at <code>/v1</code> works. To have the page here, run <code>npm start</code> in the checkout, which builds it,
or set <code>HOLDFAST_WEB</code> to the directory of a build.</p>
`;

export interface StaticFiles {
  serve(method: string, path: string, header: ReadHeader): Promise<Reply>;
}

export interface StaticOptions {
  /** The build's directory; undefined: there is none. */
  readonly directory: string | undefined;
  /** The path prefix behind a proxy, without a slash at its end. */
  readonly prefix: string;
  readonly clock: Clock;
}

interface File {
  readonly path: string;
  readonly bytes: number;
  readonly etag: string;
}

export function serveStatic({ directory, prefix, clock }: StaticOptions): StaticFiles {
  let files: ReadonlyMap<string, File> = new Map();
  let listedMs = Number.NEGATIVE_INFINITY;

  async function find(name: string): Promise<File | undefined> {
    const known = files.get(name);
    if (known !== undefined && name !== 'index.html') return known;
    if (directory !== undefined && clock.monotonicMs() - listedMs >= LIST_EVERY_MS) {
      listedMs = clock.monotonicMs();
      files = await listFiles(directory);
    }
    return files.get(name);
  }

  return {
    serve: async (method, path, header) => {
      if (method !== 'GET' && method !== 'HEAD')
        return failed(fault('method-not-allowed', `${method} is not answered here. The page is read by GET.`));
      const name = path.slice(1);
      const isPage = PAGE_ROUTES.some((route) => route.test(path));
      const file = isPage ? undefined : await find(name);
      if (file !== undefined) return sendFile(name, file, header);
      if (!isPage || !takesHtml(header('accept')))
        return failed(fault('route-not-found', `There is no ${path.slice(0, 200)}. The page is at /, the API at /v1.`));
      const index = await find('index.html');
      const html = index === undefined ? MISSING_PAGE : withBase(await readFile(index.path, 'utf8'), prefix);
      return { kind: 'text', mediaType: 'text/html; charset=utf-8', text: html, headers: PAGE_HEADERS };
    },
  };
}

function sendFile(name: string, { path, bytes, etag }: File, header: ReadHeader): Reply {
  const kept = HASHED.test(name) ? 'public, max-age=31536000, immutable' : 'no-cache';
  const headers = { ...PAGE_HEADERS, 'cache-control': kept, etag };
  if (header('if-none-match') === etag) return { kind: 'unchanged', headers };
  return {
    kind: 'bytes',
    mediaType: MEDIA_TYPES[extname(name)] ?? 'application/octet-stream',
    bytes,
    chunks: chunksOf(path),
    headers,
  };
}

/** A client that says nothing takes anything. */
const takesHtml = (accept: string | undefined): boolean =>
  accept === undefined || /(?:text\/html|text\/\*|\*\/\*)/i.test(accept);

async function* chunksOf(path: string): AsyncGenerator<Uint8Array> {
  yield* createReadStream(path);
}

/** The build refers to its files relatively, so it works under any prefix and from any depth. */
const withBase = (html: string, prefix: string): string =>
  html.replace(/<head(\s[^>]*)?>/i, (head) => `${head}<base href="${prefix}/">`);

async function listFiles(directory: string): Promise<ReadonlyMap<string, File>> {
  const entries = await readdir(directory, { recursive: true, withFileTypes: true }).catch(() => []);
  const files = new Map<string, File>();
  await Promise.all(
    entries
      .filter((entry) => entry.isFile())
      .map(async (entry) => {
        const path = join(entry.parentPath, entry.name);
        const { size, mtimeMs } = await stat(path);
        files.set(relative(directory, path).split(sep).join('/'), {
          path,
          bytes: size,
          etag: `"${size.toString(16)}-${Math.trunc(mtimeMs).toString(16)}"`,
        });
      }),
  );
  return files;
}
