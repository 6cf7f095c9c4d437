/**
 * What a scene plays, as steps. Pure: it knows no clock, no tool and no person; what a person answered is handed in.
 *
 * 1. Same scene and same answers: same steps. Rate and delay do not touch them.
 * 2. A `text` step's block stands alone: the first token of every block but the first begins with an empty line.
 * 3. `boundary` stands between blocks, where something may be put in (a steer).
 */
import type { FaultKind } from '@holdfast/protocol/fault';
import { cut } from '@holdfast/protocol/text';
import { MARKDOWN_BLOCKS } from './blocks.ts';
import { pick, seededRandom, type Random } from './random.ts';
import { SCENE_NAMES, SCENES, type Scene } from './scene.ts';
import { tokensOf } from './tokens.ts';
import { paragraph } from './words.ts';

export type Step =
  | { readonly kind: 'text' | 'thinking'; readonly token: string }
  | { readonly kind: 'boundary' }
  | { readonly kind: 'tool'; readonly lines: readonly string[]; readonly asks: boolean }
  | { readonly kind: 'shell'; readonly command: string }
  | { readonly kind: 'question'; readonly title: string; readonly choices: readonly string[] }
  | { readonly kind: 'fail'; readonly fault: FaultKind; readonly reason: string };

/** What came of the step before; only tools and questions have more to say than `done`. */
export type StepResult =
  | { readonly kind: 'done' }
  | { readonly kind: 'answered'; readonly answer: string }
  | { readonly kind: 'refused'; readonly why: 'denied' | 'expired' | 'cancelled' };

export type Script = Generator<Step, void, StepResult>;

export const QUESTION_CHOICES: readonly [string, ...string[]] = ['tea', 'coffee', 'water'];

export function* script(scene: Scene): Script {
  const random = seededRandom(scene.seed);
  const write = writer();
  switch (scene.name) {
    case 'hello':
      return yield* blocks(write, hello(random, scene.said));
    case 'markdown':
      return yield* markdown(write, random, scene.tokens);
    case 'thinking':
      // The thought has a chance of its own, so that the answer is the one that `plain` gives.
      yield* tokensOf(thought(seededRandom(~scene.seed), scene.tokens)).map(
        (token) => ({ kind: 'thinking', token }) as const,
      );
      return yield* prose(write, random, scene.tokens);
    case 'tool':
      return yield* tool(write, random, scene);
    case 'approval':
      return yield* approval(write, random, scene);
    case 'question':
      return yield* question(write, random, scene);
    case 'fail':
      yield* cutOff(prose(write, random, scene.tokens + 40), scene.tokens);
      yield { kind: 'fail', fault: scene.fault, reason: 'The scene “fail” breaks off here, as it was asked to.' };
      return;
    case 'plain':
    case 'long':
    case 'fast':
    case 'slow-start':
    case 'deaf':
      return yield* prose(write, random, scene.tokens);
  }
}

/** What is answered to a scene that does not exist. */
export function* explain(text: string): Script {
  yield* blocks(writer(), [text, `Try \`/scene markdown\`, or \`/scene plain tokens=200 rate=50 seed=7\`.`]);
}

// ── scenes ──────────────────────────────────────────────────────────────────────────────────────────────────────────

function* tool(write: Writer, random: Random, { tokens, lines, run }: Scene): Script {
  if (run === undefined) {
    yield* write(paragraph(random, 12));
    yield { kind: 'tool', lines: outputLines(random, lines), asks: false };
    return yield* prose(write, random, tokens);
  }
  yield* write('I run the command that you gave.');
  const result = yield { kind: 'shell', command: run };
  yield* write(
    result.kind === 'refused' ? refusal(result.why) : 'The command has ended; what it printed stands above.',
  );
  return yield* prose(write, random, tokens);
}

function* approval(write: Writer, random: Random, { tokens, lines }: Scene): Script {
  yield* write(`I would like to use a tool. ${paragraph(random, 12)}`);
  const result = yield { kind: 'tool', lines: outputLines(random, lines), asks: true };
  yield* write(result.kind === 'refused' ? refusal(result.why) : 'Thank you. The tool has run.');
  return yield* prose(write, random, tokens);
}

