import { expect, test } from 'vitest';
import { entryBodySchema, openStreamBody, sendMessageBody, sessionIdSchema } from './schema.ts';

test('a request with a misspelt field is refused, and the field is named', () => {
  const parsed = sendMessageBody.safeParse({ text: 'hello', whenbusy: 'queue' });
  expect(parsed.success).toBe(false);
  expect(JSON.stringify(parsed.error?.issues)).toContain('whenbusy');
});

test('a message needs text or parts', () => {
  expect(sendMessageBody.safeParse({ text: '' }).success).toBe(false);
  expect(sendMessageBody.safeParse({ text: '', parts: [{ type: 'data', name: 'n', data: null }] }).success).toBe(true);
});

test.each(['', '../etc', '__proto__', 'a b', 'x'.repeat(129), 'ä', 'a\n'])('%j is no id', (id) => {
  expect(sessionIdSchema.safeParse(id).success).toBe(false);
});

test('a stream is asked for by ids and cursors alone', () => {
  expect(openStreamBody.safeParse({ cursors: { s1: null, s2: '12.00abcdef', s3: '0' }, feed: null }).success).toBe(
    true,
  );
  expect(openStreamBody.safeParse({ cursors: { s1: 12 } }).success).toBe(false);
  expect(openStreamBody.safeParse({ cursors: { 's/1': null } }).success).toBe(false);
});

test('an entry of a later version is read as far as it is known', () => {
  const entry = entryBodySchema.parse({ type: 'stream-end', turnId: 't_1', colour: 'blue' });
  expect(entry).toEqual({ type: 'stream-end', turnId: 't_1' });
});

test('R81: an entry keeps the fields that may be absent', () => {
  const usage = { inputTokens: 1, outputTokens: 2, durationMs: 3 };
  const entry = { type: 'turn-park', turnId: 't_1', usage, awaits: ['x_1'] };
  expect(entryBodySchema.parse(entry)).toEqual(entry);
});
