/**
 * The streams: one session, many sessions on one socket, one turn, the session list.
 *
 * Stages: the right to see it, a place among the readers, the attachment; then the head goes out and the reader owns the response.
 *
 * 1. Everything that can be refused is refused before the head, as a proper answer (`open-stream.ts`).
 * 2. `Last-Event-ID` wins over `?after=`: a reconnecting EventSource sends both, and the header is the newer one.
 * 3. On a multiplexed stream one session's refusal or end is a `goodbye` with its id; the others go on.
 */
import { z } from 'zod';
import {
  fault,
  parseCursor,
  turnIdOfItem,
  type Cursor,
  type Fault,
  type Goodbye,
  type MessageId,
  type SessionId,
  type TurnId,
} from '@holdfast/protocol';
import { changeStreamBody, LANES_MAX, openStreamBody } from '@holdfast/protocol/schema';
import type { Attachment } from '@holdfast/session';
import { isAdmin } from '../auth/principal.ts';
import type { Context } from '../context.ts';
import { empty, failed, ok } from '../http/reply.ts';
import { get, post, type Call, type Route, type RouteDocs } from '../http/route.ts';
import { openStream } from '../stream/open-stream.ts';
import type { Reader } from '../stream/reader.ts';
import { SessionLane } from '../stream/session-lane.ts';
import { TurnLane } from '../stream/turn-lane.ts';
import type { Access } from './access.ts';
import { turnStatus } from './turns.ts';

const EVENT_STREAM = { mediaType: 'text/event-stream' } as const;
const afterQuery: z.ZodType<{ after?: string }> = z.object({ after: z.string().max(64).exactOptional() });

const docs = (summary: string, about: string): RouteDocs => ({ summary, replies: { 200: { about, ...EVENT_STREAM } } });

