import * as fc from 'fast-check';
import { expect, test } from 'vitest';
import { EMPTY_VIEW, type View } from '@holdfast/protocol';
import { createSseDecoder, type SseEvent } from '@holdfast/protocol/sse-decode';
import type { LogRecord } from '@holdfast/log';
import { chunkOf, payloadOf } from './chunk.ts';
import { EntryEncoder, encodeOnce, encodeRecords } from './encode.ts';

/** By the rules of chunked coding alone, digit by digit: not by our own reader of it. */
function unchunk(bytes: Buffer): Buffer {
  const parts: Buffer[] = [];
  for (let at = 0; at < bytes.length;) {
    const line = bytes.indexOf('\r\n', at);
    const size = Number.parseInt(bytes.toString('latin1', at, line), 16);
    parts.push(bytes.subarray(line + 2, line + 2 + size));
    expect(bytes.toString('latin1', line + 2 + size, line + 4 + size)).toBe('\r\n');
    at = line + 4 + size;
  }
  return Buffer.concat(parts);
}

function eventsIn(bytes: Uint8Array): readonly SseEvent[] {
  const events: SseEvent[] = [];
  createSseDecoder({ event: (event) => events.push(event) }).push(bytes);
  return events;
}

const types = ['text-delta', 'message', 'turn-end', 'tool-output', 'a', 'zz-unknown-type'];
const body = fc.record({
  type: fc.constantFrom(...types),
  text: fc.string({ unit: 'grapheme' }),
  more: fc.jsonValue(),
});
/** Ours has its type first; another's JSON may have it anywhere. */
const shuffled = fc
  .tuple(body, fc.boolean())
  .map(([{ type, ...rest }, first]) => JSON.stringify(first ? { type, ...rest } : { ...rest, type }));
const records = fc
  .array(fc.tuple(shuffled, fc.nat({ max: 2 ** 40 }), fc.nat({ max: 0xffffffff })), { minLength: 1, maxLength: 20 })
  .map((items) =>
    items.map(([json, at, tag], index): LogRecord => ({
      seq: index + 1,
      at,
      tag,
      bytes: new TextEncoder().encode(json),
    })),
  );

test('what is decoded is what was stored, with its place and time, whatever the batch', () => {
  fc.assert(
    fc.property(records, fc.constantFrom('', 's_1/'), (records, prefix) => {
      const events = eventsIn(unchunk(encodeRecords(records, prefix)));
      expect(events.map(({ data }) => JSON.parse(data) as unknown)).toEqual(
        records.map(({ seq, at, bytes }) => ({
          seq,
          at: new Date(at).toISOString(),
          ...(JSON.parse(new TextDecoder().decode(bytes)) as object),
        })),
      );
      expect(events.map(({ id }) => id)).toEqual(
        records.map(({ seq, tag }) => `${prefix}${seq}.${tag.toString(16).padStart(8, '0')}`),
      );
      expect(events.map(({ event }) => event)).toEqual(
        events.map(({ data }) => (JSON.parse(data) as { type: string }).type),
      );
    }),
  );
});

test('chunks are joined without a new frame, and their payload is what went in', () => {
  fc.assert(
    fc.property(fc.array(fc.uint8Array({ minLength: 1, maxLength: 300 }), { minLength: 1 }), (payloads) => {
      const joined = Buffer.concat(payloads.map(chunkOf));
      expect(unchunk(joined)).toEqual(Buffer.concat(payloads));
      expect(payloadOf(joined)).toEqual(Buffer.concat(payloads));
    }),
  );
});

test('a batch is encoded once for all its readers', () => {
  const encoder = new EntryEncoder();
  const batch: LogRecord[] = [{ seq: 1, at: 0, tag: 1, bytes: new TextEncoder().encode('{"type":"a"}') }];
  expect(encoder.encode(batch, '')).toBe(encoder.encode(batch, ''));
  expect(encoder.encode(batch, 's/')).toBe(encoder.encode(batch, 's/'));
  expect(encoder.encode(batch, '')).not.toBe(encoder.encode(batch, 's/'));
  expect(encoder.encode([...batch], '')).not.toBe(encoder.encode(batch, ''));
});

test('two types of one shape are told apart', () => {
  const record = (type: string): LogRecord => ({
    seq: 1,
    at: 0,
    tag: 1,
    bytes: new TextEncoder().encode(`{"type":"${type}"}`),
  });
  // Length and the signs that the look-up takes are the same.
  for (const type of ['axcxxe', 'aycyye', 'axcxxe'])
    expect(eventsIn(unchunk(encodeRecords([record(type)], '')))[0]?.event).toBe(type);
});

test('a view is encoded once for all who ask, and for each purpose', () => {
  let made = 0;
  const encode = (): Buffer => Buffer.from(String((made += 1)));
  const views: View[] = [{ ...EMPTY_VIEW }, { ...EMPTY_VIEW }];
  const asked = views.flatMap((view) =>
    ['snapshot', 'snapshot', 'answer'].map((what) => encodeOnce(view, what, encode)),
  );
  expect(asked.map(String)).toEqual(['1', '1', '2', '3', '3', '4']);
});
