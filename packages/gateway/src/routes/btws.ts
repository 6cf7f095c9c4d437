/**
 * Side questions: asked and read on a connection of their own, cancelled, kept (C1, C2).
 *
 * 1. A question is streamed to who asks it; a connection that breaks can be taken up again for ten seconds (`GET` with
 *    `Last-Event-ID`), on any node. After that it is cancelled.
 * 2. It is its asker's alone.
 * 3. A place among the readers comes first: what is refused has asked nothing.
 */
import { z } from 'zod';
import { fault, parseCursor, type BtwId, type ClientId, type Cursor, type SessionId } from '@holdfast/protocol';
import { askBtwBody, btwIdSchema } from '@holdfast/protocol/schema';
import type { BtwAttachment } from '@holdfast/session';
import type { Principal } from '../auth/principal.ts';
import type { Context } from '../context.ts';
import { empty, failed, ok, type Reply } from '../http/reply.ts';
import type { Route } from '../http/route.ts';
import { BtwLane } from '../stream/btw-lane.ts';
import { openStream } from '../stream/open-stream.ts';
import type { Reader } from '../stream/reader.ts';
import type { Access } from './access.ts';

const EVENT_STREAM = { mediaType: 'text/event-stream' } as const;
const afterQuery: z.ZodType<{ after?: string }> = z.object({ after: z.string().max(64).exactOptional() });
const cancelledSchema = z
  .object({
    btwId: btwIdSchema,
    result: z.enum(['cancelling', 'already-ended']),
    outcome: z.enum(['completed', 'cancelled', 'failed', 'interrupted', 'limit']).exactOptional(),
  })
  .meta({ id: 'BtwCancelled' });
const keptSchema = z
  .object({ btwId: btwIdSchema, result: z.literal('kept'), seq: z.int(), duplicate: z.boolean() })
  .meta({ id: 'BtwKept' });

export function btwRoutes({ service: { btws }, readers, logger }: Context, access: Access): readonly Route[] {
  const laneOf = (reader: Reader, attachment: BtwAttachment, sessionId: SessionId, btwId: BtwId): BtwLane =>
    new BtwLane(reader, attachment, (error) =>
      logger.error({ sessionId, btwId, error: String(error) }, 'a stream failed'),
    );

  /** Rule 3. */
  const ask = (principal: Principal, sessionId: SessionId, clientId: ClientId, question: string): Promise<Reply> =>
    openStream(readers, principal, async (reader) => {
      const asked = await btws.ask(sessionId, { clientId, author: principal.subject, question });
      if (asked.kind === 'fault') return asked.fault;
      const { btwId } = asked;
      const attached = await btws.attach(sessionId, btwId, principal.subject, undefined);
      if (attached.kind === 'fault') return attached.fault;
      reader.addLane(laneOf(reader, attached, sessionId, btwId));
      return undefined;
    });

  async function read(principal: Principal, sessionId: SessionId, btwId: BtwId, after: Cursor): Promise<Reply> {
    const attached = await btws.attach(sessionId, btwId, principal.subject, after);
    if (attached.kind === 'fault') return failed(attached.fault);
    if (attached.isOver) {
      attached.leave();
      return empty;
    }
    const reply = await openStream(readers, principal, (reader) => {
      reader.addLane(laneOf(reader, attached, sessionId, btwId));
      return Promise.resolve(undefined);
    });
    if (reply.kind === 'fault') attached.leave();
    return reply;
  }

  return [
    access.commanded('post', '/v1/sessions/{sessionId}/btw', {
      right: 'write',
      docs: {
        summary: 'Ask beside the conversation, without disturbing it',
        replies: { 200: { about: 'The answer: `btw-start`, `btw-delta` …, `btw-end`', ...EVENT_STREAM } },
      },
      body: askBtwBody,
      handle: ({ params: { sessionId }, body: { question }, principal }, { clientId }) =>
        ask(principal, sessionId, clientId, question),
    }),

    access.seen('get', '/v1/sessions/{sessionId}/btw/{btwId}', {
      right: 'read',
      docs: {
        summary: 'A side question again: from its start or a cursor',
        replies: {
          200: { about: 'Its events', ...EVENT_STREAM },
          204: { about: 'The cursor is its last: there is nothing more' },
        },
      },
      query: afterQuery,
      handle: ({ params: { sessionId, btwId }, query, header, principal }) => {
        const text = header('last-event-id') ?? query.after ?? '0';
        const after = parseCursor(text);
        if (after !== undefined) return read(principal, sessionId, btwId, after);
        const detail = `'${text.slice(0, 64)}' is no cursor. Use the id of an event, or none for the beginning.`;
        return Promise.resolve(failed(fault('invalid-cursor', detail)));
      },
    }),

    access.seen('delete', '/v1/sessions/{sessionId}/btw/{btwId}', {
      right: 'write',
      docs: {
        summary: 'Cancel a side question at once',
        replies: { 200: { about: 'What became of it', schema: cancelledSchema } },
      },
      handle: async ({ params: { sessionId, btwId }, principal }) => {
        const cancelled = await btws.cancel(sessionId, btwId, principal.subject);
        if (cancelled.kind === 'fault') return failed(cancelled.fault);
        const { kind: _ok, ...result } = cancelled;
        return ok({ btwId, ...result });
      },
    }),

    access.seen('post', '/v1/sessions/{sessionId}/btw/{btwId}/keep', {
      right: 'write',
      docs: {
        summary: 'Put a side question and its answer into the transcript, once; 409 where it has no whole answer',
        replies: { 200: { about: 'It is there', schema: keptSchema } },
      },
      handle: async ({ params: { sessionId, btwId }, principal }) => {
        const kept = await btws.keep(sessionId, btwId, principal.subject);
        if (kept.kind === 'fault') return failed(kept.fault);
        return ok({ btwId, result: 'kept', seq: kept.seq, duplicate: kept.duplicate });
      },
    }),
  ];
}
