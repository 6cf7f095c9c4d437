/** What a server refuses costs one try, never the session; what it gave to be handed back is handed back. */
import { expect, test } from 'vitest';
import { z } from 'zod';
import { Conversation } from '../../test/conversation.ts';
import { calls, delta, says, startModelServer, status, streams, type Reply } from '../../test/model-server.ts';
import { createToolbox, defineTool } from '../tools/tool.ts';
import { openAiAgent } from './agent.ts';
import type { OpenAiConfig } from './config.ts';

const paint = defineTool({
  name: 'paint',
  description: 'Paints.',
  input: z.strictObject({ colour: z.string() }),
  open: ({ colour }) => ({
    title: 'Paint',
    detail: colour,
    run: async function* run() {
      yield '';
      return { ok: true };
    },
  }),
});
const allowed = createToolbox({ tools: [paint], allowed: ['paint'] });
const asking = createToolbox({ tools: [paint] });

async function open(config: Partial<OpenAiConfig> = {}) {
  const server = await startModelServer();
  const agent = openAiAgent({ baseUrl: server.url, model: 'm', contextWindow: 8_000, ...config });
  return { server, agent, conversation: new Conversation(agent), body: () => server.requests.at(-1)?.body };
}

const call = (fields: Record<string, unknown>): unknown =>
  delta({
    tool_calls: [{ index: 0, type: 'function', function: { name: 'paint', arguments: '{"colour":"red"}' }, ...fields }],
  });
const called = (...items: readonly unknown[]): Reply => streams([...items, delta({}, 'tool_calls'), '[DONE]']);
const refuses = (message: string, code = 400): Reply => status(code, { error: { message } });

const PICTURE = { type: 'file', name: 'p.png', mediaType: 'image/png', bytes: 4 } as const;

for (const toolbox of [allowed, asking])
  test(`R86, M2: reasoning and signatures go back with their calls, in later turns too (${toolbox === asking ? 'parked' : 'at once'})`, async () => {
    const { server, conversation, body } = await open({ toolbox });
    server.reply(
      called(
        delta({ reasoning_content: 'let me ' }),
        delta({ reasoning_content: 'see' }),
        delta({ reasoning_details: [{ type: 'reasoning.encrypted', data: 'abc', index: 0 }] }),
        call({ id: 'call_0', extra_content: { google: { thought_signature: 'sig' } } }),
      ),
      says('Red.'),
    );
    await conversation.say('paint');
    if (toolbox === asking) await conversation.answer('once');
    const expected = expect.objectContaining({
      role: 'assistant',
      reasoning_content: 'let me see',
      reasoning_details: [{ type: 'reasoning.encrypted', data: 'abc', index: 0 }],
      tool_calls: [expect.objectContaining({ id: 'call_0', extra_content: { google: { thought_signature: 'sig' } } })],
    });
    expect(body().messages).toContainEqual(expected);
    server.reply(says('Yes.'));
    await conversation.say('sure?');
    expect(body().messages).toContainEqual(expected);
  });

test('R86, M2: another provider does not get it', async () => {
  const { server, conversation } = await open({ toolbox: allowed });
  server.reply(called(delta({ reasoning_content: 'hm' }), call({ id: 'c', extra_content: { a: 1 } })), says('Red.'));
  await conversation.say('paint');
  const other = await open({ toolbox: allowed });
  other.conversation.view = conversation.view;
  other.server.reply(says('ok'));
  await other.conversation.say('and now?');
  expect(JSON.stringify(other.body())).not.toMatch(/extra_content|reasoning_content/);
});

test('R87, M3: ids are unique in the request, names valid, text well-formed, no result empty', async () => {
  const { server, conversation, body } = await open({ toolbox: allowed });
  for (const turn of ['one', 'two \uD83D']) {
    server.reply(
      calls(
        { id: 'call_0', name: 'paint', arguments: '{"colour":"red\\ud83d"}' },
        { id: 'call 1', name: 'read file!', arguments: '{}' },
      ),
      says('done'),
    );
    await conversation.say(turn);
  }
  const text = JSON.stringify(body());
  expect(text).not.toMatch(/\\u+d83d/i);
  const { messages } = body();
  const ids = messages.flatMap((message: { tool_calls?: { id: string }[] }) =>
    (message.tool_calls ?? []).map(({ id }) => id),
  );
  expect(new Set(ids).size).toBe(4);
  expect(messages.flatMap((message: { tool_call_id?: string }) => message.tool_call_id ?? [])).toEqual(ids);
  expect(text).toContain('"name":"read_file_"');
  expect(messages.some(({ content }: { content: unknown }) => content === '(no output)')).toBe(true);
  for (const id of ids) expect(id).toMatch(/^[\w-]{1,64}$/);
});

