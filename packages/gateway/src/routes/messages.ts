/**
 * Messages and the queue: send, edit, withdraw, reorder, regenerate, and the branches that come of it.
 *
 * 1. A message is answered 202 when it is durable, never before; a retry gets the first receipt.
 * 2. What waits belongs to who wrote it: only its author or an admin may edit, withdraw or reorder it (R22).
 * 3. A command that came too late is told the real state. One that cannot be a retry and would be void is not appended at all.
 */
import { z } from 'zod';
import {
  fault,
  turnIdOf,
  type Command,
  type Fault,
  type MessageId,
  type QueuedMessage,
  type SessionId,
  type TurnId,
  type View,
} from '@holdfast/protocol';
import {
  commandBody,
  editMessageBody,
  messageIdSchema,
  orderQueueBody,
  sendMessageBody,
  switchBranchBody,
  turnIdSchema,
  turnNodeSchema,
} from '@holdfast/protocol/schema';
import type { Receipt } from '@holdfast/session';
import { isAdmin, type Principal } from '../auth/principal.ts';
import { newId } from '../auth/secret.ts';
import type { Context } from '../context.ts';
import { accepted, failed, ok, type Reply } from '../http/reply.ts';
import type { Route } from '../http/route.ts';
import type { Access } from './access.ts';

export const admittedSchema: z.ZodType = z
  .object({
    messageId: messageIdSchema,
    seq: z.int(),
    turnId: turnIdSchema.exactOptional(),
    position: z.int().describe('How many turns come before it; 0: it starts at once'),
    applied: z.enum(['start', 'queue', 'interrupt', 'steer']),
    duplicate: z.boolean(),
  })
  .meta({ id: 'Admitted' });
const resultSchema = z.object({
  messageId: messageIdSchema,
  seq: z.int(),
  result: z.enum(['edited', 'withdrawn']),
  duplicate: z.boolean(),
});

