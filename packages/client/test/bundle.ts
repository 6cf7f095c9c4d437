import { fileURLToPath } from 'node:url';

import { rolldown } from 'rolldown';

/** One file of `test/`, with all it imports, for a browser. */
export async function bundle(file: string): Promise<string> {
  const input = fileURLToPath(new URL(file, import.meta.url));
  await using build = await rolldown({ input, platform: 'browser', logLevel: 'silent' });
  const { output } = await build.generate({ format: 'iife', minify: false });
  return output[0].code;
}

export const HTML = '<!doctype html><meta charset="utf-8"><title>hold</title><script src="/page.js"></script>';
