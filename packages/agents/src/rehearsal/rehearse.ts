/**
 * The whole answer of a rehearsal beforehand: the same steps that the agent plays, run through at once.
 */
import { parseScene } from './scene.ts';
import { explain, QUESTION_CHOICES, script, type Script, type Step, type StepResult } from './script.ts';

export interface RehearseOptions {
  /**
   * What the person answers: `once`, `session`, `always` or `deny` to an approval, any text to a question; null: nobody
   * does, and the prompt expires. Left out: the approval is given, the question gets its first choice.
   */
  readonly answer?: string | null;
}

/** The text that the rehearsal agent answers to `message`, up to where it fails if it does. */
export function rehearse(message: string, options: RehearseOptions = {}): string {
  const steps = scriptOf(message);
  let text = '';
  let result: StepResult = { kind: 'done' };
  for (;;) {
    const { value: step, done } = steps.next(result);
    if (done === true || step.kind === 'fail') return text;
    if (step.kind === 'text') text += step.token;
    result = resultOf(step, options);
  }
}

/** @returns the steps for a message: the scene's, or the explanation why it is none. */
export function scriptOf(message: string): Script {
  const parsed = parseScene(message);
  return parsed.kind === 'scene' ? script(parsed.scene) : explain(parsed.text);
}

function resultOf(step: Step, { answer }: RehearseOptions): StepResult {
  const isAsked = step.kind === 'shell' || step.kind === 'question' || (step.kind === 'tool' && step.asks);
  if (!isAsked) return { kind: 'done' };
  if (answer === null) return { kind: 'refused', why: 'expired' };
  if (step.kind === 'question') return { kind: 'answered', answer: answer ?? QUESTION_CHOICES[0] };
  return answer === undefined || ['once', 'session', 'always'].includes(answer)
    ? { kind: 'done' }
    : { kind: 'refused', why: 'denied' };
}
