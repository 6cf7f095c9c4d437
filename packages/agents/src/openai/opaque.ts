/**
 * The provider's own state of an answer: collected from its frames, kept with its message, and handed back. Pure.
 *
 * 1. It is kept as it came: unknown fields of the message and of its calls, and the name under which reasoning came. The reasoning
 *    itself stands in the message as thinking, and is not kept twice.
 * 2. Only the provider that gave it gets it back. Reasoning goes back only beside tool calls: no server needs it elsewhere, and some
 *    refuse it.
 * 3. Above `STATE_CHARS_MAX` characters of JSON it is not kept.
 */
import { z } from 'zod';
import type { CallDraft } from './calls.ts';
import type { AssistantMessage, Delta } from './wire.ts';

type Fields = Readonly<Record<string, unknown>>;

export interface OpaqueState {
  readonly fields?: Fields | undefined;
  /** Of each call of the answer, in order. */
  readonly calls?: readonly (Fields | null)[] | undefined;
  readonly reasoning?: 'reasoning' | 'reasoning_content' | undefined;
}

const STATE_CHARS_MAX = 256 * 1024;

/** Fields of a message that the adapter reads itself, and counts that mean nothing in a request. */
const KNOWN = new Set<string>([
  'role',
  'content',
  'refusal',
  'tool_calls',
  'function_call',
  'reasoning',
  'reasoning_content',
  'images',
  'audio',
  'name',
  'annotations',
  'token_ids',
  'logprobs',
  'stop_reason',
] satisfies (keyof Delta & string)[]);

/** Strings of these names come in pieces; others are repeated whole. */
const STREAMED = /reason|think|thought|sign|encrypted/i;

export class OpaqueCollector {
  readonly #fields: Record<string, unknown> = {};
  #reasoning: OpaqueState['reasoning'];

  add(delta: Delta): void {
    this.#reasoning ??= delta.reasoning_content ? 'reasoning_content' : delta.reasoning ? 'reasoning' : undefined;
    for (const [name, value] of Object.entries(delta))
      if (!KNOWN.has(name) && !isNothing(value)) this.#fields[name] = join(name, this.#fields[name], value);
  }

  /** @returns null if there is nothing to hand back. */
  state(calls: readonly CallDraft[]): OpaqueState | null {
    const extras = calls.map(({ extra }) => (Object.keys(extra).length === 0 ? null : extra));
    const state: OpaqueState = {
      ...(Object.keys(this.#fields).length === 0 ? {} : { fields: this.#fields }),
      ...(extras.every((extra) => extra === null) ? {} : { calls: extras }),
      ...(this.#reasoning === undefined || calls.length === 0 ? {} : { reasoning: this.#reasoning }),
    };
    return Object.keys(state).length === 0 || JSON.stringify(state).length > STATE_CHARS_MAX ? null : state;
  }
}

const isNothing = (value: unknown): boolean =>
  value === null || value === undefined || value === '' || (Array.isArray(value) && value.length === 0);

function join(name: string, before: unknown, value: unknown): unknown {
  if (typeof before === 'string' && typeof value === 'string') return STREAMED.test(name) ? before + value : value;
  if (Array.isArray(before) && Array.isArray(value)) return value.reduce<readonly unknown[]>(joinItem, before);
  return value;
}

/** Pieces of one item have its index and its type; their texts are one text. */
function joinItem(items: readonly unknown[], item: unknown): readonly unknown[] {
  const last = items.at(-1);
  if (!isFields(last) || !isFields(item) || last['index'] !== item['index'] || last['type'] !== item['type'])
    return [...items, item];
  if (typeof item['index'] !== 'number') return [...items, item];
  const joined: Record<string, unknown> = { ...last };
  for (const [name, value] of Object.entries(item)) {
    const before = joined[name];
    const isText = ['text', 'summary', 'data', 'signature'].includes(name);
    if (isText && typeof before === 'string' && typeof value === 'string') joined[name] = before + value;
    else if (value !== null && value !== undefined) joined[name] = value;
  }
  return [...items.slice(0, -1), joined];
}

const isFields = (value: unknown): value is Fields =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

const fields = z.record(z.string(), z.unknown());
const opaqueState: z.ZodType<OpaqueState> = z.object({
  fields: fields.optional(),
  calls: z.array(fields.nullable()).optional(),
  reasoning: z.enum(['reasoning', 'reasoning_content']).optional(),
});

/** The message as its provider gets it back; without its state if that is another's. */
export function handBack({ opaque, ...message }: AssistantMessage, provider: string | null): object {
  const state = opaque?.provider === provider ? opaqueState.safeParse(opaque?.state).data : undefined;
  if (opaque === undefined || state === undefined) return message;
  const { tool_calls: calls = [] } = message;
  const { function: _none, ...rest } = { function: null, ...state.fields };
  const reasoning =
    state.reasoning === undefined || calls.length === 0 || opaque.thinking === ''
      ? {}
      : { [state.reasoning]: opaque.thinking };
  return {
    ...rest,
    ...reasoning,
    ...message,
    ...(calls.length === 0 ? {} : { tool_calls: calls.map((call, at) => handBackCall(call, state.calls?.[at])) }),
  };
}

function handBackCall(
  call: NonNullable<AssistantMessage['tool_calls']>[number],
  extra: Fields | null | undefined,
): object {
  if (extra === null || extra === undefined) return call;
  const inner = isFields(extra['function']) ? extra['function'] : {};
  return { ...extra, ...call, function: { ...inner, ...call.function } };
}
