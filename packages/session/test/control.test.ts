import { expect, test } from 'vitest';
import type { PromptId, TurnId } from '@holdfast/protocol';
import { MemoryStore, openMemoryLog } from '@holdfast/log/memory';
import { openSessionService, systemClock } from '../src/index.ts';
import { echo, fresh, scripted, types, World, type Script } from './world.ts';

/** Asks before it runs a tool, then says what came of it. */
const asking: Script = async function* askingScript(input, context) {
  const tool = input.progress.parts.find((part) => part.type === 'tool');
  if (tool === undefined) {
    yield { type: 'text', text: 'May I? ' };
    const toolId = context.toolId();
    yield { type: 'tool-request', toolId, name: 'shell', input: { command: 'ls' } };
    if (!context.isGranted('shell')) {
      yield {
        type: 'prompt',
        promptId: context.promptId(),
        kind: 'approval',
        title: 'Run ls?',
        detail: 'ls',
        choices: ['once', 'session', 'always', 'deny'],
        toolId,
      };
      return { outcome: 'parked' };
    }
    yield* use(toolId);
  } else if (tool.type === 'tool' && tool.state === 'requested') {
    const allowed = input.progress.prompts.some((prompt) => prompt.outcome === 'answered' && prompt.answer !== 'deny');
    if (allowed) yield* use(tool.toolId);
    else yield { type: 'text', text: 'Then not.' };
  }
  return { outcome: 'completed' };
};
async function* use(toolId: string): AsyncGenerator<never, void> {
  yield { type: 'tool-start', toolId } as never;
  yield { type: 'tool-end', toolId, ok: true, output: 'a.txt', durationMs: 1 } as never;
  yield { type: 'text', text: 'Done.' } as never;
}

test('R27: a turn that waits for a person is parked, and its answer resumes the same turn', async () => {
  const world = await World.open([scripted(asking)]);
  await world.say('list');
  const parked = await world.until((view) => view.turn?.state === 'parked');
  const [prompt] = parked.prompts;
  expect(await world.answer(prompt?.promptId as PromptId, 'once')).toMatchObject({ verdict: { kind: 'answered' } });
  expect(await world.answer(prompt?.promptId as PromptId, 'deny')).toMatchObject({
    verdict: { kind: 'void', reason: 'prompt-not-open' },
  });
  const view = await world.idle();
  expect(view.messages.at(-1)).toMatchObject({ text: 'May I? Done.', state: 'completed' });
  expect(types(await world.entries()).filter((type) => type === 'tool-start')).toHaveLength(1);
  await world.close();
});

test('R30, R31: "always" stands where a stop that discards the answer overtook it', async () => {
  const store = new MemoryStore();
  const ending = Promise.withResolvers<void>();
  const held = Promise.withResolvers<void>();
  const first = await World.open([scripted(asking)], { store });
  const { sessionId } = first;
  await first.say('list');
  const parked = await first.until((view) => view.turn?.state === 'parked');
  let appends = 0;
  const log = openMemoryLog({
    clock: systemClock,
    store,
    // The first is the stop itself, the second the end of the turn.
    step: async (label) => {
      if (label !== `append session/${sessionId}` || (appends += 1) !== 2) return;
      ending.resolve();
      await held.promise;
    },
  });
  const stopper = await World.open([scripted(asking)], { store, sessionId, log });
  await stopper.stop(parked.turn?.turnId as TurnId, 'keep', 'discard');
  await ending.promise;
  expect(await first.answer(parked.prompts[0]?.promptId as PromptId, 'always')).toMatchObject({
    verdict: { kind: 'answered', answer: 'always' },
  });
  held.resolve();
  expect((await first.idle()).messages.at(-1)?.parts).toEqual([]);
  await stopper.service.drain(1_000);
  expect(await first.service.grants('ann')).toMatchObject([{ tool: 'shell', by: 'ann' }]);
  await stopper.close();
  await first.close();
});

