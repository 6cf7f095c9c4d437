import { fault } from '@holdfast/protocol/fault';
import { describe, expect, test } from 'vitest';

import type { Receipt } from '../src/index.ts';
import { SENDING, transition, type SendEvent, type SendState } from '../src/outbox-machine.ts';

const receipt: Receipt = { messageId: 'm_1' as never, seq: 2, position: 0, applied: 'start', duplicate: false };
const gone = fault('disconnected', 'lost');
const busy = fault('rate-limited', 'slow down', { retryAfterMs: 4_000 });
const signedOut = fault('auth-refused', 'sign in');
const wrong = fault('body-too-large', 'too large');

const states = {
  sending: SENDING,
  unconfirmed: { kind: 'unconfirmed', failures: 1, fault: gone, delayMs: 750 },
  'unconfirmed, advised': { kind: 'unconfirmed', failures: 1, fault: busy, delayMs: 4_000 },
  'unconfirmed, signed out': { kind: 'unconfirmed', failures: 0, fault: signedOut, delayMs: null },
  accepted: { kind: 'accepted', receipt },
  refused: { kind: 'refused', fault: wrong },
} as const satisfies Record<string, SendState>;

const failing = (why: typeof gone): SendEvent => ({ kind: 'fault', fault: why, roll: 0.5 });
const events = {
  receipt: { kind: 'receipt', receipt },
  'network lost': failing(gone),
  'advice to wait': failing(busy),
  'signed out': failing(signedOut),
  'not taken': failing(wrong),
  due: { kind: 'due' },
  hint: { kind: 'hint' },
  retry: { kind: 'retry' },
} as const satisfies Record<string, SendEvent>;

const same = 'same' as const;
const accepted: SendState = { kind: 'accepted', receipt };
const again: SendState = { kind: 'sending', failures: 1 };
type Row = Readonly<Record<keyof typeof events, SendState | typeof same>>;
const lateFaults = { 'network lost': same, 'advice to wait': same, 'signed out': same, 'not taken': same } as const;

const table: Readonly<Record<keyof typeof states, Row>> = {
  sending: {
    receipt: accepted,
    'network lost': { kind: 'unconfirmed', failures: 1, fault: gone, delayMs: 750 },
    'advice to wait': { kind: 'unconfirmed', failures: 1, fault: busy, delayMs: 4_000 },
    'signed out': { kind: 'unconfirmed', failures: 0, fault: signedOut, delayMs: null },
    'not taken': { kind: 'refused', fault: wrong },
    due: same,
    hint: same,
    retry: same,
  },
  unconfirmed: { receipt: accepted, ...lateFaults, due: again, hint: again, retry: SENDING },
  'unconfirmed, advised': { receipt: accepted, ...lateFaults, due: again, hint: same, retry: SENDING },
  'unconfirmed, signed out': { receipt: accepted, ...lateFaults, due: SENDING, hint: SENDING, retry: SENDING },
  accepted: { receipt: same, ...lateFaults, due: same, hint: same, retry: same },
  refused: { receipt: accepted, ...lateFaults, due: same, hint: same, retry: SENDING },
};

describe.each(Object.entries(table))('%s', (name, row) => {
  test.each(Object.entries(row))('%s', (event, expected) => {
    const state: SendState = states[name as keyof typeof states];
    const next = transition(state, events[event as keyof typeof events]);
    if (expected === same) expect(next).toBe(state);
    else expect(next).toEqual(expected);
  });
});

test('R49: the pause doubles up to its cap, with jitter, and a retry by the person begins anew', () => {
  let state: SendState = SENDING;
  const pausesMs: (number | null)[] = [];
  for (let i = 0; i < 8; i++) {
    state = transition(state, { kind: 'fault', fault: gone, roll: 1 });
    if (state.kind === 'unconfirmed') pausesMs.push(state.delayMs);
    state = transition(state, { kind: 'due' });
  }
  expect(pausesMs).toEqual([1_000, 2_000, 4_000, 8_000, 16_000, 30_000, 30_000, 30_000]);
  state = transition(transition(state, { kind: 'fault', fault: gone, roll: 1 }), { kind: 'retry' });
  expect(state).toEqual(SENDING);
});
