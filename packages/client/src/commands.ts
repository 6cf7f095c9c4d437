/**
 * The commands about a session, with what can become of each as a value.
 *
 * 1. Every command carries a client id of its own, so it is safe to repeat and its receipt is the first one.
 * 2. The faults that a caller must expect are kinds of their own (`started`, `closed`, `not-found`); the rest is a `Refusal`.
 */
import type { Answer, PromptOutcome, Subject, TurnOutcome } from '@holdfast/protocol/entry';
import type { Fault, FaultKind } from '@holdfast/protocol/fault';
import type { MessageId, PromptId, SessionId, ToolId, TurnId } from '@holdfast/protocol/ids';

import type {
  AnswerResult,
  ChangeResult,
  DoneResult,
  Receipt,
  Refusal,
  ReorderResult,
  SetOptions,
  SteerResult,
  StopOptions,
  StopResult,
  SwitchResult,
  ToolResultResult,
} from './api.ts';
import { newId } from './new-id.ts';
import type { Requests } from './requests.ts';

type Command = (method: string, path: string, json?: object) => Promise<Body | Refusal>;
interface Body {
  readonly kind: 'ok';
  readonly body: unknown;
}

const NOT_FOUND = { kind: 'not-found' } as const;

export interface SteerOptions {
  readonly turnId?: TurnId;
}

export class Commands {
  readonly id: SessionId;
  readonly #command: Command;

  constructor(requests: Requests, id: SessionId) {
    this.id = id;
    this.#command = (method, path, json) => {
      const clientId = newId('c');
      // A DELETE goes without a body: proxies drop one.
      const name = method === 'DELETE' ? { headers: { 'idempotency-key': clientId } } : { json: { clientId, ...json } };
      return requests.call(method, `/v1/sessions/${id}${path}`, { ...name, repeatable: true });
    };
  }

  async stop({ turnId, queue, partial }: StopOptions = {}): Promise<StopResult> {
    if (turnId === undefined) return NOT_FOUND;
    const answer = await this.#command('POST', `/turns/${turnId}/stop`, { queue, partial });
    if (answer.kind === 'fault') return isFault(answer, 'turn-not-found') ? NOT_FOUND : answer;
    const { result, outcome = null } = answer.body as {
      readonly result: string;
      readonly outcome?: TurnOutcome | null;
    };
    if (result === 'already-ended') return { kind: result, turnId, outcome };
    return { kind: result === 'stopping' ? result : 'already-stopping', turnId };
  }

  async steer(text: string, { turnId }: SteerOptions = {}): Promise<SteerResult> {
    if (turnId === undefined) return NOT_FOUND;
    const answer = await this.#command('POST', `/turns/${turnId}/steer`, { text });
    if (answer.kind === 'fault') return isFault(answer, 'turn-not-found') ? NOT_FOUND : answer;
    return { kind: 'accepted', ...(answer.body as Receipt) };
  }

  async answer(promptId: PromptId, value: Answer): Promise<AnswerResult> {
    const answer = await this.#command('POST', `/prompts/${promptId}`, { answer: value });
    if (answer.kind === 'ok') return { kind: 'answered' };
    if (isFault(answer, 'prompt-not-found')) return NOT_FOUND;
    if (!isFault(answer, 'prompt-closed')) return answer;
    const facts = answer.fault.facts as { outcome?: PromptOutcome; answer?: Answer; by?: Subject };
    return { outcome: 'cancelled', ...facts, kind: 'closed' };
  }

  async toolResult(
    toolId: ToolId,
    result: { readonly ok: boolean; readonly output: string },
  ): Promise<ToolResultResult> {
    const answer = await this.#command('POST', `/tools/${toolId}`, result);
    if (answer.kind === 'ok') return { kind: 'taken' };
    return isFault(answer, 'turn-ended') ? { kind: 'not-open' } : answer;
  }

  async edit(messageId: MessageId, text: string): Promise<ChangeResult<'edited'>> {
    return changed('edited', await this.#command('PATCH', `/messages/${messageId}`, { text }));
  }

  async withdraw(messageId: MessageId): Promise<ChangeResult<'withdrawn'>> {
    return changed('withdrawn', await this.#command('DELETE', `/messages/${messageId}`));
  }

  async reorder(messageIds: readonly MessageId[]): Promise<ReorderResult> {
    const answer = await this.#command('PATCH', '/queue', { messageIds });
    if (answer.kind === 'fault') return answer;
    return { kind: 'ordered', messageIds: (answer.body as { messageIds: readonly MessageId[] }).messageIds };
  }

  async regenerate(
    messageId: MessageId,
  ): Promise<{ readonly kind: 'accepted'; readonly receipt: Receipt } | typeof NOT_FOUND | Refusal> {
    const answer = await this.#command('POST', `/messages/${messageId}/regenerate`);
    if (answer.kind === 'ok') return { kind: 'accepted', receipt: answer.body as Receipt };
    return isFault(answer, 'message-not-found') || isFault(answer, 'turn-not-found') ? NOT_FOUND : answer;
  }

  async switchBranch(turnId: TurnId): Promise<SwitchResult> {
    const answer = await this.#command('PATCH', '/branch', { turnId });
    if (answer.kind === 'ok') return { kind: 'switched', leaf: (answer.body as { leaf: TurnId | null }).leaf };
    return isFault(answer, 'turn-not-found') ? NOT_FOUND : answer;
  }

  async set(changes: SetOptions): Promise<DoneResult> {
    const answer = await this.#command('PATCH', '', changes);
    return answer.kind === 'ok' ? { kind: 'done' } : answer;
  }

  async markUnread(readSeq?: number): Promise<DoneResult> {
    const answer = await this.#command('POST', '/unread', readSeq === undefined ? {} : { readSeq });
    return answer.kind === 'ok' ? { kind: 'done' } : answer;
  }

  async delete(): Promise<DoneResult> {
    const answer = await this.#command('DELETE', '');
    // Gone is gone, whoever did it.
    return answer.kind === 'ok' || isFault(answer, 'session-deleted') ? { kind: 'done' } : answer;
  }
}

const isFault = ({ fault }: { readonly fault: Fault }, kind: FaultKind): boolean => fault.kind === kind;

function changed<Done extends string>(done: Done, answer: Body | Refusal): ChangeResult<Done> {
  if (answer.kind === 'ok') return { kind: done };
  if (isFault(answer, 'message-not-found')) return NOT_FOUND;
  if (!isFault(answer, 'message-started')) return answer;
  return { ...(answer.fault.facts as { turnId?: TurnId; outcome?: TurnOutcome | null }), kind: 'started' };
}
