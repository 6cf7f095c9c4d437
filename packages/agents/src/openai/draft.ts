/**
 * An answer as it grows from chunks. Pure: chunk in, events out.
 *
 * 1. Tool calls are put together by their index; servers that leave it out, or give all calls the same one, are told apart by the
 *    call's id.
 * 2. Within a chunk thinking goes before text. A server that sends the same thought under two names is heard once.
 * 3. Above `CALLS_MAX` calls or `ARGUMENT_CHARS_MAX` characters of arguments the answer is malformed.
 */
import type { AgentEvent } from '@holdfast/session';
import type { Chunk, Delta, SentCall } from './wire.ts';

export interface CallDraft {
  callId: string;
  name: string;
  arguments: string;
}

const CALLS_MAX = 64;
const ARGUMENT_CHARS_MAX = 1024 * 1024;

export class AnswerDraft {
  readonly calls: CallDraft[] = [];
  text = '';
  /** Of thinking and arguments too: what the estimate of usage is made of. */
  chars = 0;
  finish: string | null = null;
  usage: { readonly inputTokens: number; readonly outputTokens: number } | null = null;
  isMalformed = false;
  readonly #callsByIndex = new Map<number, CallDraft>();

  /** Whether anything came that a person can have seen, or that would be lost by asking again. */
  get isEmpty(): boolean {
    return this.chars === 0 && this.calls.length === 0;
  }

  add({ choices, usage }: Chunk): readonly AgentEvent[] {
    if (usage !== null && usage !== undefined) {
      this.usage = { inputTokens: usage.prompt_tokens ?? 0, outputTokens: usage.completion_tokens ?? 0 };
    }
    const [choice] = choices ?? [];
    if (choice === undefined) return [];
    this.finish = choice.finish_reason ?? this.finish;
    const delta = choice.delta ?? choice.message;
    if (delta === null || delta === undefined) return [];
    for (const call of delta.tool_calls ?? []) this.#addCall(call);
    return this.#say(delta);
  }

  #say(delta: Delta): readonly AgentEvent[] {
    const { thinking, text } = splitContent(delta.content);
    const thought = (delta.reasoning_content ?? delta.reasoning ?? '') + thinking;
    const said = text + (delta.refusal ?? '');
    this.text += said;
    this.chars += thought.length + said.length;
    const events: AgentEvent[] = [];
    if (thought !== '') events.push({ type: 'thinking', text: thought });
    if (said !== '') events.push({ type: 'text', text: said });
    return events;
  }

  #addCall({ index, id, function: called }: SentCall): void {
    const isNamed = typeof called?.name === 'string' && called.name !== '';
    const draft = this.#draftFor(index ?? null, id ?? '', isNamed);
    if (draft === null) return;
    if (draft.name === '') draft.name = called?.name ?? '';
    const given = called?.arguments ?? '';
    const text = typeof given === 'string' ? given : JSON.stringify(given);
    draft.arguments += text;
    this.chars += text.length;
    if (draft.arguments.length > ARGUMENT_CHARS_MAX) this.isMalformed = true;
  }

  /** Rule 1. */
  #draftFor(index: number | null, id: string, isNamed: boolean): CallDraft | null {
    const known = index === null ? this.calls.at(-1) : this.#callsByIndex.get(index);
    // With neither index nor id, a second name is what tells a second call.
    const isNext = index === null && id === '' && isNamed && known?.name !== '';
    if (known !== undefined && !isNext && (id === '' || known.callId === id || known.callId === '')) {
      if (known.callId === '') known.callId = id;
      return known;
    }
    if (this.calls.length >= CALLS_MAX) {
      this.isMalformed = true;
      return null;
    }
    const draft: CallDraft = { callId: id, name: '', arguments: '' };
    this.calls.push(draft);
    if (index !== null) this.#callsByIndex.set(index, draft);
    return draft;
  }
}

function splitContent(content: Delta['content']): { readonly thinking: string; readonly text: string } {
  if (content === null || content === undefined) return { thinking: '', text: '' };
  if (typeof content === 'string') return { thinking: '', text: content };
  let thinking = '';
  let text = '';
  for (const part of content) {
    text += part.text ?? '';
    const thought = part.thinking ?? '';
    thinking += typeof thought === 'string' ? thought : thought.map((piece) => piece.text ?? '').join('');
  }
  return { thinking, text };
}

/** A call's input: the parsed arguments, or the raw text where they are no JSON object. */
export function inputOf(text: string): unknown {
  if (text.trim() === '') return {};
  try {
    const parsed: unknown = JSON.parse(text);
    return typeof parsed === 'object' && parsed !== null && !Array.isArray(parsed) ? parsed : text;
  } catch {
    return text;
  }
}
