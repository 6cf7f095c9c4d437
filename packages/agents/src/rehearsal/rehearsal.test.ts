import { expect, test } from 'vitest';
import { heldClock, instantClock } from '../../test/clocks.ts';
import { Conversation } from '../../test/conversation.ts';
import { createToolbox, defineTool, type Tool } from '../tools/tool.ts';
import { z } from 'zod';
import { rehearsalAgent } from './agent.ts';
import { Played, replyToSteer } from './played.ts';
import { createPacer } from './pacer.ts';
import { rehearse } from './rehearse.ts';

const converse = (options: ConstructorParameters<typeof Conversation>[1] = {}): Conversation =>
  new Conversation(rehearsalAgent(), { clock: instantClock(), ...options });

test('the same scene and seed give the same text on every machine: these words are fixed', () => {
  expect(rehearse('/scene plain tokens=24 seed=7')).toMatchInlineSnapshot(
    `"Each ledger measures its own engine. In nine days the rope finds what the tide has lost. The quiet chart measures the mooring exactly."`,
  );
  expect(rehearse('/scene plain tokens=24 seed=7')).not.toBe(rehearse('/scene plain tokens=24 seed=8'));
});

test('an unknown scene, key or value is answered by what is known', () => {
  expect(rehearse('/scene')).toContain('Known scenes: plain, markdown, thinking');
  expect(rehearse('/scene markdwn')).toContain('There is no scene “markdwn”. Known scenes: plain');
  expect(rehearse('/scene plain speed=3')).toContain('has no key “speed”. Known keys: tokens, rate, seed, delay');
  expect(rehearse('/scene plain tokens=0')).toContain('a whole number from 1 to 1000000, not “0”');
  expect(rehearse('/scene fail fault=nope')).toContain('Known faults: invalid-request');
  expect(rehearse('/scene tool run=')).toContain('needs a command');
  expect(rehearse('/scenery is nice')).toContain('You wrote: “/scenery is nice”');
});

test('thinking comes first, as thinking, and the answer is the one of `plain`', async () => {
  const conversation = converse();
  await conversation.say('/scene thinking tokens=50 seed=3');
  expect(conversation.answerMessage.parts.map(({ type }) => type)).toEqual(['thinking', 'text']);
  expect(conversation.text).toBe(rehearse('/scene plain tokens=50 seed=3'));
});

test('one token is one event, in order, whatever the rate', async () => {
  const { events } = await converse().say('/scene fast tokens=3000');
  expect(events.filter(({ type }) => type === 'text')).toHaveLength(3000);
  expect(events.at(-1)).toEqual({ type: 'usage', inputTokens: 3, outputTokens: 3000 });
});

test('the pace holds above the timer resolution: 5,000 tokens a second are 5 for each millisecond, in one tick', async () => {
  const clock = instantClock();
  const startMs = clock.now();
  await converse({ clock }).say('/scene fast tokens=20000 delay=0');
  expect(clock.now() - startMs).toBeGreaterThan(3_900);
  expect(clock.now() - startMs).toBeLessThan(4_100);
});

test('the first token waits for its delay; a clock that jumps brings a bounded burst and one that goes back none', async () => {
  const clock = instantClock();
  const startMs = clock.now();
  let firstMs = 0;
  await converse({ clock, onEvent: () => (firstMs ||= clock.now() - startMs) }).say('/scene slow-start tokens=5');
  expect(firstMs).toBeGreaterThanOrEqual(8_000);

  const held = heldClock();
  const pacer = createPacer(held, 100, undefined);
  const first = pacer.spend(1);
  held.advance(3_600_000);
  await first;
  let free = 0;
  while (pacer.spend(1) === undefined) free += 1;
  expect(free).toBeLessThanOrEqual(25);
});

test('an approval parks, survives, and goes on: what was said is neither doubled nor left out', async () => {
  const conversation = converse();
  const { end } = await conversation.say('/scene approval tokens=30 deadline=5000');
  expect(end).toEqual({ outcome: 'parked' });
  expect(conversation.prompts[0]).toMatchObject({
    kind: 'approval',
    toolId: conversation.tools[0]?.toolId,
    choices: ['once', 'session', 'always', 'deny'],
  });
  const ran = await conversation.answer('once');
  expect(ran.end).toEqual({ outcome: 'completed' });
  expect(ran.events.filter(({ type }) => type === 'tool-request')).toEqual([]);
  expect(conversation.tools[0]).toMatchObject({ state: 'done' });
  expect(conversation.text).toBe(rehearse('/scene approval tokens=30'));
});

test('a turn that is run again while its prompt is open parks again and says nothing', async () => {
  const conversation = converse();
  await conversation.say('/scene question');
  const { text } = conversation;
  const again = await conversation.run();
  expect(again.end).toEqual({ outcome: 'parked' });
  expect(again.events.map(({ type }) => type)).toEqual(['usage']);
  expect(conversation.text).toBe(text);
});

