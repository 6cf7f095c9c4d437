/** Every way in which a model server can fail ends the turn by name, keeps what was said, and lets go of the connection. */
import { createServer } from 'node:net';
import type { AddressInfo } from 'node:net';
import type { FaultKind } from '@holdfast/protocol';
import { expect, test } from 'vitest';
import { heldClock } from '../../test/clocks.ts';
import { Conversation, type ConversationOptions } from '../../test/conversation.ts';
import {
  delta,
  hangUp,
  nothing,
  says,
  startModelServer,
  status,
  streams,
  type ModelServer,
  type Reply,
} from '../../test/model-server.ts';
import { openAiAgent } from './agent.ts';
import { retryAfterOf } from './failure.ts';
import { Watch } from './watch.ts';

/** Waits that the agent announces take no time; all others (silence) last until the test says so. */
function converse(url: string, options: { readonly clock?: ReturnType<typeof heldClock> } = {}): Conversation {
  const { clock = heldClock() } = options;
  const onEvent: ConversationOptions['onEvent'] = (event) => {
    if (event.type !== 'data') return;
    const { retryInMs } = event.data as { readonly retryInMs: number };
    if (retryInMs < 59_000) void turnOver().then(() => clock.advance(retryInMs));
  };
  return new Conversation(openAiAgent({ baseUrl: url, model: 'm', contextWindow: 8_000 }), { clock, onEvent });
}

const error = (message: string, more: Record<string, unknown> = {}): unknown => ({ error: { message, ...more } });
const half = delta({ content: 'half' });

const CASES: Record<
  string,
  { readonly reply: Reply; readonly fault: FaultKind; readonly says: RegExp; readonly text?: string }
> = {
  'a refused key (401)': {
    reply: status(401, error('bad key')),
    fault: 'model-unauthorized',
    says: /HOLDFAST_MODEL_KEY.*bad key/,
  },
  'a forbidden key (403)': { reply: status(403), fault: 'model-unauthorized', says: /HOLDFAST_MODEL_KEY/ },
  'an unknown model (404)': {
    reply: status(404, error('no m')),
    fault: 'model-not-found',
    says: /“m”.*HOLDFAST_MODEL.*no m/,
  },
  'a refused request (400)': {
    reply: status(400, { object: 'error', message: 'no tools here' }),
    fault: 'model-refused',
    says: /no tools here/,
  },
  'an empty account (402)': { reply: status(402), fault: 'model-refused', says: /topped up/ },
  'a spent quota, which is no rate limit': {
    reply: status(429, error('spent', { code: 'insufficient_quota' })),
    fault: 'model-refused',
    says: /topped up/,
  },
  'a redirect': {
    reply: status(302, {}, { location: 'http://example.com/' }),
    fault: 'model-unreachable',
    says: /redirects/,
  },
  'a conversation that is too long for the server': {
    reply: status(400, error('n_ctx', { type: 'exceed_context_size_error' })),
    fault: 'context-overflow',
    says: /“m”/,
  },
  'a server that fails twice (503)': {
    reply: status(503, { detail: 'loading' }),
    fault: 'model-error',
    says: /503.*loading/,
  },
  'a connection that is closed unanswered twice': {
    reply: hangUp,
    fault: 'model-unreachable',
    says: /cannot be reached/,
  },
  'a page that is no API': {
    reply: status(200, '<html>', { 'content-type': 'text/html' }),
    fault: 'model-malformed',
    says: /HOLDFAST_MODEL_URL/,
  },
  'an error under a 200': {
    reply: status(200, error('overloaded', { code: 503 })),
    fault: 'model-error',
    says: /overloaded/,
  },
  'an error object in the stream': {
    reply: streams([half, error('GPU lost')]),
    fault: 'model-error',
    says: /GPU lost/,
    text: 'half',
  },
  'a rate limit in the stream': {
    reply: streams([half, error('slow down', { code: 429 })]),
    fault: 'model-rate-limited',
    says: /slow down/,
    text: 'half',
  },
  'a chunk that is no JSON': {
    reply: streams([half, '{"choices":[{"delta":', half]),
    fault: 'model-malformed',
    says: /not Chat Completions/,
    text: 'half',
  },
  'a chunk of another protocol': {
    reply: streams([half, { choices: 'many' }]),
    fault: 'model-malformed',
    says: /not Chat Completions/,
    text: 'half',
  },
  'a connection that dies in mid-answer': {
    reply: streams([half], 'die'),
    fault: 'model-cut-off',
    says: /in mid-answer/,
    text: 'half',
  },
  'a stream that ends without a finish': {
    reply: streams([half]),
    fault: 'model-cut-off',
    says: /in mid-answer/,
    text: 'half',
  },
  'a content filter': {
    reply: streams([half, delta({}, 'content_filter'), '[DONE]']),
    fault: 'model-refused',
    says: /filter/,
    text: 'half',
  },
};

