/**
 * R111: what `startRecovery` makes of a server, and of a caller, that does not keep to the port: every function × hangs, throws,
 * lies, and each of these in every state that the recovery can be in. Nothing is left pending afterwards, whatever happens.
 */
import { fault, FaultError } from '@holdfast/protocol/fault';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';

import {
  Attachments,
  RecoveryPace,
  startRecovery,
  type Recovery,
  type RecoveryEnd,
  type RecoveryOptions,
  type RecoveryProblem,
} from '../src/index.ts';
import { HandClock, microtasks, settled } from './fakes.ts';

const CALL_MS = 1_000;

/** Rejections that no one handles: there is never one. */
const unhandled: unknown[] = [];
const note = (error: unknown): void => void unhandled.push(error);
beforeEach(() => process.on('unhandledRejection', note));
afterEach(async () => {
  await settled();
  process.off('unhandledRejection', note);
  expect(unhandled.splice(0)).toEqual([]);
});

type Options = RecoveryOptions<string>;
/** As a JavaScript caller may write it, without types. */
type Loose = { readonly [K in 'status' | 'snapshot' | 'seenRevision' | 'restore' | 'interrupt']?: () => unknown };

class World {
  readonly clock: HandClock = new HandClock();
  readonly attachments: Attachments = new Attachments();
  readonly problems: RecoveryProblem[] = [];
  readonly calls: string[] = [];
  readonly recovery: Recovery;
  end: RecoveryEnd | undefined;

  /** `bad`: what a function does in place of what it should. */
  constructor(bad: Loose, more: Partial<Options> = {}) {
    const good: Required<Loose> = {
      status: () => Promise.resolve('ended'),
      snapshot: () => Promise.resolve({ revision: 2, terminal: true, value: 'the answer' }),
      seenRevision: () => 1,
      restore: () => {},
      interrupt: () => {},
    };
    const of =
      (name: keyof Loose): (() => never) =>
      () => {
        this.calls.push(name);
        return (bad[name] ?? good[name])() as never;
      };
    this.recovery = startRecovery<string>({
      port: { status: of('status'), snapshot: of('snapshot') },
      token: this.attachments.attach('s', 'run'),
      clock: this.clock,
      random: () => 0.5,
      shown: false,
      callMs: CALL_MS,
      seenRevision: of('seenRevision'),
      restore: of('restore'),
      interrupt: of('interrupt'),
      onProblem: (problem) => this.problems.push(problem),
      ...more,
    });
    void this.recovery.ended.then((how) => (this.end = how));
  }

  times(name: keyof Loose): number {
    return this.calls.filter((call) => call === name).length;
  }

  /** Every answer comes at its time. */
  async pass(ms: number): Promise<void> {
    await settled();
    for (let passed = 0; passed < ms; passed += 50) {
      this.clock.advance(50);
      await settled();
    }
  }
}

const hangs = (): Promise<never> => new Promise(() => {});
const throws = (): never => {
  throw new Error('thrown');
};
const rejects = (): Promise<never> => Promise.reject(new Error('rejected'));

interface Case {
  readonly name: string;
  readonly bad: Loose;
  /** How it ends; `asks`: it does not, and asks again with back-off. */
  readonly ends: RecoveryEnd | 'asks';
  readonly problem?: string;
}

