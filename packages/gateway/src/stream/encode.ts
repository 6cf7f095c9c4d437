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
 * 3. Readers at one place are handed the same batch object one after the other, so remembering the last one is enough to
 *    encode a batch once for all its readers.
 */
import { encodeFrame, HEARTBEAT, type Frame } from '@holdfast/protocol';
import type { LogRecord } from '@holdfast/log';

const TYPE_FRONT = Buffer.from('{"type":"');
const QUOTE = 0x22;
const BRACE_OPEN = 0x7b;
const LINE_END = Buffer.from('\n\n');

export const heartbeatBytes: Buffer = Buffer.from(HEARTBEAT);
export const encodeControl = (frame: Frame): Buffer => Buffer.from(encodeFrame(frame));

export class EntryEncoder {
  #records: readonly LogRecord[] | undefined;
  readonly #byPrefix = new Map<string, Buffer>();

  /** @param prefix goes before the id: empty, or `sessionId/` on a multiplexed stream. */
  encode(records: readonly LogRecord[], prefix: string): Buffer {
    if (this.#records !== records) {
      this.#records = records;
      this.#byPrefix.clear();
    }
    let bytes = this.#byPrefix.get(prefix);
    if (bytes === undefined) {
      bytes = encodeRecords(records, prefix);
      this.#byPrefix.set(prefix, bytes);
    }
    return bytes;
  }
}

export function encodeRecords(records: readonly LogRecord[], prefix: string): Buffer {
  const heads: string[] = [];
  let size = 0;
  for (const record of records) {
    const head = `id: ${prefix}${record.seq}.${hex8(record.tag)}\nevent: ${typeOf(record)}\ndata: {"seq":${record.seq},"at":"${isoTime(record.at)}",`;
    heads.push(head);
    size += head.length + record.bytes.length + 1;
  }
  const bytes = Buffer.allocUnsafe(size);
  let at = 0;
  for (const [index, record] of records.entries()) {
    // Heads are ASCII: ids, types and times have no other characters.
    at += bytes.write(heads[index]!, at, 'latin1');
    // All but the brace, which the head has.
    bytes.set(record.bytes.subarray(1), at);
    at += record.bytes.length - 1;
    bytes.set(LINE_END, at);
    at += LINE_END.length;
  }
  return bytes;
}

const hex8 = (tag: number): string => tag.toString(16).padStart(8, '0');

function typeOf({ bytes }: LogRecord): string {
  if (startsWith(bytes, TYPE_FRONT)) {
    const end = bytes.indexOf(QUOTE, TYPE_FRONT.length);
    const type = Buffer.from(bytes.buffer, bytes.byteOffset + TYPE_FRONT.length, end - TYPE_FRONT.length).toString(
      'latin1',
    );
    if (isName(type)) return type;
  }
  if (bytes[0] !== BRACE_OPEN) throw new Error('A record of a session is no JSON object');
  const { type } = JSON.parse(new TextDecoder().decode(bytes)) as { readonly type: string };
  return isName(type) ? type : 'unknown';
}

const isName = (text: string): boolean => /^[a-z][a-z-]*$/.test(text);

function startsWith(bytes: Uint8Array, front: Uint8Array): boolean {
  for (let index = 0; index < front.length; index += 1) if (bytes[index] !== front[index]) return false;
  return true;
}

/** Many records share their millisecond. */
let lastTime = { at: 0, text: new Date(0).toISOString() };
function isoTime(at: number): string {
  if (lastTime.at !== at) lastTime = { at, text: new Date(at).toISOString() };
  return lastTime.text;
}
