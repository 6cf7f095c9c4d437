/** Side questions of the service: what is kept, what a dead process leaves, and that nothing is left otherwise. */
import { expect, test } from 'vitest';
import { MemoryStore } from '@holdfast/log/memory';
import type { BtwId, ClientId } from '@holdfast/protocol';
import { btwEventOf, sleepOn, systemClock, type Agent, type Clock } from '../src/index.ts';
import { echo, fresh, scripted, World } from './world.ts';

const answering = (btw: NonNullable<Agent['btw']>): Agent => scripted(echo, { btw });
const inWords = answering(async function* btw({ question, messages }) {
  yield { type: 'text', text: `${question} ` };
  yield { type: 'text', text: messages.map(({ text }) => text.trim()).join('|') };
  return { outcome: 'completed' };
});
/** Says a word and then heeds nothing but its signal. */
const waiting = answering(async function* btw(_input, { signal }) {
  yield { type: 'text', text: 'one' };
  await new Promise((resolve) => signal.addEventListener('abort', resolve));
  return { outcome: 'completed' };
});

async function ask(world: World, question: string): Promise<BtwId> {
  const clientId = fresh('q') as ClientId;
  const asked = await world.service.btws.ask(world.sessionId, { clientId, author: 'ann', question });
  if (asked.kind !== 'ok') throw new Error(asked.fault.detail);
  return asked.btwId;
}

/** Reads to the end; what it said, and how it ended. */
async function read(world: World, btwId: BtwId): Promise<{ readonly text: string; readonly outcome: string }> {
  const attached = await world.service.btws.attach(world.sessionId, btwId, 'ann', undefined);
  if (attached.kind !== 'ok') throw new Error(attached.fault.detail);
  let text = '';
  try {
    for (;;) {
      const delivery = await attached.subscription.next();
      if (delivery.kind !== 'records') return { text, outcome: delivery.kind };
      for (const record of delivery.records) {
        const event = btwEventOf(record);
        if (event?.type === 'btw-delta') text += event.text;
        if (event?.type === 'btw-end') return { text, outcome: event.outcome };
      }
    }
  } finally {
    attached.leave();
  }
}

test('C1: what is kept is found by a search, is in older pages, and is there for a process that loads the session anew', async () => {
  const world = await World.open([inWords]);
  const { verdict } = await world.say('first');
  await world.idle();
  const btwId = await ask(world, 'zebra?');
  expect(await read(world, btwId)).toEqual({ text: 'zebra? first|first', outcome: 'completed' });
  await world.say('second');
  await world.idle();
  expect(await world.service.btws.keep(world.sessionId, btwId, 'ann')).toMatchObject({ kind: 'ok', duplicate: false });
  const view = await world.idle();
  expect(view.messages.map(({ btws }) => btws?.length ?? 0)).toEqual([0, 1, 0, 0]);
  await expect.poll(async () => (await world.service.list({ words: 'zebra', limit: 5 })).sessions.length).toBe(1);
  const turnId = verdict.kind === 'accepted' ? verdict.turnId : undefined;
  const again = await World.open([inWords], { store: world.store, sessionId: world.sessionId });
  const turn = await again.service.turn(world.sessionId, turnId!);
  expect(turn.kind === 'ok' && turn.messages.at(-1)?.btws).toMatchObject([{ btwId, question: 'zebra?' }]);
  expect((await again.view()).messages).toEqual(view.messages);
  await again.close();
  await world.close();
});

test('C1: kept once, also where a turn’s row is ahead of the checkpoint that is loaded with it', async () => {
  const world = await World.open([inWords]);
  await world.say('hello');
  await world.idle();
  const btwId = await ask(world, 'zebra?');
  await read(world, btwId);
  // A checkpoint follows 256 entries: the turn that was asked about is in it.
  for (let rows: readonly unknown[] = []; rows.length === 0;) {
    await world.say('hello');
    await world.idle();
    rows = await world.log.rows.list({ table: 'checkpoint', limit: 1 });
  }
  await world.service.btws.keep(world.sessionId, btwId, 'ann');
  await expect.poll(async () => (await world.service.list({ words: 'zebra', limit: 5 })).sessions.length).toBe(1);
  const again = await World.open([inWords], { store: world.store, sessionId: world.sessionId });
  expect((await again.view()).messages.flatMap(({ btws = [] }) => btws)).toHaveLength(1);
  expect(await again.view()).toEqual(await world.view());
  await again.close();
  await world.close();
});

