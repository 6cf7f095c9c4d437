/**
 * The request as a server takes it. Pure: one odd thing in a conversation never condemns the session (R87).
 *
 * 1. All text is well-formed Unicode, and no message is empty.
 * 2. Call ids are valid and unique in the whole request; a result has its call's id. Names have only letters that servers take.
 * 3. What a model does not take (`concessions.ts`) is left out; text says so in its place.
 * 4. A provider's state goes to that provider alone (`opaque.ts`).
 */
import { shorten, wellFormed } from '../text.ts';
import type { OpenAiSettings } from './config.ts';
import type { Concessions, Sent } from './concessions.ts';
import { joinUsers } from './messages.ts';
import { handBack } from './opaque.ts';
import type { AssistantMessage, ContentPart, ModelMessage } from './wire.ts';

export interface CompletionRequest {
  readonly model: string;
  readonly system: readonly ModelMessage[];
  readonly history: readonly ModelMessage[];
  /** This turn's messages. */
  readonly current: readonly ModelMessage[];
}

/** Names the server to itself: state that it gave goes back to it alone. */
export const providerOf = ({ endpoints }: Pick<OpenAiSettings, 'endpoints'>): string =>
  `chat-completions:${new URL(endpoints.chat).host}`;

export function bodyOf(request: CompletionRequest, settings: OpenAiSettings, without: Concessions): object {
  const { temperature, toolbox, extra } = settings;
  const tools = without.has('tools') ? [] : (toolbox?.tools ?? []);
  const body = {
    model: request.model,
    messages: messagesFor(request, settings, without),
    stream: true,
    ...(without.has('stream-options') ? {} : { stream_options: { include_usage: true } }),
    ...(temperature === undefined || without.has('temperature') ? {} : { temperature }),
    ...maxTokensOf(settings.maxTokens, without),
    ...(tools.length === 0 ? {} : { tools: tools.map(definitionOf) }),
    ...extra,
  };
  return wellFormed(body) as object;
}

export function maxTokensOf(maxTokens: number | undefined, without: Concessions): object {
  if (maxTokens === undefined || without.has('max-tokens')) return {};
  return without.has('max-tokens-name') ? { max_completion_tokens: maxTokens } : { max_tokens: maxTokens };
}

/** What a refusal of this body can be about. */
export function sentIn(body: object, { history, current }: CompletionRequest, without: Concessions): Sent {
  const messages = [...history, ...current];
  return {
    streamOptions: Object.hasOwn(body, 'stream_options'),
    maxTokens: Object.hasOwn(body, 'max_tokens') || Object.hasOwn(body, 'max_completion_tokens'),
    temperature: Object.hasOwn(body, 'temperature'),
    tools: Object.hasOwn(body, 'tools'),
    pictures: without.has('pictures') ? hasPictures(current) : hasPictures(messages),
    state: !without.has('state') && messages.some(hasState),
  };
}

export const hasPictures = (messages: readonly ModelMessage[]): boolean =>
  messages.some(
    ({ role, content }) =>
      role === 'user' && typeof content === 'object' && content.some((part) => part.type === 'image_url'),
  );

const hasState = (message: ModelMessage): boolean =>
  message.role === 'assistant' && Object.keys(Object(message.opaque?.state)).length > 0;

const definitionOf = ({
  name,
  description,
  parameters,
}: {
  name: string;
  description: string;
  parameters: unknown;
}): object => ({
  type: 'function',
  function: { name, description, parameters },
});

function messagesFor(request: CompletionRequest, settings: OpenAiSettings, without: Concessions): readonly object[] {
  const { system, history, current } = request;
  const seen = without.has('pictures') ? history.map(withoutPictures) : history;
  const all = [...system, ...seen, ...current];
  const taken = without.has('tools') ? all.map(withoutTools) : uniqueIds(all);
  const provider = without.has('state') ? null : providerOf(settings);
  return joinUsers(taken).map((message) => messageFor(message, provider));
}

function messageFor(message: ModelMessage, provider: string | null): object {
  switch (message.role) {
    case 'assistant':
      return handBack(message, provider);
    case 'user':
      return {
        role: 'user',
        content: typeof message.content === 'string' ? said(message.content) : message.content.map(partFor),
      };
    case 'system':
    case 'tool':
      return message;
  }
}

/** Rule 1. */
const said = (text: string): string => (text === '' ? '(an empty message)' : text);

const partFor = (part: ContentPart): object =>
  part.type === 'text' ? { ...part, text: said(part.text) } : { type: part.type, image_url: part.image_url };

function withoutPictures(message: ModelMessage): ModelMessage {
  if (message.role !== 'user' || typeof message.content === 'string') return message;
  const content = message.content.map((part): ContentPart =>
    part.type === 'text' ? part : { type: 'text', text: `[The picture “${part.name}”, which you cannot see.]` },
  );
  return { role: 'user', content };
}

/** Calls and results as plain text: for a model that takes no tools. */
function withoutTools(message: ModelMessage): ModelMessage {
  if (message.role === 'tool') return { role: 'user', content: `[Output of a tool]\n${message.content}` };
  if (message.role !== 'assistant' || message.tool_calls === undefined) return message;
  const calls = message.tool_calls.map(
    ({ function: { name, arguments: text } }) => `[Called the tool ${name} with ${shorten(text, 2_000)}]`,
  );
  return { role: 'assistant', content: [message.content ?? '', ...calls].filter((text) => text !== '').join('\n') };
}

// ── rule 2 ──────────────────────────────────────────────────────────────────────────────────────────────────────────

const ID_CHARS_MAX = 64;

function uniqueIds(messages: readonly ModelMessage[]): readonly ModelMessage[] {
  const used = new Set<string>();
  /** Of the last message with calls: its results follow it. */
  let renamed = new Map<string, string>();
  return messages.map((message) => {
    if (message.role === 'tool')
      return { ...message, tool_call_id: renamed.get(message.tool_call_id) ?? message.tool_call_id };
    if (message.role !== 'assistant' || message.tool_calls === undefined) return message;
    renamed = new Map(message.tool_calls.map(({ id }) => [id, take(id, used)]));
    return renameCalls(message, renamed);
  });
}

function take(id: string, used: Set<string>): string {
  const valid = validWord(id);
  let free = valid;
  for (let n = 2; used.has(free); n += 1) free = `${valid.slice(0, ID_CHARS_MAX - 8)}_${n}`;
  used.add(free);
  return free;
}

const renameCalls = (message: AssistantMessage, ids: ReadonlyMap<string, string>): AssistantMessage => ({
  ...message,
  tool_calls: (message.tool_calls ?? []).map((call) => ({
    ...call,
    id: ids.get(call.id) ?? call.id,
    function: { ...call.function, name: validWord(call.function.name) },
  })),
});

const validWord = (word: string): string => word.replaceAll(/[^a-zA-Z0-9_-]/g, '_').slice(0, ID_CHARS_MAX) || 'unknown';
