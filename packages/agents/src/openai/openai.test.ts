import { expect, test } from 'vitest';
import { z } from 'zod';
import { Conversation, type ConversationOptions } from '../../test/conversation.ts';
import {
  calls,
  delta,
  says,
  startModelServer,
  status,
  streams,
  usage,
  type ModelServer,
} from '../../test/model-server.ts';
import { createToolbox, defineTool, type Toolbox } from '../tools/tool.ts';
import { openAiAgent } from './agent.ts';
import type { OpenAiConfig } from './config.ts';

const converse = (
  server: ModelServer,
  config: Partial<OpenAiConfig> = {},
  options: ConversationOptions = {},
): Conversation =>
  new Conversation(openAiAgent({ baseUrl: server.url, model: 'm', contextWindow: 8_000, ...config }), {
    ...options,
  });

/** A tool that notes what it painted. */
function painting(allowed: readonly string[] = []): { readonly toolbox: Toolbox; readonly painted: string[] } {
  const painted: string[] = [];
  const paint = defineTool({
    name: 'paint',
    description: 'Paints.',
    input: z.strictObject({ colour: z.string() }),
    open: ({ colour }) => ({
      title: 'Paint',
      detail: colour,
      run: async function* run() {
        painted.push(colour);
        yield `painted ${colour}`;
        return { ok: true };
      },
    }),
  });
  return { painted, toolbox: createToolbox({ tools: [paint], allowed }) };
}

const paint = (colour: string, id?: string): { id?: string; name: string; arguments: string } => ({
  name: 'paint',
  arguments: JSON.stringify({ colour }),
  ...(id === undefined ? {} : { id }),
});

test('an answer streams, whatever the network makes of its bytes', async () => {
  const server = await startModelServer();
  const items = [
    delta({ role: 'assistant', content: '' }),
    delta({ content: '港は静か 🐎' }),
    delta({ content: ' and\r\nso on' }),
    delta({}, 'stop'),
    usage(7, 3),
    '[DONE]',
  ];
  for (const bytesAtOnce of [1, 3, 0]) {
    server.reply(streams(items, 'end', bytesAtOnce));
    const conversation = converse(server);
    const { end, events } = await conversation.say('hello');
    expect(end).toEqual({ outcome: 'completed' });
    expect(conversation.text).toBe('港は静か 🐎 and\r\nso on');
    expect(events.at(-1)).toEqual({ type: 'usage', inputTokens: 7, outputTokens: 3 });
  }
});

test('the request has what was configured, and the key', async () => {
  const server = await startModelServer();
  server.reply(says('ok'));
  const { toolbox } = painting();
  await converse(server, {
    apiKey: 'k1',
    systemPrompt: 'Be kind.',
    temperature: 0.2,
    maxTokens: 99,
    extra: { top_k: 5, stream_options: undefined },
    headers: { 'x-title': 'Holdfast' },
    toolbox,
  }).say('hello');
  const [request] = server.requests;
  expect(request?.headers).toMatchObject({ authorization: 'Bearer k1', 'x-title': 'Holdfast' });
  expect(request?.body).toEqual({
    model: 'm',
    stream: true,
    temperature: 0.2,
    max_tokens: 99,
    top_k: 5,
    messages: [
      { role: 'system', content: 'Be kind.' },
      { role: 'user', content: 'hello' },
    ],
    tools: [
      {
        type: 'function',
        function: { name: 'paint', description: 'Paints.', parameters: expect.objectContaining({ type: 'object' }) },
      },
    ],
  });
});

test('thinking comes by any of its names, once', async () => {
  const server = await startModelServer();
  server.reply(
    streams([
      delta({ reasoning_content: 'a' }),
      delta({ reasoning: 'b' }),
      delta({ reasoning: 'c', reasoning_content: 'c' }),
      delta({
        content: [
          { type: 'thinking', thinking: [{ type: 'text', text: 'd' }] },
          { type: 'text', text: 'said' },
        ],
      }),
      delta({}, 'stop'),
      '[DONE]',
    ]),
  );
  const conversation = converse(server);
  await conversation.say('hello');
  expect(conversation.answerMessage.parts).toEqual([
    { type: 'thinking', text: 'abcd' },
    { type: 'text', text: 'said' },
  ]);
});

