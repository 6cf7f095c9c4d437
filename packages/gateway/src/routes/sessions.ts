/**
 * Sessions: create, list, look at, change, delete, and their older pages.
 */
import { z } from 'zod';
import {
  fault,
  formatCursor,
  summaryOf,
  type ClientId,
  type Command,
  type MessageId,
  type SessionId,
  type Fault,
  type TurnId,
  type View,
} from '@holdfast/protocol';
import {
  createSessionBody,
  markUnreadBody,
  messageIdSchema,
  messageSchema,
  sessionSummarySchema,
  setSessionBody,
  snapshotSchema,
  turnIdSchema,
  turnNodeSchema,
} from '@holdfast/protocol/schema';
import { ownerFilter } from '../auth/principal.ts';
import { newId } from '../auth/secret.ts';
import type { Context } from '../context.ts';
import { created, empty, failed, json, ok, type Reply } from '../http/reply.ts';
import { get, post, type Route } from '../http/route.ts';
import { encodeOnce } from '../stream/encode.ts';
import { isFault, commandName, type Access } from './access.ts';

const limitSchema = (fallback: number, max: number): z.ZodType<number> =>
  z.coerce.number().int().min(1).max(max).default(fallback);

const listQuery: z.ZodType<{ cursor?: number; limit: number; q?: string }> = z.object({
  cursor: z.coerce.number().int().min(0).exactOptional(),
  limit: limitSchema(50, 500),
  q: z.string().max(500).exactOptional(),
});

const pageQuery: z.ZodType<{ before?: TurnId; around?: MessageId; limit: number }> = z.object({
  before: turnIdSchema.exactOptional(),
  around: messageIdSchema.exactOptional(),
  limit: limitSchema(50, 200),
});

