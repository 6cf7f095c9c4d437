/**
 * From what a turn's message was to what it is: the parts that were added in between. Pure.
 *
 * 1. The parts are read off the message, not off the stream: whoever begins late, reads slowly, or was cut off and came back
 *    with a snapshot gets the same text, in fewer pieces.
 * 2. An empty thought is no part: it is removed when the turn ends, and the others keep their places.
 */
import { fault, type Fault } from '@holdfast/protocol/fault';
import type { Message, Part } from '@holdfast/protocol/view';

import type { TurnEnd, TurnPart } from './api.ts';

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

/** Why there is no whole answer. */
export function faultOfEnd(end: TurnEnd): Fault {
  switch (end.kind) {
    case 'lost':
    case 'refused':
      return end.fault;
    case 'withdrawn':
    case 'discarded':
      return fault('cancelled', `The message was ${end.kind} before its turn began.`);
    case 'ended': {
      const { outcome, text, reason } = end;
      const kind = end.fault?.kind ?? (outcome === 'failed' ? 'agent-crashed' : 'cancelled');
      return fault(kind, reason ?? `The turn ended as ${outcome}.`, { facts: { outcome, text } });
    }
  }
}
