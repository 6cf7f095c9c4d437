/**
 * The entries of a session's log as schemas: for the OpenAPI document, and for the door that an import comes through.
 *
 * 1. Keyed and typed by the entry's type: an entry or a field, even one that may be absent, that is added there and not here does not
 *    compile. An import would forget it.
 * 2. Unknown fields are dropped: a later version's export is read as far as this one understands it.
 */
import { z } from 'zod';
import type { EntryBody, EntryType, Question, TitleStatus, TurnOutcome, TurnSource, Usage } from './entry.ts';
import { FAULT_KINDS, type FaultKind } from './fault.ts';
import {
  answerSchema,
  approvalRight,
  type FieldsOf,
  btwIdSchema,
  clientIdSchema,
  filePart,
  inputPartSchema,
  messageIdSchema,
  nameSchema,
  promptIdSchema,
  sessionIdSchema,
  textSchema,
  titleSchema,
  toolIdSchema,
  turnIdSchema,
  whenBusySchema,
} from './schema-piece.ts';

export const faultKindSchema: z.ZodType<FaultKind> = z.enum(FAULT_KINDS as [FaultKind, ...FaultKind[]]);
export const turnOutcomeSchema: z.ZodType<TurnOutcome> = z.enum([
  'completed',
  'cancelled',
  'failed',
  'interrupted',
  'limit',
]);
export const titleStatusSchema: z.ZodType<TitleStatus> = z.enum(['pending', 'done', 'skipped']);
const usage: FieldsOf<Usage> = {
  inputTokens: z.number(),
  outputTokens: z.number(),
  firstTokenMs: z.number().exactOptional(),
  durationMs: z.number(),
};
export const usageSchema: z.ZodType<Usage> = z.object(usage);

export const turnSourceSchema: z.ZodType<TurnSource> = z.object({
  messageIds: z.array(messageIdSchema),
  parent: turnIdSchema.nullable(),
} satisfies FieldsOf<TurnSource>);
const questionSchema: z.ZodType<Question> = z.object({
  messageId: messageIdSchema,
  clientId: clientIdSchema,
  author: nameSchema,
  text: textSchema,
  parts: z.array(inputPartSchema),
  at: z.string(),
  seq: z.int(),
  turnId: turnIdSchema,
} satisfies FieldsOf<Question>);

interface HasFields<T> {
  readonly shape: FieldsOf<T>;
}

const command = { clientId: clientIdSchema, author: nameSchema };
const run = { turnId: turnIdSchema };
const lateRun = { turnId: turnIdSchema.exactOptional() };

