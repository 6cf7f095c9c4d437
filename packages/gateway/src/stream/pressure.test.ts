import { expect, test } from 'vitest';
import { Pressure } from './pressure.ts';

const windowsOf = (shares: readonly number[]): readonly number[] => {
  const pressure = new Pressure();
  return shares.map((share) => pressure.take(share));
};
const times = (count: number, share: number): number[] => Array.from({ length: count }, () => share);

test('while there is time, nothing is gathered', () => {
  expect(windowsOf(times(20, 0.6))).toEqual(times(20, 0));
});

test('one long task widens nothing', () => {
  expect(windowsOf([0.2, 1, 0.2, 0.2])).toEqual([0, 0, 0, 0]);
});

test('a busy loop widens the window step by step, and what it saves does not make it swing', () => {
  const windows = windowsOf([...times(10, 0.8), ...times(10, 0.45), ...times(10, 0.1)]);
  expect(windows[9]).toBe(40);
  expect(windows[19]).toBe(40);
  expect(windows[29]).toBe(0);
  expect(windowsOf(times(10, 1)).at(-1)).toBe(80);
});
