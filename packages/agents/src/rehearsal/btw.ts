/**
 * The rehearsal's answer to a side question. A scene's text is played at its pace, without its tools and questions; any other
 * question is answered by what it was asked beside, so that one sees what an agent was given.
 */
import type { Message } from '@holdfast/protocol';
import type { Agent, BtwContext, BtwInput, RunEnd } from '@holdfast/session';
import { createPacer } from './pacer.ts';
import { scriptOf } from './rehearse.ts';
import { isScene, parseScene } from './scene.ts';
import { tokensOf } from './tokens.ts';
import type { Script, StepResult } from './script.ts';

type Answering = ReturnType<NonNullable<Agent['btw']>>;

const DEFAULT_RATE = 50;
const DONE: StepResult = { kind: 'done' };

export async function* btw({ question, messages }: BtwInput, { clock, signal }: BtwContext): Answering {
  const parsed = parseScene(question);
  const scene = isScene(question) && parsed.kind === 'scene' ? parsed.scene : undefined;
  const pacer = createPacer(clock, scene?.rate ?? DEFAULT_RATE, signal);
  if (scene !== undefined) await clock.sleep(scene.delayMs, signal);
  const steps = isScene(question) ? scriptOf(question) : said(messages, question);
  for (;;) {
    const { value: step, done } = steps.next(DONE);
    if (done === true || signal.aborted) return { outcome: 'completed' };
    if (step.kind === 'fail') return failed(step);
    if (step.kind !== 'text') continue;
    await pacer.spend(1);
    if (signal.aborted) return { outcome: 'completed' };
    yield { type: 'text', text: step.token };
  }
}

const failed = ({
  fault,
  reason,
}: {
  readonly fault: Extract<RunEnd, { outcome: 'failed' }>['fault'];
  readonly reason: string;
}): RunEnd => ({
  outcome: 'failed',
  fault,
  reason,
});

function* said(messages: readonly Message[], question: string): Script {
  const last = messages.at(-1);
  const state = last?.state === 'streaming' ? 'is being written' : 'is there';
  const text = `You asked beside the conversation: “${question}”. It has ${messages.length} messages; the last one ${state}.`;
  for (const token of tokensOf(text)) yield { kind: 'text', token };
}
