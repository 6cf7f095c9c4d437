/**
 * Blobs: attachments and large tool output, content-addressed, never inside entries. A blob is a closed byte stream of the
 * log, named by the SHA-256 of its bytes, so every store and every backup holds it.
 *
 * 1. It is written in one append, so it is whole or not there; writing the same bytes again finds it there.
 * 2. `BLOB_BYTES_MAX` bounds one blob and so what writing one holds in memory.
 * 3. What was erased can be written again: a deleted stream's name is never given again, so each life of a blob has a stream of its own.
 */
import { createHash } from 'node:crypto';
import { fault, FaultError, type Fault } from '@holdfast/protocol';
import type { Log, LogRecord, ReadRange, StreamName } from '@holdfast/log';
import type { BlobSink } from './agent.ts';
import type { Result } from './service.ts';

export const BLOB_BYTES_MAX: number = 32 * 1024 * 1024;
const CHUNK_BYTES = 256 * 1024;

const blobStream = (hash: string, life: number): StreamName => (life === 1 ? `blob/${hash}` : `blob/${hash}.${life}`);

/** Makes a reference to the blob before its bytes are stored (`blob-references.ts`). */
type Hold = (hash: string) => Promise<void>;

export const noBlob = (hash: string): Fault => fault('blob-not-found', `There is no blob ${hash.slice(0, 80)}.`);

export class Blobs {
  readonly #log: Log;

  constructor(log: Log) {
    this.#log = log;
  }

  async put(
    mediaType: string,
    chunks: AsyncIterable<Uint8Array>,
    hold: Hold,
  ): Promise<Result<{ readonly hash: string; readonly bytes: number }>> {
    const kept: Uint8Array[] = [];
    let bytes = 0;
    for await (const chunk of chunks) {
      bytes += chunk.byteLength;
      if (bytes > BLOB_BYTES_MAX) {
        return {
          kind: 'fault',
          fault: fault('body-too-large', `A blob holds at most ${BLOB_BYTES_MAX} bytes.`, {
            facts: { bytesMax: BLOB_BYTES_MAX },
          }),
        };
      }
      kept.push(chunk);
    }
    return this.#write(mediaType, Buffer.concat(kept), hold);
  }

  /** Writes back what was erased while a reference to it was made. */
  async restore(bytes: Uint8Array): Promise<void> {
    const put = await this.#write('application/octet-stream', bytes, () => Promise.resolve());
    if (put.kind === 'fault') throw new FaultError(put.fault);
  }

  async has(hash: string): Promise<boolean | Fault> {
    const { found } = await this.#placeOf(hash);
    return found.kind === 'unavailable' ? found.fault : found.kind === 'state';
  }

  async #write(
    mediaType: string,
    bytes: Uint8Array,
    hold: Hold,
  ): Promise<Result<{ readonly hash: string; readonly bytes: number }>> {
    const hash = createHash('sha256').update(bytes).digest('hex');
    await hold(hash);
    const records: Uint8Array[] = [];
    for (let at = 0; at < bytes.byteLength; at += CHUNK_BYTES) records.push(bytes.subarray(at, at + CHUNK_BYTES));
    const place = await this.#placeOf(hash);
    const created = await this.#log.create(place.stream, {
      contentType: mediaType,
      first: { records, close: true },
    });
    if (created.kind === 'created' || created.kind === 'exists') return { kind: 'ok', hash, bytes: bytes.byteLength };
    const refusal: Fault =
      created.kind === 'unavailable' ? created.fault : fault('storage-unavailable', 'The blob could not be stored.');
    return { kind: 'fault', fault: refusal };
  }

  async get(
    hash: string,
  ): Promise<
    Result<{ readonly mediaType: string; readonly bytes: number; readonly chunks: AsyncIterable<Uint8Array> }>
  > {
    const place = /^[0-9a-f]{64}$/.test(hash) ? await this.#placeOf(hash) : undefined;
    if (place?.found.kind === 'unavailable') return { kind: 'fault', fault: place.found.fault };
    if (place?.found.kind !== 'state') return { kind: 'fault', fault: noBlob(hash) };
    const { stream, found } = place;
    const { contentType, head } = found.state;
    const last = head === 0 ? 0 : await this.#lastBytes(stream, head);
    return {
      kind: 'ok',
      mediaType: contentType,
      bytes: Math.max(0, head - 1) * CHUNK_BYTES + last,
      chunks: this.#chunks(stream),
    };
  }

  /**
   * A blob's bytes at once; for small ones. Undefined where there is none.
   *
   * @throws FaultError where the store gives no answer
   */
  async bytes(hash: string): Promise<Uint8Array | undefined> {
    const found = await this.get(hash);
    if (found.kind !== 'ok' && found.fault.kind !== 'blob-not-found') throw new FaultError(found.fault);
    if (found.kind !== 'ok') return undefined;
    const chunks: Uint8Array[] = [];
    for await (const chunk of found.chunks) chunks.push(chunk);
    return Buffer.concat(chunks);
  }

  async erase(hash: string): Promise<void> {
    const { stream } = await this.#placeOf(hash);
    await this.#log.delete(stream);
  }

  sink(mediaType: string, hold: Hold): BlobSink {
    const kept: Uint8Array[] = [];
    let bytes = 0;
    return {
      write: async (chunk) => {
        // Beyond the bound the rest is left out: a tool that prints without end must not fill the memory.
        if (bytes + chunk.byteLength > BLOB_BYTES_MAX) return;
        bytes += chunk.byteLength;
        kept.push(chunk.slice());
      },
      close: async () => {
        const put = await this.#write(mediaType, Buffer.concat(kept), hold);
        return put.kind === 'ok' ? put.hash : '';
      },
    };
  }

  /** Rule 3: the stream of its first life that has not ended, whether that has begun or not. By doubled steps, for anybody may end many. */
  async #placeOf(
    hash: string,
  ): Promise<{ readonly stream: StreamName; readonly found: Awaited<ReturnType<Log['stat']>> }> {
    let ended = 0;
    let isBehind = true;
    for (let step = 1; ; step = isBehind ? step * 2 : Math.max(1, step >> 1)) {
      const stream = blobStream(hash, ended + step);
      const found = await this.#log.stat(stream);
      if (found.kind === 'deleted') ended += step;
      else if (step === 1) return { stream, found };
      else isBehind = false;
    }
  }

  async #lastBytes(stream: StreamName, head: number): Promise<number> {
    const [last] = await this.#read(stream, { after: head - 1, limit: 1 });
    return last?.bytes.byteLength ?? 0;
  }

  async *#chunks(stream: StreamName): AsyncGenerator<Uint8Array> {
    for (let after = 0; ;) {
      const records = await this.#read(stream, { after, bytesMax: CHUNK_BYTES * 4 });
      if (records.length === 0) return;
      for (const record of records) yield record.bytes;
      after += records.length;
    }
  }

  /** Breaks off where the store gives no answer: a blob that ends early is not taken for a whole one. */
  async #read(stream: StreamName, range: ReadRange): Promise<readonly LogRecord[]> {
    const page = await this.#log.read(stream, range);
    if (page.kind === 'unavailable') throw new FaultError(page.fault);
    return page.kind === 'page' ? page.records : [];
  }
}
