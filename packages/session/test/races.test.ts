import { expect, test } from 'vitest';
import type { ClientId, MessageId, SessionId, TurnId } from '@holdfast/protocol';
import { openMemoryLog } from '@holdfast/log/memory';
import { fold, EMPTY_VIEW } from '@holdfast/protocol';
import { openSessionService, systemClock, type Receipt } from '../src/index.ts';
import { decide, type Situation } from '../src/machine.ts';
import { echo, fresh, scripted, types, World, type Script } from './world.ts';

const turnOf = (receipt: Extract<Receipt, { kind: 'ok' }>): TurnId =>
  (receipt.verdict as { readonly turnId: TurnId }).turnId;

/** Runs until the test opens the gate, and notes who is inside at once. */
function gated(): {
  readonly script: Script;
  readonly open: () => void;
  readonly inside: () => number;
  readonly most: () => number;
} {
  let gate = Promise.withResolvers<void>();
  let inside = 0;
  let most = 0;
  return {
    script: async function* gatedScript(input, context) {
      inside += 1;
      most = Math.max(most, inside);
      yield { type: 'text', text: 'in ' };
      await Promise.race([
        gate.promise,
        new Promise<void>((resolve) => context.signal.addEventListener('abort', () => resolve())),
      ]);
      inside -= 1;
      if (!context.signal.aborted) yield { type: 'text', text: input.messages[0]?.text ?? '' };
      return { outcome: 'completed' };
    },
    open: () => {
      gate.resolve();
      gate = Promise.withResolvers<void>();
      gate.resolve();
    },
    inside: () => inside,
    most: () => most,
  };
}

test('R1, D2: two messages at once, on two nodes of one store, start one agent at a time', async () => {
  const agent = gated();
  const one = await World.open([scripted(agent.script)]);
  const log = openMemoryLog({ clock: systemClock, store: one.store });
  const two = await openSessionService({
    log,
    agents: [scripted(agent.script)],
    randomId: () => fresh('holder'),
    sweepMs: 20,
  });
  await Promise.all([
    one.say('first'),
    two.submit(one.sessionId, {
      type: 'message',
      messageId: fresh('m') as MessageId,
      clientId: fresh('c') as ClientId,
      author: 'ann',
      text: 'second',
      whenBusy: 'queue',
    }),
  ]);
  await one.until((view) => view.turn !== null && view.messages.at(-1)?.text === 'in ');
  agent.open();
  const view = await one.until((now) => now.turns.length === 2 && now.turn === null && now.closing === null);
  expect(agent.most()).toBe(1);
  expect(view.messages.filter((message) => message.role === 'assistant').map((message) => message.state)).toEqual([
    'completed',
    'completed',
  ]);
  await two.close();
  await log.close();
  await one.close();
});

test('R2, D1: a chain of 500 follow-ups runs at one stack depth', async () => {
  const depths = new Set<number>();
  const deep = scripted(async function* deepScript() {
    const limit = Error.stackTraceLimit;
    Error.stackTraceLimit = Number.POSITIVE_INFINITY;
    depths.add((new Error('here').stack ?? '').split('\n').length);
    Error.stackTraceLimit = limit;
    yield { type: 'text', text: 'ok' };
    return { outcome: 'completed' };
  });
  const world = await World.open([deep]);
  await Promise.all(Array.from({ length: 500 }, (_, n) => world.say(`${n}`)));
  const view = await world.idle();
  expect(view.earlierTurns + view.turns.length).toBe(500);
  // However long the chain: a handful of frames, and the same handful each time.
  expect(Math.max(...depths)).toBeLessThan(20);
  expect(depths.size).toBeLessThan(4);
  await world.close();
});

test('R4: what a dead process left is recovered before the next message is admitted, and that message waits its turn', async () => {
  const agent = gated();
  const world = await World.open([scripted(agent.script)]);
  await world.say('first');
  await world.until((view) => view.messages.at(-1)?.text === 'in ');
  await world.close();
  const again = await World.open([scripted(echo)], { store: world.store, sessionId: world.sessionId });
  await again.say('second');
  const view = await again.until((now) => now.turns.length === 2 && now.turn === null && now.closing === null);
  expect(view.messages.map((message) => [message.text.trim(), message.state])).toEqual([
    ['first', 'sent'],
    ['in', 'interrupted'],
    ['second', 'sent'],
    ['second', 'completed'],
  ]);
  await again.close();
});

