import type { BlobSink } from '@holdfast/session';
import { expect, test } from 'vitest';
import { z } from 'zod';
import { instantClock } from '../../test/clocks.ts';
import { Conversation } from '../../test/conversation.ts';
import { OutputKeeper } from './output.ts';
import { decide, settleCall } from './settle.ts';
import { callerTool, createToolbox, defineTool, type Tool, type ToolCall, type Toolbox } from './tool.ts';
import type { Agent } from '@holdfast/session';
import type { ToolPart } from '@holdfast/protocol';

/** An agent that makes one call, and tells in its text what came of it. */
function calling(toolbox: Toolbox, name: string, input: unknown): Agent {
  return {
    name: 'calling',
    description: '',
    resumable: true,
    run: async function* run({ progress }, context) {
      const before = progress.parts.find((part): part is ToolPart => part.type === 'tool');
      const toolId = before?.toolId ?? context.toolId();
      if (before === undefined) yield { type: 'tool-request', toolId, name, input };
      const limits = { inlineBytesMax: 1000, blobBytesMax: 100_000, edgeChars: 100 };
      const settled = yield* settleCall({ toolId, name, input }, { toolbox, progress, context, outputLimits: limits });
      if (settled.kind === 'parked') return { outcome: 'parked' };
      yield { type: 'text', text: settled.kind };
      return { outcome: 'completed' };
    },
  };
}

const tool = (run: ToolCall['run']): Tool =>
  defineTool({
    name: 'paint',
    description: 'Paints.',
    input: z.strictObject({ colour: z.enum(['red', 'blue']) }),
    open: ({ colour }) => ({ title: 'Paint', detail: colour, run }),
  });

const printing = (chunks: readonly string[]): Tool =>
  tool(async function* run() {
    yield* chunks;
    return { ok: true };
  });

const start = (
  given: Tool,
  {
    allowed = ['paint'],
    input = { colour: 'red' },
  }: { readonly allowed?: readonly string[]; readonly input?: unknown } = {},
): Conversation =>
  new Conversation(calling(createToolbox({ tools: [given], allowed }), given.name, input), { clock: instantClock() });

test('an approval decides: allowed, granted and answered yes run; everything else does not', () => {
  expect(decide(undefined, true).kind).toBe('run');
  expect(decide(undefined, false).kind).toBe('ask');
  expect(decide({ outcome: null }, true).kind).toBe('wait');
  for (const answer of ['once', 'session', 'always'])
    expect(decide({ outcome: 'answered', answer }, false).kind).toBe('run');
  expect(decide({ outcome: 'answered', answer: 'deny' }, true)).toMatchObject({ kind: 'refused', why: 'denied' });
  expect(decide({ outcome: 'answered', answer: 'use blue' }, true)).toMatchObject({
    output: expect.stringContaining('use blue'),
  });
  expect(decide({ outcome: 'answered' }, true)).toMatchObject({ kind: 'refused', why: 'denied' });
  expect(decide({ outcome: 'expired' }, true)).toMatchObject({ kind: 'refused', why: 'expired' });
  expect(decide({ outcome: 'cancelled' }, true)).toMatchObject({ kind: 'refused', why: 'cancelled' });
});

test('an input that does not fit, or a tool that does not exist, fails before anybody is asked', async () => {
  const wrong = start(printing([]), { allowed: [], input: { colour: 'green' } });
  const { events, end } = await wrong.say('go');
  expect(end.outcome).toBe('completed');
  expect(events.map(({ type }) => type)).toEqual(['tool-request', 'tool-end', 'text']);
  expect(wrong.tools[0]?.output).toContain('colour');
  const missing = new Conversation(calling(createToolbox({ tools: [] }), 'sing', {}));
  await missing.say('go');
  expect(missing.tools[0]).toMatchObject({ state: 'failed', output: 'There is no tool “sing”.' });
});

test('a small output is whole in the entry; live and settled are the same', async () => {
  const conversation = start(printing(['a\n', 'b']));
  const { events } = await conversation.say('go');
  expect(events.flatMap((event) => (event.type === 'tool-output' ? [event.text] : []))).toEqual(['a\n', 'b']);
  expect(conversation.tools[0]).toMatchObject({ state: 'done', output: 'a\nb' });
  expect(conversation.blobs.size).toBe(0);
});

