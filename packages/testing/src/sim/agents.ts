/**
 * Agents that follow a script drawn from the turn's id, and misbehave: slow, deaf, throwing, talking on after they were
 * abandoned, parked with prompts that have deadlines or have none, waiting for tools that the caller runs.
 *
 * What they said and did is written down here, outside the log: it is what the log is held against (`laws.ts`).
 *
 *  A1  The script of a turn depends on its id alone: a turn that is started again, on whatever node, follows the same one.
 *  A2  Every piece of text names the call that said it and its place in it, so that a lost, doubled or foreign piece shows.
 *  A3  The effect of a tool happens after `tool-start` is durable, and is counted.
 */
import { seeded } from '../power/seeded.ts';
import type { Agent, AgentEvent, RunContext, RunEnd, RunInput } from '@holdfast/session';
import type { Process } from './scheduler.ts';

type Act =
  | { readonly kind: 'say'; readonly pieces: number; readonly gapMs: number }
  | { readonly kind: 'think' }
  | { readonly kind: 'sleep'; readonly ms: number }
  | { readonly kind: 'tool'; readonly ms: number }
  | { readonly kind: 'steers' }
  | { readonly kind: 'data' }
  | { readonly kind: 'ask'; readonly prompts: number; readonly deadlineMs: number | undefined; readonly tool: boolean }
  | { readonly kind: 'call'; readonly tools: number }
  | { readonly kind: 'hang' }
  | { readonly kind: 'throw' }
  | { readonly kind: 'refuse' };

interface Script {
  /** Each but the last ends with what it is parked for. */
  readonly calls: readonly (readonly Act[])[];
  /** Does not heed the signal. */
  readonly deaf: boolean;
}

/** One call of an agent, as the agent knows it. */
export interface Call {
  readonly id: string;
  readonly process: Process;
  readonly sessionId: string;
  readonly turnId: string;
  /** Which call of its turn, from 0: how often the turn had been parked. */
  readonly index: number;
  readonly signal: AbortSignal;
  /** It does not heed the signal. */
  readonly isDeaf: boolean;
  readonly pausesAtStart: number;
  /** The messages it was to answer, by id. */
  readonly asked: readonly string[];
  /** The messages it was told of, by id. */
  readonly history: readonly string[];
  /** Whether it may run its tool unasked. */
  readonly isGranted: boolean;
  /** The head of the log as it began. */
  readonly atSeq: number;
  /** How many pieces of text it handed over. */
  said: number;
  /** It told what it had used; it may have been cut right behind that. */
  hasToldUsage: boolean;
  end: RunEnd['outcome'] | 'open' | 'threw';
  /** It came to its end without having been told to stop. */
  isWhole: boolean;
  /** Answers that it was given, by prompt. */
  readonly answers: ReadonlyMap<string, string>;
  /** And whose they were. */
  readonly answerers: Map<string, string | undefined>;
}

/** A steer that was handed to an agent. */
export interface Heard {
  readonly call: Call;
  readonly author: string;
  readonly text: string;
}

/** What all agents of a run have done. */
export interface Oracle {
  readonly calls: Call[];
  readonly effectsByTool: Map<string, number>;
  readonly steers: Heard[];
  headOf(sessionId: string): number;
  /** Called at every act of every call. */
  onAct(call: Call): void;
}

/** What an agent throws on purpose. */
export const SCRIPTED = 'Scripted.';

export const piece = (call: string, index: number): string => `${call}.${index} `;

function hashOf(text: string): number {
  let hash = 0x81_1c_9d_c5;
  for (let index = 0; index < text.length; index += 1) hash = Math.imul(hash ^ text.charCodeAt(index), 0x01_00_01_93);
  return hash >>> 0;
}

function scriptOf(turnId: string, seed: number, chatter: number, resumable: boolean): Script {
  const random = seeded(hashOf(turnId) ^ seed);
  const draw = (below: number): number => Math.floor(random() * below);
  const act = (): Act => {
    switch (draw(12)) {
      case 0:
        return { kind: 'sleep', ms: draw(400) };
      case 1:
      case 2:
        return { kind: 'tool', ms: draw(60) };
      case 3:
      case 4:
        return { kind: 'steers' };
      case 5:
        return { kind: 'think' };
      case 6:
        return { kind: 'data' };
      case 7:
        return random() < 0.4 ? { kind: 'hang' } : { kind: 'steers' };
      case 8:
        return random() < 0.2 ? { kind: random() < 0.5 ? 'throw' : 'refuse' } : { kind: 'data' };
      default:
        return { kind: 'say', pieces: 1 + draw(6), gapMs: random() < 0.5 ? 0 : draw(30) };
    }
  };
  const acts = (): Act[] => Array.from({ length: draw(5) }, act);
  const waitFor = (): Act => {
    if (resumable && random() < 0.35) return { kind: 'call', tools: 1 + draw(2) };
    const deadlineMs = random() < 0.4 ? 200 + draw(4_000) : undefined;
    return { kind: 'ask', prompts: 1 + draw(2), deadlineMs, tool: random() < 0.7 };
  };
  const talk: Act[] = Array.from({ length: chatter > 1 ? chatter : 0 }, () => ({ kind: 'data' }));
  const parks = random() < 0.6 ? 0 : 1 + draw(2);
  const calls = Array.from({ length: parks }, () => [...acts(), waitFor()]);
  return { calls: [...calls, [...talk, ...acts()]], deaf: random() < 0.15 };
}

