import { describe, expect, test } from 'vitest';

import {
  MISSING_MAX,
  QUICK_MS,
  QUICK_TIMES,
  settle,
  SHOWN_GRACE_MS,
  SLOW_MS,
  type SettleCounts,
  type SettleEvent,
  type SettleState,
  type SettleStatus,
} from '../src/settle.ts';

const none = { actives: 0, missings: 0, errors: 0 };
const slowly = { actives: QUICK_TIMES + 1, missings: 0, errors: 0 };
const failed = { ...none, errors: 1 };
const states = {
  idle: { kind: 'idle' },
  'waiting, in the grace': { kind: 'waiting', why: 'grace', delayMs: SHOWN_GRACE_MS, counts: none },
  'waiting, quick pace': { kind: 'waiting', why: 'pace', delayMs: QUICK_MS, counts: none },
  'waiting, slow pace': { kind: 'waiting', why: 'pace', delayMs: SLOW_MS, counts: slowly },
  'waiting after an error': { kind: 'waiting', why: 'failure', delayMs: 700, counts: failed },
  'waiting by advice': { kind: 'waiting', why: 'advice', delayMs: 7_000, counts: failed },
  asking: { kind: 'asking', renewed: false, counts: none },
  'asking, renewed': { kind: 'asking', renewed: true, counts: none },
  ended: { kind: 'ended', how: 'restored' },
} as const satisfies Record<string, SettleState>;

const answered = (status: SettleStatus, adviceMs?: number): SettleEvent =>
  adviceMs === undefined ? { kind: 'answered', status, roll: 0.5 } : { kind: 'answered', status, roll: 0.5, adviceMs };
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
  'error with advice': answered('error', 8_000),
  failed: answered('failed'),
  hint: { kind: 'hint' },
} as const satisfies Record<string, SettleEvent>;

const asking: SettleState = { kind: 'asking', renewed: false, counts: none };
const settled: SettleState = { kind: 'ended', how: 'settled' };
const same = 'same' as const;
type Row = Readonly<Record<keyof typeof events, SettleState | typeof same>>;

const deaf: Row = {
  'stream-end, live content shown': same,
  'stream-end, nothing shown': same,
  terminal: same,
  due: same,
  restored: same,
  active: same,
  missing: same,
  stale: same,
  error: same,
  'error with advice': same,
  failed: same,
  hint: same,
};
const asked: Row = {
  ...deaf,
  terminal: settled,
  restored: { kind: 'ended', how: 'restored' },
  active: { kind: 'waiting', why: 'pace', delayMs: QUICK_MS, counts: { ...none, actives: 1 } },
  missing: { kind: 'waiting', why: 'pace', delayMs: QUICK_MS, counts: { ...none, missings: 1 } },
  stale: { kind: 'ended', how: 'stale' },
  error: { kind: 'waiting', why: 'failure', delayMs: QUICK_MS + 250, counts: failed },
  'error with advice': { kind: 'waiting', why: 'advice', delayMs: 9_000, counts: failed },
  failed: { kind: 'ended', how: 'failed' },
};
const waiting = (counts: SettleCounts, hint: SettleState | typeof same): Row => ({
  ...deaf,
  terminal: settled,
  due: { ...asking, counts },
  hint,
});

/** Every state by every event: what is not in it does not compile. */
const table: Readonly<Record<keyof typeof states, Row>> = {
  idle: {
    ...deaf,
    'stream-end, live content shown': { kind: 'waiting', why: 'grace', delayMs: SHOWN_GRACE_MS, counts: none },
    'stream-end, nothing shown': asking,
    terminal: settled,
  },
  'waiting, in the grace': waiting(none, same),
  'waiting, quick pace': waiting(none, same),
  'waiting, slow pace': waiting(slowly, { kind: 'waiting', why: 'pace', delayMs: QUICK_MS, counts: none }),
  'waiting after an error': waiting(failed, { kind: 'waiting', why: 'pace', delayMs: QUICK_MS, counts: failed }),
  'waiting by advice': waiting(failed, same),
  asking: { ...asked, hint: { ...asking, renewed: true } },
  'asking, renewed': asked,
  ended: deaf,
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
    state = settle(state, { kind: 'answered', status, roll: 0.5 });
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

test('R110: no two clients ask in step: each pause is spread by an eighth to either side, advice only upwards', () => {
  const delayMs = (status: SettleStatus, roll: number, adviceMs?: number): number => {
    const next = settle(asking, { kind: 'answered', status, roll, ...(adviceMs === undefined ? {} : { adviceMs }) });
    return next.kind === 'waiting' ? next.delayMs : Number.NaN;
  };
  expect([delayMs('active', 0), delayMs('active', 1)]).toEqual([175, 225]);
  expect([delayMs('error', 0), delayMs('error', 1)]).toEqual([200, 700]);
  expect([delayMs('error', 0, 4_000), delayMs('error', 1, 4_000)]).toEqual([4_000, 5_000]);
  // Advice that means nothing to this turn is bounded.
  expect(delayMs('error', 0, 1e15)).toBe(300_000);
  expect(delayMs('error', 0, 0)).toBe(200);
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
