/**
 * What is done to a turn from outside: stop, steer, answer, hand in a tool's result; and how it stands.
 *
 * 1. Every answer says what really happened: a stop that came too late says that the turn had ended, and how.
 * 2. An answer names its prompt. A prompt that is closed answers with the outcome that it had (R28, R30).
 * 3. A command that would be void and cannot be a retry is not appended at all.
 */
import { z } from 'zod';
import {
  fault,
  judge,
  turnIdOf,
  turnIdOfItem,
  type ApprovalRight,
  type Command,
  type Fault,
  type MessageId,
  type PromptId,
  type PromptPart,
  type SessionId,
  type ToolId,
  type TurnId,
  type TurnOutcome,
} from '@holdfast/protocol';
import {
  answerPromptBody,
  promptIdSchema,
  steerTurnBody,
  stopTurnBody,
  toolIdSchema,
  toolResultBody,
  turnIdSchema,
  turnOutcomeSchema,
} from '@holdfast/protocol/schema';
import type { SessionService } from '@holdfast/session';
import { approvalRightOf, type Principal } from '../auth/principal.ts';
import { newId } from '../auth/secret.ts';
import type { Context } from '../context.ts';
import { failed, ok, type Reply } from '../http/reply.ts';
import type { Route } from '../http/route.ts';
import { isInVain, type Access } from './access.ts';
import { admitted, admittedSchema } from './messages.ts';

const stopSchema = z
  .object({
    turnId: turnIdSchema,
    result: z.enum(['stopping', 'already-stopping', 'already-ended']),
    outcome: turnOutcomeSchema.nullable().exactOptional(),
    seq: z.int().exactOptional(),
    duplicate: z.boolean().exactOptional(),
  })
  .meta({ id: 'StopResult' });

export interface TurnStatus {
  readonly turnId: TurnId;
  readonly active: boolean;
  readonly terminal: boolean;
  readonly state: 'queued' | 'running' | 'parked' | 'ended';
  readonly outcome: TurnOutcome | null;
  readonly revision: number;
  readonly lastSeq: number;
  readonly lastEvent: string | null;
  readonly startedAt: string | null;
  readonly endedAt: string | null;
}
const statusSchema: z.ZodType<TurnStatus> = z
  .object({
    turnId: turnIdSchema,
    active: z.boolean(),
    terminal: z.boolean(),
    state: z.enum(['queued', 'running', 'parked', 'ended']),
    outcome: turnOutcomeSchema.nullable(),
    revision: z.int(),
    lastSeq: z.int(),
    lastEvent: z.string().nullable(),
    startedAt: z.string().nullable(),
    endedAt: z.string().nullable(),
  })
  .meta({ id: 'TurnStatus' });

