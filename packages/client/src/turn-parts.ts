/**
 * From what a turn's message was to what it is: the parts that were added in between. Pure.
 *
 * 1. The parts are read off the message, not off the stream: whoever begins late, reads slowly, or was cut off and came back
 *    with a snapshot gets the same text, in fewer pieces.
 * 2. An empty thought is no part: it is removed when the turn ends, and the others keep their places.
 */
import type { MessageId } from '@holdfast/protocol/ids';
import { turnIdOf } from '@holdfast/protocol/ids';
import { turnIdOfItem, type Message, type Part, type TurnNode, type View } from '@holdfast/protocol/view';
import type { TurnId } from '@holdfast/protocol/ids';

import type { TurnPart } from './api.ts';

/** The parts at the last look. */
export type SeenParts = readonly Part[];

export function partsSince(
  seen: SeenParts,
  message: Message,
): { readonly added: readonly TurnPart[]; readonly seen: SeenParts } {
  const parts = message.parts.filter((part) => part.type !== 'thinking' || part.text !== '');
  const added = parts.flatMap((part, index) => (part === seen[index] ? [] : addedBy(seen[index], part)));
  return { added, seen: parts };
}

function addedBy(before: Part | undefined, part: Part): readonly TurnPart[] {
  switch (part.type) {
    case 'text':
    case 'thinking': {
      const text = tail(before?.type === part.type ? before.text : '', part.text);
      return text === '' ? [] : [{ type: part.type, text }];
    }
    case 'tool': {
      const last = before?.type === 'tool' ? before : undefined;
      const added = tail(last?.output ?? '', part.output);
      return last?.state === part.state && added === '' ? [] : [{ type: 'tool', tool: part, added }];
    }
    case 'prompt':
      return before?.type === 'prompt' && before.outcome === part.outcome ? [] : [{ type: 'prompt', prompt: part }];
    case 'steer':
      return before === undefined ? [{ type: 'steer', messageId: part.messageId, text: part.text }] : [];
    case 'data':
      return before === undefined ? [{ type: 'data', name: part.name, data: part.data }] : [];
    // Context trims, files and provider state are read from the message.
    default:
      return [];
  }
}

/** A tool's final output may replace what was streamed of it: then there is no tail. */
const tail = (before: string, now: string): string => (now.startsWith(before) ? now.slice(before.length) : '');

// ── where a turn is in a view ───────────────────────────────────────────────────────────────────────────────────────

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
