/**
 * An answer as it grows from chunks. Pure: chunk in, events out.
 *
 * 1. Within a chunk thinking goes before text. A server that sends the same thought under two names is heard once.
 * 2. What is shown is well-formed Unicode; half a character waits for its other half.
 * 3. Of several choices the first one that came is the answer.
 */
import type { AgentEvent } from '@holdfast/session';
import { wellFormed } from '../text.ts';
import { CallAssembler, type CallDraft } from './calls.ts';
import { finishOf, type Finish } from './finish.ts';
import { OpaqueCollector, type OpaqueState } from './opaque.ts';
import { ThinkSplitter } from './think.ts';
import type { Choice, Chunk, Delta } from './wire.ts';

const IMAGES_MAX = 8;

export class AnswerDraft {
  text = '';
  thinking = '';
  /** Of thinking and arguments too: what the estimate of usage is made of. */
  chars = 0;
  finish: Finish | null = null;
  /** The server's word for it. */
  finishReason = '';
  usage: { readonly inputTokens: number; readonly outputTokens: number } | null = null;
  /** Frames that are objects of an unknown kind. */
  unread = 0;
  readonly #calls = new CallAssembler();
  readonly #opaque = new OpaqueCollector();
  readonly #think = new ThinkSplitter();
  readonly #halves = { thinking: '', text: '' };
  readonly #images = new Set<string>();
  #choice: number | null = null;

  get calls(): readonly CallDraft[] {
    return this.#calls.calls;
  }

  /** Data URLs or addresses, in order. */
  get images(): readonly string[] {
    return [...this.#images];
  }

  get opaque(): OpaqueState | null {
    return this.#opaque.state(this.calls);
  }

  get hasChoice(): boolean {
    return this.#choice !== null;
  }

  get isMalformed(): boolean {
    return this.#calls.isTooLarge;
  }

  /** Whether nothing came that a person can have seen, or that would be lost by asking again. */
  get isEmpty(): boolean {
    return this.chars === 0 && this.calls.length === 0 && this.#images.size === 0;
  }

  /** Whether it answers nothing: no text, no call, no picture. */
  get isBlank(): boolean {
    return this.text.trim() === '' && this.calls.length === 0 && this.#images.size === 0;
  }

  add({ choices, usage }: Chunk): readonly AgentEvent[] {
    const { prompt_tokens: inputTokens, completion_tokens: outputTokens } = usage ?? {};
    if (typeof inputTokens === 'number' || typeof outputTokens === 'number')
      this.usage = { inputTokens: inputTokens ?? 0, outputTokens: outputTokens ?? 0 };
    const choice = this.#pick(choices ?? []);
    if (choice === undefined) return [];
    const finish = finishOf(choice.finish_reason);
    if (this.finish === null && finish !== null) {
      this.finish = finish;
      this.finishReason = choice.finish_reason ?? '';
    }
    const delta = choice.delta ?? choice.message;
    return delta === null || delta === undefined ? [] : this.#take(delta);
  }

  /** What waited for more that did not come. */
  end(): readonly AgentEvent[] {
    const { thinking, text } = this.#think.end();
    return this.#say(thinking, text, true);
  }

  /** Rule 3. */
  #pick(choices: readonly Choice[]): Choice | undefined {
    const [first] = choices;
    if (first === undefined) return undefined;
    this.#choice ??= first.index ?? 0;
    return choices.find(({ index }) => (index ?? 0) === this.#choice);
  }

  #take(delta: Delta): readonly AgentEvent[] {
    const before = this.#calls.chars;
    for (const call of delta.tool_calls ?? []) this.#calls.add(call);
    // The form before tool calls: one call, without id.
    if (delta.function_call) this.#calls.add({ index: 0, function: delta.function_call });
    this.chars += this.#calls.chars - before;
    for (const { image_url: image } of delta.images ?? [])
      if (image?.url && this.#images.size < IMAGES_MAX) this.#images.add(image.url);
    this.#opaque.add(delta);
    const content = splitContent(delta.content);
    const tagged = this.#think.push(content.text);
    return this.#say(thoughtOf(delta) + content.thinking + tagged.thinking, tagged.text + (delta.refusal ?? ''), false);
  }

  #say(thinking: string, text: string, isEnd: boolean): readonly AgentEvent[] {
    const thought = this.#whole('thinking', thinking, isEnd);
    const said = this.#whole('text', text, isEnd);
    this.text += said;
    this.thinking += thought;
    this.chars += thought.length + said.length;
    const events: AgentEvent[] = [];
    if (thought !== '') events.push({ type: 'thinking', text: thought });
    if (said !== '') events.push({ type: 'text', text: said });
    return events;
  }

  /** Rule 2. */
  #whole(kind: 'thinking' | 'text', piece: string, isEnd: boolean): string {
    const text = this.#halves[kind] + piece;
    const isHalf = !isEnd && /[\uD800-\uDBFF]$/.test(text);
    this.#halves[kind] = isHalf ? text.slice(-1) : '';
    return (isHalf ? text.slice(0, -1) : text).toWellFormed();
  }
}

/** The first of its names that holds anything. */
function thoughtOf({ reasoning_content: content, reasoning, reasoning_details: details }: Delta): string {
  if (content) return content;
  if (reasoning) return reasoning;
  return (details ?? []).map(({ text, summary }) => text ?? summary ?? '').join('');
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

/** A call's input: the parsed arguments, or the raw text if they are no JSON object. */
export function inputOf(text: string): unknown {
  if (text.trim() === '') return {};
  try {
    const parsed: unknown = JSON.parse(text);
    return typeof parsed === 'object' && parsed !== null && !Array.isArray(parsed)
      ? wellFormed(parsed)
      : text.toWellFormed();
  } catch {
    return text.toWellFormed();
  }
}
