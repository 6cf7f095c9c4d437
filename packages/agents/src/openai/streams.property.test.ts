/** The corpus of model streams against a real server, at random chunkings; and laws over streams that are made up. */
import * as fc from 'fast-check';
import { expect, test } from 'vitest';
import { heldClock } from '../../test/clocks.ts';
import { Conversation } from '../../test/conversation.ts';
import { delta, sse, startModelServer, type Reply } from '../../test/model-server.ts';
import { MODEL_STREAMS, type ModelStream } from '../../test/model-streams.ts';
import { openAiAgent } from './agent.ts';

const sends =
  (body: string, cuts: readonly number[], type = 'text/event-stream'): Reply =>
  async (response) => {
    response.writeHead(200, { 'content-type': type });
    const bytes = Buffer.from(body);
    const at = [...cuts.map((cut) => cut % (bytes.length + 1)), bytes.length].toSorted((a, b) => a - b);
    let from = 0;
    for (const to of at) {
      response.write(bytes.subarray(from, to));
      from = to;
      await new Promise((resolve) => setImmediate(resolve));
    }
    response.end();
  };

const partsOf = (conversation: Conversation, type: 'text' | 'thinking'): string =>
  conversation.answerMessage.parts.map((part) => (part.type === type && 'text' in part ? part.text : '')).join('');

const COMPLETED = sse([delta({ content: 'after the tools' }, 'stop'), '[DONE]']);

async function replay(
  server: Awaited<ReturnType<typeof startModelServer>>,
  stream: ModelStream,
  cuts: readonly number[],
) {
  server.reply(sends(stream.body, cuts, stream.type), sends(COMPLETED, []));
  const clock = heldClock();
  const conversation = new Conversation(openAiAgent({ baseUrl: server.url, model: 'm', contextWindow: 8_000 }), {
    clock,
  });
  return { conversation, ...(await conversation.say('go')) };
}

test.for(Object.entries(MODEL_STREAMS))('M1: %s', async ([, stream]) => {
  const server = await startModelServer();
  await fc.assert(
    fc.asyncProperty(fc.array(fc.nat(), { maxLength: 12 }), async (cuts) => {
      const { conversation, end } = await replay(server, stream, cuts);
      expect(end).toMatchObject({
        outcome: stream.outcome,
        ...(stream.fault === undefined ? {} : { fault: stream.fault }),
      });
      if (stream.says !== undefined) expect(end).toMatchObject({ reason: expect.stringMatching(stream.says) });
      if (stream.text !== undefined) expect(partsOf(conversation, 'text')).toBe(stream.text);
      if (stream.thinking !== undefined) expect(partsOf(conversation, 'thinking')).toBe(stream.thinking);
      const calls = conversation.tools.map(({ name, input }) => [name, input]);
      expect(calls).toEqual(stream.calls ?? []);
    }),
    { numRuns: 8 },
  );
});

const noise = fc.constantFrom('', 'ping', 'null', '5', '"x"', '{"type":"ping"}', '{"choices":[]}', '{"x":{"y":[1]}}');

test('M1, R88: what was shown is the transcript, with any noise between and any chunking; a cut answer is never completed', async () => {
  const server = await startModelServer();
  const seen = { cut: 0, whole: 0 };
  const anyAnswer = fc.record({
    words: fc.array(fc.string({ unit: 'grapheme', minLength: 1, maxLength: 12 }), { minLength: 1, maxLength: 6 }),
    noises: fc.array(noise, { maxLength: 6 }),
    finish: fc.constantFrom('stop', '', null, 'null', 'blorp', 'length'),
    cuts: fc.array(fc.nat(), { maxLength: 12 }),
  });
  await fc.assert(
    fc.asyncProperty(anyAnswer, async ({ words, noises, finish, cuts }) => {
      const text = words.join('');
      const items = words.flatMap((content, at) => [delta({ content }), ...noises.slice(at, at + 1)]);
      const stream = { body: sse([...items, delta({}, finish)]), outcome: 'completed' as const };
      const { conversation, end } = await replay(server, stream, cuts);
      expect(partsOf(conversation, 'text')).toBe(text);
      const isWhole = finish === 'stop' && text.trim() !== '';
      expect(end.outcome === 'completed').toBe(isWhole);
      seen[isWhole ? 'whole' : 'cut'] += 1;
    }),
    { numRuns: 100 },
  );
  expect(Math.min(seen.cut, seen.whole)).toBeGreaterThan(5);
});
