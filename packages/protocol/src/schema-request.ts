/**
 * Request bodies. Strict: a misspelt field is a fault that names it, never a silence.
 */
import { z } from 'zod';
import type { Answer, InputPart, WhenBusy } from './entry.ts';
import { ID_PATTERN, type ClientId, type MessageId, type SessionId, type TurnId } from './ids.ts';
import type { ChangeStream, OpenStream } from './sse.ts';
import {
  answerSchema,
  BTW_QUESTION_CHARS_MAX,
  clientIdSchema,
  inputPartSchema,
  messageIdSchema,
  NAME_CHARS_MAX,
  nameSchema,
  PARTS_MAX,
  sessionIdSchema,
  TEXT_CHARS_MAX,
  textSchema,
  titleSchema,
  turnIdSchema,
  whenBusySchema,
} from './schema-piece.ts';

/** Sessions of one multiplexed stream. */
export const LANES_MAX = 1_000;

export interface CreateSessionBody {
  readonly sessionId?: SessionId;
  /** The same as `sessionId`, for hands. */
  readonly id?: SessionId;
  readonly clientId?: ClientId;
  readonly title?: string;
  readonly agent?: string;
  readonly model?: string;
}
export const createSessionBody: z.ZodType<CreateSessionBody> = z
  .strictObject({
    sessionId: sessionIdSchema.exactOptional(),
    id: sessionIdSchema.exactOptional(),
    clientId: clientIdSchema.exactOptional(),
    title: titleSchema.exactOptional(),
    agent: nameSchema.exactOptional(),
    model: nameSchema.exactOptional(),
  })
  .meta({ id: 'CreateSession' });

export interface SetSessionBody {
  readonly clientId?: ClientId;
  readonly title?: string;
  readonly pinned?: boolean;
  readonly archived?: boolean;
  readonly agent?: string;
  readonly model?: string;
  readonly readSeq?: number;
}
export const setSessionBody: z.ZodType<SetSessionBody> = z
  .strictObject({
    clientId: clientIdSchema.exactOptional(),
    title: titleSchema.exactOptional(),
    pinned: z.boolean().exactOptional(),
    archived: z.boolean().exactOptional(),
    agent: nameSchema.exactOptional(),
    model: nameSchema.exactOptional(),
    readSeq: z.int().min(0).exactOptional(),
  })
  .refine((body) => Object.keys(body).some((key) => key !== 'clientId'), 'sets nothing')
  .meta({ id: 'SetSession' });

export interface MarkUnreadBody {
  readonly clientId?: ClientId;
  /** Entries after this one count as unread. Default: the last turn's end does, and what follows it. */
  readonly readSeq?: number;
}
export const markUnreadBody: z.ZodType<MarkUnreadBody> = z
  .strictObject({ clientId: clientIdSchema.exactOptional(), readSeq: z.int().min(0).exactOptional() })
  .meta({ id: 'MarkUnread' });

export interface SendMessageBody {
  readonly clientId?: ClientId;
  readonly text: string;
  readonly parts?: readonly InputPart[];
  readonly whenBusy?: WhenBusy;
  readonly merge?: boolean;
  readonly after?: TurnId | null;
}
export const sendMessageBody: z.ZodType<SendMessageBody> = z
  .strictObject({
    clientId: clientIdSchema.exactOptional(),
    text: textSchema,
    parts: z.array(inputPartSchema).max(PARTS_MAX).exactOptional(),
    whenBusy: whenBusySchema.exactOptional().describe('What to do while a turn runs. Default `queue`'),
    merge: z
      .boolean()
      .exactOptional()
      .describe('May share one turn with neighbours of the same author that ask for it too'),
    after: turnIdSchema.nullable().exactOptional().describe('Start a branch after this turn; null: at the root'),
  })
  .refine((body) => body.text !== '' || (body.parts?.length ?? 0) > 0, 'has neither text nor parts')
  .meta({ id: 'SendMessage' });

/** A command that only needs its own name. */
export interface CommandBody {
  readonly clientId?: ClientId;
}
export const commandBody: z.ZodType<CommandBody> = z
  .strictObject({ clientId: clientIdSchema.exactOptional() })
  .meta({ id: 'CommandOnly' });

export interface EditMessageBody extends CommandBody {
  readonly text: string;
}
export const editMessageBody: z.ZodType<EditMessageBody> = z
  .strictObject({ clientId: clientIdSchema.exactOptional(), text: z.string().min(1).max(TEXT_CHARS_MAX) })
  .meta({ id: 'EditMessage' });

export interface OrderQueueBody extends CommandBody {
  readonly messageIds: readonly MessageId[];
}
export const orderQueueBody: z.ZodType<OrderQueueBody> = z
  .strictObject({ clientId: clientIdSchema.exactOptional(), messageIds: z.array(messageIdSchema).min(1).max(10_000) })
  .meta({ id: 'OrderQueue', description: 'The named ones take each other’s places, in this order; the others stay' });

