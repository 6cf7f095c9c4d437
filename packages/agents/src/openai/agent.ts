/**
 * The `openai-compatible` agent: any server that speaks streaming Chat Completions, with tools.
 *
 *   what was said → fit → model → calls? → approve, run → model → … → done
 *
 * 1. It keeps nothing between calls: a turn that was parked is built again from `progress` (`messages.ts`).
 * 2. Calls of one answer are settled in order; the first that needs a person parks the turn (`settle.ts`).
 * 3. Steers are taken at each boundary: before the model is asked, and when it would have ended.
 * 4. Whatever fails ends the turn with a typed fault; what was said before is kept, since it was yielded.
 * 5. A turn ends: after `toolRoundsMax` answers with tools, or `CALLS_MAX` calls over all its resumptions.
 */
import type { Part, ToolPart } from '@holdfast/protocol';
import type { Agent, AgentEvent, RunContext, RunEnd, RunInput } from '@holdfast/session';
import { settleCall } from '../tools/settle.ts';
import { createToolbox, type Toolbox } from '../tools/tool.ts';
import { btw } from './btw.ts';
import { settingsOf, type OpenAiConfig, type OpenAiSettings } from './config.ts';
import { inputOf, type AnswerDraft } from './draft.ts';
import { endOfAnswer } from './ending.ts';
import { failure } from './failure.ts';
import { ModelServer } from './server.ts';
import { STOPPED, Talk, type Call } from './talk.ts';

type Running<T> = AsyncGenerator<AgentEvent, T, void>;

const CALLS_MAX = 500;

export function openAiAgent(config: OpenAiConfig): Agent {
  const settings = settingsOf(config);
  const server = new ModelServer(settings);
  return {
    name: config.name ?? 'openai',
    description: config.description ?? `An OpenAI-compatible model at ${new URL(config.baseUrl).host}`,
    resumable: true,
    run: (input, context) => run(input, context, settings, server),
    btw: (input, context) => btw(input, context, settings, server),
    title: ({ messages, signal }) => server.title(messages, signal),
    check: (signal) => server.check(signal),
    models: async (signal) => (await server.list(signal)).map(({ id }) => id),
  };
}

async function* run(
  input: RunInput,
  context: RunContext,
  settings: OpenAiSettings,
  server: ModelServer,
): Running<RunEnd> {
  const talk = await Talk.open(input, context, settings, server);
  const toolbox = settings.toolbox ?? createToolbox({ tools: [] });
  let calls: readonly Call[] = pendingCalls(input.progress.parts);
  for (;;) {
    const unsettled = yield* settleAll(calls, talk, toolbox);
    if (context.signal.aborted) return STOPPED;
    if (unsettled !== null) return unsettled;
    await talk.takeSteers();
    const asked = yield* talk.ask();
    if (asked.kind === 'ended') return asked.end;
    const { draft } = asked;
    yield* showPictures(draft, context);
    const end = endOf(draft, talk);
    if (end !== null && end.outcome !== 'completed') return end;
    const state = talk.stateOf(draft);
    if (state !== null) yield state;
    calls = yield* requestAll(draft, context);
    talk.heard(draft, calls);
    if (end !== null && !(await talk.takeSteers())) return end;
  }
}

/** @returns null if the turn goes on: the model called tools. */
function endOf(draft: AnswerDraft, { toolRounds, callCount, settings }: Talk): RunEnd | null {
  const end = endOfAnswer(draft);
  if (end !== null) return end;
  if (toolRounds >= settings.toolRoundsMax || callCount + draft.calls.length > CALLS_MAX) {
    const reason = `The model called tools ${toolRounds} times in a row, which is the limit. Say “go on” to let it.`;
    return { outcome: 'limit', reason };
  }
  return null;
}

/** The pictures of an answer, as files of it; of one that is an address elsewhere, the address. */
async function* showPictures({ images }: AnswerDraft, context: RunContext): Running<void> {
  for (const [at, url] of images.entries()) {
    const [, mediaType, base64] = /^data:(image\/[\w.+-]+);base64,(.+)$/s.exec(url) ?? [];
    if (mediaType === undefined || base64 === undefined) {
      if (!url.startsWith('data:')) yield { type: 'text', text: `\n\n${url.toWellFormed()}\n\n` };
      continue;
    }
    const bytes = Buffer.from(base64, 'base64');
    const sink = context.openBlob(mediaType);
    await sink.write(bytes);
    const hash = await sink.close();
    const name = `picture-${at + 1}.${mediaType.replace(/^image\//, '').replace(/\W.*$/, '')}`;
    if (hash !== '') yield { type: 'file', hash, name, mediaType, bytes: bytes.byteLength };
  }
}

const pendingCalls = (parts: readonly Part[]): readonly ToolPart[] =>
  parts.filter((part): part is ToolPart => part.type === 'tool' && part.state === 'requested');

async function* requestAll(draft: AnswerDraft, context: RunContext): Running<readonly Call[]> {
  const calls: Call[] = [];
  for (const { callId, name, arguments: text } of draft.calls) {
    const call = { toolId: context.toolId(), name, input: inputOf(text), ...(callId === '' ? {} : { callId }) };
    yield { type: 'tool-request', ...call };
    calls.push(call);
  }
  return calls;
}

/** @returns how the turn ends or parks, where not all calls could be settled. */
async function* settleAll(calls: readonly Call[], talk: Talk, toolbox: Toolbox): Running<RunEnd | null> {
  const { context, input, settings } = talk;
  const { approvalDeadlineMs } = settings;
  const deadline = approvalDeadlineMs === undefined ? {} : { approvalDeadlineMs };
  for (const call of calls) {
    const options = { toolbox, progress: input.progress, context, ...deadline };
    const settled = yield* settleCall(call, options);
    if (settled.kind === 'parked') return { outcome: 'parked' };
    if (settled.kind === 'uncertain')
      return failure('owner-lost', 'A tool was cut off in mid-run and is not run again.');
    talk.settled(call, settled.output);
    if (context.signal.aborted) return STOPPED;
  }
  return null;
}
