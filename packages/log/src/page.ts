/**
 * A packed page: adjacent records of one stream as one compressed block, lossless.
 *
 * Layout, before compression: u32 count, then `count` × (f64 at, u32 length), then the bodies. Seqs follow from the page's
 * first one. 1. unpack(pack(records)) gives back every byte, time and place.
 */
import { zstdCompressSync, zstdDecompressSync } from 'node:zlib';
import type { LogRecord } from './port.ts';
import { logRecord } from './record.ts';

/** What one page holds at most, before compression: a reader decompresses a page to read any of it. */
export const PAGE_BYTES_MAX: number = 128 * 1024;
export const PAGE_RECORDS_MAX = 2_048;
const CACHED_PAGES_MAX = 8;
const HEAD_BYTES = 4;
const ENTRY_BYTES = 12;

export function packPage(records: readonly { readonly at: number; readonly bytes: Uint8Array }[]): Uint8Array {
  const bodies = records.reduce((sum, record) => sum + record.bytes.byteLength, 0);
  const flat = Buffer.allocUnsafe(HEAD_BYTES + records.length * ENTRY_BYTES + bodies);
  flat.writeUInt32LE(records.length, 0);
  let body = HEAD_BYTES + records.length * ENTRY_BYTES;
  for (const [index, { at, bytes }] of records.entries()) {
    flat.writeDoubleLE(at, HEAD_BYTES + index * ENTRY_BYTES);
    flat.writeUInt32LE(bytes.byteLength, HEAD_BYTES + index * ENTRY_BYTES + 8);
    flat.set(bytes, body);
    body += bytes.byteLength;
  }
  return zstdCompressSync(flat);
}

export function unpackPage(first: number, page: Uint8Array): readonly LogRecord[] {
  const flat = zstdDecompressSync(page);
  const count = flat.readUInt32LE(0);
  const records: LogRecord[] = [];
  let body = HEAD_BYTES + count * ENTRY_BYTES;
  for (let index = 0; index < count; index += 1) {
    const at = flat.readDoubleLE(HEAD_BYTES + index * ENTRY_BYTES);
    const length = flat.readUInt32LE(HEAD_BYTES + index * ENTRY_BYTES + 8);
    records.push(logRecord(first + index, at, flat.subarray(body, body + length)));
    body += length;
  }
  return records;
}

/** Pages that were read lately: who reads on in small steps decompresses a page once. About 2 MiB at most. */
export class PageCache {
  readonly #pages = new Map<string, { readonly body: Uint8Array; readonly records: readonly LogRecord[] }>();

  /** A page under the same place may be another one (after a failover): it counts only where it is the same byte for byte. */
  unpack(streamId: number, first: number, body: Uint8Array): readonly LogRecord[] {
    const place = `${streamId}/${first}`;
    const known = this.#pages.get(place);
    this.#pages.delete(place);
    const page =
      known !== undefined && Buffer.compare(known.body, body) === 0
        ? known
        : { body, records: unpackPage(first, body) };
    this.#pages.set(place, page);
    const [oldest] = this.#pages.keys();
    if (this.#pages.size > CACHED_PAGES_MAX && oldest !== undefined) this.#pages.delete(oldest);
    return page.records;
  }
}
