/**
 * The commands about a session, with what can become of each as a value.
 *
 * 1. Every command carries a client id of its own, so it is safe to repeat and its receipt is the first one.
 * 2. The faults that a caller must expect are kinds of their own (`started`, `closed`, `not-found`); the rest is a `Refusal`.
 * 3. Stop and answer are here. The rest comes with `actions.ts`.
 */
import type { Answer, PromptOutcome, Subject, TurnOutcome } from '@holdfast/protocol/entry';
import type { Fault, FaultKind } from '@holdfast/protocol/fault';
import type { PromptId, SessionId } from '@holdfast/protocol/ids';

import type { AnswerResult, CallOptions, Refusal, StopOptions, StopResult } from './api.ts';
import { newId } from './new-id.ts';
import type { Requests } from './requests.ts';

export type Command = (method: string, path: string, options: CallOptions, json?: object) => Promise<Body | Refusal>;
export interface Body {
  readonly kind: 'ok';
  readonly body: unknown;
}

export const NOT_FOUND = { kind: 'not-found' } as const;

export class Commands {
  readonly id: SessionId;
  protected readonly command: Command;

  constructor(requests: Requests, id: SessionId) {
    this.id = id;
    this.command = (method, path, { signal }, json) => {
      const clientId = newId('c');
      // A DELETE goes without a body: proxies drop one.
      const name = method === 'DELETE' ? { headers: { 'idempotency-key': clientId } } : { json: { clientId, ...json } };
      return requests.call(method, `/v1/sessions/${id}${path}`, { ...name, repeatable: true, signal });
    };
  }

  async stop({ turnId, queue, partial, ...options }: StopOptions = {}): Promise<StopResult> {
    if (turnId === undefined) return NOT_FOUND;
    const answer = await this.command('POST', `/turns/${turnId}/stop`, options, { queue, partial });
    if (answer.kind === 'fault') return orNotFound(answer, 'turn-not-found');
    const { result, outcome = null } = answer.body as {
      readonly result: string;
      readonly outcome?: TurnOutcome | null;
    };
    if (result === 'already-ended') return { kind: result, turnId, outcome };
    return { kind: result === 'stopping' ? result : 'already-stopping', turnId };
  }

  async answer(promptId: PromptId, value: Answer, options: CallOptions = {}): Promise<AnswerResult> {
    const answer = await this.command('POST', `/prompts/${promptId}`, options, { answer: value });
    if (answer.kind === 'ok') return { kind: 'answered' };
    if (!isFault(answer, 'prompt-closed')) return orNotFound(answer, 'prompt-not-found');
    const facts = answer.fault.facts as { outcome?: PromptOutcome; answer?: Answer; by?: Subject };
    return { outcome: 'cancelled', ...facts, kind: 'closed' };
  }
}

export const isFault = ({ fault }: { readonly fault: Fault }, kind: FaultKind): boolean => fault.kind === kind;

export const orNotFound = (answer: Refusal, kind: FaultKind): Refusal | typeof NOT_FOUND =>
  isFault(answer, kind) ? NOT_FOUND : answer;
