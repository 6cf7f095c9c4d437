/** Where a turn is in a view, by its message or by its id. Pure. */
import { turnIdOf, type MessageId, type TurnId } from '@holdfast/protocol/ids';
import { turnIdOfItem, type Message, type TurnNode, type View } from '@holdfast/protocol/view';

export type Located =
  /** Its message waits. */
  | { readonly kind: 'waiting' }
  | { readonly kind: 'there'; readonly node: TurnNode; readonly message: Message }
  | { readonly kind: 'absent' };

/** By the message: the turn that took it, whichever that became (queued, merged, steered, regenerated). */
export function locateMessage(view: View, messageId: MessageId): Located {
  const waits = [...view.queue, ...(view.turn?.steers ?? [])].some((item) => item.messageId === messageId);
  if (waits) return WAITING;
  const named = turnIdOf(messageId);
  const node =
    view.turns.find((turn) => turn.turnId === named || turn.messageIds.includes(messageId)) ??
    nodeSteeredBy(view, messageId);
  return at(view, node);
}

export function locateTurn(view: View, turnId: TurnId): Located {
  if (view.queue.some((item) => turnIdOfItem(item) === turnId)) return WAITING;
  return at(
    view,
    view.turns.find((turn) => turn.turnId === turnId),
  );
}

const WAITING: Located = { kind: 'waiting' };

function at(view: View, node: TurnNode | undefined): Located {
  const isIts = (message: Message): boolean => message.id === node?.messageId;
  const message = view.messages.findLast(isIts) ?? view.offPath.find(isIts);
  return node === undefined || message === undefined ? { kind: 'absent' } : { kind: 'there', node, message };
}

function nodeSteeredBy(view: View, messageId: MessageId): TurnNode | undefined {
  const steered = [...view.messages, ...view.offPath].find((message) =>
    message.parts.some((part) => part.type === 'steer' && part.messageId === messageId),
  );
  return view.turns.find((turn) => turn.turnId === steered?.turnId);
}