test('R25: a parked turn and the queue survive a restart', async () => {
  const world = await World.open([scripted(asking)]);
  await world.say('list');
  await world.until((view) => view.turn?.state === 'parked');
  await world.say('next');
  await world.close();
  const log = openMemoryLog({ clock: systemClock, store: world.store });
  const service = await openSessionService({
    log,
    agents: [scripted(asking)],
    randomId: () => fresh('holder'),
    sweepMs: 20,
  });
  const again = Object.assign(Object.create(World.prototype) as World, { service, log, sessionId: world.sessionId });
  const [prompt] = (await again.view()).prompts;
  await again.answer(prompt?.promptId as PromptId, 'session');
  const view = await again.until((now) => now.turns.length === 2 && now.turn === null && now.closing === null);
  expect(view.messages.map((message) => message.text)).toEqual(['list', 'May I? Done.', 'next', 'May I? Done.']);
  expect(view.grants).toEqual(['shell']);
  await again.close();
});

test('a grant for ever holds in other sessions until it is revoked', async () => {
  const world = await World.open([scripted(asking)]);
  await world.say('list');
  const parked = await world.until((view) => view.turn?.state === 'parked');
  await world.answer(parked.prompts[0]?.promptId as PromptId, 'always');
  await world.idle();
  expect(await world.service.grants('ann')).toMatchObject([{ tool: 'shell', by: 'ann' }]);
  await world.say('list');
  const view = await world.until((now) => now.turns.length === 2 && now.turn === null && now.closing === null);
  expect(view.messages.at(-1)?.text).toBe('May I? Done.');
  expect(await world.service.revokeGrant('ann', 'shell')).toBe(true);
  await world.say('list');
  await world.until((now) => now.turn?.state === 'parked');
  await world.close();
});

/** Says one word, then waits to be stopped or steered. */
const slow: Script = async function* slowScript(input, context) {
  yield { type: 'text', text: `${input.messages[0]?.text}: ` };
  if (input.messages[0]?.text !== 'wait') return { outcome: 'completed' };
  for (;;) {
    await context.clock.sleep(5, context.signal);
    if (context.signal.aborted) return { outcome: 'completed' };
    for (const steer of await context.takeSteers()) {
      yield { type: 'text', text: `[${steer.text}]` };
      return { outcome: 'completed' };
    }
  }
};

test('R20: a steer is injected at the boundary; D4: an interrupt keeps the partial and runs next', async () => {
  const world = await World.open([scripted(slow)]);
  await world.say('wait');
  await world.until((view) => view.messages.at(-1)?.text === 'wait: ');
  expect((await world.say('left', { whenBusy: 'steer' })).verdict).toMatchObject({ applied: 'steer' });
  await world.idle();
  expect((await world.view()).messages.at(-1)?.text).toBe('wait: [left]');
  await world.say('wait');
  await world.until((view) => view.turn !== null && view.messages.at(-1)?.text === 'wait: ');
  await world.say('queued');
  expect((await world.say('now', { whenBusy: 'interrupt' })).verdict).toMatchObject({
    applied: 'interrupt',
    position: 0,
  });
  const view = await world.until((now) => now.turns.length === 4 && now.turn === null && now.closing === null);
  expect(view.messages.slice(2).map((message) => [message.text, message.state])).toEqual([
    ['wait', 'sent'],
    ['wait: ', 'cancelled'],
    ['now', 'sent'],
    ['now: ', 'completed'],
    ['queued', 'sent'],
    ['queued: ', 'completed'],
  ]);
  await world.close();
});

test('R13: stop frees the session although the agent is deaf', async () => {
  const deaf = scripted(async function* deafScript() {
    yield { type: 'text', text: 'I hear nothing' };
    await new Promise(() => undefined);
    return { outcome: 'completed' };
  });
  const world = await World.open([deaf]);
  const { verdict } = await world.say('hey');
  await world.until((view) => view.messages.at(-1)?.text === 'I hear nothing');
  const turnId = (verdict as { turnId: TurnId }).turnId;
  expect(await world.stop(turnId)).toMatchObject({ verdict: { kind: 'stopping' } });
  expect(await world.stop(turnId)).toMatchObject({ verdict: { kind: 'void', reason: 'already-stopping' } });
  const view = await world.idle();
  expect(view.messages.at(-1)).toMatchObject({ state: 'cancelled', text: 'I hear nothing' });
  await world.close();
});

