import { expect, test } from 'vitest';
import { Conversation } from '../../test/conversation.ts';
import { says, startModelServer, status } from '../../test/model-server.ts';
import { openAiAgent } from './agent.ts';
import { endpointsOf, type OpenAiConfig } from './config.ts';

const { signal } = new AbortController();
const check = (config: OpenAiConfig) => openAiAgent(config).check?.(signal);

test('any base URL leads to the API', () => {
  const table: Record<string, string> = {
    'http://h:1': 'http://h:1/v1/chat/completions',
    'http://h:1/': 'http://h:1/v1/chat/completions',
    'http://h:1/v1': 'http://h:1/v1/chat/completions',
    'http://h:1/v1/': 'http://h:1/v1/chat/completions',
    'https://h/api/v1//': 'https://h/api/v1/chat/completions',
    'https://h/llm': 'https://h/llm/v1/chat/completions',
    'https://h/v1beta/openai': 'https://h/v1beta/openai/chat/completions',
    'https://h/inference/chat/completions': 'https://h/inference/chat/completions',
    'https://h/v1?api-version=2': 'https://h/v1/chat/completions?api-version=2',
  };
  for (const [given, expected] of Object.entries(table)) expect(endpointsOf(given).chat).toBe(expected);
  expect(endpointsOf('http://h:1/x/v1').props).toBe('http://h:1/x/props');
  expect(() => endpointsOf('localhost:11434')).toThrow('HOLDFAST_MODEL_URL');
  expect(() => endpointsOf('')).toThrow('no http address');
});

test('`check` tells a good server, a wrong model with the right ones, a refused key and an absent server apart', async () => {
  const server = await startModelServer();
  server.pages.set('/v1/models', { data: [{ id: 'good' }, { id: 'better' }] });
  expect(await check({ baseUrl: server.url, model: 'good' })).toMatchObject({ ok: true });
  expect(await check({ baseUrl: server.url, model: 'bad' })).toMatchObject({
    ok: false,
    fault: 'model-not-found',
    detail: expect.stringContaining('good, better'),
  });
  expect(await check({ baseUrl: 'http://127.0.0.1:9', model: 'x' })).toMatchObject({
    ok: false,
    fault: 'model-unreachable',
  });
});

test('`check` asks for one token where a server lists no models', async () => {
  const server = await startModelServer();
  server.reply(status(401, { error: 'who are you?' }));
  expect(await check({ baseUrl: server.url, model: 'm' })).toMatchObject({ ok: false, fault: 'model-unauthorized' });
  server.reply(status(200, { choices: [{ message: { content: 'ok' } }] }));
  expect(await check({ baseUrl: server.url, model: 'm' })).toMatchObject({ ok: true });
});

test('a title is one short line; whatever goes wrong, there is none', async () => {
  const server = await startModelServer();
  const agent = openAiAgent({ baseUrl: server.url, model: 'm', contextWindow: 8_000 });
  server.reply(says('Ships come and go.'));
  const conversation = new Conversation(agent);
  await conversation.say('Tell me about harbours');
  const title = () => agent.title?.({ messages: conversation.view.messages, signal });
  const content = (text: string) => status(200, { choices: [{ message: { content: text } }] });
  server.reply(
    content('<think>short…</think>\n"Harbours and **ships**."\n'),
    content('x'.repeat(500)),
    content(''),
    status(500),
  );
  expect(await title()).toBe('Harbours and **ships');
  expect(await title()).toHaveLength(80);
  expect(await title()).toBeUndefined();
  expect(await title()).toBeUndefined();
  expect(server.requests[1]?.body.messages[0].content).toContain('user: Tell me about harbours');
});
