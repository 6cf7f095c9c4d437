/**
 * What people are shown, against the log read anew, entry by entry and without `fold`: off a finished run, as in `laws.ts`.
 *
 *  V1  The session's title, flags and sums are those of its entries.
 *  V2  A turn stands where it started, with the outcome, the reason and the usage of its end.
 *  V3  What a person sent is shown as it was when its turn started: their words, their last edit.
 *  V6  An answer that is given again is shown with its question, however old that is (R76).
 *  V5  A conversation is called by its owner once; whoever gave it a name before stays with it.
 *  V4  A tool is shown as its latest event left it; one whose start has no end is uncertain (R34).
 */
import { isDeepStrictEqual } from 'node:util';
import type { Entry, EntryOf, Message, View } from '@holdfast/protocol';
import type { TurnFate, Violate } from './ledger.ts';
import type { Truth } from './store.ts';

export function judgeShown({ view, entries, verdicts, ledger }: Truth, violate: Violate): void {
  judgeSession(view, entries, violate);
  judgeTitles(entries, violate);
  if (view.earlierTurns + view.turns.length !== ledger.turns.size)
    violate(
      'V1',
      `Shown are ${view.turns.length} turns and ${view.earlierTurns} earlier ones, of ${ledger.turns.size}.`,
    );
  const messages = new Map([...view.messages, ...view.offPath].map((message) => [message.id as string, message]));
  const shown = new Set<string>(view.turns.map((node) => node.turnId));
  for (const turn of ledger.turns.values()) {
    if (!shown.has(turn.turnId)) continue;
    const start = entries.find((entry) => entry.type === 'turn-start' && entry.turnId === turn.turnId);
    if (start?.type !== 'turn-start') continue;
    judgeTurn(view, turn, start, entries, messages.get(start.messageId), violate);
    for (const id of start.messageIds) {
      if (start.cause !== undefined && messages.get(id)?.text !== textOf(id, ledger, entries, verdicts))
        violate('V6', `${turn.turnId} answers ${id} again, which is shown as "${messages.get(id)?.text}".`);
      const item = ledger.items.get(id);
      const isOwn = start.cause === undefined && item?.turnId === turn.turnId;
      if (isOwn && messages.get(id)?.text !== textAt(id, start.seq, entries, verdicts))
        violate('V3', `${id} is shown as "${messages.get(id)?.text}".`);
    }
  }
}

function judgeSession(view: View, entries: readonly Entry[], violate: Violate): void {
  const wanted = { title: null as string | null, pinned: false, readSeq: 0, inputTokens: 0, outputTokens: 0 };
  for (const entry of entries) {
    if (entry.type === 'title') wanted.title = entry.title;
    if (entry.type === 'session-set') {
      wanted.title = entry.title ?? wanted.title;
      wanted.pinned = entry.pinned ?? wanted.pinned;
      wanted.readSeq = Math.max(entry.readSeq ?? 0, wanted.readSeq);
    }
    if (entry.type === 'mark-unread') wanted.readSeq = Math.min(entry.readSeq, wanted.readSeq);
    if (entry.type === 'usage') {
      wanted.inputTokens += entry.inputTokens;
      wanted.outputTokens += entry.outputTokens;
    }
  }
  const { title, pinned, readSeq, usage } = view;
  const given = { title, pinned, readSeq, ...usage };
  if (!isDeepStrictEqual(given, wanted))
    violate('V1', `Shown are ${JSON.stringify(given)}, not ${JSON.stringify(wanted)}.`);
}

/** V5. What came while its turn ran may have crossed it. */
function judgeTitles(entries: readonly Entry[], violate: Violate): void {
  let namedAt = Number.POSITIVE_INFINITY;
  for (const entry of entries) {
    if ('title' in entry && entry.title !== undefined) namedAt = Math.min(namedAt, entry.seq);
    if (entry.type !== 'title' || entry.turnId === undefined) continue;
    const start = entries.find((other) => other.type === 'turn-start' && other.turnId === entry.turnId);
    if (start !== undefined && namedAt < start.seq)
      violate('V5', `The title at ${entry.seq} follows one at ${namedAt}.`);
  }
}