test('a server that does not stream, sends no usage, or ends without [DONE] is understood', async () => {
  const server = await startModelServer();
  const conversation = converse(server);
  server.reply(status(200, { choices: [{ message: { role: 'assistant', content: 'whole' }, finish_reason: 'stop' }] }));
  expect((await conversation.say('one')).end).toEqual({ outcome: 'completed' });
  expect(conversation.text).toBe('whole');
  server.reply(streams([': keep-alive', delta({ content: 'four' }), delta({}, 'stop')].slice(1)));
  const { end, events } = await conversation.say('two');
  expect(end).toEqual({ outcome: 'completed' });
  expect(events.at(-1)).toEqual({ type: 'usage', inputTokens: expect.any(Number), outputTokens: 1 });
});

test('a tool waits for its approval, runs, and its result goes back to the model', async () => {
  const server = await startModelServer();
  const { toolbox, painted } = painting();
  server.reply(calls(paint('red', 'call_1')), says('It is red.'));
  const conversation = converse(server, { toolbox });
  expect((await conversation.say('paint it')).end).toEqual({ outcome: 'parked' });
  expect(painted).toEqual([]);
  expect(conversation.prompts[0]).toMatchObject({ kind: 'approval', title: 'Paint', detail: 'red' });
  const { end, events } = await conversation.answer('once');
  expect(end).toEqual({ outcome: 'completed' });
  expect(events.map(({ type }) => type)).toEqual(['tool-start', 'tool-output', 'tool-end', 'text', 'usage']);
  expect(painted).toEqual(['red']);
  expect(server.requests[1]?.body.messages).toEqual([
    { role: 'user', content: 'paint it' },
    {
      role: 'assistant',
      content: null,
      tool_calls: [{ id: 'call_1', type: 'function', function: { name: 'paint', arguments: '{"colour":"red"}' } }],
    },
    { role: 'tool', tool_call_id: 'call_1', content: 'painted red' },
  ]);
});

test('a denied tool does not run, and the model is told why', async () => {
  const server = await startModelServer();
  const { toolbox, painted } = painting();
  server.reply(calls(paint('red')), says('Then not.'));
  const conversation = converse(server, { toolbox });
  await conversation.say('paint it');
  const { end } = await conversation.answer('too loud, use blue');
  expect(end.outcome).toBe('completed');
  expect(painted).toEqual([]);
  expect(server.requests[1]?.body.messages.at(-1).content).toContain('too loud, use blue');
});

test('several calls in one answer are settled in order; each asks, until one is allowed for the session', async () => {
  const server = await startModelServer();
  const { toolbox, painted } = painting();
  server.reply(calls(paint('red', 'a'), paint('green', 'a'), paint('blue')), says('Done.'));
  const conversation = converse(server, { toolbox });
  await conversation.say('paint all');
  expect(conversation.tools.map(({ state }) => state)).toEqual(['requested', 'requested', 'requested']);
  await conversation.answer('once');
  expect(painted).toEqual(['red']);
  await conversation.answer('session');
  expect(painted).toEqual(['red', 'green', 'blue']);
  const sent = server.requests[1]?.body.messages;
  const ids = sent[1].tool_calls.map(({ id }: { id: string }) => id);
  expect(new Set(ids).size).toBe(3);
  expect(sent.slice(2).map((message: { tool_call_id: string }) => message.tool_call_id)).toEqual(ids);
});

test('calls are told apart with one index for all, without index, and without id', async () => {
  const server = await startModelServer();
  const { toolbox, painted } = painting(['paint']);
  const call = (fields: Record<string, unknown>, colour: string): unknown =>
    delta({ tool_calls: [{ ...fields, function: { name: 'paint', arguments: JSON.stringify({ colour }) } }] });
  const finish = [delta({}, 'stop'), '[DONE]'];
  server.reply(
    streams([call({ index: 0, id: 'x' }, '1'), call({ index: 0, id: 'y' }, '2'), ...finish]),
    streams([call({ id: 'x' }, '3'), call({ id: 'y' }, '4'), ...finish]),
    streams([call({}, '5'), call({}, '6'), ...finish]),
    streams([
      delta({ tool_calls: [{ index: 0, function: { name: 'paint', arguments: { colour: '7' } } }] }),
      ...finish,
    ]),
    says('Done.'),
  );
  expect((await converse(server, { toolbox }).say('go')).end.outcome).toBe('completed');
  expect(painted).toEqual(['1', '2', '3', '4', '5', '6', '7']);
});