export interface AgentWorld {
  readonly process: Process;
  readonly oracle: Oracle;
  readonly seed: number;
  readonly chatter: number;
  /** Names a call. */
  readonly newCallId: () => string;
  readonly sleep: (ms: number) => Promise<void>;
}

/** The agents of one process. */
export const agentsOf = (world: AgentWorld): readonly Agent[] => [
  {
    name: 'patient',
    description: 'Parks while it waits for people.',
    resumable: true,
    run: (input, context) => play(world, true, input, context),
    title: ({ messages, signal }) => titleOf(world, messages[0]?.text ?? '', signal),
  },
  {
    name: 'plain',
    description: 'Waits for people in the process.',
    resumable: false,
    run: (input, context) => play(world, false, input, context),
  },
];

/** How long a title takes, and what it comes to: some come late, some never. */
export function titleFor(text: string): { readonly afterMs: number; readonly title: string | undefined } {
  const kind = hashOf(text) % 5;
  return { afterMs: kind * 700, title: kind === 4 ? undefined : `On ${text}` };
}

async function titleOf(world: AgentWorld, text: string, signal: AbortSignal): Promise<string | undefined> {
  const { afterMs, title } = titleFor(text);
  await world.sleep(afterMs);
  if (title === undefined) throw new Error('No title came to mind.');
  return signal.aborted ? undefined : title;
}

async function* play(
  world: AgentWorld,
  resumable: boolean,
  input: RunInput,
  context: RunContext,
): AsyncGenerator<AgentEvent, RunEnd, void> {
  const { oracle } = world;
  const script = scriptOf(input.turnId, world.seed, world.chatter, resumable);
  const index = resumable ? callIndex(script, input) : 0;
  const call: Call = {
    id: world.newCallId(),
    process: world.process,
    sessionId: input.sessionId,
    turnId: input.turnId,
    index,
    signal: context.signal,
    isDeaf: script.deaf,
    pausesAtStart: world.process.pauses,
    asked: input.messages.map((message) => message.id),
    history: input.history.map((message) => message.id),
    isGranted: context.isGranted('shell'),
    atSeq: oracle.headOf(input.sessionId),
    said: 0,
    hasToldUsage: false,
    end: 'open',
    isWhole: false,
    answerers: new Map(),
    answers: new Map(
      input.progress.prompts.flatMap((prompt) =>
        prompt.answer === undefined ? [] : [[prompt.promptId, prompt.answer] as const],
      ),
    ),
  };
  for (const { promptId, answer, by } of input.progress.prompts)
    if (answer !== undefined) call.answerers.set(promptId, by);
  oracle.calls.push(call);
  oracle.onAct(call);
  try {
    const acts = resumable ? (script.calls[index] ?? []) : script.calls.flat();
    yield* takeUp(input);
    for (const act of acts) {
      oracle.onAct(call);
      if (context.signal.aborted && !script.deaf) return ends(call, { outcome: 'completed' });
      if (act.kind === 'throw') throw new Error(SCRIPTED);
      if (act.kind === 'refuse') return ends(call, { outcome: 'failed', fault: 'model-unreachable', reason: SCRIPTED });
      if ((act.kind === 'ask' || act.kind === 'call') && resumable) {
        yield* park(act, context);
        return ends(call, { outcome: 'parked' });
      }
      yield* perform(act, world, call, context, script.deaf);
    }
    call.hasToldUsage = true;
    yield { type: 'usage', inputTokens: 3, outputTokens: call.said };
    return ends(call, { outcome: 'completed' });
  } catch (error) {
    call.end = 'threw';
    throw error;
  }
}

function ends(call: Call, end: RunEnd): RunEnd {
  call.end = end.outcome;
  call.isWhole = !call.signal.aborted;
  return end;
}

/** The call that comes next: the first whose prompts and tools are not all there. */
function callIndex({ calls }: Script, { progress }: RunInput): number {
  let prompts = progress.prompts.length;
  let tools = progress.parts.filter((part) => part.type === 'tool').length;
  for (const [index, acts] of calls.entries()) {
    if (index === calls.length - 1) return index;
    for (const act of acts) {
      if (act.kind === 'tool') tools -= 1;
      if (act.kind === 'call') tools -= act.tools;
      if (act.kind === 'ask') {
        prompts -= act.prompts;
        tools -= act.tool ? act.prompts : 0;
      }
    }
    if (prompts < 0 || tools < 0) return index;
  }
  return calls.length - 1;
}

