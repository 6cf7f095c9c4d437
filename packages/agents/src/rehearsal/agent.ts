/**
 * The rehearsal agent: plays scenes without a network, deterministically, through everything that a real agent goes through.
 *
 * 1. The text depends on the scene, its seed and what people answered; never on time, machine or where it was parked.
 * 2. Approvals and questions park the turn; it goes on from `progress` (`played.ts`).
 * 3. A steer is taken between two blocks and answered there.
 * 4. Every scene but `deaf` heeds the signal at each token.
 */
import type { Message } from '@holdfast/protocol';
import type { Agent, AgentEvent, RunContext, RunEnd, RunInput } from '@holdfast/session';
import { settleCall, type Settled, type SettleOptions } from '../tools/settle.ts';
import { createToolbox, type Tool, type Toolbox } from '../tools/tool.ts';
import { cut } from '@holdfast/protocol/text';
import { btw } from './btw.ts';
import { createPacer, type Pacer } from './pacer.ts';
import { Played, replyToSteer } from './played.ts';
import { scriptOf } from './rehearse.ts';
import { isScene, parseScene, type Scene } from './scene.ts';
import type { Script, Step, StepResult } from './script.ts';
import { tokensOf } from './tokens.ts';

export interface RehearsalOptions {
  /** For the key `run` of the scene `tool`; without a `shell` tool in it the scene says so. */
  readonly toolbox?: Toolbox;
}

/** A step's result, or how the whole run ends. */
type Outcome = { readonly kind: 'next'; readonly result: StepResult } | { readonly kind: 'end'; readonly end: RunEnd };
type Performing = AsyncGenerator<AgentEvent, Outcome, void>;

const DONE: Outcome = { kind: 'next', result: { kind: 'done' } };
const PARKED: Outcome = { kind: 'end', end: { outcome: 'parked' } };
/** How a run that was cancelled ends is not read: whoever cancelled it knows. */
const STOPPED: RunEnd = { outcome: 'completed' };
const ASKING_TOOL = 'rehearsal_deploy';
const QUIET_TOOL = 'rehearsal_search';

export function rehearsalAgent(options: RehearsalOptions = {}): Agent {
  return {
    name: 'rehearsal',
    description: 'Plays scenes offline: try /scene markdown',
    resumable: true,
    run: (input, context) => run(input, context, options),
    btw,
    title: ({ messages }) => Promise.resolve(titleOf(messages)),
    check: () => Promise.resolve({ ok: true, detail: 'The rehearsal agent is built in and needs nothing.' }),
  };
}

async function* run(
  input: RunInput,
  context: RunContext,
  options: RehearsalOptions,
): AsyncGenerator<AgentEvent, RunEnd, void> {
  const said = input.messages.at(-1)?.text ?? '';
  const parsed = parseScene(said);
  const scene = parsed.kind === 'scene' ? parsed.scene : sceneOfText();
  const stage = new Stage(scene, input, context, options);
  const end = yield* stage.play(scriptOf(said));
  yield { type: 'usage', inputTokens: tokensOf(said).length, outputTokens: stage.outputTokens };
  return end;
}

/** The pace of an explanation. */
const sceneOfText = (): Scene => {
  const hello = parseScene('');
  if (hello.kind === 'error') throw new Error(hello.text);
  return hello.scene;
};

class Stage {
  readonly #scene: Scene;
  readonly #input: RunInput;
  readonly #context: RunContext;
  readonly #options: RehearsalOptions;
  readonly #played: Played;
  readonly #pacer: Pacer;
  readonly #signal: AbortSignal | undefined;
  #isSilent = true;
  outputTokens = 0;

  constructor(scene: Scene, input: RunInput, context: RunContext, options: RehearsalOptions) {
    this.#scene = scene;
    this.#input = input;
    this.#context = context;
    this.#options = options;
    this.#played = new Played(input.progress);
    this.#signal = scene.name === 'deaf' ? undefined : context.signal;
    this.#pacer = createPacer(context.clock, scene.rate, this.#signal);
  }

  async *play(steps: Script): AsyncGenerator<AgentEvent, RunEnd, void> {
    let result: StepResult = { kind: 'done' };
    for (;;) {
      const { value: step, done } = steps.next(result);
      if (this.#isStopped) return STOPPED;
      if (done === true) break;
      const outcome: Outcome = yield* this.#perform(step);
      if (outcome.kind === 'end') return outcome.end;
      ({ result } = outcome);
    }
    yield* this.#takeSteers();
    return { outcome: 'completed' };
  }

  get #isStopped(): boolean {
    return this.#signal?.aborted === true;
  }