test('arguments that are no JSON run nothing; the model hears of it and goes on', async () => {
  const server = await startModelServer();
  const { toolbox, painted } = painting(['paint']);
  server.reply(
    calls({ name: 'paint', arguments: '{"colour": "re' }),
    calls({ name: 'sing', arguments: '' }),
    says('Sorry.'),
  );
  const conversation = converse(server, { toolbox });
  expect((await conversation.say('go')).end.outcome).toBe('completed');
  expect(painted).toEqual([]);
  const [, , last] = server.requests;
  const results = last?.body.messages.filter(({ role }: { role: string }) => role === 'tool');
  expect(results.map(({ content }: { content: string }) => content)).toEqual([
    expect.stringContaining('not a JSON object'),
    'There is no tool “sing”.',
  ]);
  // What goes back is valid JSON, which templates of local models insist on.
  for (const message of last?.body.messages ?? []) {
    for (const call of message.tool_calls ?? []) expect(() => JSON.parse(call.function.arguments)).not.toThrow();
  }
});

test('the model sees the same conversation whether the turn was parked at each call or never', async () => {
  const replies = [
    calls(paint('red', 'c1'), paint('green', 'c2')),
    streams([
      delta({ content: 'Two are done.' }),
      delta({ tool_calls: [{ index: 0, id: 'c1', function: paint('blue') }] }),
      delta({}, 'tool_calls'),
      '[DONE]',
    ]),
    says('All done.'),
  ];
  const seen: unknown[][] = [];
  for (const allowed of [['paint'], []]) {
    const server = await startModelServer();
    const { toolbox, painted } = painting(allowed);
    server.reply(...replies);
    const conversation = converse(server, { toolbox });
    let { end } = await conversation.say('paint all');
    for (let times = 0; end.outcome === 'parked' && times < 9; times += 1)
      ({ end } = await conversation.answer('once'));
    expect(end.outcome).toBe('completed');
    expect(painted).toEqual(['red', 'green', 'blue']);
    expect(conversation.text).toBe('Two are done.All done.');
    seen.push(server.requests.map(({ body }) => body));
  }
  expect(seen[1]).toEqual(seen[0]);
});

test('a model that never stops calling tools reaches the limit, also when each call parks', async () => {
  const server = await startModelServer();
  const { toolbox, painted } = painting(['paint']);
  server.reply(
    streams([
      delta({ content: 'again' }),
      delta({ tool_calls: [{ index: 0, function: paint('red') }] }, 'tool_calls'),
      '[DONE]',
    ]),
  );
  const { end } = await converse(server, { toolbox, toolRoundsMax: 4 }).say('go');
  expect(end).toMatchObject({ outcome: 'limit', reason: expect.stringContaining('4 times') });
  expect(painted).toHaveLength(4);

  const asking = painting();
  const parked = converse(server, { toolbox: asking.toolbox, toolRoundsMax: 4 });
  let result = await parked.say('go');
  for (let times = 0; result.end.outcome === 'parked' && times < 9; times += 1) result = await parked.answer('once');
  expect(result.end.outcome).toBe('limit');
  expect(asking.painted).toHaveLength(4);
});

