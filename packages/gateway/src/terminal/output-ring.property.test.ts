/** The ring against the plainest thing that could be right: all bytes ever written, and three numbers. */
import { array, assert, constant, double, integer, oneof, property, record, type Arbitrary } from 'fast-check';
import { expect, test } from 'vitest';
import { LATE_BYTES, OutputRing } from './output-ring.ts';

const WINDOW = 40_000;

type Step =
  | { readonly kind: 'write'; readonly bytes: number }
  | { readonly kind: 'confirm'; readonly share: number }
  | { readonly kind: 'begin'; readonly share: number }
  | { readonly kind: 'read'; readonly share: number; readonly bytesMax: number };

const share = double({ min: 0, max: 1, noNaN: true });
const step: Arbitrary<Step> = oneof(
  {
    weight: 4,
    arbitrary: record({ kind: constant('write' as const), bytes: integer({ min: 1, max: LATE_BYTES }) }),
  },
  {
    weight: 2,
    arbitrary: oneof(
      record({ kind: constant('confirm' as const), share }),
      record({ kind: constant('begin' as const), share }),
    ),
  },
  {
    weight: 3,
    arbitrary: record({ kind: constant('read' as const), share, bytesMax: integer({ min: 1, max: 100_000 }) }),
  },
);

/** Every byte says where it is. */
const piece = (offset: number, bytes: number): Uint8Array =>
  Uint8Array.from({ length: bytes }, (_, at) => ((offset + at) * 2_654_435_761) >>> 24);

test('C4: a byte that is not confirmed is there, at its offset, whatever was written, confirmed and begun again; memory has a bound', () => {
  assert(
    property(array(step, { maxLength: 60 }), (steps) => {
      const ring = new OutputRing(WINDOW);
      let end = 0;
      let confirmed = 0;
      let isFull = false;
      const judge = (): void => {
        if (end - confirmed >= WINDOW) isFull = true;
        else if (end - confirmed < WINDOW / 2) isFull = false;
      };
      for (const it of steps) {
        if (it.kind === 'write') {
          // A source that was told to pause hands nothing over any more.
          if (isFull) continue;
          ring.write(piece(end, it.bytes));
          end += it.bytes;
        } else if (it.kind === 'confirm') {
          const offset = confirmed + Math.floor(it.share * (end - confirmed));
          expect(ring.confirm(offset)).toBe(true);
          confirmed = offset;
        } else if (it.kind === 'begin') {
          const offset = ring.start + Math.floor(it.share * (end - ring.start));
          expect(ring.begin(offset)).toBe(true);
          confirmed = offset;
        } else {
          const offset = ring.start + Math.floor(it.share * (end - ring.start));
          const bytes = Math.min(it.bytesMax, end - offset);
          expect(Buffer.compare(ring.read(offset, it.bytesMax), piece(offset, bytes))).toBe(0);
        }
        judge();
        expect(ring).toMatchObject({ end, confirmed, isFull });
        expect(ring.start).toBeLessThanOrEqual(confirmed);
        expect(Buffer.compare(ring.read(confirmed, Infinity), piece(confirmed, end - confirmed))).toBe(0);
        expect(ring.memoryBytes).toBeLessThanOrEqual(WINDOW + LATE_BYTES);
        // What is here beyond the window is as much as there is room for.
        expect(end - ring.start).toBeGreaterThanOrEqual(Math.min(end, WINDOW));
      }
    }),
    { numRuns: 150 },
  );
});

test('C4: an offset that is gone, and one that is not there yet, are refused and change nothing', () => {
  const ring = new OutputRing(WINDOW);
  for (let n = 0; n < 20; n++) {
    ring.write(piece(ring.end, 20_000));
    ring.confirm(ring.end);
  }
  const { start, end } = ring;
  expect(start).toBeGreaterThan(0);
  expect([ring.begin(start - 1), ring.begin(end + 1), ring.confirm(end + 1)]).toEqual([false, false, false]);
  expect(ring).toMatchObject({ start, end, confirmed: end });
});
