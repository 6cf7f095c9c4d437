/**
 * What a person can do in a session, as the components call it: each intent is the SDK's command and, where it came to
 * something else than was meant, a sentence about it.
 *
 * 1. An intent never throws and never needs to be awaited; its boolean says whether it came to what was meant.
 * 2. It belongs to the session that it was made for, whatever is shown when it ends (R72).
 */
import type { AnswerResult, ChangeResult, Session, SendOptions, StopResult } from '@holdfast/client';
import type { ClientId, MessageId, TurnId } from '@holdfast/protocol/ids';
import type { Fault } from '@holdfast/protocol/fault';
import type { PromptPart } from '@holdfast/protocol/view';
import type { Notify } from '../ui/notices.tsx';
import { faultText, promptText } from './explain.ts';

export interface Intents {
  readonly send: (text: string, options?: SendOptions) => Promise<boolean>;
  /** By its id: the next turn is never meant. */
  readonly stop: (turnId: TurnId) => Promise<boolean>;
  readonly answer: (prompt: Pick<PromptPart, 'promptId' | 'kind'>, answer: string) => Promise<boolean>;
  readonly edit: (messageId: MessageId, text: string) => Promise<boolean>;
  readonly withdraw: (messageId: MessageId) => Promise<boolean>;
  readonly reorder: (messageIds: readonly MessageId[]) => Promise<boolean>;
  readonly rename: (title: string) => Promise<boolean>;
  readonly regenerate: (messageId: MessageId) => Promise<boolean>;
  readonly switchBranch: (turnId: TurnId) => Promise<boolean>;
  readonly retry: (clientId: ClientId) => void;
  readonly discard: (clientId: ClientId) => void;
  readonly earlier: () => Promise<boolean>;
  readonly latest: () => void;
}

/** What the person is told; undefined: it is as it was meant. */
type Verdict = string | undefined;

export function intentsOf(session: Session, notify: Notify): Intents {
  const tell = (verdict: Verdict): boolean => {
    if (verdict !== undefined) notify({ kind: 'error', text: verdict });
    return verdict === undefined;
  };
  const settle = async <R extends { readonly kind: string }>(
    doing: Promise<R>,
    judge: (result: Exclude<R, { readonly kind: 'fault' }>) => Verdict = () => undefined,
  ): Promise<boolean> => {
    const result = await doing;
    return tell(isFault(result) ? faultText(result.fault) : judge(result as Exclude<R, { readonly kind: 'fault' }>));
  };
  return {
    send: async (text, options) => {
      try {
        // What the gateway says of it is shown at the outbox's item.
        await session.send(text, options);
        return true;
      } catch (error) {
        return tell(`The message could not be kept: ${String(error)}`);
      }
    },
    stop: (turnId) => settle<StopResult>(session.stop({ turnId })),
    answer: ({ promptId, kind }, answer) =>
      settle<AnswerResult>(session.answer(promptId, answer), (result) => {
        if (result.kind === 'closed') return `Somebody was faster. ${promptText(kind, result.outcome, result.answer)}.`;
        return result.kind === 'not-found' ? 'This question is not open any more.' : undefined;
      }),
    edit: (messageId, text) => settle(session.edit(messageId, text), tooLate('changed')),
    withdraw: (messageId) => settle(session.withdraw(messageId), tooLate('withdrawn')),
    reorder: (messageIds) => settle(session.reorder(messageIds)),
    rename: (title) => settle(session.rename(title)),
    regenerate: (messageId) =>
      settle(session.regenerate(messageId), ({ kind }) =>
        kind === 'not-found' ? 'This answer is too old to be made again.' : undefined,
      ),
    switchBranch: (turnId) =>
      settle(session.switchBranch(turnId), ({ kind }) =>
        kind === 'not-found' ? 'This version is too old to be shown again.' : undefined,
      ),
    retry: (clientId) => session.retry(clientId),
    discard: (clientId) => session.discard(clientId),
    earlier: () => settle(session.earlier()),
    latest: () => session.latest(),
  };
}

const isFault = (result: object): result is { readonly kind: 'fault'; readonly fault: Fault } =>
  'kind' in result && result.kind === 'fault' && 'fault' in result;

const tooLate =
  (what: string) =>
  ({ kind }: Exclude<ChangeResult<string>, { readonly kind: 'fault' }>): Verdict => {
    if (kind === 'started') return `Too late: its turn has begun, so it was not ${what}.`;
    return kind === 'not-found' ? `It is not in the queue any more, so it was not ${what}.` : undefined;
  };