test.for([
  ['stream_options', { error: { message: 'Extra inputs are not permitted', param: 'stream_options' } }],
  ['stream_options', { detail: [{ loc: ['body', 'stream_options'], msg: 'Extra inputs are not permitted' }] }],
  ['max_tokens', { error: { message: "Unsupported parameter: 'max_tokens'. Use 'max_completion_tokens' instead." } }],
  ['temperature', { error: { message: "Unsupported value: 'temperature' does not support 0.2." } }],
  ['tools', { error: { message: 'registry/m does not support tools' } }],
] as const)('R87, M3: a refused %s is left out, and stays left out', async ([field, error]) => {
  const { server, conversation, body } = await open({ maxTokens: 99, temperature: 0.2, toolbox: allowed });
  server.reply(status(422, error), says('ok'));
  expect((await conversation.say('hi')).end).toEqual({ outcome: 'completed' });
  expect(server.requests[0]?.body).toHaveProperty(field);
  expect(body()).not.toHaveProperty(field);
  await conversation.say('again');
  expect(server.requests).toHaveLength(3);
  expect(body()).not.toHaveProperty(field);
});

test('R87: a title comes from a model that refuses max_tokens', async () => {
  const { server, agent } = await open();
  server.reply(refuses('max_tokens is not supported'), status(200, { choices: [{ message: { content: 'Ships' } }] }));
  expect(await agent.title?.({ messages: [], signal: new AbortController().signal })).toBe('Ships');
});

test('R87, M3: a picture that the model does not take is refused once with a clear word; later turns go on without it', async () => {
  const { server, conversation, body } = await open();
  const hash = conversation.putBlob(Buffer.from([0x89, 0x50, 0x4e, 0x47]));
  server.reply(refuses('No endpoints found that support image input', 404));
  const { end } = await conversation.say('look', [{ ...PICTURE, hash }]);
  expect(end).toMatchObject({
    outcome: 'failed',
    fault: 'model-refused',
    reason: expect.stringMatching(/picture.*image input/),
  });
  server.reply(says('ok'));
  expect((await conversation.say('then without')).end).toEqual({ outcome: 'completed' });
  expect(JSON.stringify(body().messages)).toMatch(/p\.png.*cannot see/);
  // A new process has learned nothing yet.
  const again = new Conversation(openAiAgent({ baseUrl: server.url, model: 'm', contextWindow: 8_000 }));
  again.view = conversation.view;
  again.blobs.set(hash, conversation.blobs.get(hash) as Uint8Array);
  server.reply(refuses('this model has no vision'), says('ok'));
  expect((await again.say('and now')).end).toEqual({ outcome: 'completed' });
});

test.for([
  [400, "This model's maximum context length is 5 tokens. However, you requested 9 tokens"],
  [400, 'prompt is too long: 210000 tokens > 200000 maximum'],
  [
    400,
    'Trying to keep the first 9 tokens when context the overflows. The model is loaded with context length of only 5',
  ],
  [400, 'the request exceeds the available context size'],
  [400, 'The input token count (9) exceeds the maximum number of tokens allowed (5)'],
  [413, 'Request Entity Too Large'],
] as const)('R87: too long in any words (%i, %s) is trimmed and tried again', async ([code, words]) => {
  const { server, conversation, body } = await open();
  server.reply(says('first answer'));
  await conversation.say('first');
  server.reply(refuses(words, code), says('ok'));
  const { end, events } = await conversation.say('second');
  expect(end).toEqual({ outcome: 'completed' });
  expect(events.filter(({ type }) => type === 'context-trim')).toHaveLength(1);
  expect(JSON.stringify(body().messages)).not.toContain('first');
});

test('R85: a rate limit in the first frame of a stream is waited for, as a real 429', async () => {
  const { server, conversation } = await open({ retryWaitMsMax: 5_000 });
  server.reply(streams([{ error: { code: 429, message: 'slow down' } }]), says('ok'));
  const { end, events } = await conversation.say('hi');
  expect(end).toEqual({ outcome: 'completed' });
  expect(events[0]).toMatchObject({ type: 'data', name: 'notice', data: { fault: 'model-rate-limited' } });
});

test('R85: a JSON answer whose end never comes ends by the idle limit', async () => {
  const { server, conversation } = await open({ idleTimeoutMs: 50 });
  server.reply((response) => {
    response.writeHead(200, { 'content-type': 'application/json' });
    response.write('{"choices":[');
  });
  expect((await conversation.say('hi')).end).toMatchObject({ outcome: 'failed', fault: 'model-silent' });
});

test('R85: pictures of an answer are files of it', async () => {
  const { server, conversation } = await open();
  const url = `data:image/png;base64,${Buffer.from('png').toString('base64')}`;
  server.reply(streams([delta({ images: [{ type: 'image_url', image_url: { url } }] }), delta({}, 'stop'), '[DONE]']));
  expect((await conversation.say('draw')).end).toEqual({ outcome: 'completed' });
  expect(conversation.answerMessage.parts).toEqual([
    expect.objectContaining({ type: 'file', name: 'picture-1.png', mediaType: 'image/png', bytes: 3 }),
  ]);
});

test('R85: an error of a list, or of a validator, is told in its words', async () => {
  const { server, conversation } = await open();
  server.reply(status(400, [{ error: { code: 400, message: 'bad turn order' } }]));
  expect((await conversation.say('hi')).end).toMatchObject({ reason: expect.stringMatching(/bad turn order/) });
  server.reply(status(422, { detail: [{ loc: ['body', 'n'], msg: 'too big', type: 'value_error' }] }));
  expect((await conversation.say('hi')).end).toMatchObject({ reason: expect.stringMatching(/body\.n: too big/) });
});