function judgeTurn(
  view: View,
  turn: TurnFate,
  start: EntryOf<'turn-start'>,
  entries: readonly Entry[],
  answer: Message | undefined,
  violate: Violate,
): void {
  const { turnId } = turn;
  const node = view.turns.find((other) => other.turnId === turnId);
  const end = entries.find((entry) => entry.type === 'turn-end' && entry.turnId === turnId);
  if (end?.type !== 'turn-end') return;
  const { inputTokens, outputTokens, durationMs, firstTokenMs } = turn.usage ?? {};
  const usage = { inputTokens, outputTokens, durationMs, ...(firstTokenMs === undefined ? {} : { firstTokenMs }) };
  const wanted = { outcome: end.outcome, state: end.outcome, reason: end.reason, parent: start.parent, usage };
  const given = {
    outcome: node?.outcome,
    state: answer?.state,
    reason: answer?.reason,
    parent: node?.parent,
    usage: answer?.usage,
  };
  if (!isDeepStrictEqual(given, wanted))
    violate('V2', `${turnId} is shown with ${JSON.stringify(given)}, not ${JSON.stringify(wanted)}.`);
  if (node?.startSeq !== start.seq || node.lastEvent !== 'stream-end' || node.revision !== end.seq)
    violate(
      'V2',
      `${turnId} is shown as from ${node?.startSeq}, ended at ${node?.revision}, after ${node?.lastEvent}.`,
    );
  if (!turn.discarded) judgeTools(turnId, entries, answer, violate);
}

/** V4. */
function judgeTools(turnId: string, entries: readonly Entry[], answer: Message | undefined, violate: Violate): void {
  const wanted = new Map<string, { state: string; output: string }>();
  for (const entry of entries) {
    if (!('toolId' in entry) || !('turnId' in entry) || entry.turnId !== turnId || entry.toolId === undefined) continue;
    const known = wanted.get(entry.toolId);
    if (entry.type === 'tool-request') wanted.set(entry.toolId, { state: 'cancelled', output: '' });
    if (entry.type === 'tool-start' && known !== undefined) known.state = 'uncertain';
    if (entry.type === 'tool-output' && known !== undefined) known.output += entry.text;
    if (entry.type === 'tool-end')
      wanted.set(entry.toolId, { state: entry.ok ? 'done' : 'failed', output: entry.output });
  }
  const parts = (answer?.parts ?? []).flatMap((part) => (part.type === 'tool' ? [part] : []));
  const given = new Map(parts.map(({ toolId, state, output }) => [toolId as string, { state, output }]));
  if (!isDeepStrictEqual(given, wanted))
    violate(
      'V4',
      `The tools of ${turnId} are shown as ${JSON.stringify([...given])}, not ${JSON.stringify([...wanted])}.`,
    );
}

/** A message's words as they were when its own turn started. */
function textOf(
  messageId: string,
  { items }: Truth['ledger'],
  entries: readonly Entry[],
  verdicts: Truth['verdicts'],
): string | undefined {
  const turnId = items.get(messageId)?.turnId;
  const start = entries.find((entry) => entry.type === 'turn-start' && entry.turnId === turnId);
  return start === undefined ? undefined : textAt(messageId, start.seq, entries, verdicts);
}

function textAt(
  messageId: string,
  seq: number,
  entries: readonly Entry[],
  verdicts: Truth['verdicts'],
): string | undefined {
  let text: string | undefined;
  for (const entry of entries) {
    if (entry.seq >= seq) break;
    if (!('messageId' in entry) || entry.messageId !== messageId || !('text' in entry)) continue;
    if (entry.type === 'message' || entry.type === 'steer') text = entry.text;
    if (entry.type === 'message-edit' && verdicts.get(entry.seq)?.kind === 'edited') text = entry.text;
  }
  return text;
}
