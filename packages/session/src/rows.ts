/**
 * The derived rows of a session, and the way back from rows to a view. Everything here can be made anew from the log.
 *
 *   `session`     one a session: its line in the list, searchable by title
 *   `turn`        one a settled turn: its node and its messages, searchable by their text
 *   `checkpoint`  one a session and version of the fold: the view without messages, at a moment when no turn ran
 *   `blob`        one for each blob that a message or a settled turn names: what deleting the session may erase
 *
 * 1. The owner commits rows with an append or with its release; they say the truth at `seq` and nothing about later entries. Only the
 *    blobs of a message are committed with it, by whichever node admits it: another session may have them too, and be deleted.
 * 2. A checkpoint is written only where enough entries followed the last one to pay for it: its cost is amortised over the
 *    log, however long the queue inside it is.
 * 4. Rows say by which version of the fold they were made. Those of an older one are made again by the next owner, and a view that was
 *    folded from far back calls for one (`live.ts`). Two versions side by side have a checkpoint each.
 * 3. view(checkpoint at S + turn rows) + entries after S = fold of all.
 */
import {
  divideByPath,
  EMPTY_VIEW,
  FOLD_VERSION,
  summaryOf,
  turnIdOf,
  type Command,
  type Message,
  type SessionId,
  type SessionSummary,
  type TurnNode,
  type View,
} from '@holdfast/protocol';
import type { Log, Row, RowChange, StreamName } from '@holdfast/log';

export const SESSION_TABLE = 'session';
export const TURN_TABLE = 'turn';
const CHECKPOINT_TABLE = 'checkpoint';
const CHECKPOINT_KEY = `checkpoint-${FOLD_VERSION}`;
export const BLOB_TABLE = 'blob';
const CHECKPOINT_ENTRIES_MIN = 256;
const SEARCH_TEXT_MAX = 64 * 1024;

export const streamOf = (sessionId: SessionId): StreamName => `session/${sessionId}`;
export const sessionIdOf = (stream: StreamName): SessionId => stream.slice('session/'.length) as SessionId;

const encoder = new TextEncoder();
const decoder = new TextDecoder();
const encode = (value: unknown): Uint8Array => encoder.encode(JSON.stringify(value));
// oxlint-disable-next-line typescript/no-unnecessary-type-parameters -- the caller knows its table
export function decodeRow<T>(row: Row): T {
  return JSON.parse(decoder.decode(row.value)) as T;
}

export interface TurnRow {
  readonly node: TurnNode;
  readonly messages: readonly Message[];
}

interface Checkpoint {
  /** A view without messages. */
  readonly view: View;
  readonly tag: number;
}

/** What the list's line says of the rows beside it; only the line without it leaves this floor (`summaryIn`). */
interface Internals {
  /** Up to which entry turns have rows; absent: up to the line's `seq`. */
  readonly rowedSeq?: number;
  readonly checkpointSeq: number;
  /** Absent: 1. */
  readonly foldVersion?: number;
}

export function summaryIn(row: Row): SessionSummary {
  const {
    rowedSeq: _rowedSeq,
    checkpointSeq: _checkpointSeq,
    foldVersion: _foldVersion,
    ...summary
  } = decodeRow<SessionSummary & Internals>(row);
  return summary;
}

/** How far rows reach: what the owner has to add. */
export interface RowState {
  readonly rowedSeq: number;
  readonly checkpointSeq: number;
  /** The list's line as last written. */
  readonly summary: string;
}

export const NO_ROWS: RowState = { rowedSeq: 0, checkpointSeq: 0, summary: '' };

/** How far the stored rows reach. Those of an older fold reach nowhere; of a later fold there is no checkpoint for this one. */
export async function loadRowState(log: Log, sessionId: SessionId): Promise<RowState> {
  const row = await log.rows.get(SESSION_TABLE, streamOf(sessionId), SESSION_TABLE);
  if (row === undefined) return NO_ROWS;
  const { rowedSeq, checkpointSeq, foldVersion = 1, seq } = decodeRow<SessionSummary & Internals>(row);
  if (foldVersion < FOLD_VERSION) return NO_ROWS;
  return {
    rowedSeq: rowedSeq ?? seq,
    checkpointSeq: foldVersion === FOLD_VERSION ? checkpointSeq : 0,
    summary: summaryKey(summaryIn(row)),
  };
}

/** The rows that make the derived data true for this view, and the state after them. */
export function rowsFor(
  sessionId: SessionId,
  view: View,
  tag: number,
  state: RowState,
): { readonly rows: readonly RowChange[]; readonly state: RowState } {
  const settled = view.turns.filter(
    (node) => node.lastEvent === 'stream-end' || (node.outcome !== null && view.closing !== node.turnId),
  );
  const changedSeq = changedSeqs(view);
  const fresh = settled.filter((node) => changedSeq(node) > state.rowedSeq);
  const rows: RowChange[] = fresh.flatMap((node) => turnRows(view, node));
  const summary = summaryOf(sessionId, view);
  const line = summaryKey(summary);
  const checkpointSeq = isCheckpointDue(view, state) ? view.seq : state.checkpointSeq;
  if (checkpointSeq !== state.checkpointSeq) rows.push(checkpointRow(view, tag));
  if (line !== state.summary || rows.length > 0) rows.push(sessionRow(summary, view, { checkpointSeq }));
  return {
    rows,
    state: {
      rowedSeq: Math.max(state.rowedSeq, ...fresh.map(changedSeq)),
      checkpointSeq,
      summary: line,
    },
  };
}