test('“session” is a grant: the next approval scene does not ask', async () => {
  const conversation = converse();
  await conversation.say('/scene approval');
  await conversation.answer('session');
  const { end } = await conversation.say('/scene approval seed=2');
  expect(end.outcome).toBe('completed');
  expect(conversation.prompts).toEqual([]);
});

test('a denied tool does not start', async () => {
  const conversation = converse();
  await conversation.say('/scene approval');
  const { events } = await conversation.answer('deny');
  expect(events.map(({ type }) => type)).not.toContain('tool-start');
  expect(conversation.tools[0]).toMatchObject({ state: 'failed' });
  expect(conversation.text).toContain('You said no');
});

test('the tool scene shows live lines and settles to the same output', async () => {
  const { events } = await converse().say('/scene tool lines=4');
  const live = events.flatMap((event) => (event.type === 'tool-output' ? [event.text] : []));
  expect(live).toHaveLength(4);
  expect(events.find((event) => event.type === 'tool-end')).toMatchObject({ ok: true, output: live.join('') });
});

test('`fail` keeps what was said and names its fault', async () => {
  const conversation = converse();
  const { end } = await conversation.say('/scene fail tokens=20 fault=model-silent');
  expect(end).toMatchObject({ outcome: 'failed', fault: 'model-silent' });
  expect(conversation.text).toBe(rehearse('/scene fail tokens=20'));
});

test('a stop ends the scene at the next token; `deaf` says all it has to say', async () => {
  const stopAt = (count: number): ConstructorParameters<typeof Conversation>[1] => {
    let seen = 0;
    return { onEvent: (_event, { abort }) => (++seen === count ? abort.abort() : undefined) };
  };
  const heard = await converse(stopAt(10)).say('/scene plain');
  expect(heard.events.filter(({ type }) => type === 'text')).toHaveLength(10);
  const deaf = await converse(stopAt(10)).say('/scene deaf tokens=50');
  expect(deaf.events.filter(({ type }) => type === 'text')).toHaveLength(50);
});

test('a steer is answered between two blocks, and a turn that parks afterwards still doubles nothing', async () => {
  const conversation = converse({
    onEvent: (event, self) => (event.type === 'text' && self.text === '' ? self.steer('be brief') : undefined),
  });
  await conversation.say('/scene question tokens=10');
  const { end } = await conversation.answer('water');
  expect(end.outcome).toBe('completed');
  const reply = '\n\n> be brief\n\nNoted: I take that with me from here.';
  expect(conversation.text.split(reply)).toHaveLength(2);
  expect(conversation.text.replace(reply, '')).toBe(rehearse('/scene question tokens=10', { answer: 'water' }));
});

test('what was said to a steer is no part of the script: a resumed turn does not count it as played', () => {
  const steer = { type: 'steer', messageId: 'm_2' as never, author: 'ann', text: 'shorter' } as const;
  const parts = [
    { type: 'text', text: 'one' } as const,
    steer,
    { type: 'text', text: `${replyToSteer('shorter')} two` } as const,
  ];
  const played = new Played({ parts, prompts: [], results: [] });
  expect(['one', ' two', ' three'].map((token) => played.rest('text', token))).toEqual(['', '', ' three']);
});

test('`run` goes through the shell tool and its approval; without that tool the call fails and says so', async () => {
  const commands: string[] = [];
  const shell: Tool = defineTool({
    name: 'shell',
    description: '',
    input: z.strictObject({ command: z.string() }),
    open: ({ command }) => ({
      title: 'Run a command',
      detail: command,
      run: async function* run() {
        commands.push(command);
        yield 'ran\n';
        return { ok: true };
      },
    }),
  });
  const message = String.raw`/scene tool tokens=5 run="sleep 2; touch \"a b\""`;
  const conversation = new Conversation(rehearsalAgent({ toolbox: createToolbox({ tools: [shell] }) }), {
    clock: instantClock(),
  });
  expect((await conversation.say(message)).end.outcome).toBe('parked');
  expect(commands).toEqual([]);
  await conversation.answer('once');
  expect(commands).toEqual(['sleep 2; touch "a b"']);
  expect(conversation.text).toBe(rehearse(message));

  const bare = converse();
  expect((await bare.say(message)).end.outcome).toBe('completed');
  expect(bare.tools[0]).toMatchObject({ state: 'failed', output: 'There is no tool “shell”.' });
});

test('titles are short and need no model', async () => {
  const conversation = converse();
  await conversation.say('/scene plain tokens=3');
  const { signal } = new AbortController();
  expect(await rehearsalAgent().title?.({ messages: conversation.view.messages, signal })).toBe('Rehearsal: plain');
});
