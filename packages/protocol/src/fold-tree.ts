/** The tree of turns, the path that is shown of it, and the window that is held. */
import type { MessageId, TurnId } from './ids.ts';
import { pathOf, WINDOW_TURNS, type Message, type TurnNode, type View } from './view.ts';

/** The newest end of the branch that begins at a turn. */
export function tipOf(turns: readonly TurnNode[], from: TurnId): TurnId {
  const child = turns.findLast((node) => node.parent === from);
  return child === undefined ? from : tipOf(turns, child.turnId);
}

/** The view with these as the messages of its window: those on the active branch, and the others, each in the order of turns. */
export function divideByPath(view: View, all: readonly Message[]): View {
  const byId = new Map(all.map((message) => [message.id, message]));
  const ids = new Set(idsOf(pathOf(view.turns, view.leaf)));
  const others = new Set(idsOf(view.turns).filter((id) => !ids.has(id)));
  const pick = (wanted: ReadonlySet<MessageId>): readonly Message[] =>
    [...wanted].map((id) => byId.get(id)).filter((message) => message !== undefined);
  return { ...view, messages: pick(ids), offPath: pick(others) };
}

export const onPath = (view: View): View => divideByPath(view, [...view.messages, ...view.offPath]);

const idsOf = (nodes: readonly TurnNode[]): readonly MessageId[] =>
  nodes.flatMap((node) => [...node.messageIds, node.messageId]);

export function trimWindow(view: View): View {
  const [oldest, ...turns] = view.turns;
  if (oldest === undefined || view.turns.length <= WINDOW_TURNS) return view;
  const used = new Set(idsOf(turns));
  const keep = (message: Message): boolean => used.has(message.id);
  return {
    ...view,
    turns,
    messages: view.messages.filter(keep),
    offPath: view.offPath.filter(keep),
    earlierTurns: view.earlierTurns + 1,
  };
}
