/**
 * What the gateway answers with, as schemas: the view of a session and the lines of its lists. They document, and tests read
 * replies by them. Each has a schema for every field of its type, also for one that may be absent (`FieldsOf`).
 */
import { z } from 'zod';
import type { EntryType } from './entry.ts';
import type { Problem } from './fault.ts';
import {
  entrySchemas,
  faultKindSchema,
  titleStatusSchema,
  turnOutcomeSchema,
  turnSourceSchema,
  usageSchema,
} from './schema-entry.ts';
import {
  approvalRight,
  blobHashSchema,
  btwIdSchema,
  clientIdSchema,
  cursorSchema,
  type FieldsOf,
  inputPartSchema,
  messageIdSchema,
  promptIdSchema,
  sessionIdSchema,
  toolIdSchema,
  turnIdSchema,
} from './schema-piece.ts';
import type { SessionSummary } from './summary.ts';
import type {
  KeptBtw,
  Message,
  OpenPrompt,
  Part,
  PromptPart,
  QueuedMessage,
  RunningTurn,
  Stopping,
  ToolPart,
  TurnNode,
  View,
} from './view.ts';

const time = z.iso.datetime();
const seq = z.int().min(0);
const promptKind = z.enum(['approval', 'question']);

const partSchema: z.ZodType<Part> = z
  .union([
    z.object({ type: z.literal('text'), text: z.string() }),
    z.object({ type: z.literal('thinking'), text: z.string() }),
    z.object({
      type: z.literal('tool'),
      toolId: toolIdSchema,
      callId: z.string().exactOptional(),
      name: z.string(),
      input: z.unknown(),
      state: z.enum(['requested', 'running', 'done', 'failed', 'cancelled', 'uncertain']),
      output: z.string(),
      blob: blobHashSchema.exactOptional(),
      outputBytes: z.int().exactOptional(),
      durationMs: z.number().exactOptional(),
    } satisfies FieldsOf<ToolPart>),
    z.object({
      type: z.literal('prompt'),
      promptId: promptIdSchema,
      kind: promptKind,
      title: z.string(),
      detail: z.string(),
      choices: z.array(z.string()),
      toolId: toolIdSchema.exactOptional(),
      outcome: z.enum(['answered', 'expired', 'cancelled']).nullable(),
      answer: z.string().exactOptional(),
      by: z.string().exactOptional(),
    } satisfies FieldsOf<PromptPart>),
    z.object({ type: z.literal('steer'), messageId: messageIdSchema, author: z.string(), text: z.string() }),
    z.object({ type: z.literal('context-trim'), turns: z.int() }),
    z.object({ type: z.literal('provider-state'), provider: z.string(), state: z.unknown() }),
    inputPartSchema,
  ])
  .meta({ id: 'Part' });

const keptBtwSchema: z.ZodType<KeptBtw> = z
  .object({
    btwId: btwIdSchema,
    question: z.string(),
    answer: z.string(),
    agent: z.string(),
    author: z.string(),
    askedAt: time,
  } satisfies FieldsOf<KeptBtw>)
  .meta({ id: 'KeptBtw' });

export const messageSchema: z.ZodType<Message> = z
  .object({
    id: messageIdSchema,
    role: z.enum(['user', 'assistant']),
    text: z.string(),
    parts: z.array(partSchema),
    turnId: turnIdSchema,
    state: z.enum(['sent', 'streaming', 'parked', 'completed', 'cancelled', 'failed', 'interrupted', 'limit']),
    revision: seq,
    at: time,
    author: z.string().exactOptional(),
    clientId: clientIdSchema.exactOptional(),
    reason: z.string().exactOptional(),
    fault: faultKindSchema.exactOptional(),
    usage: usageSchema.exactOptional(),
    btws: z.array(keptBtwSchema).exactOptional(),
  } satisfies FieldsOf<Message>)
  .meta({ id: 'Message' });

const stoppingSchema: z.ZodType<Stopping> = z
  .object({
    seq,
    queue: z.enum(['keep', 'clear']),
    partial: z.enum(['keep', 'discard']),
    by: z.string(),
  } satisfies FieldsOf<Stopping>)
  .meta({ id: 'Stopping' });

const queuedSchema: z.ZodType<QueuedMessage> = z
  .object({
    messageId: messageIdSchema,
    clientId: clientIdSchema,
    author: z.string(),
    text: z.string(),
    parts: z.array(inputPartSchema),
    at: time,
    seq,
    merge: z.boolean(),
    urgent: z.boolean(),
    after: turnIdSchema.nullable().exactOptional(),
    again: turnIdSchema.exactOptional(),
    source: turnSourceSchema.exactOptional(),
    stopping: stoppingSchema.exactOptional(),
    missedTurn: turnIdSchema.exactOptional(),
  } satisfies FieldsOf<QueuedMessage>)
  .meta({ id: 'QueuedMessage' });

