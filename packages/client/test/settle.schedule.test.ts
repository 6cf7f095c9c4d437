/**
 * Recovery against a server that is not ours: its streams end without a word, its transcript is written some time after the
 * run has ended, its requests fail. Time is turned by hand.
 */
import * as fc from 'fast-check';
import { expect, test } from 'vitest';

import { Attachments, startRecovery, type Recovery, type SettlePort } from '../src/index.ts';
import { HandClock, settled } from './fakes.ts';

interface Transcript {
  readonly revision: number;
  readonly text: string;
}

/** Knows one run, which ends at `endsAt`; the transcript has it `lagMs` later. */
class LaggingServer implements SettlePort<Transcript> {
  readonly #clock: HandClock;
  readonly #startedAt: number;
  readonly endsAfterMs: number;
  readonly lagMs: number;
  /** Whether the server says "ended" while its transcript is still to come. */
  readonly says: 'ended' | 'active';
  fails: (request: number) => boolean = () => false;
  forgets = false;
  requests = 0;

  constructor(clock: HandClock, endsAfterMs: number, lagMs: number, says: 'ended' | 'active') {
    this.#clock = clock;
    this.#startedAt = clock.now();
    this.endsAfterMs = endsAfterMs;
    this.lagMs = lagMs;
    this.says = says;
  }

  get ageMs(): number {
    return this.#clock.now() - this.#startedAt;
  }

  async status(): Promise<'active' | 'ended' | 'missing'> {
    if (this.fails(++this.requests)) throw new Error('503');
    if (this.forgets) return 'missing';
    const until = this.endsAfterMs + (this.says === 'active' ? this.lagMs : 0);
    return this.ageMs < until ? 'active' : 'ended';
  }

  async snapshot(): Promise<{ revision: number; terminal: boolean; value: Transcript } | undefined> {
    if (this.fails(++this.requests)) throw new Error('503');
    const written = this.ageMs >= this.endsAfterMs + this.lagMs;
    return written
      ? { revision: 9, terminal: true, value: { revision: 9, text: 'the whole answer' } }
      : { revision: 7, terminal: false, value: { revision: 7, text: 'the wh' } };
  }
}

class Screen {
  text = 'the whole ans';
  revision = 5;
  outcome: 'streaming' | 'completed' | 'interrupted' = 'streaming';
  readonly texts: string[] = [];

  restore({ revision, text }: Transcript): void {
    this.revision = revision;
    this.text = text;
    this.outcome = 'completed';
    this.texts.push(text);
  }
}

interface World {
  readonly clock: HandClock;
  readonly screen: Screen;
  readonly attachments: Attachments;
  readonly server: LaggingServer;
  readonly recovery: Recovery;
}

function recover(endsAfterMs: number, lagMs: number, says: 'ended' | 'active', shown = true): World {
  const clock = new HandClock();
  const server = new LaggingServer(clock, endsAfterMs, lagMs, says);
  const screen = new Screen();
  const attachments = new Attachments();
  const recovery = startRecovery<Transcript>({
    port: server,
    token: attachments.attach('s', 'run'),
    clock,
    random: () => 0.5,
    shown,
    seenRevision: () => screen.revision,
    restore: (transcript) => screen.restore(transcript),
    interrupt: () => (screen.outcome = 'interrupted'),
  });
  return { clock, screen, attachments, server, recovery };
}

/** Turns the clock in small steps, so that every answer comes at its time. */
async function turn(world: World, ms: number): Promise<void> {
  for (let passed = 0; passed < ms; passed += 20) {
    world.clock.advance(20);
    await settled();
  }
}

test('E2, E4, R63: a transcript that lags its stream end by 0 to 5 s is restored, once, and nothing on screen shrinks before', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.integer({ min: 0, max: 5_000 }),
      fc.integer({ min: 0, max: 3_000 }),
      fc.constantFrom('ended' as const, 'active' as const),
      async (lagMs, endsAfterMs, says) => {
        const world = recover(endsAfterMs, lagMs, says);
        const writtenAtMs = endsAfterMs + lagMs;
        await turn(world, Math.max(0, writtenAtMs - 40));
        expect(world.screen.texts).toEqual([]);
        expect(world.screen.text).toBe('the whole ans');
        await turn(world, 40 + 180 + 1_100);
        expect(world.screen.texts).toEqual(['the whole answer']);
        expect(await world.recovery.ended).toBe('restored');
        expect(world.clock.pending).toBe(0);
      },
    ),
    { numRuns: 60 },
  );
});

test('E1: with live content on screen the first question waits 180 ms, without it is asked at once', async () => {
  const shown = recover(0, 0, 'ended');
  shown.clock.advance(179);
  await settled();
  expect(shown.server.requests).toBe(0);
  shown.clock.advance(1);
  await settled();
  expect(shown.server.requests).toBe(2);
  const blank = recover(0, 0, 'ended', false);
  await settled();
  expect(blank.server.requests).toBe(2);
});

test('E1: a real terminal event within the grace cancels the recovery: nothing is asked', async () => {
  const world = recover(0, 0, 'ended');
  world.clock.advance(100);
  world.recovery.terminal();
  await turn(world, 10_000);
  expect(world.server.requests).toBe(0);
  expect(await world.recovery.ended).toBe('settled');
  expect(world.clock.pending).toBe(0);
});

test('E3, R64: a newer stream owns the view: neither a late answer nor ten missings touch it', async () => {
  for (const forgets of [false, true]) {
    const world = recover(0, 300, 'active');
    world.server.forgets = forgets;
    await turn(world, 200);
    world.attachments.attach('s', 'another run');
    await turn(world, 10_000);
    expect(world.screen).toMatchObject({ text: 'the whole ans', outcome: 'streaming', texts: [] });
    expect(await world.recovery.ended).toBe('stale');
  }
});

test('E3: failing requests finalise nothing; the answer comes when the server does', async () => {
  const world = recover(0, 0, 'ended');
  world.server.fails = (request) => request <= 7;
  await turn(world, 60_000);
  expect(world.screen.texts).toEqual(['the whole answer']);
  const never = recover(0, 0, 'ended');
  never.server.fails = () => true;
  await turn(never, 120_000);
  expect(never.screen).toMatchObject({ text: 'the whole ans', outcome: 'streaming' });
  // A hint (the network came back) does not sit out the pause.
  never.server.fails = () => false;
  never.recovery.hint();
  await turn(never, 200);
  expect(never.screen.outcome).toBe('completed');
});

test('E3: a run that the server does not know ten times in a row is interrupted, with every character seen', async () => {
  const world = recover(1e9, 0, 'active');
  await turn(world, 1_000);
  world.server.forgets = true;
  await turn(world, 3_000);
  expect(world.screen).toMatchObject({ text: 'the whole ans', outcome: 'interrupted' });
  expect(await world.recovery.ended).toBe('interrupted');
});

test('E4: a transcript of a lower revision than what is shown is never taken', async () => {
  const world = recover(0, 0, 'ended');
  world.screen.revision = 12;
  await turn(world, 20_000);
  expect(world.screen).toMatchObject({ text: 'the whole ans', revision: 12, outcome: 'streaming' });
});
