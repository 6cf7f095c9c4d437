/**
 * From what a session keeps (messages and parts) to what a model is given (chat messages).
 *
 * 1. Pure but for files, whose bytes are handed in (`files.ts`).
 * 2. Every tool call has exactly one result, in order: servers refuse a call without one. A call that never ran, or whose
 *    outcome nobody knows, says so in its result.
 * 3. Arguments are always a JSON object, also where the model sent none: templates of local models parse them.
 * 4. Notices and prompts are not sent back; thinking only as far as its provider wants it back (`opaque.ts`).
 */
import type { KeptBtw, Message, Part, ProviderState, ToolPart } from '@holdfast/protocol';
import { shorten } from '../text.ts';
import type { LoadedFiles } from './files.ts';
import type { AssistantMessage, ContentPart, ModelMessage, ModelToolCall } from './wire.ts';

/** Of one tool's output, in characters: head and tail of a longer one. */
const TOOL_CHARS_MAX = 32 * 1024;
const DATA_CHARS_MAX = 16 * 1024;

export function messagesOf(message: Message, files: LoadedFiles): readonly ModelMessage[] {
  if (message.role === 'user') return [userMessage(message.parts, files)];
  return [...answerMessages(message.parts), ...(message.btws ?? []).flatMap(keptMessages)];
}

/** What was asked beside the turn and kept is part of the conversation from then on. */
const keptMessages = ({ question, answer }: KeptBtw): readonly ModelMessage[] => [
  { role: 'user', content: question },
  { role: 'assistant', content: answer },
];

// ── what people said ────────────────────────────────────────────────────────────────────────────────────────────────

function userMessage(parts: readonly Part[], files: LoadedFiles): ModelMessage {
  const content = parts.flatMap((part): readonly ContentPart[] => {
    if (part.type === 'text') return part.text === '' ? [] : [textPart(part.text)];
    if (part.type === 'file')
      return [files.get(part.hash) ?? textPart(`[The attached file “${part.name}” is not stored any more.]`)];
    if (part.type === 'data') return [textPart(`${part.name}: ${shorten(JSON.stringify(part.data), DATA_CHARS_MAX)}`)];
    return [];
  });
  return { role: 'user', content: simplest(content) };
}

const textPart = (text: string): ContentPart => ({ type: 'text', text });

/** Plain text where there is nothing else: some servers know no parts. */
const simplest = (content: readonly ContentPart[]): string | readonly ContentPart[] =>
  content.every((part) => part.type === 'text') ? content.map((part) => part.text).join('\n\n') : content;

// ── what was answered ───────────────────────────────────────────────────────────────────────────────────────────────

/**
 * An answer's parts as the rounds that they were: text and calls, their results, and again.
 * @param isPending calls that will be settled now: their results are left out.
 */
export function answerMessages(
  parts: readonly Part[],
  isPending: (part: ToolPart) => boolean = () => false,
): readonly ModelMessage[] {
  const ids = callIds(parts.filter((part): part is ToolPart => part.type === 'tool'));
  return roundsOf(parts).flatMap((round): readonly ModelMessage[] =>
    round.kind === 'steer'
      ? [{ role: 'user', content: round.text }]
      : [
          ...assistantMessages({ ...round, calls: round.tools }, ids),
          ...round.tools.filter((tool) => !isPending(tool)).map((tool) => toolMessage(tool, ids, resultOf(tool))),
        ],
  );
}

interface Round {
  readonly kind: 'round';
  thinking: string;
  text: string;
  opaque: ProviderState | null;
  readonly tools: ToolPart[];
}

