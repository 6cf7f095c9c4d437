/** R77, R78: what the owner appends was decided at the head that it is appended at. */
import { expect, test } from 'vitest';
import { MemoryStore, type MemoryLog } from '@holdfast/log/memory';
import type { Append, AppendVerdict } from '@holdfast/log';
import type { ClientId, Command, Entry, MessageId, PromptId, SessionId, TurnId } from '@holdfast/protocol';
import type { Agent, Receipt } from '../src/index.ts';
import { encodeEntry } from '../src/service.ts';
import { echo, fresh, scripted, types, World, type Script } from './world.ts';

const turnOf = (receipt: Extract<Receipt, { kind: 'ok' }>): TurnId =>
  (receipt.verdict as { readonly turnId: TurnId }).turnId;

/** A store that a command reaches in the moment before an append of the owner. */
class Overtaken extends MemoryStore {
  /** Called with each append of the owner; what it returns comes first. */
  overtake: (entries: readonly Entry[]) => Command | undefined = () => undefined;
  onOvertaken: () => void = () => undefined;
  readonly appends: (readonly Entry[])[] = [];
  behind = 0;

  override append(name: string, append: Append, now: number): AppendVerdict {
    const entries = append.records.map((bytes) => JSON.parse(new TextDecoder().decode(bytes)) as Entry);
    const command = append.fence === undefined ? undefined : this.overtake(entries);
    if (command !== undefined) {
      super.append(name, { records: [encodeEntry(command)] }, now);
      queueMicrotask(() => this.onOvertaken());
    }
    const verdict = super.append(name, append, now);
    if (verdict.kind === 'appended' && append.fence !== undefined) this.appends.push(entries);
    if (verdict.kind === 'behind') this.behind += 1;
    return verdict;
  }

  /** Once, before the owner appends an entry of this type. */
  onceBefore(type: Entry['type'], command: () => object): void {
    this.overtake = (entries) => {
      if (!entries.some((entry) => entry.type === type)) return undefined;
      this.overtake = () => undefined;
      return { author: 'ann', clientId: fresh('c') as ClientId, ...command() } as Command;
    };
  }
}

async function overtaken(script: Script): Promise<{ readonly world: World; readonly store: Overtaken }> {
  return open([scripted(script)]);
}

async function open(agents: readonly Agent[]): Promise<{ readonly world: World; readonly store: Overtaken }> {
  const store = new Overtaken();
  const world = await World.open(agents, { store });
  store.onOvertaken = () => void (world.log as MemoryLog).poll();
  return { store, world };
}

const untilStopped = (signal: AbortSignal): Promise<void> =>
  new Promise((resolve) => (signal.aborted ? resolve() : signal.addEventListener('abort', () => resolve())));

test('R77: a stop that reaches the log just before the end of its turn is obeyed, and its text is discarded', async () => {
  const { world, store } = await overtaken(echo);
  const messageId = fresh('m') as MessageId;
  const turnId = `t_${messageId.slice(2)}` as TurnId;
  store.onceBefore('turn-end', () => ({ type: 'stop', turnId, queue: 'keep', partial: 'discard' }));
  await world.submit({ type: 'message', messageId, text: 'all of this', whenBusy: 'queue' } as never);
  const view = await world.idle();
  expect(view.turns.map(({ outcome }) => outcome)).toEqual(['cancelled']);
  expect(view.messages.at(-1)).toMatchObject({ state: 'cancelled', text: '', parts: [] });
  expect(store.behind).toBe(1);
  await world.close();
});