test('steers are taken at each boundary, and one that comes as the model ends makes it go on', async () => {
  const server = await startModelServer();
  const { toolbox } = painting(['paint']);
  server.reply(calls(paint('red')), says('Red it is.'), says('And blue.'));
  const conversation = converse(
    server,
    { toolbox },
    {
      onEvent: (event, self) => {
        if (event.type === 'tool-start') self.steer('only the door');
        if (event.type === 'text' && event.text === 'Red it is.') self.steer('blue too');
      },
    },
  );
  expect((await conversation.say('paint')).end.outcome).toBe('completed');
  expect(server.requests[1]?.body.messages.at(-1)).toEqual({ role: 'user', content: 'only the door' });
  expect(server.requests[2]?.body.messages.slice(-2)).toEqual([
    { role: 'assistant', content: 'Red it is.' },
    { role: 'user', content: 'blue too' },
  ]);
  expect(conversation.text).toBe('Red it is.And blue.');
});

test('history: earlier turns with their tools, uncertain ones told as such, and neighbours of the user joined', async () => {
  const server = await startModelServer();
  const { toolbox } = painting(['paint']);
  server.reply(calls(paint('red', 'c1')), says('Red.'));
  const conversation = converse(server, { toolbox });
  await conversation.say('first');
  // A turn whose tool was cut off, and one that failed before it said anything.
  server.reply(calls(paint('blue', 'c2')), status(400));
  const cut = converse(
    server,
    { toolbox },
    {
      onEvent: (event) => {
        if (event.type === 'tool-end') throw new Error('killed');
      },
    },
  );
  cut.view = conversation.view;
  await cut.say('second').catch(() => {});
  const turnId = cut.view.turn?.turnId;
  if (turnId === undefined) throw new Error('no turn');
  cut.append({ type: 'turn-end', turnId, outcome: 'interrupted' });
  conversation.view = cut.view;
  server.reply(status(400), says('ok'));
  await conversation.say('third');
  await conversation.say('fourth');
  const sent = server.requests.at(-1)?.body.messages;
  expect(sent.map(({ role }: { role: string }) => role)).toEqual([
    'user',
    'assistant',
    'tool',
    'assistant',
    'user',
    'assistant',
    'tool',
    'user',
  ]);
  expect(sent[6].content).toMatch(/^Uncertain: [\s\S]*do not simply repeat it/);
  expect(sent[7].content).toBe('third\n\nfourth');
});

test('attached images go as data URLs, texts inline, anything else by name', async () => {
  const server = await startModelServer();
  server.reply(says('ok'));
  const conversation = converse(server);
  const file = (name: string, mediaType: string, bytes: Uint8Array): Parameters<Conversation['say']>[1] => {
    return [{ type: 'file', hash: conversation.putBlob(bytes), name, mediaType, bytes: bytes.length }];
  };
  const parts = [
    ...(file('a.png', 'image/png', Buffer.from([1, 2, 3])) ?? []),
    ...(file('b.md', 'text/markdown; charset=utf-8', Buffer.from('# Büch')) ?? []),
    ...(file('c.zip', 'application/zip', Buffer.from([9])) ?? []),
    { type: 'file', hash: 'gone', name: 'd.txt', mediaType: 'text/plain', bytes: 1 } as const,
    { type: 'data', name: 'place', data: { x: 1 } } as const,
  ];
  await conversation.say('look', parts);
  expect(server.requests[0]?.body.messages[0].content).toEqual([
    { type: 'text', text: 'look' },
    { type: 'image_url', image_url: { url: 'data:image/png;base64,AQID' } },
    { type: 'text', text: 'Attached file “b.md”:\n\n# Büch' },
    { type: 'text', text: expect.stringContaining('“c.zip” (application/zip, 1 bytes)') },
    { type: 'text', text: expect.stringContaining('“d.txt” is not stored') },
    { type: 'text', text: 'place: {"x":1}' },
  ]);
  const blind = converse(server, { images: false });
  blind.blobs.set('h', Buffer.from([1]));
  await blind.say('look', [{ type: 'file', hash: 'h', name: 'a.png', mediaType: 'image/png', bytes: 1 }]);
  expect(server.requests[1]?.body.messages[0].content).toContain(
    '“a.png” (image/png, 1 bytes); its content is not shown',
  );
});

