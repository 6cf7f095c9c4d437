/** Changes to one place of a view that leave everything else as it is. */
import type { RunEvent } from './entry.ts';
import type { MessageId, ToolId, TurnId } from './ids.ts';
import type { Message, Part, RunningTurn, ToolPart, View } from './view.ts';

export function onTurn(view: View, change: (turn: RunningTurn) => RunningTurn): View {
  return view.turn === null ? view : { ...view, turn: change(view.turn) };
}

/** The node of an ended turn notes its latest entry. */
export function onNode(
  view: View,
  { turnId, seq, type }: { readonly turnId?: TurnId; readonly seq: number; readonly type: RunEvent['type'] },
): View {
  if (turnId === undefined || !view.turns.some((node) => node.turnId === turnId && node.outcome !== null)) return view;
  return {
    ...view,
    turns: view.turns.map((node) => (node.turnId === turnId ? { ...node, lastSeq: seq, lastEvent: type } : node)),
  };
}

export const answerOf = (view: View): Message | undefined => {
  const id = view.turn?.messageId;
  return view.messages.findLast((message) => message.id === id) ?? view.offPath.find((message) => message.id === id);
};

/** Changes the running turn's message, wherever it is: a branch may have been switched meanwhile. */
export const onAnswer = (view: View, change: (message: Message) => Message): View =>
  view.turn === null ? view : onMessage(view, view.turn.messageId, change);

export function onMessageOf(view: View, turnId: TurnId, change: (message: Message) => Message): View {
  const node = view.turns.find((turn) => turn.turnId === turnId);
  return node === undefined ? view : onMessage(view, node.messageId, change);
}

export function onMessage(view: View, id: MessageId, change: (message: Message) => Message): View {
  const index = view.messages.findLastIndex((message) => message.id === id);
  const message = view.messages[index];
  if (message !== undefined) return { ...view, messages: view.messages.with(index, change(message)) };
  return { ...view, offPath: view.offPath.map((other) => (other.id === id ? change(other) : other)) };
}

export const addPart = (view: View, part: Part): View =>
  onAnswer(view, (message) => ({ ...message, parts: [...message.parts, part] }));

export function onTool(view: View, toolId: ToolId, change: (part: ToolPart) => ToolPart): View {
  return onAnswer(view, (message) => ({
    ...message,
    parts: message.parts.map((part) => (part.type === 'tool' && part.toolId === toolId ? change(part) : part)),
  }));
}

export function extend(parts: readonly Part[], type: 'text' | 'thinking', text: string): readonly Part[] {
  const last = parts.at(-1);
  return last?.type === type
    ? parts.with(parts.length - 1, { ...last, text: last.text + text })
    : [...parts, { type, text }];
}
