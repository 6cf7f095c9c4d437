/**
 * The older pages of a transcript, before the view's window.
 *
 * H1. They are whole turns of the active branch, oldest first, and join the window without a hole; where they cannot, `gap`
 *     says so or they are dropped and read again. They are never shown on a branch that they are not on.
 * H2. A turn that leaves the window stays here: nothing vanishes above a reader.
 * H3. At `HISTORY_TURNS_MAX` the end that the reader is not at is dropped: reading backwards that is the newer one (a gap),
 *     otherwise the older one.
 */
import type { MessageId, TurnId } from '@holdfast/protocol/ids';
import { pathOf, type Message, type TurnNode, type View } from '@holdfast/protocol/view';

export const HISTORY_TURNS_MAX = 200;

export interface HistoryTurn {
  readonly turn: TurnNode;
  readonly messages: readonly Message[];
}

export interface History {
  readonly turns: readonly HistoryTurn[];
  readonly gap: boolean;
}

export const NO_HISTORY: History = { turns: [], gap: false };

/**
 * The turn before which the next older page ends; null: there is nothing older. If the window holds nothing of the branch, it is the
 * branch's last turn, and the page ends with that.
 */
export function edgeOf(history: History, view: View): TurnId | null {
  const oldest = history.turns[0]?.turn ?? pathOf(view.turns, view.leaf)[0];
  return oldest === undefined ? view.leaf : oldest.parent && oldest.turnId;
}

/** The view went on: the turns that have left its window join the older ones (H1, H2). */
export function advance(history: History, before: View, after: View): History {
  if (after.turns[0]?.turnId === before.turns[0]?.turnId && after.leaf === before.leaf) return history;
  if (history.gap) return history;
  const newest = history.turns.at(-1)?.turn.turnId;
  const left: HistoryTurn[] = [];
  const nodes = new Map(before.turns.map((node) => [node.turnId, node]));
  const known = new Map<MessageId, Message>([...before.offPath, ...before.messages].map((it) => [it.id, it]));
  let id = pathOf(after.turns, after.leaf)[0]?.parent ?? null;
  while (id !== null && id !== newest) {
    const turn = nodes.get(id);
    if (turn === undefined) break;
    const ids = [...turn.messageIds, turn.messageId];
    left.unshift({ turn, messages: ids.map((it) => known.get(it)).filter((it) => it !== undefined) });
    id = turn.parent;
  }
  if (newest !== undefined && id !== newest) return NO_HISTORY;
  if (left.length === 0) return history;
  return { turns: [...history.turns, ...left].slice(-HISTORY_TURNS_MAX), gap: false }; // H3
}