function* question(write: Writer, random: Random, { tokens }: Scene): Script {
  yield* write(`Before I go on I have a question. ${paragraph(random, 12)}`);
  const result = yield { kind: 'question', title: 'What shall it be?', choices: QUESTION_CHOICES };
  yield* write(
    result.kind === 'answered' ? `Your answer: ${oneLine(result.answer)}.` : 'Nobody answered, so I choose tea.',
  );
  return yield* prose(write, random, tokens);
}

const refusal = (why: 'denied' | 'expired' | 'cancelled'): string =>
  why === 'denied' ? 'You said no, so I did not run it.' : 'Nobody answered, so I did not run it.';

function* markdown(write: Writer, random: Random, tokens: number): Script {
  let left = tokens;
  for (let turn = 0; ; turn += 1) {
    const block = (MARKDOWN_BLOCKS[turn % MARKDOWN_BLOCKS.length] ?? MARKDOWN_BLOCKS[0])(random);
    const size = tokensOf(block).length;
    // The rest, too short for the next block, is prose of the exact length.
    if (size > left) return yield* prose(write, random, left);
    yield* write(block);
    left -= size;
  }
}

/** Paragraphs of 40 to 90 words. */
function* prose(write: Writer, random: Random, tokens: number): Script {
  for (let left = tokens; left > 0;) {
    const size = Math.min(left, 40 + random(51));
    yield* write(paragraph(random, size));
    left -= size;
  }
}

/** The first `tokens` of a text: it ends in mid-sentence. */
function* cutOff(steps: Script, tokens: number): Script {
  for (let left = tokens; left > 0;) {
    const { value: step, done } = steps.next({ kind: 'done' });
    if (done === true) return;
    if (step.kind === 'text') left -= 1;
    yield step;
  }
}

const thought = (random: Random, tokens: number): string =>
  `The question first, then what follows from it. ${paragraph(random, Math.max(8, Math.floor(tokens / 2)))}`;

const outputLines = (random: Random, count: number): readonly string[] =>
  Array.from({ length: count }, (_none, index) => `[${index + 1}/${count}] ${paragraph(random, 4 + random(5))}\n`);

function hello(random: Random, said: string): readonly string[] {
  const greeting = pick(random, ['Hello!', 'Ahoy!', 'Good to see you.', 'Welcome aboard.']);
  const heard = said.trim() === '' ? 'You sent an empty message.' : `You wrote: “${oneLine(said)}”.`;
  return [
    `${greeting} ${heard} I am the rehearsal agent: I am no language model and need no network, but everything around me is real. What you see here streams, stops, queues, parks and resumes as it does with a model.`,
    '**Scenes** that I can play:',
    SCENE_NAMES.map((name) => `- \`/scene ${name}\`: ${SCENES[name].about}`).join('\n'),
    'Every scene takes `tokens`, `rate` (tokens a second), `seed` and `delay` (milliseconds before the first token). The same scene and seed always give the same text: `/scene plain tokens=200 seed=7`.',
    pick(random, [
      'Try to stop me in mid-answer, or send a message while I write.',
      'Try reloading the page while I write: not a character is lost.',
      'Try `/scene approval`, close the page, and answer tomorrow.',
    ]),
    'To talk to a real model, set `HOLDFAST_MODEL_URL` (any OpenAI-compatible address), `HOLDFAST_MODEL` and, where it needs one, `HOLDFAST_MODEL_KEY`.',
  ];
}

const oneLine = (text: string): string => {
  const line = text.trim().replaceAll(/\s+/g, ' ');
  return line.length > 120 ? `${cut(line, 0, 120)}…` : line;
};

// ── writing ─────────────────────────────────────────────────────────────────────────────────────────────────────────

type Writer = (block: string) => Script;

function writer(): Writer {
  let isFirst = true;
  return function* write(block) {
    const [first = '', ...rest] = tokensOf(block);
    if (!isFirst) yield { kind: 'boundary' };
    yield { kind: 'text', token: isFirst ? first : `\n\n${first}` };
    isFirst = false;
    for (const token of rest) yield { kind: 'text', token };
  };
}

function* blocks(write: Writer, texts: readonly string[]): Script {
  for (const text of texts) yield* write(text);
}