export function messageRoutes({ service }: Context, access: Access): readonly Route[] {
  /** The refusal of a change to a waiting message, before it is submitted; undefined: it may go on. */
  async function changeRefusal(
    sessionId: SessionId,
    messageId: MessageId,
    principal: Principal,
    mayBeRetry: boolean,
  ): Promise<Fault | undefined> {
    const found = await service.snapshot(sessionId);
    if (found.kind === 'fault') return found.fault;
    const waiting = waitingIn(found.view, messageId);
    if (waiting !== undefined) return mayChange(principal, waiting) ? undefined : notTheAuthor(messageId);
    // Rule 3: a retry of what was done is answered by its receipt, which only the log has.
    return mayBeRetry ? undefined : lateFault(sessionId, messageId);
  }

  /** What became of a message that waits no more. */
  async function lateFault(sessionId: SessionId, messageId: MessageId): Promise<Fault> {
    const page = await service.messages(sessionId, { around: messageId, limit: 1 });
    const message =
      page.kind === 'ok' ? page.turns.flatMap((turn) => turn.messages).find(({ id }) => id === messageId) : undefined;
    const found = await service.snapshot(sessionId);
    const inView =
      found.kind === 'ok'
        ? [...found.view.messages, ...found.view.offPath].find(({ id }) => id === messageId)
        : undefined;
    const known = message ?? inView;
    if (known === undefined)
      return fault('message-not-found', `Session ${sessionId} has no message ${messageId} that waits or was answered.`);
    const turn = await service.turn(sessionId, known.turnId);
    const state = turn.kind === 'ok' ? turn.state : 'ended';
    return fault(
      'message-started',
      `Message ${messageId} is no longer in the queue: its turn is ${state}. Stop the turn, or send another message.`,
      {
        facts: { turnId: known.turnId, state, outcome: turn.kind === 'ok' ? turn.node.outcome : null },
      },
    );
  }

  const hasTurn = async (sessionId: SessionId, turnId: TurnId): Promise<boolean> =>
    (await service.turn(sessionId, turnId)).kind === 'ok';

  /** The turn that took a message or wrote it, however long ago. */
  async function turnOf(sessionId: SessionId, view: View, messageId: MessageId): Promise<TurnId | undefined> {
    const shown = [...view.messages, ...view.offPath].find(({ id }) => id === messageId);
    if (shown !== undefined) return shown.turnId;
    const turn = await service.turn(sessionId, turnIdOf(messageId));
    return turn.kind === 'ok' && turn.messages.some(({ id }) => id === messageId) ? turn.node.turnId : undefined;
  }

  async function change(
    sessionId: SessionId,
    command: Extract<Command, { type: 'message-edit' | 'message-withdraw' }>,
    principal: Principal,
    mayBeRetry: boolean,
  ): Promise<Reply> {
    const refusal = await changeRefusal(sessionId, command.messageId, principal, mayBeRetry);
    if (refusal !== undefined) return failed(refusal);
    const receipt = await service.submit(sessionId, command);
    if (receipt.kind === 'fault') return failed(receipt.fault);
    const { verdict, seq, duplicate } = receipt;
    if (verdict.kind === 'edited' || verdict.kind === 'withdrawn')
      return ok({ messageId: verdict.messageId, seq, result: verdict.kind, duplicate });
    return failed(await lateFault(sessionId, command.messageId));
  }

  return [
    access.commanded('post', '/v1/sessions/{sessionId}/messages', {
      right: 'write',
      docs: {
        summary: 'Send a message. Durable before the answer; honours Idempotency-Key',
        replies: { 202: { about: 'Admitted', schema: admittedSchema } },
      },
      body: sendMessageBody,
      handle: async (call, name) => {
        const { sessionId } = call.params;
        const { whenBusy = 'queue', clientId: _clientId, ...content } = call.body;
        const messageId = newId('m') as MessageId;
        const command: Command = {
          type: 'message',
          clientId: name.clientId,
          author: call.principal.subject,
          messageId,
          ...content,
          whenBusy,
        };
        const { after } = content;
        if (typeof after === 'string' && !name.given && !(await hasTurn(sessionId, after)))
          return failed(turnNotFound(sessionId, after));
        return admitted(await service.submit(sessionId, command), sessionId);
      },
    }),

    access.commanded('patch', '/v1/sessions/{sessionId}/messages/{messageId}', {
      right: 'write',
      docs: {
        summary: 'Edit a message that waits; 409 with the real state once it started',
        replies: { 200: { about: 'Edited', schema: resultSchema } },
      },
      body: editMessageBody,
      handle: async (call, name) => {
        const { sessionId, messageId } = call.params;
        const command = {
          type: 'message-edit',
          clientId: name.clientId,
          author: call.principal.subject,
          messageId,
          text: call.body.text,
        } as const;
        return change(sessionId, command, call.principal, name.given);
      },
    }),

    access.commanded('delete', '/v1/sessions/{sessionId}/messages/{messageId}', {
      right: 'write',
      docs: {
        summary: 'Withdraw a message that waits; 409 with the real state once it started',
        replies: { 200: { about: 'Withdrawn', schema: resultSchema } },
      },
      body: commandBody,
      handle: async (call, name) => {
        const { sessionId, messageId } = call.params;
        const command = {
          type: 'message-withdraw',
          clientId: name.clientId,
          author: call.principal.subject,
          messageId,
        } as const;
        return change(sessionId, command, call.principal, name.given);
      },
    }),

    access.commanded('post', '/v1/sessions/{sessionId}/messages/{messageId}/regenerate', {
      right: 'write',
      docs: {
        summary: "Answer a message's turn again, on a branch of its own",
        replies: { 202: { about: 'Admitted', schema: admittedSchema } },
      },
      body: commandBody,
      handle: async (call, name) => {
        const { sessionId, messageId } = call.params;
        const found = await service.snapshot(sessionId);
        if (found.kind === 'fault') return failed(found.fault);
        const turnId = await turnOf(sessionId, found.view, messageId);
        if (turnId === undefined)
          return failed(
            fault('message-not-found', `Session ${sessionId} has no message ${messageId} that a turn has answered.`),
          );
        const again = newId('m') as MessageId;
        const receipt = await service.submit(sessionId, {
          type: 'regenerate',
          clientId: name.clientId,
          author: call.principal.subject,
          messageId: again,
          turnId,
        });
        return admitted(receipt, sessionId);
      },
    }),

    access.commanded('patch', '/v1/sessions/{sessionId}/queue', {
      right: 'write',
      docs: {
        summary: 'Reorder the queue',
        replies: {
          200: {
            about: 'The named messages that still waited, in their new order',
            schema: z.object({ messageIds: z.array(messageIdSchema), seq: z.int(), duplicate: z.boolean() }),
          },
        },
      },
      body: orderQueueBody,
      handle: async (call, name) => {
        const { sessionId } = call.params;
        const found = await service.snapshot(sessionId);
        if (found.kind === 'fault') return failed(found.fault);
        const foreign = call.body.messageIds.find((id) => !mayChange(call.principal, waitingIn(found.view, id)));
        if (foreign !== undefined) return failed(notTheAuthor(foreign));
        const receipt = await service.submit(sessionId, {
          type: 'queue-order',
          clientId: name.clientId,
          author: call.principal.subject,
          messageIds: call.body.messageIds,
        });
        if (receipt.kind === 'fault') return failed(receipt.fault);
        const { verdict, seq, duplicate } = receipt;
        return ok({ messageIds: verdict.kind === 'ordered' ? verdict.messageIds : [], seq, duplicate });
      },
    }),

    access.seen('get', '/v1/sessions/{sessionId}/branches', {
      right: 'read',
      docs: {
        summary: 'The tree of turns within the window, and the active leaf',
        replies: {
          200: {
            about: 'The tree',
            schema: z.object({ turns: z.array(turnNodeSchema), leaf: turnIdSchema.nullable(), earlierTurns: z.int() }),
          },
        },
      },
      handle: async ({ params: { sessionId } }) => {
        const found = await service.snapshot(sessionId);
        if (found.kind === 'fault') return failed(found.fault);
        const { turns, leaf, earlierTurns } = found.view;
        return ok({ turns, leaf, earlierTurns });
      },
    }),

    access.commanded('patch', '/v1/sessions/{sessionId}/branch', {
      right: 'write',
      docs: {
        summary: 'Go to the branch of a turn',
        replies: {
          200: {
            about: 'The active leaf',
            schema: z.object({ leaf: turnIdSchema.nullable(), seq: z.int(), duplicate: z.boolean() }),
          },
        },
      },
      body: switchBranchBody,
      handle: async (call, name) => {
        const { sessionId } = call.params;
        const command: Command = {
          type: 'branch-switch',
          clientId: name.clientId,
          author: call.principal.subject,
          turnId: call.body.turnId,
        };
        if (!name.given && !(await hasTurn(sessionId, call.body.turnId)))
          return failed(turnNotFound(sessionId, call.body.turnId));
        const receipt = await service.submit(sessionId, command);
        if (receipt.kind === 'fault') return failed(receipt.fault);
        if (receipt.verdict.kind === 'void') return failed(turnNotFound(sessionId, call.body.turnId));
        const found = await service.snapshot(sessionId);
        return found.kind === 'fault'
          ? failed(found.fault)
          : ok({ leaf: found.view.leaf, seq: receipt.seq, duplicate: receipt.duplicate });
      },
    }),
  ];
}

