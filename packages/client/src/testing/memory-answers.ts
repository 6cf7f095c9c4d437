/** What the gateway in memory answers: receipts, refusals, pages, rows. */
import { fault, problemOf, type Fault } from '@holdfast/protocol/fault';
import { turnIdOf, type PromptId, type TurnId } from '@holdfast/protocol/ids';
import { pathOf } from '@holdfast/protocol/view';

import type { Admitted, MemoryLog } from './memory-log.ts';
import type { Stream } from './memory-stream.ts';

/** What a route makes of a request. */
export type Answer =
  | { readonly kind: 'json'; readonly status: number; readonly body: unknown }
  | { readonly kind: 'stream'; readonly start: (stream: Stream) => void };

/** Who sends everything. */
export const SUBJECT = 'tester';
export const json = (status: number, body: unknown): Answer => ({ kind: 'json', status, body });
export const refuse = (why: Fault): Answer => json(problemOf(why).status, problemOf(why));

export function admitted({ verdict, seq, duplicate, command }: Admitted): Answer {
  if (verdict.kind !== 'accepted' || !('messageId' in command))
    return refuse(fault('turn-not-found', 'There is no such turn.'));
  const { applied, position, turnId } = verdict;
  return json(202, {
    messageId: command.messageId,
    seq,
    position,
    applied,
    duplicate,
    ...(turnId === undefined ? {} : { turnId }),
  });
}

export function changed(log: MemoryLog, { verdict, command }: Admitted): Answer {
  if (verdict.kind === 'edited' || verdict.kind === 'withdrawn')
    return json(200, { messageId: verdict.messageId, result: verdict.kind });
  const id = 'messageId' in command ? command.messageId : '';
  const message = [...log.view.messages, ...log.view.offPath].find((it) => it.id === id);
  if (message === undefined) return refuse(fault('message-not-found', `There is no message ${id}.`));
  const node = log.view.turns.find((turn) => turn.turnId === message.turnId);
  const facts = { turnId: message.turnId, outcome: node?.outcome ?? null };
  return refuse(fault('message-started', `The turn of ${id} has begun.`, { facts }));
}

export function stopped(log: MemoryLog, turnId: TurnId, result: string): Answer {
  if (result === 'stopping' || result === 'already-stopping') return json(200, { turnId, result });
  const turn = log.turns.get(turnId)?.turn;
  if (turn === undefined) return refuse(fault('turn-not-found', `There is no turn ${turnId}.`));
  return json(200, { turnId, result: 'already-ended', outcome: turn.outcome });
}

export function closed(log: MemoryLog, promptId: PromptId): Answer {
  const parts = [...log.view.messages, ...log.view.offPath].flatMap((message) => message.parts);
  const part = parts.find((it) => it.type === 'prompt' && it.promptId === promptId);
  if (part?.type !== 'prompt') return refuse(fault('prompt-not-found', `There is no prompt ${promptId}.`));
  const { outcome, answer, by } = part;
  return refuse(
    fault('prompt-closed', `Prompt ${promptId} is closed.`, { facts: { outcome: outcome ?? 'answered', answer, by } }),
  );
}

export function statusOf(log: MemoryLog, turnId: TurnId): Answer {
  const turn = log.turns.get(turnId)?.turn;
  if (turn !== undefined) {
    const { outcome, revision, lastSeq, lastEvent } = turn;
    const terminal = outcome !== null;
    return json(200, {
      turnId,
      active: !terminal,
      terminal,
      state: terminal ? 'ended' : 'running',
      outcome,
      revision,
      lastSeq,
      lastEvent,
    });
  }
  const waits = log.view.queue.some((item) => turnIdOf(item.messageId) === turnId);
  if (!waits) return refuse(fault('turn-not-found', `There is no turn ${turnId}.`));
  return json(200, { turnId, active: false, terminal: false, state: 'queued', outcome: null });
}

/** Along the parents, as the gateway does it. */
export function page(log: MemoryLog, query: URLSearchParams): Answer {
  const limit = Number(query.get('limit') ?? 20);
  const around = query.get('around');
  const found =
    around === null
      ? undefined
      : [...log.turns.values()].find(({ messages }) => messages.some(({ id }) => id === around));
  if (around !== null && found === undefined)
    return refuse(fault('message-not-found', `There is no message ${around}.`));
  const before = query.get('before') ?? pathOf(log.view.turns, log.view.leaf)[0]?.turnId ?? '';
  const turns = [];
  for (
    let id = found?.turn.turnId ?? log.turns.get(before)?.turn.parent ?? null;
    id !== null && turns.length < limit;
  ) {
    const entry = log.turns.get(id);
    if (entry === undefined) break;
    turns.unshift(entry);
    id = entry.turn.parent;
  }
  return json(200, { turns, before: turns[0]?.turn.parent == null ? null : turns[0].turn.turnId });
}
