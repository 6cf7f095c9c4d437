/**
 * The stream of one side question: what is in it, and how it is named.
 *
 *     btw-start  (btw-delta | btw-join | btw-leave | btw-cancel)*  btw-end
 *
 * 1. Start and end frame it; the end closes the stream. Deltas and the end are fenced: one process answers.
 * 2. Anybody may append that a reader has come or gone and that it is to be cancelled, on any node. Readers are not told.
 */
import type { BtwEvent, BtwId, SessionId } from '@holdfast/protocol';
import type { StreamName } from '@holdfast/log';

export type BtwEntry =
  | BtwEvent
  | { readonly type: 'btw-join' | 'btw-leave'; readonly reader: string }
  | { readonly type: 'btw-cancel' };

/** The consumer that its answerer holds. */
export const BTW_CONSUMER = 'btw';
/** One row a stream, by its session: what deleting the session erases. */
export const BTW_TABLE = 'btw';

export const btwStreamOf = (sessionId: SessionId, btwId: BtwId): StreamName => `btw/${sessionId}/${btwId}`;

const decoder = new TextDecoder();
const encoder = new TextEncoder();
export const encodeBtw = (entry: BtwEntry): Uint8Array => encoder.encode(JSON.stringify(entry));
export const decodeBtw = ({ bytes }: { readonly bytes: Uint8Array }): BtwEntry =>
  JSON.parse(decoder.decode(bytes)) as BtwEntry;

/** Rule 2. */
export const btwEventOf = (record: { readonly bytes: Uint8Array }): BtwEvent | undefined => {
  const entry = decodeBtw(record);
  return entry.type === 'btw-start' || entry.type === 'btw-delta' || entry.type === 'btw-end' ? entry : undefined;
};
