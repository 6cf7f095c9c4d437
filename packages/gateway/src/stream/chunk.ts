/**
 * Chunks of a chunked HTTP/1.1 response (RFC 9112 §7.1), framed as they are made.
 *
 *     000000a4 CR LF  payload  CR LF
 *
 * Node frames what it is given by three writes, or one with three parts; for a stream of small events that costs more than all
 * the rest. A chunk that brings its frame along is one part, and one buffer for all its readers.
 *
 * 1. The size has eight digits, whatever it is: leading zeros are allowed, and the frame's place is known before its payload.
 * 2. Chunks one after another are chunks: joining them needs no new frame.
 */
const DIGITS = 8;
const LINE_END = '\r\n';
const CARRIAGE_RETURN = 0x0d;
const LINE_FEED = 0x0a;
export const CHUNK_HEAD_BYTES: number = DIGITS + LINE_END.length;
export const CHUNK_TAIL_BYTES: number = LINE_END.length;

export const chunkHead = (payloadBytes: number): string => payloadBytes.toString(16).padStart(DIGITS, '0') + LINE_END;

/** Writes the tail of a chunk whose head and payload are there. */
export function endChunk(chunk: Buffer): Buffer {
  chunk[chunk.length - 2] = CARRIAGE_RETURN;
  chunk[chunk.length - 1] = LINE_FEED;
  return chunk;
}

export function chunkOf(payload: Uint8Array): Buffer {
  const chunk = Buffer.allocUnsafe(CHUNK_HEAD_BYTES + payload.length + CHUNK_TAIL_BYTES);
  chunk.write(chunkHead(payload.length), 'latin1');
  chunk.set(payload, CHUNK_HEAD_BYTES);
  return endChunk(chunk);
}

/** What is inside: for a response that is not chunked (HTTP/1.0). May be several chunks. */
export function payloadOf(chunks: Buffer): Buffer {
  const payloads: Buffer[] = [];
  for (let at = 0; at < chunks.length;) {
    const bytes = Number.parseInt(chunks.toString('latin1', at, at + DIGITS), 16);
    payloads.push(chunks.subarray(at + CHUNK_HEAD_BYTES, at + CHUNK_HEAD_BYTES + bytes));
    at += CHUNK_HEAD_BYTES + bytes + CHUNK_TAIL_BYTES;
  }
  return payloads.length === 1 ? payloads[0]! : Buffer.concat(payloads);
}