/** The last entry that changed a turn: its own last one, or later a side question that was kept there. */
function changedSeqs({ messages, offPath }: View): (node: TurnNode) => number {
  const kept = [...messages, ...offPath].filter(({ btws }) => btws !== undefined);
  const keptSeqs = new Map(kept.map(({ id, revision }) => [id, revision]));
  return ({ messageId, lastSeq }) => Math.max(lastSeq, keptSeqs.get(messageId) ?? 0);
}

/** Rule 2: also where a view was folded from as far back as that. */
export function isCheckpointDue(view: View, state: Pick<RowState, 'checkpointSeq'>): boolean {
  const quiet = view.turn === null && view.closing === null;
  return quiet && view.seq - state.checkpointSeq >= Math.max(CHECKPOINT_ENTRIES_MIN, view.queue.length * 4);
}

/** Whether the list shows something else than the view says. */
export const isListStale = (sessionId: SessionId, view: View, state: RowState): boolean =>
  summaryKey(summaryOf(sessionId, view)) !== state.summary;

/** The parts of the line that a person would see change at once. */
const summaryKey = ({ seq: _seq, updatedAt: _updatedAt, preview: _preview, ...visible }: SessionSummary): string =>
  JSON.stringify(visible);

export function sessionRow(
  summary: SessionSummary,
  view: View,
  internals: Omit<Internals, 'foldVersion'> = { checkpointSeq: 0 },
): RowChange {
  const key = SESSION_TABLE;
  return {
    table: SESSION_TABLE,
    key,
    order: Date.parse(view.updatedAt ?? '') || 0,
    group: summary.owner,
    value: encode({ ...summary, ...internals, foldVersion: FOLD_VERSION }),
    text: summary.title ?? '',
  };
}

function turnRows(view: View, node: TurnNode): readonly RowChange[] {
  const group = view.owner ?? '';
  const ids = new Set([...node.messageIds, node.messageId]);
  const messages = [...view.messages, ...view.offPath].filter((message) => ids.has(message.id));
  const text = messages
    .flatMap(({ text: said, btws = [] }) => [said, ...btws.flatMap(({ question, answer }) => [question, answer])])
    .join('\n')
    .slice(0, SEARCH_TEXT_MAX);
  const row: TurnRow = { node, messages };
  const blobs = messages
    .flatMap(blobsOf)
    .map((hash) => ({ table: BLOB_TABLE, key: hash, order: node.startSeq, group: hash, value: encode(node.turnId) }));
  return [{ table: TURN_TABLE, key: node.turnId, order: node.startSeq, group, value: encode(row), text }, ...blobs];
}

/** The files that a command names, each once. */
export const filesOf = (command: Command): readonly string[] =>
  command.type !== 'message'
    ? []
    : [...new Set((command.parts ?? []).flatMap((part) => (part.type === 'file' ? [part.hash] : [])))];

/** From its message's admission on: other sessions may have the file too, and be deleted before this turn has ended. */
export function attachmentRows(command: Command): readonly RowChange[] {
  if (command.type !== 'message' || command.parts === undefined) return [];
  const value = encode(turnIdOf(command.messageId));
  return filesOf(command).map((hash) => ({ table: BLOB_TABLE, key: hash, order: 0, group: hash, value }));
}

function blobsOf(message: Message): readonly string[] {
  return message.parts.flatMap((part) => {
    if (part.type === 'file') return [part.hash];
    return part.type === 'tool' && part.blob !== undefined ? [part.blob] : [];
  });
}

function checkpointRow(view: View, tag: number): RowChange {
  const checkpoint: Checkpoint = { view: { ...view, messages: [], offPath: [] }, tag };
  return { table: CHECKPOINT_TABLE, key: CHECKPOINT_KEY, order: view.seq, value: encode(checkpoint) };
}

// ── and back ────────────────────────────────────────────────────────────────────────────────────────────────────────

/** The newest view that rows alone give; fold the entries after its seq. */
export async function loadCheckpoint(
  log: Log,
  sessionId: SessionId,
): Promise<{ readonly view: View; readonly tag: number }> {
  const stream = streamOf(sessionId);
  const row = await log.rows.get(CHECKPOINT_TABLE, stream, CHECKPOINT_KEY);
  const checkpoint = row === undefined ? undefined : decodeRow<Checkpoint>(row);
  if (checkpoint === undefined) return { view: EMPTY_VIEW, tag: 0 };
  const { view, tag } = checkpoint;
  const oldest = view.turns[0]?.startSeq ?? 0;
  const turns = await log.rows.list({
    table: TURN_TABLE,
    stream,
    after: oldest - 1,
    limit: Number.MAX_SAFE_INTEGER,
    direction: 'ascending',
  });
  const known = new Set(view.turns.map((node) => node.turnId));
  const messages = turns
    .map((turn) => decodeRow<TurnRow>(turn))
    .filter((turn) => known.has(turn.node.turnId))
    .flatMap((turn) => turn.messages);
  return { view: divideByPath(view, messages), tag };
}

export async function loadTurn(
  log: Log,
  sessionId: SessionId,
  turnId: TurnNode['turnId'],
): Promise<TurnRow | undefined> {
  const row = await log.rows.get(TURN_TABLE, streamOf(sessionId), turnId);
  return row === undefined ? undefined : decodeRow<TurnRow>(row);
}
