/**
 * What the server says about itself: its models, the size of their context window; and the short calls beside the turns.
 *
 * 1. Nothing here is needed for an answer: whatever fails leaves a default.
 * 2. What it said is kept for the life of the agent; that it did not answer is not.
 */
import type { Message } from '@holdfast/protocol';
import type { Agent, RunContext } from '@holdfast/session';
import { cut } from '@holdfast/protocol/text';
import { wellFormed } from '../text.ts';
import { CONTEXT_WINDOW, headersOf, type OpenAiSettings } from './config.ts';
import { maxTokensOf } from './boundary.ts';
import { Concessions, type Refusal, type Sent } from './concessions.ts';
import { parseJson, readText } from './events.ts';
import { failureOfStatus, failureOfThrow, type Failure, type Where } from './failure.ts';
import { parseServerError } from './server-error.ts';
import { parseChunk, parseModels, type ListedModel } from './wire.ts';

type Ports = Pick<RunContext, 'signal' | 'clock'>;
type Got =
  | { readonly kind: 'ok'; readonly body: unknown }
  | { readonly kind: 'failed'; readonly failure: Failure; readonly refusal?: Refusal };

/** What a turn waits for such an answer before it does without. */
const ASK_MS = 5_000;
const BODY_BYTES_MAX = 8 * 1024 * 1024;
/** Where servers put the window: OpenRouter and others, vLLM, Groq, LM Studio, Together. */
const WINDOW_FIELDS = ['context_length', 'max_model_len', 'context_window', 'max_context_length', 'max_input_tokens'];
const TITLE_CHARS_MAX = 80;
/** How many models are remembered: their names come from sessions. */
const MODELS_MAX = 1_000;
const TITLE_PROMPT =
  'Give this conversation a title of at most six words, in its own language. Answer with the title alone, without quotes.';

export class ModelServer {
  readonly #settings: OpenAiSettings;
  #listed: readonly ListedModel[] | null = null;
  readonly #windows = new Map<string, number>();
  readonly #concessions = new Map<string, Concessions>();

  constructor(settings: OpenAiSettings) {
    this.#settings = settings;
  }

  /** What a model was found not to take, for the life of the agent. */
  concessionsOf(model: string): Concessions {
    const known = this.#concessions.get(model) ?? new Concessions();
    if (this.#concessions.size < MODELS_MAX) this.#concessions.set(model, known);
    return known;
  }

  /** The session's choice, the configured one, or the first that the server has. */
  async modelFor(chosen: string | null, ports: Ports): Promise<string> {
    return this.#chosen(chosen) ?? within(ports, (signal) => this.#firstModel(signal));
  }

  async windowOf(model: string, ports: Ports): Promise<number> {
    const known = this.#settings.contextWindow ?? this.#windows.get(model);
    if (known !== undefined) return known;
    const asked = await within(ports, async (signal) => {
      const listed = (await this.list(signal)).find(({ id }) => id === model);
      return (listed === undefined ? undefined : windowIn(listed)) ?? (await this.#askProps(signal));
    });
    if (asked !== undefined) this.#windows.set(model, asked);
    return asked ?? CONTEXT_WINDOW;
  }

  #chosen(chosen: string | null): string | undefined {
    const given = chosen ?? this.#settings.model;
    return given === '' ? undefined : given;
  }

  async #firstModel(signal: AbortSignal): Promise<string> {
    const [first] = await this.list(signal);
    return first?.id ?? 'default';
  }

  async list(signal: AbortSignal): Promise<readonly ListedModel[]> {
    if (this.#listed !== null) return this.#listed;
    const got = await this.#get(this.#settings.endpoints.models, signal);
    const listed = got.kind === 'ok' ? parseModels(got.body) : undefined;
    if (listed !== undefined) this.#listed = listed;
    return listed ?? [];
  }

  /** llama.cpp tells the window that it really runs with only here. */
  async #askProps(signal: AbortSignal): Promise<number | undefined> {
    const got = await this.#get(this.#settings.endpoints.props, signal);
    if (got.kind === 'failed') return undefined;
    const { default_generation_settings: inner } = got.body as { default_generation_settings?: { n_ctx?: unknown } };
    return wholeNumber(inner?.n_ctx);
  }

  async check(signal: AbortSignal): ReturnType<NonNullable<Agent['check']>> {
    const { endpoints, model } = this.#settings;
    const got = await this.#get(endpoints.models, signal);
    // Some servers answer, but list nothing: that they answer is what can be known without asking for text.
    if (got.kind === 'failed' && got.failure.fault !== 'model-not-found') {
      return { ok: false, fault: got.failure.fault, detail: got.failure.reason };
    }
    const listed = (got.kind === 'ok' ? parseModels(got.body) : undefined) ?? [];
    if (model !== undefined && listed.length > 0 && !listed.some(({ id }) => id === model)) {
      const names = listed.slice(0, 20).map(({ id }) => id);
      const detail = `${endpoints.models} does not list “${model}”. Set HOLDFAST_MODEL to one of: ${names.join(', ')}${listed.length > 20 ? ' …' : ''}.`;
      return { ok: false, fault: 'model-not-found', detail };
    }
    if (listed.length === 0) return this.#checkByAsking(signal);
    return { ok: true, detail: `${endpoints.models} answers and lists ${listed.length} models.` };
  }

