import { fileURLToPath } from 'node:url';

import { rolldown } from 'rolldown';

/** One file of `test/`, with all it imports, for a browser. */
export async function bundle(file: string): Promise<string> {
  const input = fileURLToPath(new URL(file, import.meta.url));
  await using build = await rolldown({ input, platform: 'browser', logLevel: 'silent' });
  const { output } = await build.generate({ format: 'iife', minify: false });
  return output[0].code;
}

/** The same as a page gets it from its bundler, by file name: `page.js` first, and a file for what it loads while it runs. */
export async function bundleInParts(file: string): Promise<ReadonlyMap<string, string>> {
  const input = { page: fileURLToPath(new URL(file, import.meta.url)) };
  await using build = await rolldown({ input, platform: 'browser', logLevel: 'silent' });
  const names = { entryFileNames: '[name].js', chunkFileNames: '[name].js' };
  const { output } = await build.generate({ format: 'esm', minify: false, ...names });
  return new Map(output.flatMap((it) => (it.type === 'chunk' ? [[it.fileName, it.code] as const] : [])));
}

export const HTML = '<!doctype html><meta charset="utf-8"><title>hold</title><script src="/page.js"></script>';
export const HTML_OF_PARTS: string = HTML.replace('<script ', '<script type="module" ');
