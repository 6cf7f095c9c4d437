/**
 * The stream of one side question: what is in it, and how it is named.
 *
 *     btw-start  (btw-delta | btw-join | btw-leave | btw-cancel)*  btw-end
 *
 * 1. Start and end frame it; the end closes the stream. Deltas and the end are fenced: one process answers.
 * 2. Anybody may append that a reader has come or gone and that it is to be cancelled, on any node. Readers are not told.
 */
import type { BtwEnd, BtwEvent, BtwId, BtwStart, SessionId } from '@holdfast/protocol';
import type { Log, LogRecord, Refused, StreamName } from '@holdfast/log';

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

// ── reading ─────────────────────────────────────────────────────────────────────────────────────────────────────────

export async function readStart(
  log: Log,
  stream: StreamName,
): Promise<{ readonly kind: 'start'; readonly start: BtwStart; readonly at: number } | Refused> {
  const page = await log.read(stream, { after: 0, limit: 1 });
  if (page.kind !== 'page') return page.kind === 'truncated' ? { kind: 'missing' } : page;
  const [record] = page.records;
  const start = record === undefined ? undefined : decodeBtw(record);
  return record === undefined || start?.type !== 'btw-start'
    ? { kind: 'missing' }
    : { kind: 'start', start, at: record.at };
}

/** All that was answered; without an end it is still being answered. */
export async function readWhole(
  log: Log,
  stream: StreamName,
): Promise<{ readonly kind: 'whole'; readonly answer: string; readonly end: BtwEnd | undefined } | Refused> {
  const records: LogRecord[] = [];
  for (;;) {
    const page = await log.read(stream, { after: records.length });
    if (page.kind !== 'page') return page.kind === 'truncated' ? { kind: 'missing' } : page;
    if (page.records.length === 0) break;
    records.push(...page.records);
  }
  const entries = records.map(decodeBtw);
  const end = entries.at(-1);
  const answer = entries.map((entry) => (entry.type === 'btw-delta' ? entry.text : '')).join('');
  return { kind: 'whole', answer, end: end?.type === 'btw-end' ? end : undefined };
}
