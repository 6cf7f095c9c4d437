/** Reads older pages of a transcript into a session's model. What they are is `history.ts`. */
import { fault } from '@holdfast/protocol/fault';
import { answerIdOf, type MessageId, type SessionId, type TurnId } from '@holdfast/protocol/ids';
import { pathOf, type View } from '@holdfast/protocol/view';

import type { Admission, CallOptions, PageResult, Refusal } from './api.ts';
import { isFault } from './commands.ts';
import { edgeOf, HISTORY_TURNS_MAX, NO_HISTORY, type History, type HistoryTurn } from './history.ts';
import type { Requests } from './requests.ts';
import type { SessionModel } from './session-model.ts';
import type { Sight, TurnKey } from './turn.ts';

const PAGE_TURNS = 20;

type Page = { readonly kind: 'ok'; readonly turns: readonly HistoryTurn[] } | Refusal;

export async function earlier(requests: Requests, model: SessionModel, options: CallOptions): Promise<PageResult> {
  const edge = edgeOf(model.history, model.view);
  if (edge === null || model.cell.getSnapshot().earlier.busy) return { kind: 'nothing' };
  model.setHistory(model.history, { busy: true, fault: null });
  // Without `before` the page ends where the window begins, or with the branch's last turn if that has left it.
  const page = await readPage(requests, model, edge === model.view.leaf ? '' : `before=${edge}`, options);
  if (page.kind === 'fault') {
    model.setHistory(model.history, { busy: false, fault: page.fault });
    return page;
  }
  const history = prepend(model.history, model.view, edge, page.turns);
  model.setHistory(history, { busy: false, fault: null });
  return { kind: 'page', turns: page.turns.length, more: edgeOf(history, model.view) !== null };
}

export async function around(
  requests: Requests,
  model: SessionModel,
  messageId: MessageId,
  options: CallOptions,
): Promise<PageResult> {
  if (model.view.messages.some(({ id }) => id === messageId)) return { kind: 'nothing' };
  const page = await readPage(requests, model, `around=${messageId}`, options);
  if (page.kind === 'fault') return page;
  const history = jumpTo(model.view, page.turns);
  model.setHistory(history, { busy: false, fault: null });
  return { kind: 'page', turns: history.turns.length, more: edgeOf(history, model.view) !== null };
}

/** What became of a turn that has left the window, or was never in it. */
export async function findOld(
  requests: Requests,
  sessionId: SessionId,
  key: TurnKey,
  admission: Admission,
): Promise<Sight | Refusal> {
  const found = await turnOfMessage(requests, sessionId, answerTo(key, admission));
  if (found === undefined) {
    if (key.kind === 'message') return { kind: 'over', end: { kind: 'withdrawn' } };
    return { kind: 'fault', fault: fault('turn-not-found', `Session ${sessionId} has no turn ${key.turnId}.`) };
  }
  if ('kind' in found) return found;
  const message = found.messages.find(({ id }) => id === found.turn.messageId);
  if (message === undefined || found.turn.outcome === null) return { kind: 'nothing-yet' };
  return { kind: 'seen', node: found.turn, message, settled: true };
}

function answerTo(key: TurnKey, admission: Admission): MessageId | undefined {
  if (key.kind === 'turn') return answerIdOf(key.turnId);
  if (admission.kind !== 'accepted') return undefined;
  return admission.turnId === undefined ? admission.messageId : answerIdOf(admission.turnId);
}

async function turnOfMessage(
  requests: Requests,
  id: SessionId,
  messageId: MessageId | undefined,
): Promise<HistoryTurn | undefined | Refusal> {
  if (messageId === undefined) return undefined;
  const page = await requests.get(`/v1/sessions/${id}/messages?around=${messageId}&limit=1`);
  if (page.kind === 'ok') return (page.body as { readonly turns: readonly HistoryTurn[] }).turns[0];
  return isFault(page, 'message-not-found') || isFault(page, 'turn-not-found') ? undefined : page;
}

async function readPage(
  requests: Requests,
  { id }: SessionModel,
  query: string,
  { signal }: CallOptions,
): Promise<Page> {
  const path = `/v1/sessions/${id}/messages?limit=${PAGE_TURNS}&${query}`;
  const answer = await requests.call('GET', path, { repeatable: true, signal });
  return answer.kind === 'fault' ? answer : { kind: 'ok', ...(answer.body as { turns: readonly HistoryTurn[] }) };
}

/** A page that ends before the oldest turn. One that was asked for at another edge changes nothing. */
export function prepend(history: History, view: View, edge: TurnId, page: readonly HistoryTurn[]): History {
  if (edge !== edgeOf(history, view) || page.length === 0) return history;
  const turns = [...page, ...history.turns];
  if (turns.length <= HISTORY_TURNS_MAX) return { ...history, turns };
  return { turns: turns.slice(0, HISTORY_TURNS_MAX), gap: true }; // H3
}

/** The page around a message, in place of what was here. */
export function jumpTo(view: View, page: readonly HistoryTurn[]): History {
  const inWindow = new Set(view.turns.map((node) => node.turnId));
  const turns = page.filter(({ turn }) => !inWindow.has(turn.turnId));
  const first = pathOf(view.turns, view.leaf)[0];
  return turns.length === 0 ? NO_HISTORY : { turns, gap: first?.parent !== turns.at(-1)?.turn.turnId };
}