export function streamRoutes(context: Context, access: Access): readonly Route[] {
  const { service, readers, encoder, feed, logger } = context;

  function addSession(reader: Reader, sessionId: SessionId, attachment: Attachment, multiplexed: boolean): void {
    const ended = (why: Fault): void => {
      if (why.kind === 'internal') logger.error({ sessionId, detail: why.detail }, 'a stream failed');
      if (multiplexed) reader.part(sessionId, { ...goodbyeOf(why), sessionId });
      else reader.goodbye(goodbyeOf(why));
    };
    reader.addLane(new SessionLane({ reader, service, encoder, sessionId, attachment, multiplexed, ended }));
  }

  /** Rule 3. */
  async function addSessions(reader: Reader, cursors: ReadonlyMap<SessionId, Cursor | undefined>): Promise<void> {
    await Promise.all(
      [...cursors].map(async ([sessionId, cursor]) => {
        const refusal = await access.refusal(reader.principal, sessionId);
        const attached =
          refusal === undefined
            ? await service.attach(sessionId, cursor)
            : ({ kind: 'fault', fault: refusal } as const);
        if (attached.kind === 'fault') reader.part(sessionId, { ...goodbyeOf(attached.fault), sessionId });
        else addSession(reader, sessionId, attached, true);
      }),
    );
  }

  const addFeed = (reader: Reader, after: number): void =>
    reader.addLane(feed.lane(reader, isAdmin(reader.principal) ? undefined : reader.principal.subject, after));

  return [
    access.seen('get', '/v1/sessions/{sessionId}/events', {
      right: 'read',
      docs: docs(
        'A session, for ever',
        'With a cursor: the entries after it; `after=0`: all of them; with none: a `snapshot`, then the tail. A cursor that cannot be served is answered by `resync`',
      ),
      query: afterQuery,
      handle: async (call) => {
        const { sessionId } = call.params;
        const place = placeOf(call);
        if (place.kind === 'fault') return failed(place.fault);
        return openStream(readers, call.principal, async (reader) => {
          const attached = await service.attach(sessionId, place.cursor);
          if (attached.kind === 'fault') return attached.fault;
          addSession(reader, sessionId, attached, false);
          return undefined;
        });
      },
    }),

    post('/v1/events', {
      right: 'read',
      docs: docs(
        'Many sessions and the session list on one socket',
        'Entries carry `id: sessionId/seq.tag`, changes of the list `id: feed/revision`; `hello` names the stream',
      ),
      body: openStreamBody,
      handle: async ({ body, principal }) => {
        const cursors = readCursors(body.cursors);
        if (cursors.kind === 'fault') return failed(cursors.fault);
        const fill = async (reader: Reader): Promise<undefined> => {
          if (body.feed !== undefined) addFeed(reader, body.feed ?? 0);
          await addSessions(reader, cursors.cursors);
        };
        return openStream(readers, principal, fill, ({ streamId }) => ({ streamId }));
      },
    }),

    post('/v1/events/{streamId}', {
      right: 'read',
      docs: {
        summary: 'Add sessions or the session list to a multiplexed stream, or take sessions away',
        replies: { 200: { about: 'Done: what is added follows on the stream', schema: z.object({ lanes: z.int() }) } },
      },
      body: changeStreamBody,
      handle: async ({ params: { streamId }, body, principal }) => {
        const reader = readers.find(streamId, principal);
        if (reader === undefined)
          return failed(fault('stream-not-found', `There is no open stream ${streamId} here. Open another.`));
        const cursors = readCursors(body.add ?? {});
        if (cursors.kind === 'fault') return failed(cursors.fault);
        if (reader.laneCount + cursors.cursors.size > LANES_MAX)
          return failed(fault('invalid-request', `A stream carries at most ${LANES_MAX} sessions. Open a second one.`));
        for (const sessionId of body.remove ?? []) reader.removeLane(sessionId);
        if (body.feed !== undefined) addFeed(reader, body.feed ?? 0);
        await addSessions(reader, cursors.cursors);
        return ok({ lanes: reader.laneCount });
      },
    }),

    get('/v1/feed', {
      right: 'read',
      docs: docs('The session list, for ever', 'Changes after a revision; with none: as it is, then its changes'),
      query: afterQuery,
      handle: async (call) => {
        const text = (call.header('last-event-id') ?? call.query.after ?? '0').replace(/^feed\//, '');
        if (!/^\d{1,15}$/.test(text)) return failed(invalidCursor(text));
        return openStream(readers, call.principal, (reader) => {
          addFeed(reader, Number(text));
          return Promise.resolve(undefined);
        });
      },
    }),

    access.seen('get', '/v1/sessions/{sessionId}/turns/{turnId}/stream', {
      right: 'read',
      docs: {
        summary: 'One turn, from its start or a cursor, to its `stream-end`',
        replies: {
          200: { about: 'Its entries', ...EVENT_STREAM },
          204: { about: 'The cursor is its last: there is nothing more' },
        },
      },
      query: afterQuery,
      handle: async (call) => {
        const { sessionId, turnId } = call.params;
        const place = placeOf(call);
        if (place.kind === 'fault') return failed(place.fault);
        const turn = await findTurn(sessionId, turnId);
        if (turn.kind === 'fault') return failed(turn.fault);
        if (turn.lastSeq !== undefined && place.cursor !== undefined && place.cursor.seq >= turn.lastSeq) {
          // A cursor of another history is the end of nothing (R60).
          const there = await attachAt(sessionId, place.cursor);
          if (there.kind === 'fault') return failed(there.fault);
          there.subscription.cancel();
          return empty;
        }
        return openStream(readers, call.principal, (reader) => fillTurn(reader, sessionId, turnId, turn, place.cursor));
      },
    }),
  ];

  // ── one turn ──────────────────────────────────────────────────────────────────────────────────────────────────────

  type FoundTurn =
    | {
        readonly kind: 'turn';
        readonly startAfter: number;
        readonly waitsFor: MessageId | undefined;
        /** Of its `stream-end`. */ readonly lastSeq: number | undefined;
      }
    | { readonly kind: 'fault'; readonly fault: Fault };

  async function findTurn(sessionId: SessionId, turnId: TurnId): Promise<FoundTurn> {
    // The view first: a turn that starts between the two looks is found by the second.
    const viewed = await service.snapshot(sessionId);
    if (viewed.kind === 'fault') return viewed;
    const turn = await service.turn(sessionId, turnId);
    if (turn.kind === 'ok') {
      const { startSeq, lastSeq, lastEvent } = turn.node;
      return {
        kind: 'turn',
        startAfter: startSeq - 1,
        waitsFor: undefined,
        lastSeq: lastEvent === 'stream-end' ? lastSeq : undefined,
      };
    }
    const item = viewed.view.queue.find((queued) => turnIdOfItem(queued) === turnId);
    if (item === undefined) return turn;
    return { kind: 'turn', startAfter: viewed.view.seq, waitsFor: item.messageId, lastSeq: undefined };
  }

  async function fillTurn(
    reader: Reader,
    sessionId: SessionId,
    turnId: TurnId,
    turn: Extract<FoundTurn, { kind: 'turn' }>,
    cursor: Cursor | undefined,
  ): Promise<Fault | undefined> {
    const known = cursor !== undefined && cursor.seq > turn.startAfter ? cursor : { seq: turn.startAfter };
    const attached = await attachAt(sessionId, known);
    if (attached.kind === 'fault') return attached.fault;
    const isComing = async (id: TurnId): Promise<boolean> => (await turnStatus(service, sessionId, id)).kind === 'ok';
    const onError = (error: unknown): void =>
      logger.error({ sessionId, turnId, error: String(error) }, 'a stream failed');
    reader.addLane(
      new TurnLane({ reader, turnId, subscription: attached.subscription, waitsFor: turn.waitsFor, isComing, onError }),
    );
    return undefined;
  }

  /** There is no snapshot of one turn to go on from. */
  async function attachAt(
    sessionId: SessionId,
    place: Cursor | { readonly seq: number },
  ): ReturnType<typeof service.attach> {
    const attached = await service.attach(sessionId, place);
    if (attached.kind === 'fault' || attached.snapshot === undefined) return attached;
    attached.subscription.cancel();
    const detail = `The cursor names no record of session ${sessionId}. Read the turn from its start: leave the cursor out.`;
    return { kind: 'fault', fault: fault('invalid-cursor', detail) };
  }
}

// ── places ──────────────────────────────────────────────────────────────────────────────────────────────────────────

type PlaceResult =
  | { readonly kind: 'place'; readonly cursor: Cursor | undefined }
  | { readonly kind: 'fault'; readonly fault: Fault };

/** Rule 2. */
function placeOf(call: Call<object, { readonly after?: string }>): PlaceResult {
  const text = call.header('last-event-id') ?? call.query.after;
  if (text === undefined || text === '') return { kind: 'place', cursor: undefined };
  const cursor = parseCursor(text);
  return cursor === undefined ? { kind: 'fault', fault: invalidCursor(text) } : { kind: 'place', cursor };
}

function readCursors(
  texts: Readonly<Record<SessionId, string | null>>,
):
  | { readonly kind: 'cursors'; readonly cursors: ReadonlyMap<SessionId, Cursor | undefined> }
  | { readonly kind: 'fault'; readonly fault: Fault } {
  const cursors = new Map<SessionId, Cursor | undefined>();
  for (const [sessionId, text] of Object.entries(texts)) {
    const cursor = text === null ? undefined : parseCursor(text);
    if (text !== null && cursor === undefined) return { kind: 'fault', fault: invalidCursor(text) };
    cursors.set(sessionId as SessionId, cursor);
  }
  return { kind: 'cursors', cursors };
}

const invalidCursor = (text: string): Fault =>
  fault(
    'invalid-cursor',
    `'${text.slice(0, 64)}' is no cursor. Use the id of an event, 0 for the beginning, or none for a snapshot.`,
  );

function goodbyeOf(why: Fault): Goodbye {
  switch (why.kind) {
    case 'session-deleted':
      return { reason: 'session-deleted', fault: why.kind };
    case 'shutting-down':
      return { reason: 'shutdown', retryAfterMs: why.retryAfterMs ?? 1_000 };
    case 'internal':
    case 'storage-unavailable':
      return { reason: 'store-unavailable', fault: why.kind, retryAfterMs: why.retryAfterMs ?? 1_000 };
    default:
      return { reason: 'session-refused', fault: why.kind };
  }
}