const missing = { status: (): unknown => Promise.resolve('missing') };
const CASES: readonly Case[] = [
  { name: 'status hangs', bad: { status: hangs }, ends: 'asks', problem: 'status timeout' },
  { name: 'status throws', bad: { status: throws }, ends: 'asks', problem: 'status threw' },
  { name: 'status rejects', bad: { status: rejects }, ends: 'asks', problem: 'status threw' },
  { name: 'status lies: an unknown standing', bad: { status: () => 'done' }, ends: 'asks', problem: 'status invalid' },
  { name: 'status lies: nothing', bad: { status: () => undefined }, ends: 'asks', problem: 'status invalid' },
  {
    name: 'status lies: an object without a prototype',
    bad: { status: () => Promise.resolve(Object.create(null)) },
    ends: 'asks',
    problem: 'status invalid',
  },
  { name: 'status answers without a promise', bad: { status: () => 'ended' }, ends: 'restored' },
  { name: 'snapshot hangs', bad: { snapshot: hangs }, ends: 'asks', problem: 'snapshot timeout' },
  { name: 'snapshot throws', bad: { snapshot: throws }, ends: 'asks', problem: 'snapshot threw' },
  { name: 'snapshot rejects', bad: { snapshot: rejects }, ends: 'asks', problem: 'snapshot threw' },
  { name: 'snapshot lies: null', bad: { snapshot: () => null }, ends: 'asks', problem: 'snapshot invalid' },
  { name: 'snapshot lies: text', bad: { snapshot: () => 'text' }, ends: 'asks', problem: 'snapshot invalid' },
  {
    name: 'snapshot lies: no revision',
    bad: { snapshot: () => ({ revision: Number.NaN, terminal: true }) },
    ends: 'asks',
    problem: 'snapshot invalid',
  },
  {
    name: 'snapshot lies: a property that throws, once it is read again',
    bad: {
      snapshot: () => {
        let reads = 0;
        return {
          revision: 2,
          get terminal(): boolean {
            return reads++ === 0 || throws();
          },
        };
      },
    },
    ends: 'asks',
    problem: 'snapshot threw',
  },
  // A server that says "ended" and never shows the end: E2 counts it as active, then as missing.
  { name: 'snapshot lies: never there', bad: { snapshot: () => undefined }, ends: 'interrupted' },
  {
    name: 'snapshot lies: never the end',
    bad: { snapshot: () => ({ revision: 9, terminal: false }) },
    ends: 'interrupted',
  },
  { name: 'seenRevision throws', bad: { seenRevision: throws }, ends: 'failed', problem: 'seenRevision threw' },
  {
    name: 'seenRevision lies',
    bad: { seenRevision: () => Number.NaN },
    ends: 'failed',
    problem: 'seenRevision invalid',
  },
  { name: 'seenRevision hangs', bad: { seenRevision: hangs }, ends: 'failed', problem: 'seenRevision invalid' },
  { name: 'restore hangs', bad: { restore: hangs }, ends: 'failed', problem: 'restore timeout' },
  { name: 'restore throws', bad: { restore: throws }, ends: 'failed', problem: 'restore threw' },
  { name: 'restore rejects', bad: { restore: rejects }, ends: 'failed', problem: 'restore threw' },
  { name: 'restore lies: does nothing', bad: { restore: () => false }, ends: 'restored' },
  { name: 'interrupt hangs', bad: { ...missing, interrupt: hangs }, ends: 'failed', problem: 'interrupt timeout' },
  { name: 'interrupt throws', bad: { ...missing, interrupt: throws }, ends: 'failed', problem: 'interrupt threw' },
  { name: 'interrupt rejects', bad: { ...missing, interrupt: rejects }, ends: 'failed', problem: 'interrupt threw' },
  { name: 'interrupt lies: does nothing', bad: { ...missing, interrupt: () => 0 }, ends: 'interrupted' },
];

describe.each(CASES)('R111, E3: $name', ({ bad, ends, problem }) => {
  test('it has one outcome, which is told, and leaves no timer', async () => {
    const world = new World(bad);
    await world.pass(ends === 'asks' ? 20_000 : 60_000);
    expect(world.end).toBe(ends === 'asks' ? undefined : ends);
    const told = world.problems.map(({ call, how }) => `${call} ${how}`);
    expect([...new Set(told)]).toEqual(problem === undefined ? [] : [problem]);
    expect(world.recovery.problem).toBe(world.problems.at(-1));
    expect(world.times('restore') + world.times('interrupt')).toBeLessThanOrEqual(1);
    if (ends === 'asks') {
      // With back-off: neither once for all nor in a spin.
      expect(world.problems.length).toBeGreaterThan(2);
      expect(world.problems.length).toBeLessThan(12);
      world.recovery.terminal();
      await settled();
      expect(world.end).toBe('settled');
    }
    expect(world.clock.pending).toBe(0);
  });

  test('another attachment takes the view: stale by the next answer, nothing is asked or written any more', async () => {
    for (const afterMs of [0, 100, CALL_MS - 50, 3_000]) {
      const world = new World(bad);
      await world.pass(afterMs);
      if (world.end !== undefined || world.times('restore') + world.times('interrupt') > 0) continue;
      world.attachments.attach('s', 'another run');
      const { length } = world.calls;
      await world.pass(40_000);
      expect(world.end).toBe('stale');
      expect(world.calls.slice(length)).toEqual([]);
      expect(world.clock.pending).toBe(0);
    }
  });

  test('the terminal event comes in the midst of it: settled at once, and its late end is heard by no one', async () => {
    for (const afterMs of [0, 100, CALL_MS - 50, 3_000]) {
      const world = new World(bad);
      await world.pass(afterMs);
      if (world.end !== undefined) continue;
      world.recovery.terminal();
      expect(world.clock.pending).toBe(0);
      const { length } = world.calls;
      await world.pass(40_000);
      expect(world.end).toBe('settled');
      expect(world.calls.slice(length)).toEqual([]);
    }
  });

  test('hints in a row, in every state, start no flood and write nothing twice', async () => {
    const world = new World(bad);
    for (let ms = 0; ms < 20_000; ms += 50) {
      world.recovery.hint();
      world.recovery.hint();
      await world.pass(50);
    }
    expect(world.times('status')).toBeLessThan(500);
    expect(world.times('restore')).toBeLessThanOrEqual(1);
    expect(world.times('interrupt')).toBeLessThanOrEqual(1);
    world.recovery.terminal();
    expect(world.clock.pending).toBe(0);
  });
});