export function turnRoutes({ service }: Context, access: Access): readonly Route[] {
  return [
    access.seen('get', '/v1/sessions/{sessionId}/turns/{turnId}', {
      right: 'read',
      docs: { summary: 'How a turn stands', replies: { 200: { about: 'Its status', schema: statusSchema } } },
      handle: async ({ params: { sessionId, turnId } }) => {
        const status = await turnStatus(service, sessionId, turnId);
        return status.kind === 'fault' ? failed(status.fault) : ok(status.status);
      },
    }),

    access.commanded('post', '/v1/sessions/{sessionId}/turns/{turnId}/stop', {
      right: 'write',
      docs: { summary: 'Stop a turn, by id', replies: { 200: { about: 'What became of it', schema: stopSchema } } },
      body: stopTurnBody,
      handle: async ({ params: { sessionId, turnId }, body, principal }, name) => {
        const { queue = 'keep', partial } = body;
        const stop = { type: 'stop', clientId: name.clientId, author: principal.subject, turnId, queue } as const;
        const command = partial === undefined ? stop : { ...stop, partial };
        if (await isInVain(service, sessionId, command, name)) return notStopped(service, sessionId, turnId);
        const receipt = await service.submit(sessionId, command);
        if (receipt.kind === 'fault') return failed(receipt.fault);
        const { verdict, seq, duplicate } = receipt;
        if (verdict.kind === 'stopping') return ok({ turnId, result: 'stopping', seq, duplicate });
        return notStopped(service, sessionId, turnId, { seq, duplicate });
      },
    }),

    access.commanded('post', '/v1/sessions/{sessionId}/turns/{turnId}/steer', {
      right: 'write',
      docs: {
        summary: 'Say something to a running turn; where it has ended, the text becomes the next message',
        replies: { 202: { about: 'Admitted: `applied` says as what', schema: admittedSchema } },
      },
      body: steerTurnBody,
      handle: async ({ params: { sessionId, turnId }, body, principal }, { clientId, given }) => {
        const status = given ? undefined : await turnStatus(service, sessionId, turnId);
        if (status?.kind === 'fault') return failed(status.fault);
        const messageId = newId('m') as MessageId;
        const command = {
          type: 'steer',
          clientId,
          author: principal.subject,
          turnId,
          messageId,
          text: body.text,
        } as const;
        return admitted(await service.submit(sessionId, command), sessionId);
      },
    }),

    access.commanded('post', '/v1/sessions/{sessionId}/prompts/{promptId}', {
      right: 'write',
      docs: {
        summary: 'Answer an approval or a question; 409 with the recorded outcome where it is closed',
        replies: {
          200: {
            about: 'Answered',
            schema: z.object({
              promptId: promptIdSchema,
              result: z.literal('answered'),
              answer: z.string(),
              seq: z.int(),
              duplicate: z.boolean(),
            }),
          },
        },
      },
      body: answerPromptBody,
      handle: async ({ params: { sessionId, promptId }, body: { answer }, principal }, { clientId, given }) => {
        const found = await service.snapshot(sessionId);
        if (found.kind === 'fault') return failed(found.fault);
        const prompt = found.view.prompts.find((open) => open.promptId === promptId);
        if (prompt === undefined && !given) return failed(await closedPrompt(service, sessionId, promptId));
        if (prompt?.kind === 'approval' && !prompt.choices.includes(answer))
          return failed(noChoice(promptId, prompt.choices));
        const command = {
          type: 'prompt-answer',
          clientId,
          author: principal.subject,
          promptId,
          answer,
          right: approvalRightOf(principal),
        } as const;
        // Void as things stand: it is not appended.
        if (prompt !== undefined && judge(found.view, command).kind === 'void')
          return failed(approvalRefused(principal, prompt.needs ?? 'tools'));
        const receipt = await service.submit(sessionId, command);
        if (receipt.kind === 'fault') return failed(receipt.fault);
        const { verdict, seq, duplicate } = receipt;
        if (verdict.kind === 'answered')
          return ok({ promptId, result: 'answered', answer: verdict.answer, seq, duplicate });
        if (verdict.kind === 'void' && verdict.reason === 'prompt-needs-right')
          return failed(approvalRefused(principal, prompt?.needs ?? 'tools'));
        return failed(await closedPrompt(service, sessionId, promptId));
      },
    }),

    access.commanded('post', '/v1/sessions/{sessionId}/tools/{toolId}', {
      right: 'write',
      docs: {
        summary: 'Hand in the result of a tool that the caller ran',
        replies: {
          200: {
            about: 'Taken',
            schema: z.object({
              toolId: toolIdSchema,
              result: z.literal('taken'),
              seq: z.int(),
              duplicate: z.boolean(),
            }),
          },
        },
      },
      body: toolResultBody,
      handle: async ({ params: { sessionId, toolId }, body, principal }, name) => {
        const command: Command = {
          type: 'tool-result',
          clientId: name.clientId,
          author: principal.subject,
          toolId,
          ok: body.ok,
          output: body.output,
        };
        if (await isInVain(service, sessionId, command, name)) return failed(notAwaited(toolId));
        const receipt = await service.submit(sessionId, command);
        if (receipt.kind === 'fault') return failed(receipt.fault);
        const { verdict, seq, duplicate } = receipt;
        if (verdict.kind === 'done') return ok({ toolId, result: 'taken', seq, duplicate });
        return failed(notAwaited(toolId));
      },
    }),
  ];
}

// ── the state of a turn ─────────────────────────────────────────────────────────────────────────────────────────────

export type StatusResult =
  | { readonly kind: 'ok'; readonly status: TurnStatus }
  | { readonly kind: 'fault'; readonly fault: Fault };

/** A turn is known from the moment its message is admitted: before its start it is `queued`. */
export async function turnStatus(service: SessionService, sessionId: SessionId, turnId: TurnId): Promise<StatusResult> {
  const turn = await service.turn(sessionId, turnId);
  if (turn.kind === 'ok') {
    const { node, active, state } = turn;
    const { outcome, revision, lastSeq, lastEvent, startedAt, endedAt = null } = node;
    return {
      kind: 'ok',
      status: {
        turnId,
        active,
        terminal: outcome !== null,
        state,
        outcome,
        revision,
        lastSeq,
        lastEvent,
        startedAt,
        endedAt,
      },
    };
  }
  if (turn.fault.kind !== 'turn-not-found') return turn;
  const found = await service.snapshot(sessionId);
  if (found.kind === 'fault') return found;
  const item = found.view.queue.find((queued) => turnIdOfItem(queued) === turnId);
  if (item === undefined) return turn;
  const blank = { outcome: null, revision: 0, lastEvent: null, startedAt: null, endedAt: null };
  return {
    kind: 'ok',
    status: { turnId, active: false, terminal: false, state: 'queued', lastSeq: item.seq, ...blank },
  };
}