  /** One token, from a server that lists no models. */
  async #checkByAsking(signal: AbortSignal): ReturnType<NonNullable<Agent['check']>> {
    const { endpoints } = this.#settings;
    const got = await this.#complete([{ role: 'user', content: 'Say: ok' }], 1, signal);
    return got.kind === 'ok'
      ? { ok: true, detail: `${endpoints.chat} answers.` }
      : { ok: false, fault: got.failure.fault, detail: got.failure.reason };
  }

  async title(messages: readonly Message[], signal: AbortSignal): Promise<string | undefined> {
    const talk = messages.map(({ role, text }) => `${role}: ${cut(text, 0, 2_000)}`).slice(0, 4);
    // Thinking models need room for more than the title itself.
    const got = await this.#complete(
      [{ role: 'user', content: `${TITLE_PROMPT}\n\n${talk.join('\n\n')}` }],
      1_000,
      signal,
    );
    if (got.kind === 'failed') return undefined;
    const content = parseChunk(got.body)?.choices?.[0]?.message?.content;
    return typeof content === 'string' ? tidyTitle(content) : undefined;
  }

  async #complete(messages: readonly object[], maxTokens: number, signal: AbortSignal): Promise<Got> {
    const { endpoints, extra } = this.#settings;
    const model = this.#chosen(null) ?? (await this.#firstModel(signal));
    const concessions = this.concessionsOf(model);
    for (;;) {
      const { stream_options: _none, ...rest } = { stream_options: null, ...extra };
      const bounds = maxTokensOf(maxTokens, concessions);
      const body = JSON.stringify(wellFormed({ ...rest, model, messages, ...bounds, stream: false }));
      const got = await this.#get(endpoints.chat, signal, { method: 'POST', body });
      const isRefused = got.kind === 'failed' && got.refusal !== undefined && Object.keys(bounds).length > 0;
      if (!isRefused || concessions.learn(got.refusal, { ...NOTHING, maxTokens: true }) === null) return got;
    }
  }

  async #get(url: string, signal: AbortSignal, init: RequestInit = {}): Promise<Got> {
    const where = { url, model: this.#settings.model ?? 'the first' };
    try {
      const response = await fetch(url, { ...init, headers: headersOf(this.#settings), redirect: 'manual', signal });
      const body = parseJson((await readText(response, BODY_BYTES_MAX)) ?? '');
      if (response.ok && typeof body === 'object' && body !== null) return { kind: 'ok', body };
      if (!response.ok) return refusedBy(response.status, body, where);
      const reason = `${url} answers, but not as an OpenAI-compatible API does. Check HOLDFAST_MODEL_URL.`;
      return { kind: 'failed', failure: { outcome: 'failed', fault: 'model-malformed', reason } };
    } catch (error) {
      return { kind: 'failed', failure: failureOfThrow(error, where).failure };
    }
  }
}

function refusedBy(status: number, body: unknown, where: Where): Got {
  const error = parseServerError(body);
  return { kind: 'failed', failure: failureOfStatus(status, error, where), refusal: { status, error } };
}

const NOTHING: Sent = {
  streamOptions: false,
  maxTokens: false,
  temperature: false,
  tools: false,
  pictures: false,
  state: false,
};

/** Work that is given up after `ASK_MS`. */
async function within<T>({ signal, clock }: Ports, work: (signal: AbortSignal) => Promise<T>): Promise<T> {
  const limit = new AbortController();
  const over = new AbortController();
  void clock.sleep(ASK_MS, over.signal).then(() => limit.abort());
  try {
    return await work(AbortSignal.any([signal, limit.signal]));
  } finally {
    over.abort();
  }
}

function windowIn(listed: ListedModel): number | undefined {
  return WINDOW_FIELDS.map((field) => wholeNumber(listed[field])).find((value) => value !== undefined);
}

const wholeNumber = (value: unknown): number | undefined =>
  typeof value === 'number' && Number.isInteger(value) && value > 0 ? value : undefined;

/** The last line that says something: what comes before may be thinking aloud. */
function tidyTitle(content: string): string | undefined {
  const line =
    content
      .replace(/^[\s\S]*<\/think>/, '')
      .trim()
      .split('\n')
      .at(-1) ?? '';
  const title = line.replaceAll(/^[\s"'“”«»*#]+|[\s"'“”«».*]+$/g, '');
  return title === '' ? undefined : cut(title, 0, TITLE_CHARS_MAX);
}
