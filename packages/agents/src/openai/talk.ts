/**
 * The conversation as the model is given it: earlier turns, what this turn is about, and what it has done so far.
 *
 * 1. It grows as the turn goes on, and is the same when it is built again from `progress` after the turn was parked.
 * 2. Whatever does not fit is left out from its oldest end, and that is said (`context-trim`). What this turn's own tools printed
 *    is shortened before the turn gives up.
 */
import type { ToolPart } from '@holdfast/protocol';
import type { AgentEvent, RunContext, RunEnd, RunInput } from '@holdfast/session';
import { shorten } from '../text.ts';
import { answer } from './answer.ts';
import { estimateText, estimateTokens, fit, inputBudget } from './budget.ts';
import { providerOf, type CompletionRequest } from './boundary.ts';
import type { Concessions } from './concessions.ts';
import type { OpenAiSettings } from './config.ts';
import type { AnswerDraft } from './draft.ts';
import { failure } from './failure.ts';
import { loadFiles } from './files.ts';
import { answerMessages, assistantMessages, callIds, messagesOf, toolMessage, type Call } from './messages.ts';
import type { ModelServer } from './server.ts';
import type { ModelMessage } from './wire.ts';

export type { Call } from './messages.ts';

export type Asked =
  | { readonly kind: 'answered'; readonly draft: AnswerDraft }
  | { readonly kind: 'ended'; readonly end: RunEnd };

type Running<T> = AsyncGenerator<AgentEvent, T, void>;
type Fitted = { readonly kind: 'fits'; readonly request: CompletionRequest } | Extract<Asked, { kind: 'ended' }>;

/** How a run that was cancelled ends is not read: whoever cancelled it knows. */
export const STOPPED: RunEnd = { outcome: 'completed' };
const OVERFLOW_TRIES_MAX = 3;
/** Of each of this turn's tool outputs, where they would not fit otherwise. */
const SHORT_OUTPUT_CHARS = 2_000;

interface Given {
  readonly model: string;
  readonly concessions: Concessions;
  readonly budget: number;
  /** Each earlier turn's messages, oldest first. */
  readonly turns: readonly (readonly ModelMessage[])[];
  readonly asked: readonly ModelMessage[];
}

export class Talk {
  readonly input: RunInput;
  readonly context: RunContext;
  readonly settings: OpenAiSettings;
  readonly #given: Given;
  readonly #turnTokens: readonly number[];
  readonly #fixed: { readonly system: readonly ModelMessage[]; readonly tokens: number };
  readonly #calls: Call[];
  #current: ModelMessage[];
  #budget: number;
  #trimmed: number;
  toolRounds: number;

  static async open(
    input: RunInput,
    context: RunContext,
    settings: OpenAiSettings,
    server: ModelServer,
  ): Promise<Talk> {
    const model = await server.modelFor(input.model, context);
    const contextWindow = await server.windowOf(model, context);
    const files = await loadFiles([...input.history, ...input.messages], context, settings.images);
    const turns = Map.groupBy(input.history, ({ turnId }) => turnId);
    return new Talk(input, context, settings, {
      model,
      concessions: server.concessionsOf(model),
      budget: inputBudget({ contextWindow, maxTokens: settings.maxTokens }),
      turns: [...turns.values()].map((messages) => messages.flatMap((message) => messagesOf(message, files))),
      asked: input.messages.flatMap((message) => messagesOf(message, files)),
    });
  }

  private constructor(input: RunInput, context: RunContext, settings: OpenAiSettings, given: Given) {
    const { parts } = input.progress;
    const said = answerMessages(parts, ({ state }) => state === 'requested');
    this.input = input;
    this.context = context;
    this.settings = settings;
    this.#given = given;
    this.#turnTokens = given.turns.map(estimateTokens);
    this.#fixed = fixedOf(settings);
    this.#calls = parts.filter((part): part is ToolPart => part.type === 'tool');
    this.#current = [...given.asked, ...said];
    this.#budget = given.budget;
    this.#trimmed = parts.findLast((part) => part.type === 'context-trim')?.turns ?? 0;
    this.toolRounds = said.filter((message) => message.role === 'assistant' && message.tool_calls !== undefined).length;
  }

  get callCount(): number {
    return this.#calls.length;
  }

