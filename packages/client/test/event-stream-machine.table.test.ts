/** Every state × every event. A state or an event that is not in the table does not compile. */
import { fault } from '@holdfast/protocol/fault';
import { describe, expect, test } from 'vitest';

import {
  BACKOFF_CAP_MS,
  INITIAL,
  ownedBy,
  RESTART_MS,
  transition,
  type MachineEvent,
  type MachineState,
} from '../src/event-stream-machine.ts';

const lost = fault('disconnected', 'lost');
const states = {
  idle: { kind: 'idle', attempt: 7 },
  failed: { kind: 'idle', attempt: 7, fault: fault('auth-refused', 'signed out') },
  connecting: { kind: 'connecting', attempt: 7, failures: 2 },
  reading: { kind: 'reading', attempt: 7, failures: 2 },
  settled: { kind: 'reading', attempt: 7, failures: 0 },
  waiting: { kind: 'waiting', attempt: 7, failures: 2, delayMs: 900, advised: false, fault: lost },
  advised: { kind: 'waiting', attempt: 7, failures: 2, delayMs: 900, advised: true, fault: lost },
  tokenless: {
    kind: 'waiting',
    attempt: 7,
    failures: 2,
    delayMs: 900,
    advised: false,
    fault: fault('auth-unavailable', 'no network'),
  },
  pacing: { kind: 'pacing', attempt: 7 },
  closed: { kind: 'closed', attempt: 7 },
} as const satisfies Readonly<Record<string, MachineState>>;

const own = { attempt: 7 } as const;
const stale = { attempt: 6 } as const;
const events = {
  start: { kind: 'start' },
  stop: { kind: 'stop' },
  restart: { kind: 'restart' },
  rotate: { kind: 'rotate' },
  nudge: { kind: 'nudge' },
  online: { kind: 'online' },
  offline: { kind: 'offline' },
  visible: { kind: 'visible' },
  hidden: { kind: 'hidden' },
  close: { kind: 'close' },
  opened: { kind: 'opened', ...own },
  progress: { kind: 'progress', ...own },
  lost: { kind: 'lost', ...own, fault: lost, roll: 0.5 },
  sentAway: { kind: 'lost', ...own, fault: { ...lost, retryAfterMs: 5000 }, roll: 0 },
  drained: { kind: 'ended', ...own },
  refused: { kind: 'ended', ...own, fault: lost },
  due: { kind: 'due', ...own },
  openedLate: { kind: 'opened', ...stale },
  progressLate: { kind: 'progress', ...stale },
  lostLate: { kind: 'lost', ...stale, fault: lost, roll: 0.5 },
  endedLate: { kind: 'ended', ...stale },
  dueLate: { kind: 'due', ...stale },
} as const satisfies Readonly<Record<string, MachineEvent>>;
/** Do not compile when an event or a state of the machine has no sample above. */
({ ...events, ended: events.drained }) satisfies Record<MachineEvent['kind'], unknown>;
states satisfies Record<MachineState['kind'], unknown>;

/** `=` nothing changes; otherwise kind, attempt, failures or delay. */
function tell(before: MachineState, after: MachineState): string {
  if (after === before) return '=';
  switch (after.kind) {
    case 'idle':
      return after.fault === undefined ? `idle #${after.attempt}` : `idle #${after.attempt} ${after.fault.kind}`;
    case 'connecting':
    case 'reading':
      return `${after.kind} #${after.attempt} f${after.failures}`;
    case 'waiting':
      return `waiting #${after.attempt} f${after.failures} ${after.delayMs}${after.advised ? ' advised' : ''}`;
    case 'pacing':
      return `pacing #${after.attempt}`;
    case 'closed':
      return `closed #${after.attempt}`;
  }
}

type Row = Readonly<Record<keyof typeof events, string>>;