test('regenerate and edit make branches that stay and can be switched', async () => {
  const world = await World.open([scripted(echo)]);
  const first = await world.say('one');
  await world.idle();
  await world.say('two');
  await world.until((view) => view.turns.length === 2 && view.turn === null && view.closing === null);
  const turnOne = (first.verdict as { turnId: TurnId }).turnId;
  await world.say('two again', { after: turnOne });
  const branched = await world.until((view) => view.turns.length === 3 && view.turn === null && view.closing === null);
  expect(branched.messages.map((message) => message.text.trim())).toEqual(['one', 'one', 'two again', 'two again']);
  const other = branched.turns[1]?.turnId as TurnId;
  await world.submit({ type: 'branch-switch', turnId: other } as never);
  expect((await world.view()).messages.map((message) => message.text.trim())).toEqual(['one', 'one', 'two', 'two']);
  await world.submit({ type: 'regenerate', turnId: other, messageId: 'm_regen' } as never);
  const again = await world.until((view) => view.turns.length === 4 && view.turn === null && view.closing === null);
  expect(again.messages.map((message) => message.text.trim())).toEqual(['one', 'one', 'two', 'two']);
  expect(again.turns[3]).toMatchObject({ parent: turnOne, turnId: 't_regen' });
  await world.close();
});

test('a tool that the caller runs parks its turn until the result is there', async () => {
  const calling = scripted(async function* callingScript(input, context) {
    const [result] = input.progress.results;
    if (result === undefined) {
      yield { type: 'tool-request', toolId: context.toolId(), name: 'lookup', input: { key: 'k' } };
      return { outcome: 'parked' };
    }
    yield { type: 'tool-end', toolId: result.toolId, ok: result.ok, output: result.output, durationMs: 0 };
    yield { type: 'text', text: `It says ${result.output}.` };
    return { outcome: 'completed' };
  });
  const world = await World.open([calling]);
  await world.say('look');
  const parked = await world.until((view) => view.turn?.state === 'parked');
  expect(parked.turn?.awaits).toHaveLength(1);
  await world.submit({ type: 'tool-result', toolId: parked.turn?.awaits[0], ok: true, output: '42' } as never);
  const view = await world.idle();
  expect(view.messages.at(-1)).toMatchObject({ text: 'It says 42.', state: 'completed' });
  expect(types(await world.entries()).filter((type) => type === 'tool-end')).toHaveLength(1);
  await world.close();
});

test('R28: of two results for one tool the first counts, and the second is told so', async () => {
  const calling = scripted(async function* callingScript(input, context) {
    const { results } = input.progress;
    if (results.length === 0) {
      yield { type: 'tool-request', toolId: context.toolId(), name: 'lookup', input: 1 };
      yield { type: 'tool-request', toolId: context.toolId(), name: 'lookup', input: 2 };
      return { outcome: 'parked' };
    }
    for (const { toolId, ok, output } of results) yield { type: 'tool-end', toolId, ok, output, durationMs: 0 };
    yield { type: 'text', text: results.map(({ output }) => output).join() };
    return { outcome: 'completed' };
  });
  const world = await World.open([calling]);
  await world.say('look');
  const [first, second] = (await world.until((view) => view.turn?.state === 'parked')).turn?.awaits ?? [];
  const result = (toolId: string | undefined, output: string) =>
    world.submit({ type: 'tool-result', toolId, ok: true, output } as never);
  expect(await result(first, 'one')).toMatchObject({ verdict: { kind: 'done' } });
  expect(await result(first, 'another')).toMatchObject({ verdict: { kind: 'void', reason: 'tool-not-open' } });
  await result(second, 'two');
  expect((await world.idle()).messages.at(-1)?.text).toBe('one,two');
  await world.close();
});
