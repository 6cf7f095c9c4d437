/** What an agent's provider gave with an answer is there again for the agent, wherever the session goes on. */
import type { PromptId } from '@holdfast/protocol';
import { entryBodySchema } from '@holdfast/protocol/schema';
import { expect, test } from 'vitest';
import type { RunInput } from '../src/index.ts';
import { scripted, World, type Script } from './world.ts';

const STATE = { provider: 'p', state: { signature: 's1' } };

test('R86, M2: a provider’s state is in the progress after a park and a restart, and in the history of later turns', async () => {
  const inputs: RunInput[] = [];
  const script: Script = async function* run(input, context) {
    inputs.push(input);
    if (input.messages[0]?.text !== 'first' || input.progress.prompts.length > 0) return { outcome: 'completed' };
    yield { type: 'text', text: 'said' };
    yield { type: 'provider-state', ...STATE };
    const promptId = context.promptId();
    yield { type: 'prompt', promptId, kind: 'question', title: 'Go on?', detail: '', choices: [] };
    return { outcome: 'parked' };
  };
  const world = await World.open([scripted(script)]);
  await world.say('first');
  const parked = await world.until((view) => view.turn?.state === 'parked');
  const { store, sessionId } = world;
  await world.service.drain(1_000);
  await world.close();

  const again = await World.open([scripted(script)], { store, sessionId });
  await again.answer(parked.prompts[0]?.promptId as PromptId, 'yes');
  await again.idle();
  await again.say('second');
  await again.idle();
  const parts = [
    { type: 'text', text: 'said' },
    { type: 'provider-state', ...STATE },
  ];
  expect(inputs[1]?.progress.parts.slice(0, 2)).toEqual(parts);
  expect(inputs[2]?.history.find(({ role }) => role === 'assistant')?.parts.slice(0, 2)).toEqual(parts);
  const entries = await again.entries();
  const { seq: _seq, at: _at, ...body } = entries.find(({ type }) => type === 'provider-state') ?? { seq: 0, at: '' };
  expect(entryBodySchema.parse(body)).toEqual(body);
  await again.close();
});

test('a file that an answer shows is a part of its message', async () => {
  const file = { hash: 'a'.repeat(64), name: 'picture.png', mediaType: 'image/png', bytes: 3 };
  const world = await World.open([
    scripted(async function* run() {
      yield { type: 'file', ...file };
      return { outcome: 'completed' };
    }),
  ]);
  await world.say('draw');
  const { messages } = await world.idle();
  expect(messages.at(-1)?.parts).toEqual([{ type: 'file', ...file }]);
  await world.close();
});