export interface StopTurnBody extends CommandBody {
  readonly queue?: 'keep' | 'clear';
  readonly partial?: 'keep' | 'discard';
}
export const stopTurnBody: z.ZodType<StopTurnBody> = z
  .strictObject({
    clientId: clientIdSchema.exactOptional(),
    queue: z.enum(['keep', 'clear']).exactOptional(),
    partial: z.enum(['keep', 'discard']).exactOptional(),
  })
  .meta({ id: 'StopTurn' });

export interface SteerTurnBody extends CommandBody {
  readonly text: string;
}
export const steerTurnBody: z.ZodType<SteerTurnBody> = z
  .strictObject({ clientId: clientIdSchema.exactOptional(), text: z.string().min(1).max(TEXT_CHARS_MAX) })
  .meta({ id: 'SteerTurn' });

export interface AnswerPromptBody extends CommandBody {
  readonly answer: Answer;
}
export const answerPromptBody: z.ZodType<AnswerPromptBody> = z
  .strictObject({ clientId: clientIdSchema.exactOptional(), answer: answerSchema })
  .meta({ id: 'AnswerPrompt' });

export interface AskBtwBody extends CommandBody {
  readonly question: string;
}
export const askBtwBody: z.ZodType<AskBtwBody> = z
  .strictObject({
    clientId: clientIdSchema.exactOptional(),
    question: z.string().trim().min(1).max(BTW_QUESTION_CHARS_MAX),
  })
  .meta({ id: 'AskBtw' });

export interface ToolResultBody extends CommandBody {
  readonly ok: boolean;
  readonly output: string;
}
export const toolResultBody: z.ZodType<ToolResultBody> = z
  .strictObject({ clientId: clientIdSchema.exactOptional(), ok: z.boolean(), output: textSchema })
  .meta({ id: 'ToolResult' });

export interface SwitchBranchBody extends CommandBody {
  readonly turnId: TurnId;
}
export const switchBranchBody: z.ZodType<SwitchBranchBody> = z
  .strictObject({ clientId: clientIdSchema.exactOptional(), turnId: turnIdSchema })
  .meta({ id: 'SwitchBranch' });

/** Sessions to read, each from its cursor (null: a snapshot, then the tail). What is no cursor is refused as that, by the route. */
const cursorsSchema: z.ZodType<OpenStream['cursors']> = z
  .record(z.string().regex(ID_PATTERN), z.string().max(64).nullable())
  .refine((cursors) => Object.keys(cursors).length <= LANES_MAX, `names more than ${LANES_MAX} sessions`);

const feedSchema = z
  .int()
  .min(0)
  .nullable()
  .exactOptional()
  .describe('The session list too: its changes after this revision; null: as it is, then its changes');

export const openStreamBody: z.ZodType<OpenStream> = z
  .strictObject({
    cursors: cursorsSchema,
    feed: feedSchema,
  })
  .meta({ id: 'OpenStream' });

export const changeStreamBody: z.ZodType<ChangeStream> = z
  .strictObject({
    add: cursorsSchema.exactOptional(),
    remove: z.array(sessionIdSchema).max(LANES_MAX).exactOptional(),
    feed: feedSchema,
  })
  .meta({ id: 'ChangeStream' });

/** `tools`: may allow what runs on the gateway's machine. `write` does not hold it, `admin` does. */
export const SCOPES = ['read', 'write', 'tools', 'admin'] as const;
export type Scope = (typeof SCOPES)[number];
export const scopeSchema: z.ZodType<Scope> = z.enum(SCOPES);

export interface IssueTokenBody {
  readonly subject: string;
  readonly scopes: readonly Scope[];
  readonly label?: string;
  readonly expiresInS?: number;
  /** Ask for a refresh token as well: a short access token and a rotating refresh. */
  readonly refresh?: boolean;
}
export const issueTokenBody: z.ZodType<IssueTokenBody> = z
  .strictObject({
    subject: z.string().regex(/^[\w.@:+-]{1,200}$/, 'is no subject: 1 to 200 of A-Z a-z 0-9 _ . @ : + -'),
    scopes: z.array(scopeSchema).min(1).max(SCOPES.length),
    label: z.string().max(NAME_CHARS_MAX).exactOptional(),
    expiresInS: z
      .int()
      .min(1)
      .max(10 * 366 * 86_400)
      .exactOptional(),
    refresh: z.boolean().exactOptional(),
  })
  .meta({ id: 'IssueToken' });

export interface RefreshTokenBody {
  readonly refreshToken: string;
}
export const refreshTokenBody: z.ZodType<RefreshTokenBody> = z
  .strictObject({ refreshToken: z.string().min(1).max(500) })
  .meta({ id: 'RefreshToken' });

export interface StartBody {
  readonly code: string;
}
export const startBody: z.ZodType<StartBody> = z
  .strictObject({ code: z.string().min(1).max(500) })
  .meta({ id: 'Start' });