/** A round ends at a steer, and as soon as something else than a call stands behind its calls. */
function roundsOf(parts: readonly Part[]): readonly (Round | (Extract<Part, { type: 'steer' }> & { kind: 'steer' }))[] {
  const rounds: (Round | (Extract<Part, { type: 'steer' }> & { kind: 'steer' }))[] = [];
  const open = (): Round => {
    const last = rounds.at(-1);
    if (last?.kind === 'round' && last.tools.length === 0) return last;
    const round: Round = { kind: 'round', thinking: '', text: '', opaque: null, tools: [] };
    rounds.push(round);
    return round;
  };
  for (const part of parts) {
    const last = rounds.at(-1);
    if (part.type === 'text') open().text += part.text;
    else if (part.type === 'thinking') open().thinking += part.text;
    else if (part.type === 'provider-state') open().opaque = { provider: part.provider, state: part.state };
    else if (part.type === 'tool') (last?.kind === 'round' ? last : open()).tools.push(part);
    else if (part.type === 'steer') rounds.push({ ...part, kind: 'steer' });
  }
  return rounds;
}

/** What the model said in one answer; nothing if it said nothing. */
export function assistantMessages(
  { text, thinking, opaque, calls }: Pick<Round, 'text' | 'thinking' | 'opaque'> & { readonly calls: readonly Call[] },
  ids: CallIds,
): readonly AssistantMessage[] {
  if (text === '' && calls.length === 0) return [];
  return [
    {
      role: 'assistant',
      content: text === '' ? null : text,
      ...(calls.length === 0 ? {} : { tool_calls: calls.map((call) => toolCall(call, ids)) }),
      ...(opaque === null ? {} : { opaque: { ...opaque, thinking } }),
    },
  ];
}

export type Call = Pick<ToolPart, 'toolId' | 'name' | 'input' | 'callId'>;
type CallIds = ReadonlyMap<string, string>;

/**
 * How the calls of one turn are named to the model: by its own ids, where each is there and unlike the others; by ours
 * otherwise.
 */
export function callIds(calls: readonly Call[]): CallIds {
  const seen = new Set<string>();
  const ids = new Map<string, string>();
  for (const { toolId, callId = '' } of calls) {
    const id = callId === '' || seen.has(callId) ? toolId : callId;
    seen.add(id);
    ids.set(toolId, id);
  }
  return ids;
}

const toolCall = ({ toolId, name, input }: Call, ids: CallIds): ModelToolCall => ({
  id: ids.get(toolId) ?? toolId,
  type: 'function',
  // Rule 3.
  function: {
    name,
    arguments: JSON.stringify(typeof input === 'string' ? { malformed: shorten(input, 2_000) } : input),
  },
});

export const toolMessage = ({ toolId }: Pick<Call, 'toolId'>, ids: CallIds, output: string): ModelMessage => ({
  role: 'tool',
  tool_call_id: ids.get(toolId) ?? toolId,
  content: output === '' ? '(no output)' : shorten(output, TOOL_CHARS_MAX),
});

function resultOf({ state, output }: ToolPart): string {
  switch (state) {
    case 'done':
    case 'failed':
      return output;
    case 'requested':
    case 'cancelled':
      return 'Not run: the turn ended before.';
    case 'running':
    case 'uncertain':
      return `Uncertain: it was cut off while it ran and may or may not have had its effect. Find out before you call it again; do not simply repeat it.${output === '' ? '' : `\nUp to then it printed:\n${output}`}`;
  }
}

// ── the whole ───────────────────────────────────────────────────────────────────────────────────────────────────────

/** Neighbours of the user are made one: the templates of some models insist on turns that alternate. */
export function joinUsers(messages: readonly ModelMessage[]): readonly ModelMessage[] {
  const joined: ModelMessage[] = [];
  for (const message of messages) {
    const last = joined.at(-1);
    if (message.role === 'user' && last?.role === 'user') {
      joined[joined.length - 1] = {
        role: 'user',
        content: simplest([...partsOf(last.content), ...partsOf(message.content)]),
      };
    } else joined.push(message);
  }
  return joined;
}

const partsOf = (content: string | readonly ContentPart[]): readonly ContentPart[] =>
  typeof content === 'string' ? [textPart(content)] : content;