const openPromptSchema: z.ZodType<OpenPrompt> = z
  .object({
    promptId: promptIdSchema,
    turnId: turnIdSchema,
    kind: promptKind,
    title: z.string(),
    detail: z.string(),
    choices: z.array(z.string()),
    deadlineAt: time.nullable(),
    toolId: toolIdSchema.exactOptional(),
    needs: approvalRight.exactOptional(),
  } satisfies FieldsOf<OpenPrompt>)
  .meta({ id: 'OpenPrompt' });

const lastEvent = z.enum(Object.keys(entrySchemas) as [EntryType, ...EntryType[]]) as unknown as z.ZodType<
  TurnNode['lastEvent']
>;

const runningTurnSchema: z.ZodType<RunningTurn> = z
  .object({
    turnId: turnIdSchema,
    messageId: messageIdSchema,
    state: z.enum(['running', 'parked']),
    agent: z.string(),
    attempt: z.int(),
    startSeq: seq,
    startedAt: time,
    lastSeq: seq,
    lastEvent,
    stopping: stoppingSchema.nullable(),
    steers: z.array(queuedSchema),
    openTools: z.array(toolIdSchema),
    awaits: z.array(toolIdSchema),
    answers: z.array(z.object({ promptId: promptIdSchema, answer: z.string(), by: z.string() })),
    results: z.array(z.object({ toolId: toolIdSchema, ok: z.boolean(), output: z.string() })),
    spent: usageSchema.nullable(),
    promptCount: z.int(),
    toolCount: z.int(),
  } satisfies FieldsOf<RunningTurn>)
  .meta({ id: 'RunningTurn' });

export const turnNodeSchema: z.ZodType<TurnNode> = z
  .object({
    turnId: turnIdSchema,
    parent: turnIdSchema.nullable(),
    messageIds: z.array(messageIdSchema),
    messageId: messageIdSchema,
    agent: z.string(),
    startSeq: seq,
    startedAt: time,
    outcome: turnOutcomeSchema.nullable(),
    endedAt: time.exactOptional(),
    revision: seq,
    lastSeq: seq,
    lastEvent,
  } satisfies FieldsOf<TurnNode>)
  .meta({ id: 'Turn' });

export const viewSchema: z.ZodType<View> = z
  .object({
    foldVersion: z.int(),
    seq,
    owner: z.string().nullable(),
    createdAt: time.nullable(),
    updatedAt: time.nullable(),
    title: z.string().nullable(),
    titleStatus: titleStatusSchema.nullable(),
    agent: z.string().nullable(),
    model: z.string().nullable(),
    pinned: z.boolean(),
    archived: z.boolean(),
    readSeq: seq,
    messages: z.array(messageSchema),
    offPath: z.array(messageSchema),
    turns: z.array(turnNodeSchema),
    leaf: turnIdSchema.nullable(),
    earlierTurns: z.int(),
    queue: z.array(queuedSchema),
    prompts: z.array(openPromptSchema),
    turn: runningTurnSchema.nullable(),
    closing: turnIdSchema.nullable(),
    grants: z.array(z.string()),
    grantedBy: z.record(z.string(), z.string()).exactOptional(),
    usage: z.object({ inputTokens: z.number(), outputTokens: z.number() }),
  } satisfies FieldsOf<View>)
  .meta({ id: 'View' });

export const sessionSummarySchema: z.ZodType<SessionSummary> = z
  .object({
    sessionId: sessionIdSchema,
    owner: z.string(),
    title: z.string().nullable(),
    agent: z.string().nullable(),
    model: z.string().nullable(),
    state: z.enum(['idle', 'running', 'waiting', 'queued']),
    prompts: z.int(),
    queued: z.int(),
    pinned: z.boolean(),
    archived: z.boolean(),
    seq,
    readSeq: seq,
    unread: z.boolean(),
    lastOutcome: turnOutcomeSchema.nullable(),
    preview: z.string(),
    createdAt: time,
    updatedAt: time,
  } satisfies FieldsOf<SessionSummary>)
  .meta({ id: 'SessionSummary' });

export const snapshotSchema: z.ZodType = z
  .object({ session: sessionSummarySchema, view: viewSchema, seq, cursor: cursorSchema })
  .meta({ id: 'Snapshot' });

export const problemSchema: z.ZodType<Problem> = z
  .object({
    type: z.string(),
    title: z.string(),
    status: z.int(),
    detail: z.string(),
    fault: faultKindSchema,
    retryAfterMs: z.int().exactOptional(),
    facts: z.record(z.string(), z.unknown()).exactOptional(),
  } satisfies FieldsOf<Problem>)
  .meta({ id: 'Problem', description: 'RFC 9457 problem details' });
