/**
 * Rows of turns, made anew from the log where they were lost: the owner by itself makes those of the turns in its view's window alone.
 *
 * 1. It is one page of entries at a time, and the rows that follow from it are committed, behind the owner's fence, before the next
 *    page is read.
 * 2. It goes as far as the view does, for an entry may change a turn that has left the window since (`btw-keep`).
 * 3. The list's line says how far rows reach, so it is not among them: the owner writes it after. What was cut off before begins anew.
 */
import { EMPTY_VIEW, fold, type View } from '@holdfast/protocol';
import type { Log, RowChange } from '@holdfast/log';
import type { LiveSession } from './live.ts';
import { BLOB_TABLE, rowsFor, streamOf, TURN_TABLE, type RowState } from './rows.ts';
import { decodeEntry } from './service.ts';

const PAGE_ENTRIES = 512;

export type Rebuilt = { readonly kind: 'rows'; readonly state: RowState } | { readonly kind: 'lost' | 'unavailable' };

/** @param state how far the stored rows reach. @returns how far they reach then: to the view, where any before its window were missing */
export async function rebuildRows(
  log: Log,
  { sessionId, view: { seq: upTo, earlierTurns, turns } }: Pick<LiveSession, 'sessionId' | 'view'>,
  epoch: number,
  state: RowState,
): Promise<Rebuilt> {
  if (earlierTurns === 0 || state.rowedSeq >= (turns[0]?.startSeq ?? 1) - 1) return { kind: 'rows', state };
  const stream = streamOf(sessionId);
  let view: View = EMPTY_VIEW;
  let made = state;
  while (view.seq < upTo) {
    const page = await log.read(stream, { after: view.seq, upTo, limit: PAGE_ENTRIES });
    if (page.kind === 'unavailable') return { kind: 'unavailable' };
    // Nothing can be made of what is gone.
    if (page.kind !== 'page') return { kind: 'rows', state };
    const rows: RowChange[] = [];
    for (const record of page.records) {
      const entry = decodeEntry(record);
      view = fold(view, entry);
      if (entry.type !== 'stream-end' && entry.type !== 'btw-keep' && entry.seq !== upTo) continue;
      const derived = rowsFor(sessionId, view, record.tag, made);
      made = derived.state;
      rows.push(...derived.rows.filter(({ table }) => table === TURN_TABLE || table === BLOB_TABLE));
    }
    const appended = await log.append(stream, { records: [], rows, fence: { consumer: 'run', epoch } });
    if (appended.kind !== 'appended') return { kind: appended.kind === 'unavailable' ? 'unavailable' : 'lost' };
  }
  return { kind: 'rows', state: { ...state, rowedSeq: upTo } };
}