test('C1: a later turn is told what was kept', async () => {
  const told: number[] = [];
  const agent = scripted(
    async function* run(input) {
      told.push(input.history.flatMap(({ btws = [] }) => btws).length);
      yield* echo(input, undefined as never);
      return { outcome: 'completed' };
    },
    inWords.btw === undefined ? {} : { btw: inWords.btw.bind(inWords) },
  );
  const world = await World.open([agent]);
  await world.say('first');
  await world.idle();
  const btwId = await ask(world, 'why?');
  await read(world, btwId);
  await world.service.btws.keep(world.sessionId, btwId, 'ann');
  await world.say('second');
  await world.idle();
  expect(told).toEqual([0, 1]);
  await world.close();
});

test('C2: a process that ends leaves its questions interrupted, and the agent is told', async () => {
  const store = new MemoryStore();
  const world = await World.open([waiting], { store });
  await world.say('first');
  await world.idle();
  const btwId = await ask(world, 'why?');
  const reading = read(world, btwId);
  await world.service.close();
  expect(await reading).toEqual({ text: 'one', outcome: 'interrupted' });
});

test('C2: of a question that has ended nothing is left: no timer, no reader', async () => {
  const timers = new Map<object, number>();
  const clock: Clock = {
    ...systemClock,
    after: (ms, run) => {
      const timer = systemClock.after(ms, () => {
        timers.delete(timer);
        run();
      });
      timers.set(timer, ms);
      return {
        cancel: () => {
          timers.delete(timer);
          timer.cancel();
        },
      };
    },
    sleep: (ms, signal) => sleepOn(clock, ms, signal),
  };
  // The spans of a question alone: nobody reads, too long.
  const ofQuestions = (): number[] => [...timers.values()].filter((ms) => ms === 10_000 || ms === 120_000);
  const world = await World.open([waiting], { clock, leaseMs: 60_000 });
  await world.say('first');
  await world.idle();
  const before = ofQuestions();
  const btwId = await ask(world, 'why?');
  expect(ofQuestions().length).toBe(before.length + 2);
  const reading = read(world, btwId);
  await world.service.btws.cancel(world.sessionId, btwId, 'ann');
  expect((await reading).outcome).toBe('cancelled');
  await expect.poll(ofQuestions).toEqual(before);
  // One that nobody reads, of a session that is deleted.
  await ask(world, 'why?');
  expect(ofQuestions().length).toBe(before.length + 2);
  await world.service.delete(world.sessionId);
  await expect.poll(ofQuestions).toEqual(before);
  expect(world.service.stats().btws).toBe(0);
  await world.close();
});

test('C2: an agent that heeds nothing is left behind: its question ends all the same', async () => {
  const deaf = answering(async function* btw() {
    yield { type: 'text', text: 'one' };
    await new Promise(() => {});
    return { outcome: 'completed' };
  });
  const world = await World.open([deaf]);
  await world.say('first');
  await world.idle();
  const btwId = await ask(world, 'why?');
  const reading = read(world, btwId);
  await world.service.btws.cancel(world.sessionId, btwId, 'ann');
  expect((await reading).outcome).toBe('cancelled');
  await world.close();
});

test('C1: an answer ends at its bound, and what came can be kept', async () => {
  const endless = answering(async function* btw() {
    for (;;) yield { type: 'text', text: 'x'.repeat(10_000) };
  });
  const world = await World.open([endless]);
  await world.say('first');
  await world.idle();
  const btwId = await ask(world, 'why?');
  const { text, outcome } = await read(world, btwId);
  expect([text.length, outcome]).toEqual([65_536, 'limit']);
  expect((await world.service.btws.keep(world.sessionId, btwId, 'ann')).kind).toBe('ok');
  await world.close();
});

test('C1: an agent that throws fails its question and nothing else', async () => {
  const broken = answering(async function* btw() {
    yield { type: 'text', text: 'one' };
    throw new Error('oh');
  });
  const told: unknown[] = [];
  const world = await World.open([broken], { onError: (error) => told.push(error) });
  await world.say('first');
  await world.idle();
  expect(await read(world, await ask(world, 'why?'))).toEqual({ text: 'one', outcome: 'failed' });
  expect(told).toMatchObject([{ cause: { message: 'oh' } }]);
  await world.close();
});