test('R6, R10: a session that another process holds is left alone, and commands go through all the same', async () => {
  const agent = gated();
  const one = await World.open([scripted(agent.script)]);
  const sent = await one.say('long');
  await one.until((view) => view.messages.at(-1)?.text === 'in ');
  const log = openMemoryLog({ clock: systemClock, store: one.store });
  const two = await openSessionService({
    log,
    agents: [scripted(agent.script)],
    randomId: () => fresh('holder'),
    sweepMs: 20,
  });
  const stop = await two.submit(one.sessionId, {
    type: 'stop',
    turnId: turnOf(sent),
    queue: 'keep',
    clientId: fresh('c') as ClientId,
    author: 'ann',
  });
  expect(stop).toMatchObject({ verdict: { kind: 'stopping' } });
  const view = await one.idle();
  expect(view.messages.at(-1)?.state).toBe('cancelled');
  expect(agent.most()).toBe(1);
  await two.close();
  await log.close();
  await one.close();
});

test('R12, R14: a stopped turn’s late end changes nothing in the next one, and its stop does not reach it', async () => {
  const late = Promise.withResolvers<void>();
  let calls = 0;
  const agent = scripted(async function* lateScript(input, context) {
    calls += 1;
    if (calls > 1) {
      expect(context.signal.aborted).toBe(false);
      yield { type: 'text', text: `answer to ${input.messages[0]?.text}` };
      return { outcome: 'completed' };
    }
    yield { type: 'text', text: 'partial' };
    await late.promise;
    yield { type: 'text', text: 'too late' };
    return { outcome: 'failed', fault: 'model-error', reason: 'late' };
  });
  const world = await World.open([agent]);
  const first = await world.say('one');
  await world.until((view) => view.messages.at(-1)?.text === 'partial');
  await world.say('two');
  await world.stop(turnOf(first));
  const view = await world.until((now) => now.turns.length === 2 && now.turn === null && now.closing === null);
  late.resolve();
  await world.say('three');
  const after = await world.until((now) => now.turns.length === 3 && now.turn === null && now.closing === null);
  expect(view.messages.map((message) => message.text)).toEqual(['one', 'partial', 'two', 'answer to two']);
  expect(after.messages.map((message) => message.text)).toEqual([
    'one',
    'partial',
    'two',
    'answer to two',
    'three',
    'answer to three',
  ]);
  await world.close();
});

test('R15: with the end of a turn the session is free: the end and its stream’s end are one append', async () => {
  const world = await World.open([scripted(echo)]);
  await world.say('named');
  await world.idle();
  await world.say('again');
  await world.until((view) => view.turns.length === 2 && view.turn === null && view.closing === null);
  const entries = await world.entries();
  const ends = entries.filter((entry) => entry.type === 'turn-end').map((entry) => entry.at);
  const closes = entries.filter((entry) => entry.type === 'stream-end').map((entry) => entry.at);
  expect(closes).toEqual(ends);
  await world.close();
});

test('R17: three messages while one runs are all kept, in order', async () => {
  const agent = gated();
  const world = await World.open([scripted(agent.script)]);
  await world.say('running');
  await world.until((view) => view.messages.at(-1)?.text === 'in ');
  for (const text of ['2', '3', '4']) await world.say(text);
  expect((await world.view()).queue.map((item) => item.text)).toEqual(['2', '3', '4']);
  agent.open();
  const view = await world.until((now) => now.turns.length === 4 && now.turn === null && now.closing === null);
  expect(view.messages.filter((message) => message.role === 'user').map((message) => message.text)).toEqual([
    'running',
    '2',
    '3',
    '4',
  ]);
  await world.close();
});

test('R21: a burst is one turn only where its author asked for it, and never across authors', async () => {
  const agent = gated();
  const world = await World.open([scripted(agent.script)]);
  await world.say('running');
  await world.until((view) => view.messages.at(-1)?.text === 'in ');
  await world.say('a1', { merge: true });
  await world.say('a2', { merge: true });
  await world.say('b1', { merge: true, author: 'bob' });
  await world.say('a3', { merge: true });
  await world.say('a4');
  agent.open();
  const view = await world.until(
    (now) => now.turn === null && now.queue.length === 0 && now.closing === null && now.turns.length === 5,
  );
  expect(view.turns.map((turn) => turn.messageIds.length)).toEqual([1, 2, 1, 1, 1]);
  await world.close();
});

test('R24, R36: a receipt that is asked for again is the first one, and what a reader saw is in the log', async () => {
  const world = await World.open([scripted(echo)]);
  const first = await world.say('once', { clientId: 'same' });
  await world.idle();
  await Promise.all(Array.from({ length: 5 }, () => world.say('once', { clientId: 'same' })));
  expect(types(await world.entries()).filter((type) => type === 'message')).toHaveLength(1);
  expect((await world.say('once', { clientId: 'same' })).seq).toBe(first.seq);
  await world.close();
});

