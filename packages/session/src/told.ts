/**
 * Turns of the log beyond the view's window, for a turn that refers to one of them (R76).
 *
 * 1. A command that names a turn is given what the log says of it before it is appended (`withPlaces`): `judge` and `fold` are pure and
 *    see nothing but the window. A turn that does not exist gives nothing, and the command is void.
 * 2. What a turn is told is read by its own branch, from turn to turn, out of the view and then out of the rows (`toldTo`): it is the
 *    same whether the window holds that branch, a part of it or nothing of it.
 * 3. It is bounded: `HISTORY_TURNS` turns, as many as a window holds before its newest.
 */
import {
  EMPTY_VIEW,
  fold,
  FaultError,
  WINDOW_TURNS,
  type Command,
  type Message,
  type MessageId,
  type Question,
  type RunEvent,
  type SessionId,
  type TurnId,
  type TurnNode,
  type View,
} from '@holdfast/protocol';
import type { Log } from '@holdfast/log';
import { decodeRow, loadRowState, loadTurn, streamOf, TURN_TABLE, type TurnRow } from './rows.ts';
import { decodeEntry } from './service.ts';

const HISTORY_TURNS = WINDOW_TURNS - 1;
const PAGE_ROWS = 32;
const PAGE_ENTRIES = 512;

export interface Told {
  /** The conversation before the turn, oldest first. */
  readonly history: readonly Message[];
  /** How many turns lie before those, at most; 0: none. */
  readonly earlierTurns: number;
}

export class Past {
  readonly #log: Log;
  readonly #sessionId: SessionId;
  readonly #view: View;

  constructor(log: Log, sessionId: SessionId, view: View) {
    this.#log = log;
    this.#sessionId = sessionId;
    this.#view = view;
  }

  /** Rule 2. @param parent the turn that it follows */
  async toldTo(parent: TurnId | null): Promise<Told> {
    const turns: TurnRow[] = [];
    let next = parent;
    while (next !== null && turns.length < HISTORY_TURNS) {
      const turn = await this.#turn(next);
      if (turn === undefined) break;
      turns.push(turn);
      next = turn.node.parent;
    }
    return {
      history: turns.toReversed().flatMap(({ messages }) => messages),
      earlierTurns: next === null ? 0 : this.#earlierThan(turns),
    };
  }

