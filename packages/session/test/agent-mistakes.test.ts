/** An agent that errs: its author finds the stack and the cure in the log, the person reads a sentence, the turn fails. */
import { expect, test } from 'vitest';
import { fault, FaultError, type ToolId } from '@holdfast/protocol';
import { scripted, types, World, type Script } from './world.ts';

const SENTENCE = 'The agent "scripted" made an error and could not go on. The gateway\'s log says which.';

const mistakes: readonly [string, Script, RegExp][] = [
  [
    'throws',
    // oxlint-disable-next-line require-yield
    async function* throwing() {
      throw new Error('connect to secret-host failed');
    },
    /secret-host/,
  ],
  [
    'forgets its return',
    async function* forgetful() {
      yield { type: 'text', text: 'Hello' };
    } as unknown as Script,
    /return \{ outcome: 'completed' \}/,
  ],
  [
    'returns an unknown outcome',
    // oxlint-disable-next-line require-yield
    async function* inventive() {
      return { outcome: 'done' };
    } as unknown as Script,
    /"done".*does not say how the turn ended/,
  ],
  [
    'yields an unknown event',
    async function* misspelt() {
      yield { type: 'txt', text: 'Hello' };
      return { outcome: 'completed' };
    } as unknown as Script,
    /"txt".*is no event\. There are: text, /,
  ],
  [
    'yields a plain string',
    async function* plain() {
      yield 'Hello';
      return { outcome: 'completed' };
    } as unknown as Script,
    /"Hello", which is no event/,
  ],
  [
    'yields an event without its text',
    async function* textless() {
      yield { type: 'text' };
      return { outcome: 'completed' };
    } as unknown as Script,
    /its `text` is no text/,
  ],
  ['is no generator', (async () => ({ outcome: 'completed' })) as unknown as Script, /async \*run\(input, context\)/],
];

test.each(mistakes)(
  'K6: an agent that %s is told so in the log, and the person reads a safe sentence',
  async (_, script, cure) => {
    const told: Error[] = [];
    const world = await World.open([scripted(script)], { onError: (error) => told.push(error as Error) });
    await world.say('hello');
    const view = await world.idle();
    expect(view.turns.at(-1)).toMatchObject({ outcome: 'failed' });
    expect(view.messages.at(-1)).toMatchObject({ fault: 'agent-crashed', reason: SENTENCE });
    expect(told).toHaveLength(1);
    expect(told[0]?.message).toContain(world.sessionId);
    const cause = told[0]?.cause as Error;
    expect(cause.message).toMatch(cure);
    expect(cause.stack).toContain('agent');
    await world.close();
  },
);

test('K6: what an unknown event would have said is not written, and the agent is ended', async () => {
  let ended = false;
  const script = async function* misspelt() {
    try {
      yield { type: 'txt', text: 'Hello' };
    } finally {
      ended = true;
    }
  } as unknown as Script;
  const world = await World.open([scripted(script)], { onError: () => undefined });
  await world.say('hello');
  await world.idle();
  expect(types(await world.entries())).not.toContain('txt');
  expect(ended).toBe(true);
  await world.close();
});

test('K6: a fault that an agent throws is its own words and no mistake of the program', async () => {
  const world = await World.open(
    [
      // oxlint-disable-next-line require-yield
      scripted(async function* deliberate() {
        throw new FaultError(fault('model-unreachable', 'The model at 10.0.0.7 does not answer.'));
      }),
    ],
    { onError: () => undefined },
  );
  await world.say('hello');
  expect((await world.idle()).messages.at(-1)).toMatchObject({
    fault: 'model-unreachable',
    reason: 'The model at 10.0.0.7 does not answer.',
  });
  await world.close();
});

test('K6: an agent that throws because it was told to stop has made no error', async () => {
  const told: unknown[] = [];
  const world = await World.open(
    [
      scripted(async function* heeding(_input, { signal }) {
        yield { type: 'text', text: 'Well' };
        await new Promise((resolve) => signal.addEventListener('abort', resolve));
        throw signal.reason;
      }),
    ],
    { onError: (error) => told.push(error) },
  );
  await world.say('hello');
  const { turn } = await world.until((view) => view.turn !== null && view.messages.at(-1)?.text === 'Well');
  if (turn !== null) await world.stop(turn.turnId);
  expect((await world.idle()).turns.at(-1)).toMatchObject({ outcome: 'cancelled' });
  expect(told).toEqual([]);
  await world.close();
});

test('K6: a result of the caller ends its tool part by itself, once', async () => {
  const silent: Script = async function* silentScript(input, context) {
    const [result] = input.progress.results;
    if (result === undefined) {
      yield { type: 'tool-request', toolId: context.toolId(), name: 'lookup', input: {} };
      return { outcome: 'parked' };
    }
    yield { type: 'text', text: `It says ${result.output}.` };
    return { outcome: 'completed' };
  };
  const world = await World.open([scripted(silent)]);
  await world.say('look');
  const toolId = (await world.until((view) => view.turn?.state === 'parked')).turn?.awaits[0] as ToolId;
  await world.submit({ type: 'tool-result', toolId, ok: true, output: '42' } as never);
  const view = await world.idle();
  expect(view.messages.at(-1)?.parts).toMatchObject([
    { type: 'tool', state: 'done', output: '42' },
    { type: 'text', text: 'It says 42.' },
  ]);
  expect(types(await world.entries()).filter((type) => type === 'tool-end')).toHaveLength(1);
  await world.close();
});
