import { expect, test } from 'vitest';
import { openMemoryLog, MemoryStore } from '@holdfast/log/memory';
import type { ClientId, MessageId, PromptId, SessionId, TurnId } from '@holdfast/protocol';
import { decodeEntry, openSessionService, systemClock, type RunInput } from '../src/index.ts';
import { echo, fresh, scripted, World, type Script } from './world.ts';

/** Asks, waits for the answer in the process, and says it. */
const waiting = (deadlineMs?: number): Script =>
  async function* waitingScript(_input, context) {
    const promptId = context.promptId();
    const asked = { promptId, kind: 'question', title: 'Which?', detail: '', choices: ['a', 'b'] } as const;
    const closed = await context.ask({ type: 'prompt', ...asked, ...(deadlineMs === undefined ? {} : { deadlineMs }) });
    yield { type: 'text', text: `${closed.outcome} ${closed.answer ?? ''}` };
    return { outcome: 'completed' };
  };

test('R30: a prompt that is awaited in the process expires at its deadline, with nothing else going on', async () => {
  const gate = Promise.withResolvers<void>();
  const later: Script = async function* laterScript(input, context) {
    yield { type: 'data', name: 'here', data: 1 };
    await gate.promise;
    return yield* waiting(30)(input, context);
  };
  const world = await World.open([scripted(later, { resumable: false })]);
  await world.say('which?');
  // Nobody has a reason to look at the session any more but the prompt itself.
  await world.until((seen) => seen.turn?.lastEvent === 'data');
  gate.resolve();
  const view = await world.idle();
  expect(view.messages.at(-1)?.text).toBe('expired ');
  await world.close();
});

test('R27: an answer reaches its turn while somebody looks at another branch', async () => {
  const world = await World.open([scripted(waiting(), { resumable: false })]);
  await world.say('first');
  const first = await world.until((view) => view.prompts.length > 0);
  await world.answer(first.prompts[0]?.promptId as PromptId, 'a');
  await world.idle();
  await world.say('again', { after: null });
  const asks = await world.until((view) => view.prompts.length > 0);
  await world.submit({ type: 'branch-switch', turnId: first.turn?.turnId as TurnId } as never);
  await world.answer(asks.prompts[0]?.promptId as PromptId, 'b');
  const view = await world.until(({ turn, closing }) => turn === null && closing === null);
  expect([...view.messages, ...view.offPath].map((message) => message.text)).toContain('answered b');
  await world.close();
});

test('a turn that goes on is told of its own branch, whichever is shown', async () => {
  const told: (readonly string[])[] = [];
  const parks: Script = async function* parksScript(input: RunInput, context) {
    told.push(input.history.map((message) => message.text));
    if (input.messages[0]?.text === 'first') yield { type: 'text', text: 'one' };
    else if (input.progress.prompts.length === 0) {
      yield { type: 'prompt', promptId: context.promptId(), kind: 'question', title: '?', detail: '', choices: [] };
      return { outcome: 'parked' };
    }
    return { outcome: 'completed' };
  };
  const world = await World.open([scripted(parks)]);
  await world.say('first');
  const first = await world.idle();
  await world.say('other', { after: null });
  const parked = await world.until((view) => view.turn?.state === 'parked');
  await world.submit({ type: 'branch-switch', turnId: first.leaf as TurnId } as never);
  await world.answer(parked.prompts[0]?.promptId as PromptId, 'yes');
  await world.until(({ turn, closing }) => turn === null && closing === null);
  expect(told).toEqual([[], [], []]);
  await world.close();
});

test('R4: who looks for a session while it is being made is not told that it is missing', async () => {
  const store = new MemoryStore();
  const asked = Promise.withResolvers<void>();
  let waits = true;
  const sessionId = fresh('s') as SessionId;
  const log = openMemoryLog({
    clock: systemClock,
    store,
    step: async (label) => {
      if (label === `stat session/${sessionId} done` && waits) await asked.promise;
    },
  });
  const service = await openSessionService({ log, agents: [scripted(echo)], randomId: () => fresh('h'), sweepMs: 20 });
  const early = service.snapshot(sessionId);
  const elsewhere = await World.open([scripted(echo)], { store, sessionId });
  const late = service.snapshot(sessionId);
  waits = false;
  asked.resolve();
  expect((await early).kind).toBe('fault');
  expect((await late).kind).toBe('ok');
  await service.close();
  await elsewhere.close();
});

test('work spreads by load: what waits for a slot on one node is taken up by another that has one', async () => {
  const store = new MemoryStore();
  const gate = Promise.withResolvers<void>();
  const busy = await World.open(
    [
      scripted(async function* busyScript() {
        yield { type: 'text', text: 'busy' };
        await gate.promise;
        return { outcome: 'completed' };
      }),
    ],
    { store, turnsMax: 1 },
  );
  await busy.say('hold the slot');
  await busy.until((view) => view.turn?.lastEvent === 'text-delta');
  const idle = await World.open([scripted(echo)], { store, turnsMax: 1 });
  const sessionId = fresh('s') as SessionId;
  const open = { type: 'session-open', sessionId, clientId: 'open' as ClientId, author: 'ann' } as const;
  await busy.service.create(open);
  const ids = { messageId: fresh('m') as MessageId, clientId: fresh('c') as ClientId };
  await busy.service.submit(sessionId, {
    type: 'message',
    author: 'ann',
    text: 'over here',
    whenBusy: 'queue',
    merge: false,
    ...ids,
  });
  const subscription = idle.log.subscribe(`session/${sessionId}`, 0);
  for (let ended = false; !ended;) {
    const next = await subscription.next();
    if (next.kind !== 'records') throw new Error(`The log ended: ${next.kind}.`);
    ended = next.records.some((record) => decodeEntry(record).type === 'turn-end');
  }
  const found = await idle.service.snapshot(sessionId);
  expect(found.kind === 'ok' && found.view.messages.at(-1)?.text).toBe('over here ');
  gate.resolve();
  await busy.idle();
  await Promise.all([busy.close(), idle.close()]);
});
