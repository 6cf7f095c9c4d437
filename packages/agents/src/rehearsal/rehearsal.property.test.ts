import * as fc from 'fast-check';
import { expect, test } from 'vitest';
import { instantClock } from '../../test/clocks.ts';
import { Conversation } from '../../test/conversation.ts';
import { rehearsalAgent } from './agent.ts';
import { rehearse } from './rehearse.ts';
import { SCENE_NAMES } from './scene.ts';
import { tokensOf } from './tokens.ts';

const seed = fc.nat(0xffff_ffff);
const answers = fc.constantFrom('once', 'session', 'always', 'deny', 'tea', 'a word of my own', null);

test('every scene, at any pace and with any answers, says what `rehearse` printed beforehand', async () => {
  const scenes = fc.record({
    name: fc.constantFrom(...SCENE_NAMES),
    tokens: fc.integer({ min: 1, max: 300 }),
    rate: fc.constantFrom(0, 7, 1000, 50_000),
    seed,
  });
  await fc.assert(
    fc.asyncProperty(scenes, answers, async ({ name, tokens, rate, seed: value }, answer) => {
      const message = `/scene ${name} tokens=${tokens} rate=${rate} seed=${value} delay=5`;
      const conversation = new Conversation(rehearsalAgent(), { clock: instantClock() });
      let { end } = await conversation.say(message);
      if (end.outcome === 'parked') ({ end } = await conversation.answer(answer));
      expect(end.outcome).toBe(name === 'fail' ? 'failed' : 'completed');
      expect(conversation.text).toBe(rehearse(message, { answer }));
    }),
    { numRuns: 60 },
  );
});

test('any text at all gets a friendly answer, always the same, and never a throw', () => {
  fc.assert(
    fc.property(fc.string({ unit: 'grapheme', maxLength: 200 }), (text) => {
      const answer = rehearse(text);
      expect(answer).toContain('/scene');
      expect(rehearse(text)).toBe(answer);
      expect(answer.isWellFormed()).toBe(true);
    }),
  );
});

test('prose and Markdown have exactly as many tokens as were asked for, and a Markdown answer closes its fences', () => {
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 2_000 }), seed, (tokens, value) => {
      for (const scene of ['plain', 'markdown', 'fail']) {
        expect(tokensOf(rehearse(`/scene ${scene} tokens=${tokens} seed=${value}`))).toHaveLength(tokens);
      }
      expect(rehearse(`/scene markdown tokens=${tokens} seed=${value}`).split('```').length % 2).toBe(1);
    }),
    { numRuns: 50 },
  );
});

test('tokens, joined, are the text', () => {
  fc.assert(
    fc.property(fc.string({ unit: 'binary' }), (text) => {
      expect(tokensOf(text).join('')).toBe(text);
    }),
  );
});