test('a large output is whole in a blob; the entry has head and tail, and the log does not grow with it', async () => {
  const lines = Array.from({ length: 500 }, (_none, index) => `line ${index} 🐎\n`);
  const conversation = start(printing(lines));
  const { events } = await conversation.say('go');
  const [part] = conversation.tools;
  expect(Buffer.from(conversation.blobs.get(part?.blob ?? '') ?? []).toString()).toBe(lines.join(''));
  expect(part?.outputBytes).toBe(Buffer.byteLength(lines.join('')));
  expect(part?.output).toMatch(/^line 0 🐎\n[\s\S]*bytes in all[\s\S]*line 499 🐎\n$/);
  expect(part?.output.isWellFormed()).toBe(true);
  const live = events.reduce((sum, event) => sum + (event.type === 'tool-output' ? event.text.length : 0), 0);
  expect(live).toBeLessThan(1_200);
});

test('above the bound of a blob the tool is ended', async () => {
  let isEnded = false;
  const endless = tool(async function* run() {
    try {
      for (;;) yield 'x'.repeat(1000);
    } finally {
      isEnded = true;
    }
  });
  const conversation = start(endless);
  await conversation.say('go');
  expect(isEnded).toBe(true);
  expect(conversation.tools[0]).toMatchObject({
    state: 'failed',
    output: expect.stringContaining('more than can be stored'),
  });
});

test('a blob that cannot be written leaves head and tail, and the turn goes on', async () => {
  const broken: BlobSink = {
    write: () => Promise.reject(new Error('disk full')),
    close: () => Promise.resolve('never'),
  };
  const keeper = new OutputKeeper(() => broken, { inlineBytesMax: 10, blobBytesMax: 1000, edgeChars: 5 });
  await keeper.add('0123456789abcdef');
  await keeper.add('ghi');
  const kept = await keeper.end('Exit code 1.');
  expect(kept).toEqual({
    output: '01234\n… 19 bytes in all; the middle could not be stored …\nefghi\nExit code 1.',
    outputBytes: 19,
  });
});

test('a tool that throws fails its call, not the turn', async () => {
  const conversation = start(
    tool(async function* run() {
      yield 'half';
      throw new Error('no paint left');
    }),
  );
  const { end } = await conversation.say('go');
  expect(end.outcome).toBe('completed');
  expect(conversation.tools[0]).toMatchObject({ state: 'failed', output: 'half\nThe tool failed: no paint left' });
});

test('R34: a call that was cut off in mid-run is uncertain and never runs again', async () => {
  let runs = 0;
  const conversation = start(
    tool(async function* run() {
      runs += 1;
      yield 'x';
      return { ok: true };
    }),
  );
  await conversation.say('go');
  const running = conversation.tools.map((part) => ({ ...part, state: 'running' as const }));
  const progress = { parts: running, prompts: [], results: [] };
  const toolId = running[0]?.toolId;
  if (toolId === undefined) throw new Error('no tool');
  const again = settleCall(
    { toolId, name: 'paint', input: { colour: 'red' } },
    { toolbox: createToolbox({ tools: [] }), progress, context: {} as never },
  );
  expect(await again.next()).toEqual({ done: true, value: { kind: 'uncertain' } });
  expect(runs).toBe(1);
});

test('a tool of the caller waits for its result', async () => {
  const given = callerTool({ name: 'locate', description: '', parameters: {} });
  const conversation = start(given, { allowed: [] });
  expect((await conversation.say('go')).end.outcome).toBe('parked');
  const [part] = conversation.tools;
  if (part === undefined) throw new Error('no tool');
  const by = { clientId: 'c_r' as never, author: 'ann' };
  conversation.append({ type: 'tool-result', ...by, toolId: part.toolId, ok: true, output: 'here' });
  expect((await conversation.run()).end.outcome).toBe('completed');
  expect(conversation.tools[0]).toMatchObject({ state: 'done', output: 'here' });
});

test('a misspelt permission and a doubled name do not pass in silence', () => {
  expect(() => createToolbox({ tools: [printing([])], allowed: ['pint'] })).toThrow('“pint”');
  expect(() => createToolbox({ tools: [printing([]), printing([])] })).toThrow('same name');
});

test('the model gets a JSON schema of what zod checks', () => {
  expect(printing([]).parameters).toEqual({
    type: 'object',
    properties: { colour: { type: 'string', enum: ['red', 'blue'] } },
    required: ['colour'],
    additionalProperties: false,
  });
});