test.for(Object.entries(CASES))(
  '%s is told by name, and what was said is kept',
  async ([, { reply, fault, says: words, text = '' }]) => {
    const server = await startModelServer();
    server.reply(reply);
    const conversation = converse(server.url);
    const { end } = await conversation.say('hello');
    expect(end).toMatchObject({ outcome: 'failed', fault, reason: expect.stringMatching(words) });
    expect(conversation.text).toBe(text);
    await Promise.all(server.requests.map(({ closed }) => closed));
  },
);

test('a server that is not there is told with the cure, at once', async () => {
  const taken = createServer();
  await new Promise<void>((resolve) => taken.listen(0, '127.0.0.1', resolve));
  const { port } = taken.address() as AddressInfo;
  await new Promise((resolve) => taken.close(resolve));
  const { end, events } = await converse(`http://127.0.0.1:${port}`).say('hello');
  expect(end).toMatchObject({
    fault: 'model-unreachable',
    reason: expect.stringMatching(/ECONNREFUSED.*HOLDFAST_MODEL_URL/),
  });
  expect(events).toEqual([]);
});

test('a length limit ends the turn as `limit`, with what was said', async () => {
  const server = await startModelServer();
  server.reply(streams([half, delta({}, 'length'), '[DONE]']));
  const conversation = converse(server.url);
  expect((await conversation.say('hello')).end).toMatchObject({ outcome: 'limit' });
  expect(conversation.text).toBe('half');
});

test('an answer that is whole does not fail any more: the connection may die after its finish', async () => {
  const server = await startModelServer();
  server.reply(streams([half, delta({}, 'stop')], 'die'));
  expect((await converse(server.url).say('hello')).end).toEqual({ outcome: 'completed' });
});

test('a rate limit is waited for as the server says, with a notice, and nothing is doubled', async () => {
  const server = await startModelServer();
  const clock = heldClock();
  const startMs = clock.now();
  server.reply(
    status(429, {}, { 'retry-after': '7' }),
    status(429, {}, { 'retry-after-ms': '1500' }),
    status(429),
    says('at last'),
  );
  const conversation = converse(server.url, { clock });
  const { end, events } = await conversation.say('hello');
  expect(end).toEqual({ outcome: 'completed' });
  const notices = events.flatMap((event) => (event.type === 'data' ? [event.data] : []));
  expect(notices).toMatchObject([
    { retryInMs: 7_000 },
    { retryInMs: 1_500 },
    { retryInMs: 4_000, fault: 'model-rate-limited' },
  ]);
  expect(clock.now() - startMs).toBe(12_500);
  expect(conversation.text).toBe('at last');
});

test('a rate limit that does not pass, or is too long to wait for, ends the turn with its advice', async () => {
  const server = await startModelServer();
  server.reply(status(429, {}, { 'retry-after': '2' }));
  expect((await converse(server.url).say('hello')).end).toMatchObject({
    fault: 'model-rate-limited',
    retryAfterMs: 2_000,
  });
  expect(server.requests).toHaveLength(4);
  server.reply(status(429, {}, { 'retry-after': '3600' }));
  const { end, events } = await converse(server.url).say('hello');
  expect(end).toMatchObject({ fault: 'model-rate-limited', retryAfterMs: 3_600_000 });
  expect(events).toEqual([]);
});

test('Retry-After is read in seconds, in milliseconds and as a date', () => {
  const nowMs = Date.parse('2030-01-01T00:00:00Z');
  const of = (name: string, value: string): number | undefined => retryAfterOf(new Headers({ [name]: value }), nowMs);
  expect(of('retry-after', '1.5')).toBe(1_500);
  expect(of('retry-after-ms', '20')).toBe(20);
  expect(of('retry-after', 'Tue, 01 Jan 2030 00:00:30 GMT')).toBe(30_000);
  expect(of('retry-after', 'Mon, 31 Dec 2029 00:00:00 GMT')).toBe(0);
  expect(of('retry-after', 'soon')).toBeUndefined();
  expect(retryAfterOf(new Headers(), nowMs)).toBeUndefined();
});