test('R77, R30: an answer that reaches the log just before its prompt’s expiry is the outcome', async () => {
  const { world, store } = await overtaken(async function* asks(input, context) {
    const [prompt] = input.progress.prompts;
    if (prompt !== undefined) {
      yield { type: 'text', text: `${prompt.outcome} ${prompt.answer}` };
      return { outcome: 'completed' };
    }
    yield {
      type: 'prompt',
      promptId: context.promptId(),
      kind: 'question',
      title: 'Which?',
      detail: '',
      choices: [],
      deadlineMs: 30,
    };
    return { outcome: 'parked' };
  });
  let promptId = '' as PromptId;
  store.onceBefore('prompt-close', () => ({ type: 'prompt-answer', promptId, answer: 'this one' }));
  await world.say('go');
  promptId = (await world.until((now) => now.prompts.length === 1)).prompts[0]!.promptId;
  expect((await world.idle()).messages.at(-1)?.text).toBe('answered this one');
  const closes = (await world.entries()).filter((entry) => entry.type === 'prompt-close');
  expect(closes).toMatchObject([{ outcome: 'answered', answer: 'this one' }]);
  await world.close();
});

test('R77, R20: a steer that is withdrawn just before its injection is not heard', async () => {
  const heard: string[] = [];
  const gate = Promise.withResolvers<void>();
  const { world, store } = await overtaken(async function* listens(_input, context) {
    yield { type: 'text', text: 'in ' };
    await gate.promise;
    heard.push(...(await context.takeSteers()).map(({ text }) => text));
    return { outcome: 'completed' };
  });
  const turnId = turnOf(await world.say('go'));
  await world.until((view) => view.messages.at(-1)?.text === 'in ');
  const [left, kept] = [fresh('m'), fresh('m')] as MessageId[];
  for (const messageId of [left, kept])
    await world.submit({ type: 'steer', turnId, messageId, text: messageId } as never);
  store.onceBefore('steer-end', () => ({ type: 'message-withdraw', messageId: left }));
  gate.resolve();
  await world.idle();
  expect(heard).toEqual([kept]);
  expect((await world.entries()).filter((entry) => entry.type === 'steer-end')).toMatchObject([{ messageId: kept }]);
  await world.close();
});

test('R77: a message that is withdrawn just before its start begins no turn', async () => {
  const { world, store } = await overtaken(echo);
  const messageId = fresh('m') as MessageId;
  store.onceBefore('turn-start', () => ({ type: 'message-withdraw', messageId }));
  await world.submit({ type: 'message', messageId, text: 'never', whenBusy: 'queue' } as never);
  await world.say('later');
  await world.idle();
  expect((await world.entries()).filter((entry) => entry.type === 'turn-start')).toHaveLength(1);
  await world.close();
});

test('R77, E8: a title that a person gives just before the found one stands', async () => {
  const { store, world } = await open([scripted(echo, { title: async () => 'of the model' })]);
  store.onceBefore('title', () => ({ type: 'session-set', title: 'of the person' }));
  await world.say('go');
  expect((await world.idle()).title).toBe('of the person');
  expect(types(await world.entries())).not.toContain('title');
  await world.close();
});

test('R77: an agent that is not there ends its turn as any other end, and a stop before it counts', async () => {
  const { world, store } = await overtaken(echo);
  await world.submit({ type: 'session-set', agent: 'gone' } as never);
  await world.say('first');
  expect((await world.idle()).turns[0]).toMatchObject({ outcome: 'failed', lastEvent: 'stream-end' });
  let turnId = '' as TurnId;
  store.onceBefore('turn-end', () => ({ type: 'stop', turnId, queue: 'keep' }));
  const messageId = fresh('m') as MessageId;
  turnId = `t_${messageId.slice(2)}` as TurnId;
  await world.submit({ type: 'message', messageId, text: 'second', whenBusy: 'queue' } as never);
  await world.until((view) => view.turns[1]?.lastEvent === 'stream-end');
  expect((await world.view()).turns[1]?.outcome).toBe('cancelled');
  await world.close();
});

test('R77: each decision that is made again was overtaken by a command, and the last of a flood is followed by the end', async () => {
  const { world, store } = await overtaken(echo);
  let left = 200;
  store.overtake = (entries) => {
    if (left === 0 || !entries.some((entry) => entry.type === 'turn-end')) return undefined;
    left -= 1;
    return { type: 'session-set', readSeq: 0, author: 'ann', clientId: fresh('c') as ClientId };
  };
  await world.say('go');
  await world.idle();
  expect([store.behind, left]).toEqual([200, 0]);
  await world.close();
});

