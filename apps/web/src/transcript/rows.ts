/**
 * What the transcript shows, row by row, and what the queue above the composer shows: a pure reading of a session's state.
 *
 * 1. A message keeps its key from the outbox through the queue to the transcript (its client id), an answer from its first
 *     token to the settled message (its id): the same row, the same DOM node (E7).
 * 2. What will start by itself at once is a row of the transcript already; what waits for a running turn is in the queue.
 *     So nothing flashes up in the queue on its way.
 * 3. What was sent is always to be seen: in the transcript while that is still being read, in the queue where it is gone.
 */
import type { OutboxItem, SessionState } from '@holdfast/client';
import type { QueuedMessage, Message, View } from '@holdfast/protocol/view';
import { isBusy } from '@holdfast/protocol/view';

export type Row =
  | { readonly kind: 'message'; readonly key: string; readonly message: Message }
  /** Sent, and not yet in a turn. */
  | { readonly kind: 'starting'; readonly key: string; readonly item: QueuedMessage }
  | { readonly kind: 'sending'; readonly key: string; readonly item: OutboxItem };

export type Waiting =
  | { readonly kind: 'queued'; readonly key: string; readonly item: QueuedMessage }
  | { readonly kind: 'steer'; readonly key: string; readonly item: QueuedMessage }
  | { readonly kind: 'sending'; readonly key: string; readonly item: OutboxItem };

export interface Rows {
  readonly rows: readonly Row[];
  readonly waiting: readonly Waiting[];
}

export function rowsOf({
  status,
  view,
  messages,
  outbox,
}: Pick<SessionState, 'status' | 'view' | 'messages' | 'outbox'>): Rows {
  const head = startingOf(view);
  const isInQueue = isBusy(view) || isGone(status);
  const shown = messages.map((message): Row => ({ kind: 'message', key: keyOf(message), message }));
  const starting = head.map((item): Row => ({ kind: 'starting', key: item.clientId, item }));
  const sending = outbox.map((item) => ({ kind: 'sending', key: item.clientId, item }) as const);
  const steers = (view.turn?.steers ?? []).map((item): Waiting => ({ kind: 'steer', key: item.clientId, item }));
  const queued = view.queue
    .filter((item) => !head.includes(item))
    .map((item): Waiting => ({ kind: 'queued', key: item.clientId, item }));
  return isInQueue
    ? { rows: [...shown, ...starting], waiting: [...steers, ...queued, ...sending] }
    : { rows: [...shown, ...sending], waiting: [] };
}

/** There is no such session, or no more. */
export const isGone = (status: SessionState['status']): boolean => status === 'deleted' || status === 'missing';

/** Rule 2: the queue's head, when no turn runs. A regenerated answer brings no message of its own. */
function startingOf({ turn, queue }: View): readonly QueuedMessage[] {
  const [first] = queue;
  return turn !== null || first === undefined || first.again !== undefined ? [] : [first];
}

const keyOf = (message: Message): string =>
  message.role === 'user' && message.clientId !== undefined ? message.clientId : message.id;
