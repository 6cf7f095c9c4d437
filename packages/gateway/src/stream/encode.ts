/**
 * From stored records to bytes on the wire, without parsing them.
 *
 * A record's bytes are the JSON of an entry. Its frame is
 *
 *     id: 12.00c0ffee
 *     event: text-delta
 *     data: {"seq":12,"at":"2026-01-01T00:00:00.000Z","type":"text-delta",…}
 *
 * 1. `seq` and `at` are spliced in behind the brace; nothing else of the bytes is touched, and one allocation holds a whole batch.
 * 2. The type is read off the front of the bytes, where our own writers put it; bytes of another shape are parsed.
 * 3. A batch is one chunk of the response, framed here once and not again for each reader (`chunk.ts`).
 * 4. Readers at one place are handed the same batch object one after the other, so remembering the last one is enough to
 *    encode a batch once for all its readers.
 * 5. A view is encoded once for all who ask while it is the latest: that of a long session has tens of megabytes.
 */
import { encodeFrame, HEARTBEAT, type Frame, type View } from '@holdfast/protocol';
import type { LogRecord } from '@holdfast/log';
import { CHUNK_HEAD_BYTES, chunkHead, chunkOf, CHUNK_TAIL_BYTES, endChunk } from './chunk.ts';

const BRACE = 0x7b;
const LINE_FEED = 0x0a;
const FRAME_END_BYTES = 2;

/** A control frame, as a chunk. */
export const encodeControl = (frame: Frame): Buffer => chunkOf(Buffer.from(encodeFrame(frame)));
export const heartbeatChunk: Buffer = chunkOf(Buffer.from(HEARTBEAT));

const encodedByView = new WeakMap<View, Map<string, Buffer>>();

/** Rule 5. @param what is made of the view: a name for what differs by nothing else */
export function encodeOnce(view: View, what: string, encode: () => Buffer): Buffer {
  const encoded = encodedByView.get(view) ?? new Map<string, Buffer>();
  encodedByView.set(view, encoded);
  const bytes = encoded.get(what) ?? encode();
  encoded.set(what, bytes);
  return bytes;
}

/** Rule 4: one for streams of one session, one for multiplexed ones. */
interface Remembered {
  records: readonly LogRecord[] | undefined;
  chunk: Buffer;
}

export class EntryEncoder {
  readonly #plain: Remembered = { records: undefined, chunk: heartbeatChunk };
  readonly #prefixed: Remembered = { records: undefined, chunk: heartbeatChunk };

  /** @param prefix goes before the id: empty, or `sessionId/` on a multiplexed stream. */
  encode(records: readonly LogRecord[], prefix: string): Buffer {
    const remembered = prefix === '' ? this.#plain : this.#prefixed;
    if (remembered.records !== records) {
      remembered.chunk = encodeRecords(records, prefix);
      remembered.records = records;
    }
    return remembered.chunk;
  }
}

export function encodeRecords(records: readonly LogRecord[], prefix: string): Buffer {
  if (records.length === 1) return encodeOne(records[0]!, prefix);
  const heads = records.map((record) => headOf(record, prefix));
  let size = 0;
  for (const [index, record] of records.entries()) size += frameBytes(heads[index]!, record);
  const chunk = Buffer.allocUnsafe(CHUNK_HEAD_BYTES + size + CHUNK_TAIL_BYTES);
  chunk.write(chunkHead(size), 'latin1');
  let at = CHUNK_HEAD_BYTES;
  for (const [index, record] of records.entries()) at = writeFrame(chunk, at, heads[index]!, record);
  return endChunk(chunk);
}

/** The live case: the head of the chunk and that of the frame are one write. */
function encodeOne(record: LogRecord, prefix: string): Buffer {
  const head = headOf(record, prefix);
  const size = frameBytes(head, record);
  const chunk = Buffer.allocUnsafe(CHUNK_HEAD_BYTES + size + CHUNK_TAIL_BYTES);
  writeFrame(chunk, 0, chunkHead(size) + head, record);
  return endChunk(chunk);
}

/** All of a frame that is before the entry's own first field. It is ASCII: ids, types and times have no other signs. */
const headOf = (record: LogRecord, prefix: string): string =>
  `id: ${prefix}${record.seq}.${hex8(record.tag)}\nevent: ${typeOf(record.bytes)}\ndata: {"seq":${record.seq},"at":"${isoTime(record.at)}",`;

/** The entry's brace is in the head. */
const frameBytes = (head: string, { bytes }: LogRecord): number => head.length + bytes.length - 1 + FRAME_END_BYTES;

/** @returns where the next frame begins. */
function writeFrame(chunk: Buffer, at: number, head: string, { bytes }: LogRecord): number {
  const brace = at + head.length - 1;
  chunk.set(bytes, brace);
  // Over the brace, with the comma that ends the head.
  chunk.write(head, at, 'latin1');
  const end = brace + bytes.length;
  chunk[end] = LINE_FEED;
  chunk[end + 1] = LINE_FEED;
  return end + FRAME_END_BYTES;
}

const hex8 = (tag: number): string => tag.toString(16).padStart(8, '0');

// ── the type ────────────────────────────────────────────────────────────────────────────────────────────────────────

const TYPE_FRONT = Buffer.from('{"type":"');
const QUOTE = 0x22;
const NAME = /^[a-z][a-z-]*$/;
/** Types that were met, by length and three of their signs; whoever looks one up compares it whole. */
const typesByShape = new Map<number, string>();
const TYPES_MAX = 256;

/** Rule 2. */
function typeOf(bytes: Uint8Array): string {
  if (bytes[0] !== BRACE) throw new Error('A record of a session is no JSON object');
  for (let index = 1; index < TYPE_FRONT.length; index += 1)
    if (bytes[index] !== TYPE_FRONT[index]) return parsedType(bytes);
  const from = TYPE_FRONT.length;
  const to = bytes.indexOf(QUOTE, from);
  const shape = shapeOf(bytes, from, to);
  const known = typesByShape.get(shape);
  if (known !== undefined && isAt(bytes, from, to, known)) return known;
  const type = parsedType(bytes);
  if (typesByShape.size < TYPES_MAX) typesByShape.set(shape, type);
  return type;
}

const shapeOf = (bytes: Uint8Array, from: number, to: number): number =>
  (((to - from) * 31 + bytes[from]!) * 31 + bytes[from + 2]!) * 31 + bytes[to - 1]!;

function isAt(bytes: Uint8Array, from: number, to: number, type: string): boolean {
  if (to - from !== type.length) return false;
  for (let index = 0; index < type.length; index += 1) if (bytes[from + index] !== type.charCodeAt(index)) return false;
  return true;
}

function parsedType(bytes: Uint8Array): string {
  const { type } = JSON.parse(new TextDecoder().decode(bytes)) as { readonly type: unknown };
  return typeof type === 'string' && NAME.test(type) ? type : 'unknown';
}

/** Many records share their millisecond. */
let lastTime = { at: 0, text: new Date(0).toISOString() };
function isoTime(at: number): string {
  if (lastTime.at !== at) lastTime = { at, text: new Date(at).toISOString() };
  return lastTime.text;
}
