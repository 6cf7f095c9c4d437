/** A reader that goes on only as far as it is told. Bundled by `slow-reader.browser.test.ts`. */
import { openByteStream } from '../../src/byte-stream.ts';
import { fetchTransport } from '../../src/fetch-wire.ts';
import { patternHolds } from '../../src/testing.ts';

let iterator: AsyncIterator<Uint8Array, undefined> | undefined;
let read = 0;

const slowReader = {
  async open(url: string): Promise<void> {
    const { body } = await openByteStream(fetchTransport().open(), { url });
    iterator = body[Symbol.asyncIterator]();
    read = 0;
  },

  /** @returns how many bytes have been read, each of them right: at least `bytes`, or all. */
  async readTo(bytes: number): Promise<number> {
    while (read < bytes) {
      const next = await iterator?.next();
      if (next?.value === undefined) break;
      if (!patternHolds(next.value, read)) throw new Error(`wrong bytes after ${read}`);
      read += next.value.length;
    }
    return read;
  },
};

export type SlowReader = typeof slowReader;
Object.assign(globalThis, { slowReader });
