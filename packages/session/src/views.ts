/**
 * What the service shows of a session: its view of this moment, its tail, its turns and pages.
 *
 *  1. A snapshot holds what the log held when it was asked for; its cursor names the last entry in it (R52).
 *  2. A cursor is served only if its record is there; any other gets a snapshot, and the reason (R55, R60).
 *  3. What has left the view's window is read from the rows: a page of a long session costs what it shows, and ends with the
 *     turn that makes it longer than `PAGE_CHARS_MAX`.
 */
import {
  fault,
  pathOf,
  START,
  turnIdOf,
  type Cursor,
  type MessageId,
  type SessionId,
  type TurnId,
  type TurnNode,
  type View,
} from '@holdfast/protocol';
import type { Log, Refused, SubscribeOptions } from '@holdfast/log';
import type { LiveSession, LiveSessions, NotLive } from './live.ts';
import { faultOf, refused } from './refusal.ts';
import { loadTurn, streamOf } from './rows.ts';
import type { Attachment, MessagePage, Place, Result, SessionService } from './service.ts';

const PAGE_CHARS_MAX = 4 * 1024 * 1024;

export class Views {
  readonly #log: Log;
  readonly #lives: LiveSessions;

  constructor(log: Log, lives: LiveSessions) {
    this.#log = log;
    this.#lives = lives;
  }

  async snapshot(sessionId: SessionId): Promise<Result<{ readonly view: View; readonly cursor: Cursor }>> {
    const found = await this.#viewed(sessionId);
    return found.kind === 'ok' ? found : refused(faultOf(found, sessionId));
  }

  /** The view at the head of this moment: one that is followed here already may lag behind what other nodes have written. */
  #viewed(
    sessionId: SessionId,
  ): Promise<{ readonly kind: 'ok'; readonly view: View; readonly cursor: Cursor } | NotLive> {
    return this.#lives.with(sessionId, async (live) => {
      const now = await this.#log.stat(streamOf(sessionId));
      if (now.kind !== 'state') return now;
      await live.reached(now.state.head);
      return { kind: 'ok' as const, view: live.view, cursor: cursorOf(live) };
    });
  }

  async attach(sessionId: SessionId, after: Cursor | Place | undefined): Promise<Result<Attachment>> {
    const resync = after === undefined ? undefined : await this.#resyncReason(sessionId, after);
    if (typeof resync === 'object') return refused(faultOf(resync, sessionId));
    if (after !== undefined && resync === undefined)
      return { kind: 'ok', subscription: this.#log.subscribe(streamOf(sessionId), after.seq, tagOf(after)) };
    const viewed = await this.snapshot(sessionId);
    if (viewed.kind !== 'ok') return viewed;
    const { view, cursor } = viewed;
    const subscription = this.#log.subscribe(streamOf(sessionId), cursor.seq, tagOf(cursor));
    return { kind: 'ok', snapshot: { view, cursor }, subscription, ...(resync === undefined ? {} : { resync }) };
  }

  /** A cursor is served only if its record is there (R55, R60). */
  async #resyncReason(sessionId: SessionId, { seq, tag }: Cursor | Place): Promise<Attachment['resync'] | Refused> {
    const page = await this.#log.read(streamOf(sessionId), { after: Math.max(0, seq - 1), limit: 1 });
    if (page.kind === 'truncated') return 'cursor-too-old';
    if (page.kind !== 'page') return page;
    if (seq === START.seq) return undefined;
    if (seq > page.head) return 'cursor-ahead';
    return tag === undefined || page.records[0]?.tag === tag ? undefined : 'cursor-unknown';
  }

  async turn(sessionId: SessionId, turnId: TurnId): ReturnType<SessionService['turn']> {
    const found = await this.#viewed(sessionId);
    if (found.kind !== 'ok') return refused(faultOf(found, sessionId));
    const inWindow = turnInView(found.view, turnId);
    if (inWindow !== undefined) return inWindow;
    const row = await loadTurn(this.#log, sessionId, turnId);
    if (row === undefined) return refused(fault('turn-not-found', `Session ${sessionId} has no turn ${turnId}.`));
    return { kind: 'ok', node: row.node, messages: row.messages, active: false, state: 'ended' };
  }

  async messages(
    sessionId: SessionId,
    page: { readonly before?: TurnId; readonly around?: MessageId; readonly limit: number },
  ): Promise<Result<MessagePage>> {
    const viewed = await this.snapshot(sessionId);
    if (viewed.kind !== 'ok') return viewed;
    const from = await this.#pageStart(sessionId, viewed.view, page);
    if (from === 'unknown')
      return refused(fault('message-not-found', `Session ${sessionId} has no such message or turn.`));
    const turns: { readonly node: TurnNode; readonly messages: MessagePage['turns'][number]['messages'] }[] = [];
    let next = from;
    let chars = 0;
    while (next !== null && turns.length < page.limit && chars < PAGE_CHARS_MAX) {
      const found = await this.turn(sessionId, next);
      if (found.kind !== 'ok') break;
      turns.push({ node: found.node, messages: found.messages });
      chars += JSON.stringify(found.messages).length;
      next = found.node.parent;
    }
    const before = next === null ? null : (turns.at(-1)?.node.turnId ?? null);
    return { kind: 'ok', turns: turns.toReversed(), before };
  }

  /** The newest turn of a page; null where nothing lies before. A branch that has left the window is pages from its end on. */
  async #pageStart(
    sessionId: SessionId,
    view: View,
    { before, around }: { readonly before?: TurnId; readonly around?: MessageId },
  ): Promise<TurnId | null | 'unknown'> {
    if (around !== undefined) {
      const message = [...view.messages, ...view.offPath].find((other) => other.id === around);
      const turnId = message?.turnId ?? turnIdOf(around);
      const found = await this.turn(sessionId, turnId);
      return found.kind === 'ok' ? turnId : 'unknown';
    }
    const oldest = pathOf(view.turns, view.leaf)[0];
    if (before === undefined && oldest === undefined) return view.leaf;
    const edge = before ?? oldest?.turnId;
    if (edge === undefined) return null;
    const found = await this.turn(sessionId, edge);
    return found.kind === 'ok' ? found.node.parent : 'unknown';
  }
}

const tagOf = ({ seq, tag }: Cursor | Place): SubscribeOptions =>
  seq === START.seq || tag === undefined ? {} : { tag };

const cursorOf = (live: LiveSession): Cursor => ({ seq: live.view.seq, tag: live.view.seq === 0 ? 0 : live.tag });

function turnInView(
  view: View,
  turnId: TurnId,
): Extract<Awaited<ReturnType<SessionService['turn']>>, { kind: 'ok' }> | undefined {
  const node = view.turns.find((other) => other.turnId === turnId);
  if (node === undefined) return undefined;
  const ids = new Set([...node.messageIds, node.messageId]);
  const messages = [...view.messages, ...view.offPath].filter((message) => ids.has(message.id));
  const running = view.turn?.turnId === turnId ? view.turn : undefined;
  if (running === undefined) return { kind: 'ok', node, messages, active: false, state: 'ended' };
  const { lastSeq, lastEvent, state } = running;
  return { kind: 'ok', node: { ...node, lastSeq, lastEvent }, messages, active: true, state };
}