export function sessionRoutes({ service, feed }: Context, access: Access): readonly Route[] {
  const snapshot = async (sessionId: SessionId): Promise<Reply> => {
    const found = await service.snapshot(sessionId);
    if (found.kind === 'fault') return failed(found.fault);
    const { view, cursor } = found;
    return json(
      encodeOnce(view, 'answer', () => {
        const body = { session: summaryOf(sessionId, view), view, seq: view.seq, cursor: formatCursor(cursor) };
        return Buffer.from(JSON.stringify(body));
      }),
    );
  };

  const changed = async (sessionId: SessionId, command: Command): Promise<Reply> => {
    const receipt = await service.submit(sessionId, command);
    if (receipt.kind === 'fault') return failed(receipt.fault);
    const found = await service.snapshot(sessionId);
    return found.kind === 'fault'
      ? failed(found.fault)
      : ok({ session: summaryOf(sessionId, found.view), seq: receipt.seq });
  };

  return [
    post('/v1/sessions', {
      right: 'write',
      docs: {
        summary: 'Create a session',
        replies: {
          201: { about: 'Created', schema: z.object({ session: sessionSummarySchema }) },
          200: { about: 'A retry: it was created before', schema: z.object({ session: sessionSummarySchema }) },
        },
      },
      body: createSessionBody,
      handle: async (call) => {
        const name = commandName(call.body, call.header);
        if (isFault(name)) return failed(name);
        const { id, sessionId = id ?? (newId('s') as SessionId), clientId: _clientId, agent, ...rest } = call.body;
        if (agent !== undefined && !service.agents.has(agent)) return failed(agentNotFound(agent, service.agents));
        // A retry that names its session alone is the same command too.
        const clientId = name.given ? name.clientId : (`open_${sessionId}`.slice(0, 128) as ClientId);
        const result = await service.create({
          type: 'session-open',
          clientId,
          author: call.principal.subject,
          sessionId,
          ...rest,
          ...(agent === undefined ? {} : { agent }),
        });
        if (result.kind === 'fault') return failed(result.fault);
        const body = { session: result.summary };
        return result.created ? created(body) : ok(body);
      },
    }),

    get('/v1/sessions', {
      right: 'read',
      docs: {
        summary: 'List sessions, the newest change first, or search them',
        replies: {
          200: {
            about: 'A page; `next` is the cursor of the next. The feed after `revision` tells every later change',
            schema: z.object({
              sessions: z.array(sessionSummarySchema),
              next: z.int().nullable(),
              revision: z.int(),
            }),
          },
        },
      },
      query: listQuery,
      handle: async ({ principal, query: { cursor, limit, q } }) => {
        // Before the rows: what changes in between is in both, and nothing in neither.
        const revision = await feed.revisionNow();
        const page = await service.list({
          ...ownerFilter(principal),
          limit,
          ...(cursor === undefined ? {} : { before: cursor }),
          ...(q === undefined ? {} : { words: q }),
        });
        return ok({ ...page, revision });
      },
    }),

    access.seen('get', '/v1/sessions/{sessionId}', {
      right: 'read',
      docs: {
        summary: 'A snapshot: the session, its view, and the cursor to read on from',
        replies: { 200: { about: 'The snapshot', schema: snapshotSchema } },
      },
      handle: async ({ params: { sessionId } }) => {
        return snapshot(sessionId);
      },
    }),

    access.commanded('patch', '/v1/sessions/{sessionId}', {
      right: 'write',
      docs: {
        summary: 'Rename, pin, archive, choose a model, mark as read',
        replies: { 200: { about: 'As it is now', schema: z.object({ session: sessionSummarySchema, seq: z.int() }) } },
      },
      body: setSessionBody,
      handle: async (call, name) => {
        const { sessionId } = call.params;
        if (call.body.agent !== undefined && !service.agents.has(call.body.agent))
          return failed(agentNotFound(call.body.agent, service.agents));
        const { readSeq } = call.body;
        if (readSeq !== undefined) {
          const found = await service.snapshot(sessionId);
          if (found.kind === 'fault') return failed(found.fault);
          const refusal = beyondHead(readSeq, found.view);
          if (refusal !== undefined) return failed(refusal);
        }
        return changed(sessionId, {
          type: 'session-set',
          ...call.body,
          clientId: name.clientId,
          author: call.principal.subject,
        });
      },
    }),

    access.commanded('post', '/v1/sessions/{sessionId}/unread', {
      right: 'write',
      docs: {
        summary: 'Mark as unread, from an entry on or from the last turn’s end',
        replies: { 200: { about: 'As it is now', schema: z.object({ session: sessionSummarySchema, seq: z.int() }) } },
      },
      body: markUnreadBody,
      handle: async ({ params: { sessionId }, body, principal }, { clientId }) => {
        const found = await service.snapshot(sessionId);
        if (found.kind === 'fault') return failed(found.fault);
        const readSeq = body.readSeq ?? lastReadBefore(found.view);
        const refusal = beyondHead(readSeq, found.view);
        if (refusal !== undefined) return failed(refusal);
        return changed(sessionId, { type: 'mark-unread', clientId, author: principal.subject, readSeq });
      },
    }),

    access.seen('delete', '/v1/sessions/{sessionId}', {
      right: 'write',
      docs: {
        summary: 'Delete a session: its text is erased, its id stays taken',
        replies: { 204: { about: 'Deleted' } },
      },
      handle: async ({ params: { sessionId } }) => {
        const result = await service.delete(sessionId);
        return result.kind === 'fault' ? failed(result.fault) : empty;
      },
    }),

    access.seen('get', '/v1/sessions/{sessionId}/messages', {
      right: 'read',
      docs: {
        summary: 'Older turns with their messages, oldest first',
        replies: {
          200: {
            about: 'A page; `before` reads the one before it',
            schema: z.object({
              turns: z.array(z.object({ turn: turnNodeSchema, messages: z.array(messageSchema) })),
              before: turnIdSchema.nullable(),
            }),
          },
        },
      },
      query: pageQuery,
      handle: async ({ params: { sessionId }, query }) => {
        if (query.before !== undefined && query.around !== undefined)
          return failed(fault('invalid-request', 'query: before and around were both given. Give one of them.'));
        const page = await service.messages(sessionId, query);
        if (page.kind === 'fault') return failed(page.fault);
        return ok({ turns: page.turns.map(({ node, messages }) => ({ turn: node, messages })), before: page.before });
      },
    }),
  ];
}

/** R82: a mark is of an entry that is there. */
const beyondHead = (readSeq: number, { seq }: View): Fault | undefined =>
  readSeq <= seq
    ? undefined
    : fault('invalid-request', `body.readSeq: ${readSeq} is beyond the last entry, ${seq}. Send the seq of an entry.`);

const lastReadBefore = ({ turns, seq }: View): number =>
  Math.max(0, Math.min(seq, (turns.findLast(({ outcome }) => outcome !== null)?.revision ?? 1) - 1));

const agentNotFound = (agent: string, agents: ReadonlyMap<string, unknown>): ReturnType<typeof fault> =>
  fault(
    'agent-not-found',
    `There is no agent '${agent.slice(0, 100)}' here. There are: ${[...agents.keys()].join(', ')}.`,
  );
