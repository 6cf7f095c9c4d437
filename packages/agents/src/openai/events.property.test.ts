import * as fc from 'fast-check';
import { expect, test } from 'vitest';
import { heldClock } from '../../test/clocks.ts';
import { DONE, readFrames, type FramesEnd } from './events.ts';
import { Watch } from './watch.ts';

async function readAll(
  chunks: readonly Uint8Array[],
  dies = false,
): Promise<{ readonly data: readonly string[]; readonly end: FramesEnd }> {
  const left = [...chunks];
  const body = new ReadableStream<Uint8Array>({
    pull: (controller) => {
      const chunk = left.shift();
      if (chunk !== undefined) controller.enqueue(chunk);
      else if (dies) controller.error(new Error('reset'));
      else controller.close();
    },
  });
  const reader = body.getReader();
  const events = readFrames(
    reader,
    new Watch({ clock: heldClock(), signal: new AbortController().signal }, 1_000, () => void reader.cancel()),
    1_000,
  );
  const data: string[] = [];
  for (;;) {
    const next = await events.next();
    if (next.done === true) return { data, end: next.value };
    data.push(next.value.data);
  }
}

const split = (bytes: Uint8Array, cuts: readonly number[]): readonly Uint8Array[] => {
  const at = [0, ...cuts.map((cut) => cut % (bytes.length + 1)).toSorted((left, right) => left - right), bytes.length];
  return at.slice(1).map((end, index) => bytes.subarray(at[index], end));
};

const jsonText = fc.string({ unit: 'grapheme' }).map((text) => JSON.stringify({ text }));

test('events are the same wherever the chunks end, with any line ending, and a death loses none that was whole', async () => {
  const anyStream = fc.record({
    items: fc.array(jsonText, { maxLength: 8 }),
    newline: fc.constantFrom('\n', '\r\n', '\r'),
    cuts: fc.array(fc.nat(), { maxLength: 20 }),
    dies: fc.boolean(),
  });
  await fc.assert(
    fc.asyncProperty(anyStream, async ({ items, newline, cuts, dies }) => {
      const text = items.map((item) => `: ping${newline}data: ${item}${newline}${newline}`).join('');
      // A lone CR at the very end may still become a CRLF: the last event waits for what comes after it.
      const { data, end } = await readAll(split(Buffer.from(`${text}: end${newline}`), cuts), dies);
      expect(data).toEqual(items);
      expect(end).toBe(dies ? 'cut' : 'ended');
    }),
    { numRuns: 200 },
  );
});

test('a last event without its empty line counts where it is whole, and not where it was cut off', async () => {
  const of = async (text: string): Promise<readonly string[]> => (await readAll([Buffer.from(text)])).data;
  expect(await of('data: {"a":1}\n\ndata: [DONE]')).toEqual(['{"a":1}', DONE]);
  expect(await of('data: {"a":1}\n\ndata: {"a":')).toEqual(['{"a":1}']);
});

test('an event without end is given up at its bound', async () => {
  const megabyte = Buffer.alloc(1024 * 1024, 'x');
  const { end } = await readAll([Buffer.from('data: '), ...Array.from({ length: 9 }, () => megabyte)]);
  expect(end).toBe('too-large');
});
