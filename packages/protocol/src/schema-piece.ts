/**
 * The pieces that requests, entries and views share: ids, texts, names, each with its pattern and its bound.
 */
import { z } from 'zod';
import type { Answer, ApprovalRight, FilePart, InputPart, WhenBusy } from './entry.ts';
import {
  ID_PATTERN,
  type BtwId,
  type ClientId,
  type MessageId,
  type PromptId,
  type SessionId,
  type ToolId,
  type TurnId,
} from './ids.ts';

export const TEXT_CHARS_MAX = 1_000_000;
export const TITLE_CHARS_MAX = 200;
export const NAME_CHARS_MAX = 200;
export const ANSWER_CHARS_MAX = 100_000;
export const PARTS_MAX = 64;
export const BTW_QUESTION_CHARS_MAX = 8_000;
export const SUBJECT_CHARS_MAX = 200;

const idSchema = <T extends string>(description: string): z.ZodType<T> =>
  z
    .string()
    .regex(ID_PATTERN, 'is no id: 1 to 128 of A-Z a-z 0-9 _ . : -, the first a letter or digit')
    .describe(description) as unknown as z.ZodType<T>;

export const sessionIdSchema: z.ZodType<SessionId> = idSchema('A session');
export const messageIdSchema: z.ZodType<MessageId> = idSchema('A message');
export const turnIdSchema: z.ZodType<TurnId> = idSchema('A turn');
export const promptIdSchema: z.ZodType<PromptId> = idSchema('A prompt');
export const toolIdSchema: z.ZodType<ToolId> = idSchema('A tool call');
export const btwIdSchema: z.ZodType<BtwId> = idSchema('A side question');
export const clientIdSchema: z.ZodType<ClientId> = idSchema(
  "The caller's own name of this command: a retry with it is the same command",
);
export const cursorSchema: z.ZodType<string> = z
  .string()
  .regex(/^(0|[1-9]\d{0,14}\.[0-9a-f]{8})$/, 'is no cursor: "0", or the id of an event')
  .describe('A place in a session: `seq.tag`');
export const blobHashSchema: z.ZodType<string> = z
  .string()
  .regex(/^[A-Za-z0-9_-]{16,128}$/, 'is no blob hash')
  .describe("A blob's address");

export const textSchema: z.ZodType<string> = z.string().max(TEXT_CHARS_MAX);
export const titleSchema: z.ZodType<string> = z.string().trim().min(1).max(TITLE_CHARS_MAX);
export const nameSchema: z.ZodType<string> = z.string().min(1).max(NAME_CHARS_MAX);
export const approvalRight: z.ZodType<ApprovalRight> = z.enum(['write', 'tools', 'admin']);
export const whenBusySchema: z.ZodType<WhenBusy> = z.enum(['queue', 'interrupt', 'steer']);
export const answerSchema: z.ZodType<Answer> = z.string().max(ANSWER_CHARS_MAX);

export const filePart: FieldsOf<FilePart> = {
  hash: blobHashSchema,
  name: nameSchema,
  mediaType: z.string().min(1).max(NAME_CHARS_MAX),
  bytes: z.int().min(0),
};

export const inputPartSchema: z.ZodType<InputPart> = z.discriminatedUnion('type', [
  z.strictObject({ type: z.literal('file'), ...filePart }),
  z.strictObject({ type: z.literal('data'), name: nameSchema, data: z.unknown() }),
]);

/** A schema for each field of a type, those too that may be absent: one that is left out does not compile. */
export type FieldsOf<T> = { readonly [K in keyof T]-?: z.ZodType<Exclude<T[K], undefined>> };