  /** Rule 1. */
  async withPlaces(command: Command): Promise<Command> {
    switch (command.type) {
      case 'message': {
        const { after } = command;
        const isFound = typeof after === 'string' && (await this.#turn(after)) !== undefined;
        return isFound ? { ...command, afterFound: true } : command;
      }
      case 'regenerate': {
        const turn = await this.#turn(command.turnId);
        if (turn === undefined) return command;
        const { messageIds, parent } = turn.node;
        return { ...command, source: { messageIds, parent } };
      }
      case 'branch-switch': {
        const turn = await this.#turn(command.turnId);
        return turn === undefined ? command : { ...command, tip: await this.#tipOf(turn.node) };
      }
      default:
        return command;
    }
  }

  /** A start with the words that it answers again, if the view has lost them. */
  async withQuestion(entry: RunEvent): Promise<RunEvent> {
    if (entry.type !== 'turn-start' || entry.cause === undefined) return entry;
    const { queue, messages, offPath } = this.#view;
    const again = queue.find(({ messageId }) => messageId === entry.cause)?.again;
    const shown = new Set([...messages, ...offPath].map(({ id }) => id));
    if (again === undefined || entry.messageIds.every((id) => shown.has(id))) return entry;
    const turn = await this.#turn(again);
    return turn === undefined ? entry : { ...entry, question: questionOf(turn, entry.messageIds) };
  }

  async #turn(turnId: TurnId): Promise<TurnRow | undefined> {
    const node = this.#view.turns.find((other) => other.turnId === turnId);
    if (node === undefined) {
      const row = (await loadTurn(this.#log, this.#sessionId, turnId)) ?? (await this.#turnOfLog(turnId));
      return row === undefined ? undefined : { node: row.node, messages: inOrder(row.node, row.messages) };
    }
    return { node, messages: inOrder(node, [...this.#view.messages, ...this.#view.offPath]) };
  }

  /** An imported or upgraded session has no rows of its past before its first owner has made them: then the log is read for it. */
  async #turnOfLog(turnId: TurnId): Promise<TurnRow | undefined> {
    const { turns, seq: upTo } = this.#view;
    const { rowedSeq } = await loadRowState(this.#log, this.#sessionId);
    if (rowedSeq >= (turns[0]?.startSeq ?? 1) - 1) return undefined;
    let view: View = EMPTY_VIEW;
    while (view.seq < upTo) {
      const page = await this.#log.read(streamOf(this.#sessionId), { after: view.seq, upTo, limit: PAGE_ENTRIES });
      if (page.kind === 'unavailable') throw new FaultError(page.fault);
      if (page.kind !== 'page') return undefined;
      for (const record of page.records) {
        const entry = decodeEntry(record);
        view = fold(view, entry);
        if (entry.type !== 'stream-end' || entry.turnId !== turnId) continue;
        const node = view.turns.find((other) => other.turnId === turnId);
        return node && { node, messages: [...view.messages, ...view.offPath] };
      }
    }
    return undefined;
  }

  /** Exact as long as nobody has branched; with branches, those turns are counted too that lie on another one. */
  #earlierThan(told: readonly TurnRow[]): number {
    const { turns, earlierTurns } = this.#view;
    const shown = new Set(turns.map(({ turnId }) => turnId));
    const oldest = turns.findIndex(({ turnId }) => turnId === told.at(-1)?.node.turnId);
    if (oldest >= 0) return earlierTurns + oldest;
    return Math.max(1, earlierTurns - told.filter(({ node }) => !shown.has(node.turnId)).length);
  }

  /** The newest end of the branch that begins at a turn: each turn goes on with the last that followed it. */
  async #tipOf(from: TurnNode): Promise<TurnId> {
    const followers = new Map<TurnId | null, TurnId>();
    const isShown = this.#view.turns.some(({ turnId }) => turnId === from.turnId);
    if (!isShown) for await (const node of this.#settledAfter(from.startSeq)) followers.set(node.parent, node.turnId);
    for (const node of this.#view.turns) followers.set(node.parent, node.turnId);
    let tip = from.turnId;
    for (let next = followers.get(tip); next !== undefined; next = followers.get(tip)) tip = next;
    return tip;
  }

  async *#settledAfter(startSeq: number): AsyncGenerator<TurnNode> {
    const query = { table: TURN_TABLE, stream: streamOf(this.#sessionId), limit: PAGE_ROWS } as const;
    for (let after = startSeq; ;) {
      const rows = await this.#log.rows.list({ ...query, after, direction: 'ascending' });
      for (const row of rows) yield decodeRow<TurnRow>(row).node;
      if (rows.length < PAGE_ROWS) return;
      after = rows.at(-1)?.order ?? after;
    }
  }
}

function inOrder({ messageIds, messageId }: TurnNode, messages: readonly Message[]): readonly Message[] {
  const byId = new Map<MessageId, Message>(messages.map((message) => [message.id, message]));
  return [...messageIds, messageId].flatMap((id) => byId.get(id) ?? []);
}

function questionOf({ messages }: TurnRow, messageIds: readonly MessageId[]): readonly Question[] {
  return messages.flatMap(({ id, clientId, author, text, parts, at, revision, turnId }) => {
    if (clientId === undefined || author === undefined || !messageIds.includes(id)) return [];
    const attached = parts.flatMap((part) => (part.type === 'file' || part.type === 'data' ? [part] : []));
    return [{ messageId: id, clientId, author, text, parts: attached, at, seq: revision, turnId }];
  });
}