const entries = {
  'session-open': z.object({
    type: z.literal('session-open'),
    ...command,
    sessionId: sessionIdSchema,
    title: titleSchema.exactOptional(),
    agent: nameSchema.exactOptional(),
    model: nameSchema.exactOptional(),
    imported: z.object({ version: z.int(), entries: z.int() }).exactOptional(),
  }),
  'session-set': z.object({
    type: z.literal('session-set'),
    ...command,
    title: titleSchema.exactOptional(),
    pinned: z.boolean().exactOptional(),
    archived: z.boolean().exactOptional(),
    agent: nameSchema.exactOptional(),
    model: nameSchema.exactOptional(),
    readSeq: z.int().min(0).exactOptional(),
  }),
  'mark-unread': z.object({ type: z.literal('mark-unread'), ...command, readSeq: z.int().min(0) }),
  message: z.object({
    type: z.literal('message'),
    ...command,
    messageId: messageIdSchema,
    text: textSchema,
    parts: z.array(inputPartSchema).exactOptional(),
    whenBusy: whenBusySchema,
    merge: z.boolean().exactOptional(),
    after: turnIdSchema.nullable().exactOptional(),
    afterFound: z.literal(true).exactOptional(),
  }),
  'message-edit': z.object({
    type: z.literal('message-edit'),
    ...command,
    messageId: messageIdSchema,
    text: textSchema,
  }),
  'message-withdraw': z.object({ type: z.literal('message-withdraw'), ...command, messageId: messageIdSchema }),
  'queue-order': z.object({ type: z.literal('queue-order'), ...command, messageIds: z.array(messageIdSchema) }),
  steer: z.object({ type: z.literal('steer'), ...command, ...run, messageId: messageIdSchema, text: textSchema }),
  stop: z.object({
    type: z.literal('stop'),
    ...command,
    ...run,
    queue: z.enum(['keep', 'clear']),
    partial: z.enum(['keep', 'discard']).exactOptional(),
  }),
  'prompt-answer': z.object({
    type: z.literal('prompt-answer'),
    ...command,
    promptId: promptIdSchema,
    answer: answerSchema,
    right: approvalRight.exactOptional(),
  }),
  'tool-result': z.object({
    type: z.literal('tool-result'),
    ...command,
    toolId: toolIdSchema,
    ok: z.boolean(),
    output: z.string(),
  }),
  regenerate: z.object({
    type: z.literal('regenerate'),
    ...command,
    messageId: messageIdSchema,
    ...run,
    source: turnSourceSchema.exactOptional(),
  }),
  'branch-switch': z.object({
    type: z.literal('branch-switch'),
    ...command,
    ...run,
    tip: turnIdSchema.exactOptional(),
  }),
  'btw-keep': z.object({
    type: z.literal('btw-keep'),
    ...command,
    ...run,
    btwId: btwIdSchema,
    question: textSchema,
    answer: textSchema,
    agent: z.string(),
    askedAt: z.string(),
  }),
  'turn-start': z.object({
    type: z.literal('turn-start'),
    ...run,
    messageIds: z.array(messageIdSchema),
    messageId: messageIdSchema,
    agent: z.string(),
    attempt: z.int(),
    parent: turnIdSchema.nullable(),
    cause: messageIdSchema.exactOptional(),
    question: z.array(questionSchema).exactOptional(),
  }),
  'text-delta': z.object({ type: z.literal('text-delta'), ...run, messageId: messageIdSchema, text: z.string() }),
  'thinking-delta': z.object({
    type: z.literal('thinking-delta'),
    ...run,
    messageId: messageIdSchema,
    text: z.string(),
  }),
  'tool-request': z.object({
    type: z.literal('tool-request'),
    ...run,
    toolId: toolIdSchema,
    name: z.string(),
    input: z.unknown(),
    callId: z.string().exactOptional(),
  }),
  'tool-start': z.object({
    type: z.literal('tool-start'),
    ...run,
    toolId: toolIdSchema,
    name: z.string(),
    input: z.unknown(),
  }),
  'tool-output': z.object({ type: z.literal('tool-output'), ...run, toolId: toolIdSchema, text: z.string() }),
  'tool-end': z.object({
    type: z.literal('tool-end'),
    ...run,
    toolId: toolIdSchema,
    ok: z.boolean(),
    output: z.string(),
    blob: z.string().exactOptional(),
    outputBytes: z.number().exactOptional(),
    durationMs: z.number(),
  }),
  data: z.object({ type: z.literal('data'), ...run, name: z.string(), data: z.unknown() }),
  file: z.object({ type: z.literal('file'), ...run, ...filePart }),
  'provider-state': z.object({
    type: z.literal('provider-state'),
    ...run,
    provider: z.string(),
    state: z.unknown(),
  }),
  'prompt-open': z.object({
    type: z.literal('prompt-open'),
    ...run,
    promptId: promptIdSchema,
    kind: z.enum(['approval', 'question']),
    title: z.string(),
    detail: z.string(),
    choices: z.array(z.string()),
    deadlineAt: z.string().nullable(),
    toolId: toolIdSchema.exactOptional(),
    needs: approvalRight.exactOptional(),
  }),
  'prompt-close': z.object({
    type: z.literal('prompt-close'),
    ...run,
    promptId: promptIdSchema,
    outcome: z.enum(['answered', 'expired', 'cancelled']),
    answer: answerSchema.exactOptional(),
    by: z.string().exactOptional(),
  }),
  'steer-end': z.object({
    type: z.literal('steer-end'),
    ...run,
    messageId: messageIdSchema,
    outcome: z.enum(['injected', 'queued', 'void']),
  }),
  'context-trim': z.object({ type: z.literal('context-trim'), ...run, turns: z.number() }),
  'turn-park': z.object({
    type: z.literal('turn-park'),
    ...run,
    usage: usageSchema,
    awaits: z.array(toolIdSchema).exactOptional(),
  }),
  'turn-resume': z.object({ type: z.literal('turn-resume'), ...run, attempt: z.int() }),
  'turn-end': z.object({
    type: z.literal('turn-end'),
    ...run,
    outcome: turnOutcomeSchema,
    reason: z.string().exactOptional(),
    fault: faultKindSchema.exactOptional(),
    retryAfterMs: z.number().exactOptional(),
    partial: z.literal('discard').exactOptional(),
  }),
  usage: z.object({ type: z.literal('usage'), ...run, ...usage }),
  'title-status': z.object({ type: z.literal('title-status'), ...lateRun, status: titleStatusSchema }),
  title: z.object({ type: z.literal('title'), ...lateRun, title: z.string() }),
  'stream-end': z.object({ type: z.literal('stream-end'), ...run }),
} satisfies {
  readonly [T in EntryType]: z.ZodType<Extract<EntryBody, { type: T }>> & HasFields<Extract<EntryBody, { type: T }>>;
};

const [first, ...rest] = Object.values(entries);

/** What the log holds: an entry without its place. */
export const entryBodySchema: z.ZodType<EntryBody> = z
  .discriminatedUnion('type', [first!, ...rest])
  .meta({ id: 'EntryBody' });

/** A schema for each type of entry, as it is sent: with its place. */
export const entrySchemas: Readonly<Record<EntryType, z.ZodType>> = Object.fromEntries(
  Object.entries(entries).map(([type, schema]) => [
    type,
    z.object({ ...schema.shape, seq: z.int().min(1), at: z.iso.datetime() }).meta({ id: `Entry.${type}` }),
  ]),
) as unknown as Record<EntryType, z.ZodType>;