test('R29: stopping a turn that waits for a person closes its prompt, with an entry', async () => {
  const asks = scripted(async function* askScript(_input, context) {
    yield { type: 'prompt', promptId: context.promptId(), kind: 'question', title: 'Which?', detail: '', choices: [] };
    return { outcome: 'parked' };
  });
  const world = await World.open([asks]);
  const sent = await world.say('hm');
  await world.until((view) => view.turn?.state === 'parked');
  await world.stop(turnOf(sent));
  const view = await world.idle();
  expect(view.prompts).toEqual([]);
  expect((await world.entries()).find((entry) => entry.type === 'prompt-close')).toMatchObject({
    outcome: 'cancelled',
  });
  await world.close();
});

test('R30: a prompt expires by one event; a late answer is void', async () => {
  const asks = scripted(async function* askScript(input, context) {
    const [prompt] = input.progress.prompts;
    if (prompt === undefined) {
      yield {
        type: 'prompt',
        promptId: context.promptId(),
        kind: 'question',
        title: 'Which?',
        detail: '',
        choices: [],
        deadlineMs: 10,
      };
      return { outcome: 'parked' };
    }
    yield { type: 'text', text: prompt.outcome ?? 'open' };
    return { outcome: 'completed' };
  });
  const world = await World.open([asks]);
  await world.say('hm');
  const view = await world.idle();
  const [opened] = view.messages.at(-1)?.parts.filter((part) => part.type === 'prompt') ?? [];
  expect(view.messages.at(-1)?.text).toBe('expired');
  expect(await world.answer(opened?.type === 'prompt' ? opened.promptId : ('none' as never), 'late')).toMatchObject({
    verdict: { kind: 'void', reason: 'prompt-not-open' },
  });
  await world.close();
});

test('R32, R33: a drain starts nothing, refuses what comes, and leaves the queue for the next start', async () => {
  const agent = gated();
  const world = await World.open([scripted(agent.script)]);
  await world.say('running');
  await world.until((view) => view.messages.at(-1)?.text === 'in ');
  await world.say('waiting');
  const drained = world.service.drain(0);
  expect(
    await world.submit({ type: 'message', messageId: 'm_late' as MessageId, text: 'late', whenBusy: 'queue' } as never),
  ).toMatchObject({ kind: 'fault', fault: { kind: 'shutting-down' } });
  await drained;
  await world.close();
  const again = await World.open([scripted(echo)], { store: world.store, sessionId: world.sessionId });
  const view = await again.until((now) => now.turns.length === 2 && now.turn === null && now.closing === null);
  expect(view.messages.map((message) => [message.text.trim(), message.state])).toEqual([
    ['running', 'sent'],
    ['in', 'interrupted'],
    ['waiting', 'sent'],
    ['waiting', 'completed'],
  ]);
  expect(view.messages[1]).toMatchObject({ fault: 'shutdown' });
  await again.close();
});

test('R34: a tool that was cut off is uncertain: it is not run again, and the next turn is told', async () => {
  let runs = 0;
  let seen: unknown;
  const began = Promise.withResolvers<void>();
  const tool = scripted(async function* toolScript(input, context) {
    seen = input.history.flatMap((message) => message.parts).find((part) => part.type === 'tool');
    if (input.messages[0]?.text !== 'go') return { outcome: 'completed' };
    const toolId = context.toolId();
    yield { type: 'tool-request', toolId, name: 'deploy', input: {} };
    yield { type: 'tool-start', toolId };
    runs += 1;
    began.resolve();
    await new Promise(() => undefined);
    return { outcome: 'completed' };
  });
  const world = await World.open([tool]);
  await world.say('go');
  await world.until(
    (view) => view.messages.at(-1)?.parts.some((part) => part.type === 'tool' && part.state === 'running') === true,
  );
  await began.promise;
  await world.close();
  const again = await World.open([tool], { store: world.store, sessionId: world.sessionId });
  const view = await again.idle();
  expect(view.messages.at(-1)).toMatchObject({ state: 'interrupted', parts: [{ type: 'tool', state: 'uncertain' }] });
  await again.say('and now?');
  await again.until((now) => now.turns.length === 2 && now.turn === null && now.closing === null);
  expect(runs).toBe(1);
  expect(seen).toMatchObject({ state: 'uncertain' });
  await again.close();
});