/** Why a stop changed nothing: it is stopping already, or has ended. The id may be that of a message which another turn took up. */
async function notStopped(
  service: SessionService,
  sessionId: SessionId,
  turnId: TurnId,
  receipt: { readonly seq?: number; readonly duplicate?: boolean } = {},
): Promise<Reply> {
  const found = await service.snapshot(sessionId);
  if (found.kind === 'fault') return failed(found.fault);
  const { turns, queue } = found.view;
  const own = await service.turn(sessionId, turnId);
  const taker = turns.find((other) => other.messageIds.some((id) => turnIdOf(id) === turnId));
  const turn = own.kind === 'ok' || taker === undefined ? own : await service.turn(sessionId, taker.turnId);
  const stops = queue.some((item) => turnIdOfItem(item) === turnId) || (turn.kind === 'ok' && turn.active);
  if (stops) return ok({ turnId, result: 'already-stopping', ...receipt });
  return turn.kind === 'ok' ? ok({ turnId, result: 'already-ended', outcome: turn.node.outcome }) : failed(turn.fault);
}

// ── prompts ─────────────────────────────────────────────────────────────────────────────────────────────────────────

/** Rule 2: what is on record of a prompt that is not open. */
/** R90: a person who may not allow it can refuse it, and is told who can allow it. */
function approvalRefused({ scopes }: Principal, needs: ApprovalRight): Fault {
  const why =
    needs === 'admin'
      ? 'What it runs is not confined to a sandbox, so only an admin may allow it.'
      : 'It runs on the machine of the gateway.';
  return fault(
    'forbidden',
    `To allow this needs a token with the scope ${needs}; yours has ${scopes.join(', ')}. ${why} You may answer deny, or ask an admin.`,
  );
}

async function closedPrompt(service: SessionService, sessionId: SessionId, promptId: PromptId): Promise<Fault> {
  const found = await service.snapshot(sessionId);
  if (found.kind === 'fault') return found.fault;
  const given = found.view.turn?.answers.find((answer) => answer.promptId === promptId);
  if (given !== undefined) return promptClosed(promptId, { outcome: 'answered', answer: given.answer, by: given.by });
  const turnId = turnOfPrompt(promptId);
  const turn = turnId === undefined ? undefined : await service.turn(sessionId, turnId);
  const parts = turn?.kind === 'ok' ? turn.messages.flatMap((message) => message.parts) : [];
  const part = parts.find((other): other is PromptPart => other.type === 'prompt' && other.promptId === promptId);
  if (part === undefined) return fault('prompt-not-found', `Session ${sessionId} has no prompt ${promptId}.`);
  const { outcome, answer, by } = part;
  return promptClosed(promptId, {
    outcome: outcome ?? 'cancelled',
    ...(answer === undefined ? {} : { answer }),
    ...(by === undefined ? {} : { by }),
  });
}

/** A prompt is named after its turn (`promptIdOf`). */
function turnOfPrompt(promptId: PromptId): TurnId | undefined {
  const match = /^p_(.+)_\d+$/.exec(promptId);
  return match === null ? undefined : (`t_${match[1]}` as TurnId);
}

const promptClosed = (
  promptId: PromptId,
  facts: { readonly outcome: string; readonly answer?: string; readonly by?: string },
): Fault =>
  fault(
    'prompt-closed',
    `Prompt ${promptId} is closed: ${facts.outcome}${facts.by === undefined ? '' : ` by ${facts.by}`}. This answer changed nothing.`,
    { facts },
  );

const notAwaited = (toolId: ToolId): Fault =>
  fault(
    'turn-ended',
    `No running turn waits for the result of ${toolId}: it was handed in already, or its turn has ended.`,
  );

const noChoice = (promptId: PromptId, choices: readonly string[]): Fault =>
  fault('invalid-request', `body.answer: prompt ${promptId} is answered by one of ${choices.join(', ')}.`, {
    facts: { choices },
  });
