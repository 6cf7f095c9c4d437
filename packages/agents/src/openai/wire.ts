/**
 * What travels: the messages of Chat Completions, and what servers send back, parsed at the door.
 *
 * 1. Lenient where servers differ (fields that are null, absent or unknown), strict where they must not: a chunk that is
 *    no JSON or has text that is no text is malformed.
 */
import { z } from 'zod';

export type ContentPart =
  | { readonly type: 'text'; readonly text: string }
  | { readonly type: 'image_url'; readonly image_url: { readonly url: string } };

export interface ModelToolCall {
  readonly id: string;
  readonly type: 'function';
  readonly function: { readonly name: string; readonly arguments: string };
}

export type ModelMessage =
  | { readonly role: 'system'; readonly content: string }
  | { readonly role: 'user'; readonly content: string | readonly ContentPart[] }
  | {
      readonly role: 'assistant';
      readonly content: string | null;
      readonly tool_calls?: readonly ModelToolCall[];
    }
  | { readonly role: 'tool'; readonly tool_call_id: string; readonly content: string };

/** Absent, null or there: servers differ. */
type Maybe<T> = T | null | undefined;

/** Some servers send content as parts; thinking may be one of them. */
export interface SentPart {
  readonly text?: string | undefined;
  readonly thinking?: string | readonly { readonly text?: string | undefined }[] | undefined;
}

export interface SentCall {
  readonly index?: Maybe<number>;
  readonly id?: Maybe<string>;
  readonly function?: Maybe<{
    readonly name?: Maybe<string>;
    readonly arguments?: Maybe<string | Record<string, unknown>>;
  }>;
}

export interface Delta {
  readonly content?: Maybe<string | readonly SentPart[]>;
  readonly reasoning_content?: Maybe<string>;
  readonly reasoning?: Maybe<string>;
  readonly refusal?: Maybe<string>;
  readonly tool_calls?: Maybe<readonly SentCall[]>;
}

export interface Chunk {
  readonly choices?: Maybe<
    readonly {
      readonly delta?: Maybe<Delta>;
      readonly message?: Maybe<Delta>;
      readonly finish_reason?: Maybe<string>;
    }[]
  >;
  readonly usage?: Maybe<{ readonly prompt_tokens?: Maybe<number>; readonly completion_tokens?: Maybe<number> }>;
  readonly error?: unknown;
}

const text = z.string().nullish();

const sentPart: z.ZodType<SentPart> = z.object({
  text: z.string().optional(),
  thinking: z.union([z.string(), z.array(z.object({ text: z.string().optional() }))]).optional(),
});

const delta: z.ZodType<Delta> = z.object({
  content: z.union([z.string(), z.array(sentPart)]).nullish(),
  reasoning_content: text,
  reasoning: text,
  refusal: text,
  tool_calls: z
    .array(
      z.object({
        index: z.number().nullish(),
        id: text,
        function: z
          .object({ name: text, arguments: z.union([z.string(), z.record(z.string(), z.unknown())]).nullish() })
          .nullish(),
      }),
    )
    .nullish(),
});

const chunk: z.ZodType<Chunk> = z.object({
  choices: z.array(z.object({ delta: delta.nullish(), message: delta.nullish(), finish_reason: text })).nullish(),
  usage: z.object({ prompt_tokens: z.number().nullish(), completion_tokens: z.number().nullish() }).nullish(),
  error: z.unknown().optional(),
});

/** @returns undefined where it is malformed. */
export function parseChunk(data: string): Chunk | undefined {
  return chunk.safeParse(parseJson(data)).data;
}

/** What a server says about an error, in any of the shapes that are about. */
export interface ServerError {
  readonly message: string;
  readonly code?: string;
  readonly type?: string;
  /** Where the code is a status: proxies put one there. */
  readonly status?: number;
}

const errorFields = z.looseObject({
  message: z.unknown().optional(),
  code: z.union([z.string(), z.number()]).nullish(),
  type: text,
});

export function parseServerError(body: unknown): ServerError {
  const outer = z.looseObject({ error: z.unknown().optional(), detail: z.unknown().optional() }).safeParse(body).data;
  const inner = outer?.error ?? outer?.detail ?? body;
  if (typeof inner === 'string') return { message: inner };
  const fields = errorFields.safeParse(inner).data;
  if (fields === undefined) return { message: '' };
  const { message, code, type } = fields;
  const status = Number(code);
  return {
    message: typeof message === 'string' ? message : JSON.stringify(message ?? inner),
    ...(code === null || code === undefined ? {} : { code: String(code) }),
    ...(type === null || type === undefined ? {} : { type }),
    ...(status >= 400 && status < 600 ? { status } : {}),
  };
}

export interface ListedModel {
  readonly id: string;
  readonly [field: string]: unknown;
}

const models: z.ZodType<{ readonly data: readonly ListedModel[] }> = z.object({
  data: z.array(z.looseObject({ id: z.string() })),
});

export const parseModels = (body: unknown): readonly ListedModel[] | undefined => models.safeParse(body).data?.data;

export function parseJson(data: string): unknown {
  try {
    return JSON.parse(data);
  } catch {
    return undefined;
  }
}