  /** One answer. Where the server says that the conversation is too long, more of its oldest turns are left out. */
  async *ask(): Running<Asked> {
    for (let tries = 1; ; tries += 1) {
      const fitted = yield* this.#fit();
      if (fitted.kind === 'ended') return fitted;
      const { request } = fitted;
      const answered = yield* answer(request, this.settings, this.#given.concessions, this.context);
      const messages = [...request.system, ...request.history, ...request.current];
      const usage = usageOf(answered.draft, messages);
      if (usage !== null) yield usage;
      if (answered.kind === 'answered') return answered;
      if (answered.kind === 'stopped') return { kind: 'ended', end: STOPPED };
      if (answered.failure.fault !== 'context-overflow' || !this.#canShrink || tries >= OVERFLOW_TRIES_MAX) {
        return { kind: 'ended', end: answered.failure };
      }
      // The estimate was too low for this tokenizer.
      this.#budget = Math.floor(Math.min(this.#budget, estimateTokens(messages)) * 0.7);
    }
  }

  /** Whether there is anything left to leave out: an earlier turn, or what this turn's tools printed. */
  get #canShrink(): boolean {
    const isAllDropped = this.#trimmed >= this.#given.turns.length + this.input.earlierTurns;
    return !isAllDropped || this.#current.some((message) => shortOutput(message).content !== message.content);
  }

  /** What the provider wants back with the answer; an answer of calls alone is told from the one before by it. */
  stateOf(draft: AnswerDraft): Extract<AgentEvent, { type: 'provider-state' }> | null {
    const { opaque, calls, text } = draft;
    const state = opaque ?? (calls.length > 0 && text === '' ? {} : null);
    return state === null ? null : { type: 'provider-state', provider: providerOf(this.settings), state };
  }

  /** The model's answer is part of the conversation from here on. */
  heard(draft: AnswerDraft, calls: readonly Call[]): void {
    const { text, thinking, opaque: state } = draft;
    const opaque = state === null ? null : { provider: providerOf(this.settings), state };
    if (calls.length > 0) this.toolRounds += 1;
    this.#calls.push(...calls);
    this.#current.push(...assistantMessages({ text, thinking, opaque, calls }, callIds(this.#calls)));
  }

  settled(call: Call, output: string): void {
    this.#current.push(toolMessage(call, callIds(this.#calls), output));
  }

  /** @returns whether there were any. */
  async takeSteers(): Promise<boolean> {
    const steers = await this.context.takeSteers();
    for (const { text } of steers) this.#current.push({ role: 'user', content: text });
    return steers.length > 0;
  }

  async *#fit(): Running<Fitted> {
    const { turns } = this.#given;
    let fitting = fit(this.#fixed.tokens + estimateTokens(this.#current), this.#turnTokens, this.#budget);
    if (fitting.kind === 'too-large') {
      this.#current = this.#current.map(shortOutput);
      fitting = fit(this.#fixed.tokens + estimateTokens(this.#current), this.#turnTokens, this.#budget);
    }
    if (fitting.kind === 'too-large') return { kind: 'ended', end: this.#tooLarge(fitting.tokens) };
    const left = fitting.dropped + this.input.earlierTurns;
    if (left > this.#trimmed) {
      this.#trimmed = left;
      yield { type: 'context-trim', turns: left };
    }
    const request = {
      model: this.#given.model,
      system: this.#fixed.system,
      history: turns.slice(fitting.dropped).flat(),
      current: this.#current,
    };
    return { kind: 'fits', request };
  }

  #tooLarge(tokens: number): RunEnd {
    const sizes = `about ${tokens} tokens, of which ${this.#budget} fit`;
    return this.callCount > 0
      ? {
          outcome: 'limit',
          reason: `What this turn’s tools printed does not fit the model’s context window any more (${sizes}).`,
        }
      : failure(
          'context-overflow',
          `This message alone does not fit the model’s context window (${sizes}). Shorten it, or attach less.`,
        );
  }
}

function fixedOf({ systemPrompt = '', toolbox }: OpenAiSettings): { system: readonly ModelMessage[]; tokens: number } {
  const system: readonly ModelMessage[] = systemPrompt === '' ? [] : [{ role: 'system', content: systemPrompt }];
  const tools = toolbox === undefined ? 0 : estimateText(JSON.stringify(toolbox.tools));
  return { system, tokens: estimateTokens(system) + tools };
}

const shortOutput = (message: ModelMessage): ModelMessage =>
  message.role === 'tool' ? { ...message, content: shorten(message.content, SHORT_OUTPUT_CHARS) } : message;

/** What the server counted, or an estimate. */
function usageOf(draft: AnswerDraft, messages: readonly ModelMessage[]): AgentEvent | null {
  if (draft.usage !== null) return { type: 'usage', ...draft.usage };
  if (draft.isEmpty) return null;
  return { type: 'usage', inputTokens: estimateTokens(messages), outputTokens: Math.ceil(draft.chars / 4) };
}
