import type { EntryOf } from '@holdfast/protocol/entry';
import { fold } from '@holdfast/protocol/fold';
import type { View } from '@holdfast/protocol/view';

/** What there is to show of a running turn that the gateway has lost: its end, and everything that was seen of it (E3). */
export function interrupted(view: View, { turnId, startedAt }: NonNullable<View['turn']>): View {
  const end: EntryOf<'turn-end'> = {
    type: 'turn-end',
    turnId,
    outcome: 'interrupted',
    reason: 'The gateway does not know this turn any more.',
    seq: view.seq,
    at: startedAt,
  };
  return { ...fold(view, end), closing: null };
}
