import type { BtwInput } from '@holdfast/session';
import { systemClock } from '@holdfast/session';
import type { Message, MessageId, ToolId, TurnId } from '@holdfast/protocol';
import { expect, test } from 'vitest';
import { delta, says, startModelServer, streams, type ModelServer } from '../../test/model-server.ts';
import { createToolbox, defineTool } from '../tools/tool.ts';
import { z } from 'zod';
import { openAiAgent } from './agent.ts';

const message = (id: string, role: Message['role'], parts: Message['parts'], state: Message['state']): Message => ({
  id: id as MessageId,
  role,
  text: parts.map((part) => (part.type === 'text' ? part.text : '')).join(''),
  parts,
  turnId: 't_1' as TurnId,
  state,
  revision: 1,
  at: '',
});

/** A turn that has said something and has a tool under way. */
const INPUT: BtwInput = {
  sessionId: 's_1',
  model: null,
  messages: [
    message('m_1', 'user', [{ type: 'text', text: 'Paint it.' }], 'sent'),
    message(
      'a_1',
      'assistant',
      [
        { type: 'text', text: 'I begin' },
        {
          type: 'tool',
          toolId: 'x_1' as ToolId,
          name: 'paint',
          input: { colour: 'red' },
          state: 'running',
          output: '',
        },
      ],
      'streaming',
    ),
  ],
  earlierTurns: 0,
  question: 'Why red?',
};

function asking(
  server: ModelServer,
  signal: AbortSignal,
): ReturnType<NonNullable<ReturnType<typeof openAiAgent>['btw']>> {
  const paint = defineTool({
    name: 'paint',
    description: 'Paints.',
    input: z.strictObject({ colour: z.string() }),
    open: () => ({
      title: '',
      detail: '',
      run: async function* run() {
        yield '';
        return { ok: true };
      },
    }),
  });
  const agent = openAiAgent({
    baseUrl: server.url,
    model: 'm',
    contextWindow: 8_000,
    toolbox: createToolbox({ tools: [paint] }),
  });
  const answer = agent.btw?.(INPUT, { signal, clock: systemClock, readBlob: () => Promise.resolve(undefined) });
  if (answer === undefined) throw new Error('It answers side questions.');
  return answer;
}

test('C1: the model is given what was said so far and the question, and no tools', async () => {
  const server = await startModelServer();
  server.reply(says('Because ', 'you asked.'));
  const answer = asking(server, new AbortController().signal);
  const texts: string[] = [];
  for (let next = await answer.next(); ; next = await answer.next()) {
    if (next.done === true) {
      expect(next.value).toEqual({ outcome: 'completed' });
      break;
    }
    texts.push(next.value.text);
  }
  expect(texts.join('')).toBe('Because you asked.');
  const [{ body } = { body: undefined }] = server.requests;
  expect(body.tools).toBeUndefined();
  expect(body.messages.map(({ role }: { role: string }) => role)).toEqual(['user', 'assistant', 'tool', 'user']);
  expect(body.messages.at(1).content).toBe('I begin');
  expect(body.messages.at(-1).content).toMatch(/side question[^]*Why red\?$/i);
});

test('C2: a question that is cancelled closes the connection to the model', async () => {
  const server = await startModelServer();
  server.reply(streams([delta({ content: 'Because ' })], 'stall'));
  const abort = new AbortController();
  const answer = asking(server, abort.signal);
  expect(await answer.next()).toEqual({ done: false, value: { type: 'text', text: 'Because ' } });
  const rest = answer.next();
  abort.abort();
  expect((await rest).done).toBe(true);
  await server.requests[0]?.closed;
});