test('a failure that may pass is tried once more: 500 and a closed connection', async () => {
  const server = await startModelServer();
  for (const reply of [status(500), hangUp]) {
    server.reply(reply, says('well'));
    const conversation = converse(server.url);
    expect((await conversation.say('hello')).end).toEqual({ outcome: 'completed' });
    expect(conversation.text).toBe('well');
  }
});

test('nothing is tried again once something was said', async () => {
  const server = await startModelServer();
  server.reply(streams([half], 'die'), says('doubled'));
  const conversation = converse(server.url);
  await conversation.say('hello');
  expect(server.requests).toHaveLength(1);
  expect(conversation.text).toBe('half');
});

test('silence before the first byte, before the first token and in mid-answer is told by its own name', async () => {
  const silences: readonly (readonly [Reply, number])[] = [
    [nothing, 300_000],
    [streams([], 'stall'), 300_000],
    [streams([half], 'stall'), 60_000],
  ];
  for (const [reply, patienceMs] of silences) {
    const server = await startModelServer();
    server.reply(reply);
    const clock = heldClock();
    const conversation = converse(server.url, { clock });
    const ran = conversation.say('hello');
    await settled(server, conversation, reply !== silences[2]?.[0]);
    await untilSleeping(clock);
    clock.advance(patienceMs - 1_000);
    await turnOver();
    expect(conversation.view.turn).not.toBeNull();
    clock.advance(1_000);
    expect((await ran).end).toMatchObject({ fault: 'model-silent' });
    await server.requests[0]?.closed;
  }
});

test('a server that says it is done and leaves the connection open is not waited for long', async () => {
  const server = await startModelServer();
  server.reply(streams([half, delta({}, 'stop')], 'stall'));
  const clock = heldClock();
  const conversation = converse(server.url, { clock });
  const ran = conversation.say('hello');
  await settled(server, conversation, false);
  await untilSleeping(clock);
  await turnOver();
  clock.advance(5_000);
  expect((await ran).end).toEqual({ outcome: 'completed' });
});

test('a reader that leaves in mid-answer lets go of the connection and of the watch', async () => {
  const server = await startModelServer();
  server.reply(streams([half], 'stall'));
  const clock = heldClock();
  const onEvent = (): void => {
    throw new Error('left');
  };
  const agent = openAiAgent({ baseUrl: server.url, model: 'm', contextWindow: 8_000 });
  await expect(new Conversation(agent, { clock, onEvent }).say('hello')).rejects.toThrow('left');
  await server.requests[0]?.closed;
  await expect.poll(() => clock.sleeping).toBe(0);
});

test('a watch ends with the signal, though nobody comes back to stop it', async () => {
  const clock = heldClock();
  const controller = new AbortController();
  const watch = new Watch({ clock, signal: controller.signal }, 1_000, () => {});
  expect(clock.sleeping).toBe(1);
  controller.abort();
  await turnOver();
  expect(clock.sleeping).toBe(0);
  expect(watch.isSilent).toBe(false);
});

/** A wait that is announced and never comes to its end. */
const limited = status(429, {}, { 'retry-after': '59' });

test('a stop closes the connection: before headers, in mid-answer, and while it waits for a rate limit', async () => {
  for (const reply of [nothing, streams([half], 'stall'), limited]) {
    const server = await startModelServer();
    server.reply(reply);
    const clock = heldClock();
    const conversation = converse(server.url, { clock });
    const ran = conversation.say('hello');
    await expect.poll(() => server.requests.length).toBe(1);
    await untilSleeping(clock);
    await turnOver();
    conversation.abort.abort();
    await ran;
    await server.requests[0]?.closed;
    expect(conversation.answerMessage.state).toBe('cancelled');
    await expect.poll(() => clock.sleeping).toBe(0);
  }
});

const settled = async (server: ModelServer, conversation: Conversation, isEmpty: boolean): Promise<void> => {
  await expect.poll(() => server.requests.length).toBe(1);
  if (!isEmpty) await expect.poll(() => conversation.text).toBe('half');
};

const untilSleeping = async (clock: ReturnType<typeof heldClock>): Promise<void> => {
  await expect.poll(() => clock.sleeping).toBeGreaterThan(0);
};

/** Everything that is ready has run. */
const turnOver = async (): Promise<void> => {
  for (let turn = 0; turn < 10; turn += 1) await new Promise((resolve) => setImmediate(resolve));
};
