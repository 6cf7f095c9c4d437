/**
 * The data types of Chat Completions: what a request is made of, and what a server's frame may hold.
 *
 * 1. Parsing is lenient: a field of another type than expected counts as absent, numbers and strings stand in for each other,
 *    and unknown fields are kept (`opaque.ts`). Only a frame whose `choices` are no list of objects is unreadable.
 */
import { z } from 'zod';

export type ContentPart =
  | { readonly type: 'text'; readonly text: string }
  | { readonly type: 'image_url'; readonly image_url: { readonly url: string }; readonly name: string };

export interface ModelToolCall {
  readonly id: string;
  readonly type: 'function';
  readonly function: { readonly name: string; readonly arguments: string };
}

export interface AssistantMessage {
  readonly role: 'assistant';
  readonly content: string | null;
  readonly tool_calls?: readonly ModelToolCall[];
  /** Goes back to the provider that gave it (`opaque.ts`). */
  readonly opaque?: { readonly provider: string; readonly state: unknown; readonly thinking: string };
}

export type ModelMessage =
  | { readonly role: 'system'; readonly content: string }
  | { readonly role: 'user'; readonly content: string | readonly ContentPart[] }
  | AssistantMessage
  | { readonly role: 'tool'; readonly tool_call_id: string; readonly content: string };

/** Absent, null or there: servers differ. */
type Maybe<T> = T | null | undefined;

/** Some servers send content as parts; thinking may be one of them. */
export interface SentPart {
  readonly text?: Maybe<string>;
  readonly thinking?: Maybe<string | readonly { readonly text?: Maybe<string> }[]>;
}

export interface SentCall {
  readonly index?: Maybe<number>;
  readonly id?: Maybe<string>;
  readonly function?: Maybe<{
    readonly name?: Maybe<string>;
    readonly arguments?: Maybe<string | Record<string, unknown>>;
    readonly [field: string]: unknown;
  }>;
  readonly [field: string]: unknown;
}

export interface ReasoningDetail {
  readonly text?: Maybe<string>;
  readonly summary?: Maybe<string>;
}

export interface SentImage {
  readonly image_url?: Maybe<{ readonly url?: Maybe<string> }>;
}

export interface Delta {
  readonly content?: Maybe<string | readonly SentPart[]>;
  readonly reasoning_content?: Maybe<string>;
  readonly reasoning?: Maybe<string>;
  readonly reasoning_details?: Maybe<readonly ReasoningDetail[]>;
  readonly refusal?: Maybe<string>;
  readonly tool_calls?: Maybe<readonly SentCall[]>;
  readonly function_call?: Maybe<NonNullable<SentCall['function']>>;
  readonly images?: Maybe<readonly SentImage[]>;
  readonly [field: string]: unknown;
}

export interface Choice {
  readonly index?: Maybe<number>;
  readonly delta?: Maybe<Delta>;
  readonly message?: Maybe<Delta>;
  readonly finish_reason?: Maybe<string>;
  readonly error?: unknown;
}

export interface Chunk {
  readonly choices?: Maybe<readonly Choice[]>;
  readonly usage?: Maybe<{ readonly prompt_tokens?: Maybe<number>; readonly completion_tokens?: Maybe<number> }>;
}

// Rule 1: `catch` is what makes a field of another type an absent one.
const text = z.string().nullish().catch(null);
const number = z
  .union([
    z.number().min(0),
    z
      .string()
      .regex(/^\d{1,12}$/)
      .transform(Number),
  ])
  .nullish()
  .catch(null);
const list = <T>(item: z.ZodType<T>): z.ZodType<Maybe<readonly T[]>> =>
  z
    .array(item.nullable().catch(null))
    .nullish()
    .catch(null)
    .transform((items) => items?.filter((value) => value !== null));

const sentPart: z.ZodType<SentPart> = z.object({
  text,
  thinking: z
    .union([z.string(), z.array(z.object({ text }))])
    .nullish()
    .catch(null),
});

const calledFunction = z.looseObject({
  name: text,
  arguments: z
    .union([z.string(), z.record(z.string(), z.unknown())])
    .nullish()
    .catch(null),
});

const call: z.ZodType<SentCall> = z.looseObject({
  index: number,
  id: z
    .union([z.string(), z.number().transform(String)])
    .nullish()
    .catch(null),
  function: calledFunction.nullish().catch(null),
});

const delta: z.ZodType<Delta> = z.looseObject({
  content: z.union([z.string(), list(sentPart)]).catch(null),
  reasoning_content: text,
  reasoning: text,
  reasoning_details: list(z.looseObject({ text, summary: text })),
  refusal: text,
  tool_calls: list(call),
  function_call: calledFunction.nullish().catch(null),
  images: list(z.looseObject({ image_url: z.object({ url: text }).nullish().catch(null) })),
});

const choice: z.ZodType<Choice> = z.object({
  index: number,
  delta: delta.nullish().catch(null),
  message: delta.nullish().catch(null),
  finish_reason: text,
  error: z.unknown().optional(),
});

const chunk: z.ZodType<Chunk> = z.object({
  choices: z.array(choice).nullish(),
  usage: z.object({ prompt_tokens: number, completion_tokens: number }).nullish().catch(null),
});

/** @returns undefined if its choices cannot be read. */
export const parseChunk = (value: unknown): Chunk | undefined => chunk.safeParse(value).data;

export interface ListedModel {
  readonly id: string;
  readonly [field: string]: unknown;
}

const models: z.ZodType<{ readonly data: readonly ListedModel[] }> = z.object({
  data: z.array(z.looseObject({ id: z.string() })),
});

export const parseModels = (body: unknown): readonly ListedModel[] | undefined => models.safeParse(body).data?.data;
