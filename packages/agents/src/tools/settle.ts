/**
 * Brings one requested tool call to its end: ask, start, run, end. Every agent's tools go through here, so there is one
 * rule for approvals.
 *
 * 1. A tool starts only where the configuration allows it, a person granted it, or this call's approval was answered so.
 * 2. An approval that is open parks the turn; one that was denied, expired or cancelled ends the call unrun, and the
 *    model is told.
 * 3. `tool-start` is durable before anything happens (rule 2 of the Agent port). A call that `progress` shows running is
 *    uncertain and is never run again (rule 4).
 * 4. A tool that throws fails its call, not the turn.
 */
import type { ToolId, ToolPart } from '@holdfast/protocol';
import type { AgentEvent, Progress, PromptState, RunContext } from '@holdfast/session';
import { OutputKeeper, type OutputLimits } from './output.ts';
import type { Tool, Toolbox, ToolCall, ToolEnd } from './tool.ts';

export interface PendingCall {
  readonly toolId: ToolId;
  readonly name: string;
  readonly input: unknown;
}

export type Refusal = 'denied' | 'expired' | 'cancelled';

export type Settled =
  | { readonly kind: 'done'; readonly ok: boolean; readonly output: string }
  | { readonly kind: 'refused'; readonly why: Refusal; readonly output: string }
  /** A person, or the caller who runs the tool, has to act first. */
  | { readonly kind: 'parked' }
  /** It was cut off in mid-run. */
  | { readonly kind: 'uncertain' };

export interface SettleOptions {
  readonly toolbox: Pick<Toolbox, 'find' | 'isAllowed'>;
  readonly progress: Progress;
  readonly context: RunContext;
  /** An unanswered approval expires after this; left out: never. */
  readonly approvalDeadlineMs?: number;
  readonly outputLimits?: OutputLimits;
}

/** Arguments that could not be parsed are kept as the text that they were. */
const NOT_JSON =
  'The arguments were not a JSON object; nothing was run. Call again with arguments that are valid JSON.';

type Settling = AsyncGenerator<AgentEvent, Settled, void>;

export async function* settleCall(pending: PendingCall, options: SettleOptions): Settling {
  const { toolbox, progress, context } = options;
  const { toolId, name, input } = pending;
  const part = toolPartOf(progress, toolId);
  const prompt = progress.prompts.findLast((state) => state.toolId === toolId);
  if (part?.state === 'running' || part?.state === 'uncertain') return { kind: 'uncertain' };
  if (part !== undefined && part.state !== 'requested') return settledBefore(part, prompt);
  const tool = toolbox.find(name);
  if (tool === undefined) return yield* fail(toolId, `There is no tool “${name}”.`);
  if (tool.isCallers === true) return yield* takeResult(toolId, progress);
  if (typeof input === 'string') return yield* fail(toolId, NOT_JSON);
  const opened = tool.open(input);
  if (opened.kind === 'invalid')
    return yield* fail(toolId, `${opened.reason}\nNothing was run. Correct it and call again.`);

  const decision = decide(prompt, toolbox.isAllowed(name) || context.isGranted(name, tool.needs));
  switch (decision.kind) {
    case 'ask':
      yield approvalOf(toolId, tool, opened.call, options);
      return { kind: 'parked' };
    case 'wait':
      return { kind: 'parked' };
    case 'refused':
      yield endEvent(toolId, false, decision.output, 0);
      return decision;
    case 'run':
      return yield* perform(toolId, opened.call, options);
  }
}

type Decision = { readonly kind: 'ask' | 'wait' | 'run' } | Extract<Settled, { kind: 'refused' }>;

/** Rules 1 and 2. */
export function decide(prompt: Pick<PromptState, 'outcome' | 'answer'> | undefined, isPermitted: boolean): Decision {
  if (prompt === undefined) return { kind: isPermitted ? 'run' : 'ask' };
  if (prompt.outcome === null) return { kind: 'wait' };
  if (prompt.outcome !== 'answered') {
    return refused(prompt.outcome, 'Nobody answered whether this may run, so it was not run.');
  }
  const { answer = 'deny' } = prompt;
  if (answer === 'once' || answer === 'session' || answer === 'always') return { kind: 'run' };
  // An answer that is none of the choices is a refusal with its reason.
  return refused(
    'denied',
    `The person denied this call; it was not run.${answer === 'deny' ? '' : ` They said: ${answer}`}`,
  );
}

const refused = (why: Refusal, output: string): Extract<Settled, { kind: 'refused' }> => ({
  kind: 'refused',
  why,
  output,
});

function settledBefore(part: ToolPart, prompt: PromptState | undefined): Settled {
  const decision = decide(prompt, true);
  return decision.kind === 'refused' ? decision : { kind: 'done', ok: part.state === 'done', output: part.output };
}

async function* takeResult(toolId: ToolId, progress: Progress): Settling {
  const result = progress.results.find((candidate) => candidate.toolId === toolId);
  if (result === undefined) return { kind: 'parked' };
  yield endEvent(toolId, result.ok, result.output, 0);
  return { kind: 'done', ok: result.ok, output: result.output };
}

async function* perform(toolId: ToolId, call: ToolCall, { context, outputLimits }: SettleOptions): Settling {
  const { clock } = context;
  const startedMs = clock.now();
  const keeper = new OutputKeeper(() => context.openBlob('text/plain; charset=utf-8'), outputLimits);
  yield { type: 'tool-start', toolId };
  const end = yield* pump(toolId, call, keeper, context);
  const kept = await keeper.end(end.note);
  const durationMs = Math.max(0, clock.now() - startedMs);
  yield { type: 'tool-end', toolId, ok: end.ok, durationMs, ...kept };
  return { kind: 'done', ok: end.ok, output: kept.output };
}

async function* pump(
  toolId: ToolId,
  call: ToolCall,
  keeper: OutputKeeper,
  context: RunContext,
): AsyncGenerator<AgentEvent, ToolEnd, void> {
  const running = call.run(context);
  try {
    for (;;) {
      const next = await running.next();
      if (next.done === true) return next.value;
      // Back-pressure: nothing more is read before this is kept.
      const live = await keeper.add(next.value);
      if (live !== '') yield { type: 'tool-output', toolId, text: live };
      if (keeper.isFull) return { ok: false, note: 'Ended: it printed more than can be stored.' };
    }
  } catch (error) {
    return { ok: false, note: `The tool failed: ${error instanceof Error ? error.message : String(error)}` };
  } finally {
    // Ends whatever it still holds, where it was left before its end.
    await running.return({ ok: false });
  }
}

async function* fail(toolId: ToolId, output: string): Settling {
  yield endEvent(toolId, false, output, 0);
  return { kind: 'done', ok: false, output };
}

const endEvent = (toolId: ToolId, ok: boolean, output: string, durationMs: number): AgentEvent => ({
  type: 'tool-end',
  toolId,
  ok,
  output,
  durationMs,
});

const approvalOf = (
  toolId: ToolId,
  { needs = 'tools' }: Tool,
  { title, detail }: ToolCall,
  options: SettleOptions,
): AgentEvent => ({
  type: 'prompt',
  promptId: options.context.promptId(),
  kind: 'approval',
  title,
  detail,
  choices: ['once', 'session', 'always', 'deny'],
  toolId,
  needs,
  ...(options.approvalDeadlineMs === undefined ? {} : { deadlineMs: options.approvalDeadlineMs }),
});

export const toolPartOf = (progress: Progress, toolId: ToolId): ToolPart | undefined =>
  progress.parts.find((part): part is ToolPart => part.type === 'tool' && part.toolId === toolId);
