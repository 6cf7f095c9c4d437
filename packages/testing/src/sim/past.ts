/** What a session was before its run began: turns that were cut off before they said anything, more than a window holds. */
import { answerIdOf, turnIdOf, type ClientId, type EntryBody, type MessageId, type TurnId } from '@holdfast/protocol';

const messageIdOf = (n: number): MessageId => `m_old${n}` as MessageId;

export const pastTurns = (count: number): readonly TurnId[] =>
  Array.from({ length: count }, (_, n) => turnIdOf(messageIdOf(n)));

/** Nobody ran it here. */
export const isPast = (turnId: string): boolean => turnId.startsWith('t_old');

export function pastOf(author: string, count: number): readonly EntryBody[] {
  return pastTurns(count).flatMap((turnId, n): readonly EntryBody[] => {
    const messageId = messageIdOf(n);
    const parent = n === 0 ? null : turnIdOf(messageIdOf(n - 1));
    const start = {
      turnId,
      messageIds: [messageId],
      messageId: answerIdOf(turnId),
      agent: 'plain',
      attempt: 1,
      parent,
    };
    const clientId = `c_old${n}` as ClientId;
    return [
      { type: 'message', clientId, author, messageId, text: `${author} said ${messageId}`, whenBusy: 'queue' },
      { type: 'turn-start', ...start },
      { type: 'turn-end', turnId, outcome: 'cancelled' },
      { type: 'usage', turnId, inputTokens: 0, outputTokens: 0, durationMs: 0 },
      { type: 'stream-end', turnId },
    ];
  });
}
