/**
 * What is done now and then: changes to the queue and to the session, older pages, files, agents, side questions. It comes in the
 * chunk of `live.ts` (decision 25).
 *
 * 1. A client is whole without it in all that shows, sends, stops and answers. Where it did not come, these calls say so, with the cure.
 * 2. The rules of `commands.ts` hold.
 */
import type { TurnOutcome } from '@holdfast/protocol/entry';
import type { ClientId, MessageId, ToolId, TurnId } from '@holdfast/protocol/ids';

import type {
  Admission,
  AgentInfo,
  CallOptions,
  ChangeResult,
  DoneResult,
  Receipt,
  Refusal,
  RegenerateResult,
  ReorderResult,
  SetOptions,
  SteerResult,
  StopOptions,
  StopResult,
  SwitchResult,
  ToolOutput,
  ToolResultResult,
  Turn,
} from './api.ts';
import { isFault, NOT_FOUND, orNotFound, type Body, type Command } from './commands.ts';
import type { Requests } from './requests.ts';
import type { TurnHost, TurnKey } from './turn.ts';

export { download, upload } from './files.ts';
export { around, earlier, findOld } from './older-pages.ts';
export { faultOfEnd, partsSince } from './turn-parts.ts';
export { openBtw } from './btw-of-client.ts';

export async function agents(requests: Requests, options: CallOptions): Promise<readonly AgentInfo[]> {
  return (await requests.need<{ agents: readonly AgentInfo[] }>('GET', '/v1/agents', options)).agents;
}

// ── the running turn ────────────────────────────────────────────────────────────────────────────────────────────────

export async function steer(
  command: Command,
  turnId: TurnId | undefined,
  text: string,
  options: CallOptions,
): Promise<SteerResult> {
  if (turnId === undefined) return NOT_FOUND;
  const answer = await command('POST', `/turns/${turnId}/steer`, options, { text });
  if (answer.kind === 'fault') return orNotFound(answer, 'turn-not-found');
  return { kind: 'accepted', ...(answer.body as Receipt) };
}

export async function toolResult(
  command: Command,
  toolId: ToolId,
  { ok, output }: ToolOutput,
  options: CallOptions,
): Promise<ToolResultResult> {
  const answer = await command('POST', `/tools/${toolId}`, options, { ok, output });
  if (answer.kind === 'ok') return { kind: 'taken' };
  return isFault(answer, 'turn-ended') ? { kind: 'not-open' } : answer;
}

// ── the queue and the branches ──────────────────────────────────────────────────────────────────────────────────────

export async function edit(
  command: Command,
  messageId: MessageId,
  text: string,
  options: CallOptions,
): Promise<ChangeResult<'edited'>> {
  return changed('edited', await command('PATCH', `/messages/${messageId}`, options, { text }));
}

export async function reorder(
  command: Command,
  messageIds: readonly MessageId[],
  options: CallOptions,
): Promise<ReorderResult> {
  const answer = await command('PATCH', '/queue', options, { messageIds });
  if (answer.kind === 'fault') return answer;
  return { kind: 'ordered', messageIds: (answer.body as { messageIds: readonly MessageId[] }).messageIds };
}

export async function regenerate(
  command: Command,
  messageId: MessageId,
  options: CallOptions,
  read: (key: TurnKey) => Turn,
): Promise<RegenerateResult> {
  const answer = await command('POST', `/messages/${messageId}/regenerate`, options);
  if (answer.kind === 'fault')
    return isFault(answer, 'message-not-found') ? NOT_FOUND : orNotFound(answer, 'turn-not-found');
  const receipt = answer.body as Receipt;
  const admission = Promise.resolve({ ...receipt, kind: 'accepted' } as const);
  const clientId = receipt.messageId as string as ClientId;
  return { kind: 'accepted', receipt, turn: read({ kind: 'message', clientId, admission }) };
}

/** Of a turn that runs, its stop; of one that waits, the withdrawal of its message. */
export async function stopTurn(
  host: Pick<TurnHost, 'stop' | 'withdraw'>,
  known: TurnId | undefined,
  admission: Admission,
  options: StopOptions,
): Promise<StopResult | ChangeResult<'withdrawn'>> {
  let turnId = known;
  if (turnId === undefined && admission.kind === 'accepted') {
    const withdrawn = await host.withdraw(admission.messageId);
    if (withdrawn.kind !== 'started') return withdrawn;
    turnId = withdrawn.turnId ?? admission.turnId;
  }
  return turnId === undefined ? NOT_FOUND : host.stop({ ...options, turnId });
}

export async function switchBranch(command: Command, turnId: TurnId, options: CallOptions): Promise<SwitchResult> {
  const answer = await command('PATCH', '/branch', options, { turnId });
  if (answer.kind === 'fault') return orNotFound(answer, 'turn-not-found');
  return { kind: 'switched', leaf: (answer.body as { leaf: TurnId | null }).leaf };
}

export async function withdraw(
  command: Command,
  messageId: MessageId,
  options: CallOptions,
): Promise<ChangeResult<'withdrawn'>> {
  return changed('withdrawn', await command('DELETE', `/messages/${messageId}`, options));
}

// ── the session ─────────────────────────────────────────────────────────────────────────────────────────────────────

export async function set(command: Command, changes: SetOptions, options: CallOptions): Promise<DoneResult> {
  const answer = await command('PATCH', '', options, changes);
  return answer.kind === 'ok' ? { kind: 'done' } : answer;
}

export async function markUnread(
  command: Command,
  readSeq: number | undefined,
  options: CallOptions,
): Promise<DoneResult> {
  const answer = await command('POST', '/unread', options, readSeq === undefined ? {} : { readSeq });
  return answer.kind === 'ok' ? { kind: 'done' } : answer;
}

export async function remove(command: Command, options: CallOptions): Promise<DoneResult> {
  const answer = await command('DELETE', '', options);
  // Gone is gone, by any hand.
  return answer.kind === 'ok' || isFault(answer, 'session-deleted') ? { kind: 'done' } : answer;
}

function changed<Done extends string>(done: Done, answer: Body | Refusal): ChangeResult<Done> {
  if (answer.kind === 'ok') return { kind: done };
  if (!isFault(answer, 'message-started')) return orNotFound(answer, 'message-not-found');
  return { ...(answer.fault.facts as { turnId?: TurnId; outcome?: TurnOutcome | null }), kind: 'started' };
}