const nothing: Row = {
  start: '=',
  stop: '=',
  restart: '=',
  rotate: '=',
  nudge: '=',
  online: '=',
  offline: '=',
  visible: '=',
  hidden: '=',
  close: '=',
  opened: '=',
  progress: '=',
  lost: '=',
  sentAway: '=',
  drained: '=',
  refused: '=',
  due: '=',
  openedLate: '=',
  progressLate: '=',
  lostLate: '=',
  endedLate: '=',
  dueLate: '=',
};
const resting: Row = { ...nothing, start: 'connecting #8 f0', restart: 'connecting #8 f0', close: 'closed #7' };
const running: Row = { ...nothing, stop: 'idle #7', close: 'closed #7' };
const attempting: Row = {
  ...running,
  restart: 'pacing #7',
  opened: 'reading #7 f2',
  progress: 'reading #7 f0',
  lost: 'waiting #7 f3 2000',
  sentAway: 'waiting #7 f3 5000 advised',
  drained: 'idle #7',
  refused: 'idle #7 disconnected',
};
const reconnect = 'connecting #8 f2';
const pausing: Row = {
  ...running,
  restart: 'connecting #8 f0',
  nudge: reconnect,
  online: reconnect,
  visible: reconnect,
  due: reconnect,
};

const table: Readonly<Record<keyof typeof states, Row>> = {
  idle: resting,
  failed: resting,
  connecting: attempting,
  reading: { ...attempting, rotate: reconnect, opened: '=' },
  settled: {
    ...attempting,
    rotate: 'connecting #8 f0',
    opened: '=',
    progress: '=',
    lost: 'waiting #7 f1 500',
    sentAway: 'waiting #7 f1 5000 advised',
  },
  waiting: pausing,
  advised: { ...running, restart: 'connecting #8 f0', due: reconnect },
  tokenless: { ...pausing, rotate: reconnect },
  pacing: { ...running, due: 'connecting #8 f0' },
  closed: nothing,
};

const cells = Object.entries(table).flatMap(([state, row]) =>
  Object.entries(row).map(([event, expected]) => [state, event, expected] as const),
);

describe('B2, B3, B5, R42–R45: the transition table', () => {
  test.each(cells)('%s + %s → %s', (state, event, expected) => {
    const before = states[state as keyof typeof states];
    expect(tell(before, transition(before, events[event as keyof typeof events]))).toBe(expected);
  });
});

test('R115: restarts become one attempt, which begins 250 ms after the first of them', () => {
  let state: MachineState = states.reading;
  const paced = transition(state, events.restart);
  for (let i = 0; i < 20; i++) state = transition(state, events.restart);
  expect(state).toEqual(paced);
  expect(ownedBy(state)).not.toBe(ownedBy(states.reading));
  expect(transition(state, events.due)).toEqual({ kind: 'connecting', attempt: 8, failures: 0 });
  expect(RESTART_MS).toBe(250);
});

test('B1: what a state owns changes whenever the attempt does, and stays from connecting to reading', () => {
  expect(ownedBy(states.connecting)).toBe(ownedBy(states.reading));
  expect(new Set([states.idle, states.reading, states.waiting].map((state) => ownedBy(state))).size).toBe(3);
  expect(ownedBy(transition(states.reading, events.rotate))).not.toBe(ownedBy(states.reading));
});

test('B5: the back-off doubles to its cap with full jitter, and only an event resets it', () => {
  const delays: number[] = [];
  let state: MachineState = transition(INITIAL, { kind: 'start' });
  for (let i = 0; i < 8; i++) {
    state = transition(state, { kind: 'opened', attempt: state.attempt });
    state = transition(state, { kind: 'lost', attempt: state.attempt, fault: lost, roll: 0.999_999 });
    if (state.kind === 'waiting') delays.push(Math.round(state.delayMs));
    state = transition(state, { kind: 'due', attempt: state.attempt });
  }
  expect(delays).toEqual([1000, 2000, 4000, 8000, 16_000, BACKOFF_CAP_MS, BACKOFF_CAP_MS, BACKOFF_CAP_MS]);

  state = transition(state, { kind: 'progress', attempt: state.attempt });
  state = transition(state, { kind: 'lost', attempt: state.attempt, fault: lost, roll: 0 });
  expect(state).toMatchObject({ kind: 'waiting', delayMs: 0, failures: 1 });
});

test('B5, R49: advice is never undercut, is spread by at most a quarter, and an advice of 0 does not spin', () => {
  const advise = (retryAfterMs: number, roll: number, before: MachineState): number => {
    const after = transition(before, { kind: 'lost', ...own, fault: { ...lost, retryAfterMs }, roll });
    return after.kind === 'waiting' ? after.delayMs : Number.NaN;
  };
  expect(advise(60_000, 0, states.settled)).toBe(60_000);
  expect(advise(60_000, 0.999, states.settled)).toBeLessThan(75_000);
  expect(advise(0, 0, states.settled)).toBe(0);
  expect(advise(0, 0, states.reading)).toBe(1000);
});