// ── stops before the beginning ──────────────────────────────────────────────────────────────────────────────────────

test('R77: a turn that waits behind another one is stopped by the id in its receipt', async () => {
  const { world } = await overtaken(async function* waits(input, context) {
    yield { type: 'text', text: `${input.messages[0]?.text} ` };
    await untilStopped(context.signal);
    return { outcome: 'completed' };
  });
  const first = turnOf(await world.say('first'));
  await world.until((view) => view.turn !== null);
  const second = turnOf(await world.say('second'));
  expect(await world.stop(second, 'keep', 'discard')).toMatchObject({ verdict: { kind: 'stopping', turnId: second } });
  expect(await world.stop(second)).toMatchObject({ verdict: { kind: 'void', reason: 'already-stopping' } });
  expect((await world.view()).turn?.stopping).toBe(null);
  await world.stop(first);
  const view = await world.until((now) => now.turns[1]?.lastEvent === 'stream-end');
  expect(view.turns.map(({ outcome }) => outcome)).toEqual(['cancelled', 'cancelled']);
  expect(view.messages.map(({ text }) => text)).toEqual(['first', 'first ', 'second', '']);
  await world.close();
});

test('R77: a turn that waits for a slot is stopped without one', async () => {
  const store = new MemoryStore();
  const busy = await World.open(
    [
      scripted(async function* waits(_input, context) {
        yield { type: 'text', text: 'in ' };
        await untilStopped(context.signal);
        return { outcome: 'completed' };
      }),
    ],
    { store, turnsMax: 1 },
  );
  const first = turnOf(await busy.say('holds the slot'));
  await busy.until((view) => view.turn !== null);
  const sessionId = fresh('s') as SessionId;
  await busy.service.create({ type: 'session-open', sessionId, clientId: fresh('c') as ClientId, author: 'ann' });
  const messageId = fresh('m') as MessageId;
  const by = () => ({ author: 'ann', clientId: fresh('c') as ClientId });
  await busy.service.submit(sessionId, { type: 'message', messageId, text: 'waits', whenBusy: 'queue', ...by() });
  const turnId = `t_${messageId.slice(2)}` as TurnId;
  expect(await busy.service.submit(sessionId, { type: 'stop', turnId, queue: 'keep', ...by() })).toMatchObject({
    verdict: { kind: 'stopping' },
  });
  await expect
    .poll(async () => (await busy.service.turn(sessionId, turnId)) as object)
    .toMatchObject({ node: { outcome: 'cancelled' } });
  expect((await busy.view()).turn?.turnId).toBe(first);
  await busy.close();
});

test('R77, R21: a merged message’s turn is stopped by its own receipt, before and after it has begun', async () => {
  const { world } = await overtaken(async function* waits(input, context) {
    yield { type: 'text', text: `${input.messages.map(({ text }) => text).join('+')} ` };
    await untilStopped(context.signal);
    return { outcome: 'completed' };
  });
  const first = turnOf(await world.say('first'));
  await world.until((view) => view.turn !== null);
  const [two, three, four] = [
    turnOf(await world.say('two', { merge: true })),
    turnOf(await world.say('three', { merge: true })),
    turnOf(await world.say('four', { merge: true })),
  ];
  // Not taken along by its neighbours.
  await world.stop(four);
  await world.stop(first);
  await world.until((view) => view.messages.some(({ text }) => text === 'two+three '));
  expect(await world.stop(three)).toMatchObject({ verdict: { kind: 'stopping', turnId: two } });
  const view = await world.until((now) => now.turns[2]?.lastEvent === 'stream-end');
  expect(view.turns.map(({ turnId, outcome }) => [turnId, outcome])).toEqual([
    [first, 'cancelled'],
    [two, 'cancelled'],
    [four, 'cancelled'],
  ]);
  await world.close();
});