test('R35: a turn that dies before it says anything is started at most three times, then it has failed', () => {
  const at = new Date(0).toISOString();
  let view = fold(EMPTY_VIEW, {
    type: 'message',
    messageId: 'm_1' as MessageId,
    clientId: 'c' as ClientId,
    author: 'ann',
    text: 'x',
    whenBusy: 'queue',
    seq: 1,
    at,
  });
  const situation = (): Situation => ({
    view,
    hand: { kind: 'empty' },
    titling: { kind: 'none' },
    agent: 'a',
    asksTitle: false,
    drain: 'no',
    previousOwner: undefined,
    nowMs: 0,
    monotonicMs: 0,
  });
  const attempts: unknown[] = [];
  for (let seq = 2; ;) {
    const effect = decide(situation());
    if (effect.kind !== 'run') {
      expect(effect).toMatchObject({
        kind: 'append',
        entries: [{ type: 'turn-end', outcome: 'failed', fault: 'crash-loop' }, {}, {}, {}, {}],
      });
      break;
    }
    for (const entry of effect.entries) view = fold(view, { ...entry, seq: seq++, at });
    attempts.push(view.turn?.attempt);
  }
  expect(attempts).toEqual([1, 2, 3]);
});

test('R37: a key is marked in the append that it belongs to: a refused append leaves it free', async () => {
  const world = await World.open([scripted(echo)]);
  const missing = await world.service.submit('s_nowhere' as SessionId, {
    type: 'message',
    messageId: 'm_x' as MessageId,
    clientId: 'k' as ClientId,
    author: 'ann',
    text: 'x',
    whenBusy: 'queue',
  });
  expect(missing).toMatchObject({ kind: 'fault', fault: { kind: 'session-not-found' } });
  expect((await world.say('x', { clientId: 'k' })).duplicate).toBe(false);
  await world.close();
});

test('D3: a message that arrives while a turn ends is run by the owner, or starts one; never beside another', async () => {
  const world = await World.open([scripted(echo)]);
  for (let round = 0; round < 40; round += 1) {
    await world.say(`a${round}`);
    // Somewhere in the end, the release or the rest of the turn before.
    for (let turns = round; turns > 0; turns -= 1) await Promise.resolve();
    await world.say(`b${round}`);
  }
  const view = await world.until(
    (now) => now.earlierTurns + now.turns.length === 80 && now.turn === null && now.closing === null,
  );
  expect(view.queue).toEqual([]);
  const starts = (await world.entries()).filter((entry) => entry.type === 'turn-start');
  expect(new Set(starts.map((entry) => (entry as { turnId: TurnId }).turnId)).size).toBe(80);
  await world.close();
});

test('D4: a stop may discard the partial', async () => {
  const agent = gated();
  const world = await World.open([scripted(agent.script)]);
  const sent = await world.say('x');
  await world.until((view) => view.messages.at(-1)?.text === 'in ');
  await world.stop(turnOf(sent), 'keep', 'discard');
  expect((await world.idle()).messages.at(-1)).toMatchObject({ text: '', state: 'cancelled' });
  await world.close();
});

test('D5, R11: activity ends with its run, always: a run whose process died ends by a sweep, without traffic', async () => {
  const agent = gated();
  const world = await World.open([scripted(agent.script)], { leaseMs: 200 });
  await world.say('x');
  await world.until((view) => view.messages.at(-1)?.text === 'in ');
  expect((await world.service.list({ limit: 1 })).sessions[0]?.state).toBe('running');
  const log = openMemoryLog({ clock: systemClock, store: world.store });
  const other = await openSessionService({
    log,
    agents: [scripted(echo)],
    randomId: () => fresh('holder'),
    leaseMs: 200,
    sweepMs: 20,
  });
  await world.close();
  const reader = log.subscribe(`session/${world.sessionId}`, 0);
  for (;;) {
    const found = await other.snapshot(world.sessionId);
    if (found.kind === 'ok' && found.view.turn === null && found.view.closing === null) break;
    await reader.next();
  }
  const ended = await other.snapshot(world.sessionId);
  expect(ended.kind === 'ok' && ended.view.messages.at(-1)?.state).toBe('interrupted');
  await other.close();
  await log.close();
});

test('R26: a stop keeps the queue unless it says otherwise', async () => {
  const agent = gated();
  const world = await World.open([scripted(agent.script)]);
  const first = await world.say('one');
  await world.until((view) => view.messages.at(-1)?.text === 'in ');
  await world.say('two');
  await world.stop(turnOf(first), 'keep');
  const second = await world.until((view) => view.turn !== null && view.turn.turnId !== turnOf(first));
  await world.say('three');
  await world.stop(second.turn?.turnId as TurnId, 'clear');
  const view = await world.until((now) => now.turn === null && now.closing === null && now.turns.length === 2);
  expect(view.queue).toEqual([]);
  await world.close();
});