/** The receipt of what joins the queue or a turn. */
export function admitted(receipt: Receipt, sessionId: SessionId): Reply {
  if (receipt.kind === 'fault') return failed(receipt.fault);
  const { verdict, seq, duplicate, command } = receipt;
  if (verdict.kind !== 'accepted' || !('messageId' in command))
    return failed(
      turnNotFound(sessionId, 'after' in command ? String(command.after) : 'turnId' in command ? command.turnId : ''),
    );
  const { applied, position, turnId } = verdict;
  return accepted({
    messageId: command.messageId,
    seq,
    ...(turnId === undefined ? {} : { turnId }),
    position,
    applied,
    duplicate,
  });
}

export const turnNotFound = (sessionId: SessionId, turnId: string): Fault =>
  fault('turn-not-found', `Session ${sessionId} has no turn ${turnId}.`);

const waitingIn = (view: View, messageId: MessageId): QueuedMessage | undefined =>
  [...view.queue, ...(view.turn?.steers ?? [])].find((item) => item.messageId === messageId);

/** Rule 2. What does not wait is nobody's. */
const mayChange = (principal: Principal, waiting: QueuedMessage | undefined): boolean =>
  waiting === undefined || waiting.author === principal.subject || isAdmin(principal);

const notTheAuthor = (messageId: MessageId): Fault =>
  fault(
    'forbidden',
    `Message ${messageId} was written by somebody else. Only its author or an admin may change or move it.`,
  );