test('R77: a stop of a turn that has ended does not stop the one that answers its message again', async () => {
  let calls = 0;
  const { world } = await overtaken(async function* waitsLater(_input, context) {
    calls += 1;
    yield { type: 'text', text: 'in ' };
    if (calls > 1) await untilStopped(context.signal);
    return { outcome: 'completed' };
  });
  const first = turnOf(await world.say('go'));
  await world.idle();
  const again = turnOf(
    (await world.submit({ type: 'regenerate', messageId: fresh('m'), turnId: first } as never)) as never,
  );
  await world.until((view) => view.turn?.turnId === again);
  expect(await world.stop(first)).toMatchObject({ verdict: { kind: 'void', reason: 'turn-not-running' } });
  expect(await world.stop(again)).toMatchObject({ verdict: { kind: 'stopping' } });
  await world.idle();
  await world.close();
});

// ── prompts ─────────────────────────────────────────────────────────────────────────────────────────────────────────

const asksTwice: Script = async function* asksTwiceScript(input, context) {
  if (input.progress.prompts.length > 0) {
    yield { type: 'text', text: input.progress.prompts.map(({ answer }) => answer).join() };
    return { outcome: 'completed' };
  }
  yield { type: 'text', text: 'I need to know: ' };
  for (const title of ['This?', 'That?']) {
    const toolId = context.toolId();
    yield { type: 'tool-request', toolId, name: 'shell', input: title };
    yield { type: 'usage', inputTokens: 2, outputTokens: 1 };
    const promptId = context.promptId();
    yield { type: 'prompt', promptId, kind: 'approval', title, detail: '', choices: ['once', 'deny'], toolId };
  }
  return { outcome: 'parked' };
};

test('R78: the prompts of a call and its park are one append, with the usage so far', async () => {
  const { world, store } = await overtaken(asksTwice);
  await world.say('go');
  await world.until((view) => view.turn?.state === 'parked');
  const last = store.appends.at(-1)!;
  expect(types(last)).toEqual(['prompt-open', 'tool-request', 'prompt-open', 'turn-park']);
  expect(last.at(-1)).toMatchObject({ usage: { inputTokens: 4, outputTokens: 2 } });
  await world.close();
});

test('R78: a process that dies when a reader sees the prompt leaves it open, and the answer resumes the turn', async () => {
  const store = new MemoryStore();
  const first = await World.open([scripted(asksTwice)], { store, leaseMs: 200 });
  await first.say('go');
  const { sessionId } = first;
  const seen = await first.until((view) => view.prompts.length > 0);
  // As if it had been killed here: its lease is taken from it, and it does nothing more.
  await first.service.close();
  const second = await World.open([scripted(asksTwice)], { store, sessionId });
  expect((await second.view()).prompts).toEqual(seen.prompts);
  for (const { promptId } of seen.prompts) await second.answer(promptId, 'once');
  expect((await second.idle()).messages.at(-1)).toMatchObject({
    state: 'completed',
    text: 'I need to know: once,once',
  });
  await second.close();
});

test('R78, R29: a stop that comes before the prompt is shown opens none', async () => {
  const { world, store } = await overtaken(asksTwice);
  const messageId = fresh('m') as MessageId;
  const turnId = `t_${messageId.slice(2)}` as TurnId;
  store.onceBefore('turn-park', () => ({ type: 'stop', turnId, queue: 'keep' }));
  await world.submit({ type: 'message', messageId, text: 'go', whenBusy: 'queue' } as never);
  expect((await world.idle()).turns[0]?.outcome).toBe('cancelled');
  expect(types(await world.entries())).not.toContain('prompt-open');
  await world.close();
});

test('R78: an agent that goes on after its prompt has shown it by then', async () => {
  const { world } = await overtaken(async function* goesOn(_input, context) {
    const promptId = context.promptId();
    yield { type: 'prompt', promptId, kind: 'question', title: 'Still there?', detail: '', choices: [] };
    yield { type: 'text', text: 'I go on.' };
    return { outcome: 'completed' };
  });
  await world.say('go');
  await world.idle();
  const shown = types(await world.entries()).filter((type) => type === 'prompt-open' || type === 'text-delta');
  expect(shown).toEqual(['prompt-open', 'text-delta']);
  await world.close();
});
