/**
 * What the `openai-compatible` agent is told, and the addresses that follow from it.
 *
 * 1. Any base URL will do: with or without `/v1`, with a trailing slash, or the whole address of `chat/completions`.
 *    `/v1` is added where the path names no version; a whole address is taken as it is.
 */
import type { Toolbox } from '../tools/tool.ts';

export interface OpenAiConfig {
  /** Default: `openai`. */
  readonly name?: string;
  readonly description?: string;
  readonly baseUrl: string;
  readonly apiKey?: string;
  /** Left out: the first one that the server lists. A session's own choice goes before it. */
  readonly model?: string;
  readonly systemPrompt?: string;
  readonly temperature?: number;
  readonly maxTokens?: number;
  /** Whatever else the server takes; merged into each request's body, above everything else. */
  readonly extra?: Readonly<Record<string, unknown>>;
  readonly headers?: Readonly<Record<string, string>>;
  /** In tokens. Left out: the server is asked, and where it does not say, `CONTEXT_WINDOW`. */
  readonly contextWindow?: number;
  /** Whether the model sees images. Default: true. */
  readonly images?: boolean;
  readonly toolbox?: Toolbox;
  /** How many answers of one turn may call tools; then the turn ends with `limit`. Default: 25. */
  readonly toolRoundsMax?: number;
  readonly approvalDeadlineMs?: number;
  /** How long the model may take to begin. Default: 5 minutes: a local model reads a long prompt slowly. */
  readonly firstByteTimeoutMs?: number;
  /** How long it may be silent in mid-answer. Default: 1 minute. */
  readonly idleTimeoutMs?: number;
  /** A rate limit that asks for more than this ends the turn instead of waiting. Default: 1 minute. */
  readonly retryWaitMsMax?: number;
}

export interface OpenAiSettings extends OpenAiConfig {
  readonly images: boolean;
  readonly toolRoundsMax: number;
  readonly firstByteTimeoutMs: number;
  readonly idleTimeoutMs: number;
  readonly retryWaitMsMax: number;
  readonly endpoints: Endpoints;
}

export interface Endpoints {
  readonly chat: string;
  readonly models: string;
  /** Only llama.cpp has it: beside the API, not in it. */
  readonly props: string;
}

export const CONTEXT_WINDOW = 32_768;

export function settingsOf(config: OpenAiConfig): OpenAiSettings {
  return {
    ...config,
    images: config.images ?? true,
    toolRoundsMax: config.toolRoundsMax ?? 25,
    firstByteTimeoutMs: config.firstByteTimeoutMs ?? 300_000,
    idleTimeoutMs: config.idleTimeoutMs ?? 60_000,
    retryWaitMsMax: config.retryWaitMsMax ?? 60_000,
    endpoints: endpointsOf(config.baseUrl),
  };
}

/** @throws where the base URL is none: a misconfiguration, to be told at the start and not in mid-conversation. */
export function endpointsOf(baseUrl: string): Endpoints {
  if (!URL.canParse(baseUrl) || !/^https?:$/.test(new URL(baseUrl).protocol)) {
    throw new Error(
      `HOLDFAST_MODEL_URL is “${baseUrl}”, which is no http address. Set it to one: http://127.0.0.1:11434/v1`,
    );
  }
  const url = new URL(baseUrl);
  const path = url.pathname.replace(/\/+$/, '');
  const base = path.replace(/\/chat\/completions$/, '');
  const isWhole = base !== path;
  const hasVersion = base.split('/').some((segment) => /^v\d/.test(segment));
  const api = isWhole || hasVersion ? base : `${base}/v1`;
  const at = (pathname: string): string => `${url.origin}${pathname}${url.search}`;
  return {
    chat: at(`${api}/chat/completions`),
    models: at(`${api}/models`),
    props: at(`${api.replace(/\/v\d[^/]*$/, '')}/props`),
  };
}

export function headersOf({ apiKey, headers }: OpenAiConfig): Record<string, string> {
  return {
    'content-type': 'application/json',
    ...(apiKey === undefined || apiKey === '' ? {} : { authorization: `Bearer ${apiKey}` }),
    ...headers,
  };
}
