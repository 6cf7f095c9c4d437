/**
 * A session made of another one's entries: pure, from a list of entries to what is appended when its stream is created.
 *
 * 1. The entries are taken as they are, in their order, behind an opening of the importer's own: the new session is theirs, its
 *    commands keep their authors.
 * 2. Nothing starts by being imported: a turn that ran ends `interrupted`, what waited in the queue is withdrawn.
 * 3. No permission comes along: an approval for a session or for always counts as one for once. A file is somebody else's word.
 * 4. The rows of its turns are made by its first owner, from the log (`rebuild.ts`): only there do entries have their time. What holds its
 *    files comes at once.
 */
import { crc32 } from 'node:zlib';
import {
  EMPTY_VIEW,
  fold,
  summaryOf,
  type ClientId,
  type Command,
  type EntryBody,
  type SessionSummary,
  type View,
} from '@holdfast/protocol';
import type { RowChange } from '@holdfast/log';
import { BLOB_TABLE, NO_ROWS, rowsFor, sessionRow, type RowState } from './rows.ts';
import { encodeEntry } from './service.ts';

export type Opening = Extract<Command, { type: 'session-open' }>;

export interface ImportedSession {
  readonly records: readonly Uint8Array[];
  readonly rows: readonly RowChange[];
  readonly summary: SessionSummary;
}

/** Between two pauses. */
const PIECE_ENTRIES = 500;

/** @param pause lets others go on. @param at ISO time of the import: entries that come from elsewhere are as old as this log knows them. */
export async function importedSession(
  opening: Opening,
  entries: readonly EntryBody[],
  at: string,
  pause: () => Promise<void>,
): Promise<ImportedSession> {
  const records: Uint8Array[] = [];
  const rows = new Map<string, RowChange>();
  let view: View = EMPTY_VIEW;
  let state: RowState = NO_ROWS;

  const take = (body: EntryBody): void => {
    const bytes = encodeEntry(body);
    records.push(bytes);
    view = fold(view, { ...body, seq: records.length, at });
    if (body.type !== 'stream-end') return;
    const derived = rowsFor(opening.sessionId, view, crc32(bytes), state);
    state = derived.state;
    // Rule 4.
    for (const row of derived.rows) if (row.table === BLOB_TABLE) rows.set(row.key, row);
  };

  const [first] = entries;
  const { title, agent, model } = first?.type === 'session-open' ? first : ({} as Partial<Opening>);
  take({ ...present({ title, agent, model }), ...opening });
  for (const entry of entries) {
    if (entry.type !== 'session-open') take(withoutGrant(entry));
    if (records.length % PIECE_ENTRIES === 0) await pause();
  }
  for (const entry of restOf(view, opening)) take(entry);
  const summary = summaryOf(opening.sessionId, view);
  const line = sessionRow(summary, view, { rowedSeq: 0, checkpointSeq: 0 });
  return { records, rows: [...rows.values(), line], summary };
}

/** Rule 3. */
function withoutGrant(entry: EntryBody): EntryBody {
  const grants =
    (entry.type === 'prompt-answer' || entry.type === 'prompt-close') &&
    (entry.answer === 'session' || entry.answer === 'always');
  return grants ? { ...entry, answer: 'once' } : entry;
}

/** Rule 2. */
function restOf({ turn, closing, queue }: View, { author, sessionId }: Opening): readonly EntryBody[] {
  const turnId = turn?.turnId ?? closing;
  const ended: EntryBody[] =
    turn === null
      ? []
      : [
          {
            type: 'turn-end',
            turnId: turn.turnId,
            outcome: 'interrupted',
            reason: 'The session was imported while this turn ran.',
          },
        ];
  const steers = turn?.steers ?? [];
  return [
    ...ended,
    ...(turnId === null ? [] : [{ type: 'stream-end', turnId } as const]),
    ...[...queue, ...steers].map(({ messageId }, n): EntryBody => ({
      type: 'message-withdraw',
      clientId: `import_${sessionId}_${n}` as ClientId,
      author,
      messageId,
    })),
  ];
}

const present = <T extends object>(fields: T): { readonly [K in keyof T]?: NonNullable<T[K]> } =>
  Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined)) as {
    readonly [K in keyof T]?: NonNullable<T[K]>;
  };