test('R111, E3: the view is looked at before the server is asked, and again after a snapshot and before the interruption', async () => {
  const before = new World({}, { shown: true });
  before.attachments.attach('s', 'another run');
  await before.pass(400);
  expect([before.end, before.calls]).toEqual(['stale', []]);

  const meanwhile: World = new World({
    snapshot: async () => {
      meanwhile.attachments.attach('s', 'another run');
      return { revision: 2, terminal: true, value: 'the answer' };
    },
  });
  await meanwhile.pass(400);
  expect([meanwhile.end, meanwhile.calls]).toEqual(['stale', ['status', 'snapshot']]);

  let asked = 0;
  const last: World = new World({
    status: async () => {
      if (++asked === 10) last.attachments.attach('s', 'another run');
      return 'missing';
    },
  });
  await last.pass(5_000);
  expect([last.end, asked, last.times('interrupt')]).toEqual(['stale', 10, 0]);
});

test('R111, E1: the terminal event comes at any instant around the arrival of the snapshot: settled means not written', async () => {
  const ends = new Set<RecoveryEnd | undefined>();
  for (let instant = -1; instant < 12; instant++) {
    let answer: (value: unknown) => void = () => {};
    const world = new World({ snapshot: () => new Promise((resolve) => (answer = resolve)) });
    await settled();
    if (instant === -1) world.recovery.terminal();
    answer({ revision: 2, terminal: true, value: 'the answer' });
    await microtasks(Math.max(0, instant));
    world.recovery.terminal();
    const written = world.times('restore');
    await settled();
    // What has begun to be written is not taken back; it may only not begin afterwards.
    expect(world.times('restore')).toBe(written);
    expect(world.end).toBe(world.recovery.state.kind === 'ended' ? world.recovery.state.how : undefined);
    if (world.end === 'restored') expect(written).toBe(1);
    ends.add(world.end);
  }
  expect(ends).toEqual(new Set(['settled', 'restored']));
});

test('R111: a token that throws ends the recovery as failed', async () => {
  const token = {
    sessionId: 's',
    runId: 'run',
    attempt: 1,
    get isCurrent(): boolean {
      return throws();
    },
  };
  const world = new World({}, { token });
  await settled();
  expect([world.end, world.recovery.problem?.call, world.calls]).toEqual(['failed', 'token', []]);
});

test('R111: chance that is none, and a listener that throws, change nothing', async () => {
  for (const random of [() => Number.NaN, () => -1, () => 7, throws]) {
    const world = new World({ status: rejects }, { random });
    await world.pass(1_000);
    expect(world.times('status')).toBeLessThan(4);
    world.recovery.terminal();
  }
  const errors: unknown[] = [];
  const { error } = console;
  console.error = (it: unknown) => void errors.push(it);
  const world = new World({ status: rejects }, { onProblem: throws });
  await world.pass(1_000);
  console.error = error;
  expect(errors.length).toBe(world.times('status'));
  world.recovery.terminal();
});

test('R111: a hint while a request hangs asks anew at once; the grace and the advice of the server stay', async () => {
  let down = true;
  const hung = new World({ status: () => (down ? hangs() : Promise.resolve('ended')) });
  await settled();
  down = false;
  hung.recovery.hint();
  await settled();
  expect(hung.end).toBe('restored');

  const inGrace = new World({}, { shown: true });
  inGrace.recovery.hint();
  await inGrace.pass(100);
  expect(inGrace.calls).toEqual([]);
  await inGrace.pass(100);
  expect(inGrace.end).toBe('restored');

  let advised = true;
  const busy = new World({
    status: async () => {
      if (!advised) return 'ended';
      throw new FaultError(fault('shutting-down', 'Busy.', { retryAfterMs: 4_000 }));
    },
  });
  await settled();
  advised = false;
  busy.recovery.hint();
  await busy.pass(3_950);
  expect(busy.times('status')).toBe(1);
  await busy.pass(1_100);
  expect(busy.end).toBe('restored');
});

test('R110: recoveries with one pace ask one after the other, and back off as one', async () => {
  const clock = new HandClock();
  const pace = new RecoveryPace(clock);
  let inFlight = 0;
  let most = 0;
  let asked = 0;
  const status = async (): Promise<never> => {
    asked++;
    most = Math.max(most, ++inFlight);
    await settled();
    inFlight--;
    return throws();
  };
  const worlds = Array.from({ length: 20 }, () => new World({ status }, { clock, pace }));
  for (let ms = 0; ms < 10_000; ms += 50) {
    clock.advance(50);
    await settled();
    await settled();
  }
  expect(most).toBe(1);
  // Alone one asks 5 times in 10 s.
  expect(asked).toBeLessThanOrEqual(6);
  for (const { recovery } of worlds) recovery.terminal();
  expect(clock.pending).toBe(0);
});

test('R111: a time limit that is none is refused by its value', () => {
  expect(() => new World({}, { callMs: 0 })).toThrow('callMs is 0.');
  expect(() => new World({}, { callMs: Number.NaN })).toThrow('callMs is NaN.');
});