test('the oldest turns are left out when the window is full, whole turns only, and it is said how many', async () => {
  const server = await startModelServer();
  server.reply(says('x'.repeat(4_000)));
  const conversation = converse(server, { contextWindow: 4_000 });
  for (const text of ['one', 'two', 'three']) await conversation.say(text);
  const { events } = await conversation.say('four');
  expect(events[0]).toEqual({ type: 'context-trim', turns: 1 });
  expect(server.requests[3]?.body.messages.map(({ content }: { content: string }) => content.slice(0, 5))).toEqual([
    'two',
    'xxxxx',
    'three',
    'xxxxx',
    'four',
  ]);
});

test('one message that alone does not fit is told so, before anything is sent', async () => {
  const server = await startModelServer();
  server.reply(says('ok'));
  const { end } = await converse(server, { contextWindow: 1_000 }).say('long '.repeat(2_000));
  expect(end).toMatchObject({ outcome: 'failed', fault: 'context-overflow' });
  expect(server.requests).toHaveLength(0);
});

test('where the server counts more than was estimated, more is left out and it is asked again', async () => {
  const server = await startModelServer();
  const conversation = converse(server);
  server.reply(says('x'.repeat(2_000)));
  for (const text of ['one', 'two', 'three']) await conversation.say(text);
  server.reply(status(400, { error: { message: 'too long', code: 'context_length_exceeded' } }), says('ok'));
  const { end, events } = await conversation.say('four');
  expect(end.outcome).toBe('completed');
  expect(events[0]).toMatchObject({ type: 'context-trim' });
  expect(server.requests.at(-1)?.body.messages.length).toBeLessThan(server.requests.at(-2)?.body.messages.length);
});

test('what a tool printed is shortened for the model before the turn gives up', async () => {
  const server = await startModelServer();
  const loud = defineTool({
    name: 'loud',
    description: '',
    input: z.strictObject({}),
    open: () => ({
      title: '',
      detail: '',
      run: async function* run() {
        yield 'y'.repeat(200_000);
        return { ok: true };
      },
    }),
  });
  server.reply(calls({ name: 'loud', arguments: '' }), says('Quiet now.'));
  const toolbox = createToolbox({ tools: [loud], allowed: ['loud'] });
  const { end } = await converse(server, { toolbox, contextWindow: 4_000 }).say('go');
  expect(end.outcome).toBe('completed');
  expect(server.requests[1]?.body.messages.at(-1).content).toMatch(/^y+\n… \d+ characters left out …\ny+$/);
});

test('the context window is asked of the server, in any of the places where servers put it', async () => {
  const listed = (fields: Record<string, unknown>) => ({ data: [{ id: 'other' }, { id: 'm', ...fields }] });
  const pages: readonly (readonly [string, unknown][])[] = [
    [['/v1/models', listed({ context_length: 2_000 })]],
    [['/v1/models', listed({ max_model_len: 2_000 })]],
    [
      ['/v1/models', listed({})],
      ['/props', { default_generation_settings: { n_ctx: 2_000 } }],
    ],
  ];
  for (const given of pages) {
    const server = await startModelServer();
    for (const [path, page] of given) server.pages.set(path, page);
    server.reply(says('ok'));
    const agent = openAiAgent({ baseUrl: server.url, model: 'm' });
    const small = await new Conversation(agent).say('long '.repeat(2_000));
    expect(small.end).toMatchObject({ fault: 'context-overflow' });
  }
  const silent = await startModelServer();
  silent.reply(says('ok'));
  const agent = openAiAgent({ baseUrl: silent.url });
  expect((await new Conversation(agent).say('long '.repeat(2_000))).end.outcome).toBe('completed');
  expect(silent.requests[0]?.body.model).toBe('default');
});

test('without a configured model the first of the list is used, and a session may choose another', async () => {
  const server = await startModelServer();
  server.pages.set('/v1/models', { data: [{ id: 'first' }, { id: 'second' }] });
  server.reply(says('ok'));
  const agent = openAiAgent({ baseUrl: server.url });
  const conversation = new Conversation(agent);
  await conversation.say('one');
  conversation.append({ type: 'session-set', clientId: 'c_x' as never, author: 'ann', model: 'second' });
  await conversation.say('two');
  expect(server.requests.map(({ body }) => body.model)).toEqual(['first', 'second']);
  expect(await agent.models?.(new AbortController().signal)).toEqual(['first', 'second']);
});
