import { describe, expect, test } from 'vitest';

import {
  MISSING_MAX,
  QUICK_MS,
  QUICK_TIMES,
  settle,
  SHOWN_GRACE_MS,
  SLOW_MS,
  type SettleEvent,
  type SettleState,
  type SettleStatus,
} from '../src/settle.ts';

const none = { actives: 0, missings: 0, errors: 0 };
const states = {
  idle: { kind: 'idle' },
  waiting: { kind: 'waiting', delayMs: QUICK_MS, counts: none },
  'waiting after an error': { kind: 'waiting', delayMs: 700, counts: { ...none, errors: 1 } },
  asking: { kind: 'asking', counts: none },
  ended: { kind: 'ended', how: 'restored' },
} as const satisfies Record<string, SettleState>;

const answered = (status: SettleStatus): SettleEvent => ({ kind: 'answered', status, roll: 0.5 });
const events = {
  'stream-end, live content shown': { kind: 'stream-end', shown: true },
  'stream-end, nothing shown': { kind: 'stream-end', shown: false },
  terminal: { kind: 'terminal' },
  due: { kind: 'due' },
  restored: answered('restored'),
  active: answered('active'),
  missing: answered('missing'),
  stale: answered('stale'),
  error: answered('error'),
  hint: { kind: 'hint' },
} as const satisfies Record<string, SettleEvent>;

const asking: SettleState = { kind: 'asking', counts: none };
const settled: SettleState = { kind: 'ended', how: 'settled' };
const same = 'same' as const;

/** Every state by every event: what is not in it does not compile. */
const table: Readonly<Record<keyof typeof states, Readonly<Record<keyof typeof events, SettleState | typeof same>>>> = {
  idle: {
    'stream-end, live content shown': { kind: 'waiting', delayMs: SHOWN_GRACE_MS, counts: none },
    'stream-end, nothing shown': asking,
    terminal: settled,
    due: same,
    restored: same,
    active: same,
    missing: same,
    stale: same,
    error: same,
    hint: same,
  },
  waiting: {
    'stream-end, live content shown': same,
    'stream-end, nothing shown': same,
    terminal: settled,
    due: asking,
    restored: same,
    active: same,
    missing: same,
    stale: same,
    error: same,
    hint: same,
  },
  'waiting after an error': {
    'stream-end, live content shown': same,
    'stream-end, nothing shown': same,
    terminal: settled,
    due: { kind: 'asking', counts: { ...none, errors: 1 } },
    restored: same,
    active: same,
    missing: same,
    stale: same,
    error: same,
    hint: { kind: 'asking', counts: { ...none, errors: 1 } },
  },
  asking: {
    'stream-end, live content shown': same,
    'stream-end, nothing shown': same,
    terminal: settled,
    due: same,
    restored: { kind: 'ended', how: 'restored' },
    active: { kind: 'waiting', delayMs: QUICK_MS, counts: { ...none, actives: 1 } },
    missing: { kind: 'waiting', delayMs: QUICK_MS, counts: { ...none, missings: 1 } },
    stale: { kind: 'ended', how: 'stale' },
    error: { kind: 'waiting', delayMs: QUICK_MS + 250, counts: { ...none, errors: 1 } },
    hint: same,
  },
  ended: {
    'stream-end, live content shown': same,
    'stream-end, nothing shown': same,
    terminal: same,
    due: same,
    restored: same,
    active: same,
    missing: same,
    stale: same,
    error: same,
    hint: same,
  },
};

describe.each(Object.entries(table))('E1–E3: %s', (name, row) => {
  test.each(Object.entries(row))('%s', (event, expected) => {
    const state: SettleState = states[name as keyof typeof states];
    const next = settle(state, events[event as keyof typeof events]);
    if (expected === same) expect(next).toBe(state);
    else expect(next).toEqual(expected);
  });
});

/** The pauses that a row of answers makes, and the last state. */
function play(statuses: readonly SettleStatus[]): { readonly pausesMs: number[]; readonly last: SettleState } {
  let state: SettleState = asking;
  const pausesMs: number[] = [];
  for (const status of statuses) {
    state = settle(state, { kind: 'answered', status, roll: 0 });
    if (state.kind === 'waiting') pausesMs.push(state.delayMs);
    state = settle(state, { kind: 'due' });
  }
  return { pausesMs, last: state };
}

test('E2: active is asked again every 200 ms, ten times, then every second, for as long as it is', () => {
  expect(SHOWN_GRACE_MS).toBe(180);
  const { pausesMs, last } = play(Array.from({ length: 500 }, () => 'active' as const));
  expect(pausesMs.slice(0, 10)).toEqual(Array.from({ length: QUICK_TIMES }, () => 200));
  expect(new Set(pausesMs.slice(10))).toEqual(new Set([SLOW_MS]));
  expect(last.kind).toBe('asking');
});

test('E3: missing ends the turn as interrupted only ten times in a row', () => {
  const nine = Array.from({ length: MISSING_MAX - 1 }, () => 'missing' as const);
  expect(play(nine).last.kind).toBe('asking');
  expect(play([...nine, 'active', ...nine]).last.kind).toBe('asking');
  expect(play([...nine, 'error', ...nine]).last.kind).toBe('asking');
  expect(play([...nine, 'missing']).last).toEqual({ kind: 'ended', how: 'interrupted' });
});

test('E3: errors finalise nothing, however many; the pause grows to its cap', () => {
  let state: SettleState = asking;
  const pausesMs: number[] = [];
  for (let i = 0; i < 1_000; i++) {
    state = settle(state, { kind: 'answered', status: 'error', roll: 0.999 });
    if (state.kind === 'waiting') pausesMs.push(state.delayMs);
    state = settle(state, { kind: 'due' });
  }
  expect(state.kind).toBe('asking');
  expect(pausesMs).toEqual(pausesMs.toSorted((a, b) => a - b));
  expect(Math.max(...pausesMs)).toBeLessThan(31_000);
});