/** What the people said while it was parked: results of the caller's tools, and approvals that were never carried out. */
async function* takeUp({ progress }: RunInput): AsyncGenerator<AgentEvent, void, void> {
  for (const { toolId, ok, output } of progress.results) yield { type: 'tool-end', toolId, ok, output, durationMs: 1 };
  for (const part of progress.parts) {
    if (part.type !== 'tool' || part.state !== 'requested') continue;
    if (progress.results.some((result) => result.toolId === part.toolId)) continue;
    yield { type: 'tool-end', toolId: part.toolId, ok: false, output: 'not run', durationMs: 0 };
  }
}

async function* park(
  act: Extract<Act, { kind: 'ask' | 'call' }>,
  context: RunContext,
): AsyncGenerator<AgentEvent, void, void> {
  if (act.kind === 'call') {
    for (let count = 0; count < act.tools; count += 1)
      yield { type: 'tool-request', toolId: context.toolId(), name: 'calendar', input: count };
    return;
  }
  for (let count = 0; count < act.prompts; count += 1) {
    const toolId = act.tool ? context.toolId() : undefined;
    if (toolId !== undefined) yield { type: 'tool-request', toolId, name: 'shell', input: count };
    yield promptOf(act, context, toolId);
  }
}

function promptOf(
  act: Extract<Act, { kind: 'ask' }>,
  context: RunContext,
  toolId: ReturnType<RunContext['toolId']> | undefined,
): Extract<AgentEvent, { type: 'prompt' }> {
  return {
    type: 'prompt',
    promptId: context.promptId(),
    kind: toolId === undefined ? 'question' : 'approval',
    title: 'May I?',
    detail: '',
    choices: toolId === undefined ? [] : ['once', 'session', 'always', 'deny'],
    ...(act.deadlineMs === undefined ? {} : { deadlineMs: act.deadlineMs }),
    ...(toolId === undefined ? {} : { toolId }),
  };
}

async function* perform(
  act: Act,
  world: AgentWorld,
  call: Call,
  context: RunContext,
  deaf: boolean,
): AsyncGenerator<AgentEvent, void, void> {
  switch (act.kind) {
    case 'say':
      for (let count = 0; count < act.pieces; count += 1) {
        if (act.gapMs > 0) await world.sleep(act.gapMs);
        world.oracle.onAct(call);
        if (context.signal.aborted && !deaf) return;
        // Counted before it is handed over: what is on its way may still arrive when the call is cut.
        const text = piece(call.id, call.said);
        call.said += 1;
        yield { type: 'text', text };
      }
      return;
    case 'think':
      yield { type: 'thinking', text: 'Hm. ' };
      return;
    case 'data':
      yield { type: 'data', name: 'note', data: call.said };
      return;
    case 'sleep':
      await world.sleep(act.ms);
      return;
    case 'tool': {
      const toolId = context.toolId();
      yield { type: 'tool-request', toolId, name: 'shell', input: act.ms };
      yield { type: 'tool-start', toolId };
      world.oracle.onAct(call);
      world.oracle.effectsByTool.set(toolId, (world.oracle.effectsByTool.get(toolId) ?? 0) + 1);
      await world.sleep(act.ms);
      yield { type: 'tool-output', toolId, text: 'part ' };
      yield { type: 'tool-end', toolId, ok: true, output: 'part whole', durationMs: act.ms };
      return;
    }
    case 'steers':
      for (const { author, text } of await context.takeSteers()) {
        world.oracle.steers.push({ call, author, text });
        const said = piece(call.id, call.said);
        call.said += 1;
        yield { type: 'text', text: said };
      }
      return;
    case 'ask': {
      const asked = Array.from({ length: act.prompts }, () => promptOf(act, context, undefined));
      const heard = async (prompt: (typeof asked)[number]): Promise<void> => {
        const { answer, by } = await context.ask(prompt);
        if (answer !== undefined) call.answerers.set(prompt.promptId, by);
        world.oracle.onAct(call);
        if (answer !== undefined) (call.answers as Map<string, string>).set(prompt.promptId, answer);
      };
      await Promise.all(asked.map(heard));
      return;
    }
    case 'hang':
      if (deaf) await world.sleep(20_000);
      else await Promise.race([world.sleep(4_000), aborted(context.signal)]);
      return;
    case 'call':
    case 'throw':
    case 'refuse':
  }
}

const aborted = (signal: AbortSignal): Promise<void> =>
  new Promise((resolve) => {
    if (signal.aborted) resolve();
    else signal.addEventListener('abort', () => resolve(), { once: true });
  });