  async *#perform(step: Step): Performing {
    switch (step.kind) {
      case 'text':
      case 'thinking':
        yield* this.#say(step.kind, this.#played.rest(step.kind, step.token));
        return DONE;
      case 'boundary':
        if (this.#played.isCaughtUp) yield* this.#takeSteers();
        return DONE;
      case 'tool': {
        const tool = rehearsalTool(step.asks ? ASKING_TOOL : QUIET_TOOL, step.lines, this.#pacer);
        const allowed = step.asks ? [] : [tool.name];
        return yield* this.#useTool(tool.name, { query: this.#scene.seed }, createToolbox({ tools: [tool], allowed }));
      }
      case 'shell':
        return yield* this.#useTool(
          'shell',
          { command: step.command },
          this.#options.toolbox ?? createToolbox({ tools: [] }),
        );
      case 'question':
        return yield* this.#ask(step);
      case 'fail':
        return { kind: 'end', end: { outcome: 'failed', fault: step.fault, reason: step.reason } };
    }
  }

  async *#say(kind: 'text' | 'thinking', text: string): AsyncGenerator<AgentEvent, void, void> {
    if (text === '') return;
    if (this.#isSilent && this.#played.isEmpty) await this.#context.clock.sleep(this.#scene.delayMs, this.#signal);
    this.#isSilent = false;
    await this.#pacer.spend(1);
    if (this.#isStopped) return;
    this.outputTokens += 1;
    yield { type: kind, text };
  }

  async *#takeSteers(): AsyncGenerator<AgentEvent, void, void> {
    for (const steer of await this.#context.takeSteers()) {
      for (const token of tokensOf(replyToSteer(steer.text))) yield* this.#say('text', token);
    }
  }

  async *#useTool(name: string, input: unknown, toolbox: Toolbox): Performing {
    const before = this.#played.nextTool();
    const toolId = before?.toolId ?? this.#context.toolId();
    if (before === undefined) yield { type: 'tool-request', toolId, name, input };
    const { deadlineMs } = this.#scene;
    const options: SettleOptions = {
      toolbox,
      progress: this.#input.progress,
      context: this.#context,
      ...(deadlineMs === undefined ? {} : { approvalDeadlineMs: deadlineMs }),
    };
    return outcomeOf(yield* settleCall({ toolId, name, input }, options));
  }

  async *#ask(step: Extract<Step, { kind: 'question' }>): Performing {
    const before = this.#played.nextQuestion();
    if (before === undefined) {
      const { deadlineMs } = this.#scene;
      yield {
        type: 'prompt',
        promptId: this.#context.promptId(),
        kind: 'question',
        title: step.title,
        detail: 'Choose one, or write what you like.',
        choices: step.choices,
        ...(deadlineMs === undefined ? {} : { deadlineMs }),
      };
    }
    if (before === undefined || before.outcome === null) return PARKED;
    return before.outcome === 'answered'
      ? { kind: 'next', result: { kind: 'answered', answer: before.answer ?? '' } }
      : { kind: 'next', result: { kind: 'refused', why: before.outcome } };
  }
}

function outcomeOf(settled: Settled): Outcome {
  switch (settled.kind) {
    case 'done':
      return DONE;
    case 'refused':
      return { kind: 'next', result: settled };
    case 'parked':
      return PARKED;
    case 'uncertain':
      return {
        kind: 'end',
        end: {
          outcome: 'failed',
          fault: 'owner-lost',
          reason: 'The tool was cut off in mid-run and is not run again.',
        },
      };
  }
}

/** A tool that does nothing, line by line. */
function rehearsalTool(name: string, lines: readonly string[], pacer: Pacer): Tool {
  return {
    // It plays a tool and runs nothing.
    needs: 'write',
    name,
    description: 'Prints lines and does nothing.',
    parameters: {},
    open: () => ({
      kind: 'call',
      call: {
        title: 'Use the rehearsal tool',
        detail: 'It prints a few lines and changes nothing: you can allow or deny it without a care.',
        run: async function* run({ signal }) {
          for (const line of lines) {
            await pacer.spend(tokensOf(line).length);
            if (signal.aborted) return { ok: false, note: 'Ended: the turn was stopped.' };
            yield line;
          }
          return { ok: true };
        },
      },
    }),
  };
}

function titleOf(messages: readonly Message[]): string {
  const text = messages.find((message) => message.role === 'user')?.text ?? '';
  if (isScene(text)) return `Rehearsal: ${text.trim().split(/\s+/)[1] ?? 'scene'}`;
  const words = text.trim().split(/\s+/).slice(0, 6).join(' ');
  return words === '' ? 'Rehearsal' : cut(words, 0, 60);
}
