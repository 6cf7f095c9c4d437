/**
 * The laws that are read off a finished run, when faults have stopped and the world has come to rest. (Those that hold at
 * every instant are in `ledger.ts` and `store.ts`; one live runner a session is watched in `run.ts`.)
 *
 *  F1  Nothing waits: each accepted message ran once, or was injected, withdrawn or cleared; each turn ended or waits for a person.
 *  F2  A receipt is true: it is the verdict at that seq of the final log, and the ledger agrees with what it promised.
 *  F3  A message a client sent after a receipt stands after it in the log (order for each author).
 *  F4  All readers have the view that the whole log gives, and saw nothing that is not in it.
 *  F5  The rows say what the fold says: the list's line, each settled turn, and the view that is made of the checkpoint.
 *  F6  An answer is what its agent said: whole where it completed, a prefix where it did not, of one call at a time.
 *      It is given the messages that it answers, and told of what was said on its own branch before it, and of nothing else,
 *      however old that is (R76).
 *  F7  A tool has its effect once at most (R34), and an agent is told the answer that was given (R28).
 *  F8  A side question that was kept is in the transcript, once (C1).
 */
import { isDeepStrictEqual } from 'node:util';
import { summaryOf, WINDOW_TURNS, type SessionId, type SessionSummary, type View } from '@holdfast/protocol';
import { piece, type Call, type Oracle } from './agents.ts';
import type { Receipted } from './client.ts';
import { messageOf, type TurnFate, type Violate } from './ledger.ts';
import type { SimReader } from './reader.ts';
import type { Truth, WatchedStore } from './store.ts';

export interface Finished {
  readonly store: WatchedStore;
  readonly oracle: Oracle;
  readonly receipts: readonly Receipted[];
  readonly readers: readonly SimReader[];
  /** Views that nodes made anew from rows and tail, by session. */
  readonly loaded: ReadonlyMap<string, View>;
  readonly violate: Violate;
}

export function judgeFinished(run: Finished): void {
  for (const [sessionId, truth] of run.store.truths) {
    const violate: Violate = (law, detail) => run.violate(law, `${sessionId}: ${detail}`);
    judgeRest(truth, violate);
    judgeRows(sessionId, truth, run, violate);
    judgeAnswers(sessionId, truth, run.oracle, violate);
    judgeKept(truth, violate);
    judgePrompts(truth, violate);
  }
  judgeReceipts(run);
  for (const reader of run.readers) judgeReader(reader, run);
  for (const [toolId, effects] of run.oracle.effectsByTool)
    if (effects > 1) run.violate('F7', `${toolId} had its effect ${effects} times.`);
}

/** F1. */
function judgeRest({ view, ledger }: Truth, violate: Violate): void {
  for (const [messageId, item] of ledger.items)
    if (item.fate === 'waiting') violate('F1', `${messageId} was accepted at ${item.seq} and waits for ever.`);
  for (const turn of ledger.turns.values())
    if (turn.state === 'running') violate('F1', `${turn.turnId} has not ended: ${turn.lastType}.`);
  if (view.turn !== null || view.queue.length > 0 || view.closing !== null || view.prompts.length > 0)
    violate(
      'F1',
      `The view is not at rest: turn ${view.turn?.turnId}, ${view.queue.length} queued, closing ${view.closing}.`,
    );
  for (const message of view.messages) {
    if (message.state === 'streaming' || message.state === 'parked')
      violate('F1', `${message.id} is ${message.state} and no turn runs.`);
    if (message.role === 'user' && ledger.fateOf(message.id) !== 'taken')
      violate('F1', `${message.id} is shown as sent and is ${ledger.fateOf(message.id)}.`);
  }
}

function judgeReceipts({ store, receipts, violate }: Finished): void {
  const lastSeqs = new Map<string, number>();
  for (const { sessionId, author, sent, receipt, inOrder } of receipts) {
    const truth = store.truthOf(sessionId);
    const { seq, verdict } = receipt;
    const entry = truth.entries[seq - 1];
    const told = `${sessionId}: the receipt of ${sent.type} ${sent.clientId} at ${seq}`;
    if (entry === undefined || !('clientId' in entry) || entry.clientId !== sent.clientId) {
      violate('F2', `${told} names another entry: ${entry?.type}.`);
      continue;
    }
    const known = truth.verdicts.get(seq);
    if (!isDeepStrictEqual(known, verdict))
      violate('F2', `${told} says ${JSON.stringify(verdict)}, the log ${JSON.stringify(known)}.`);
    judgePromise(receipt, truth, told, violate);
    // F3.
    const lane = `${sessionId} ${author}`;
    if (inOrder && seq <= (lastSeqs.get(lane) ?? 0)) violate('F3', `${told} stands before the one sent before it.`);
    if (inOrder) lastSeqs.set(lane, seq);
  }
}

/** F2: what the receipt promised, by the ledger's own reading. */
function judgePromise(
  { command, verdict, seq }: Receipted['receipt'],
  { ledger }: Truth,
  told: string,
  violate: Violate,
): void {
  if (
    command.type === 'message-withdraw' &&
    (verdict.kind === 'withdrawn') !== (ledger.fateAt(command.messageId, seq) === 'withdrawn')
  )
    violate('F2', `${told} says ${verdict.kind}; the message was ${ledger.fateAt(command.messageId, seq)}.`);
  if (verdict.kind === 'accepted' && 'messageId' in command && ledger.fateOf(command.messageId) === 'void')
    violate('F2', `${told} says accepted; it was void.`);
  if (command.type === 'stop') judgeStop(verdict, command.turnId, ledger, told, violate);
  if (command.type === 'prompt-answer') {
    const prompt = ledger.prompts.get(command.promptId);
    const counted = prompt?.answeredAt === seq;
    if (verdict.kind === 'answered' && prompt?.closedAs !== 'answered')
      violate('R77', `${told} says answered; the prompt was closed as ${prompt?.closedAs}.`);
    if (counted !== (verdict.kind === 'answered')) violate('F2', `${told} says ${verdict.kind}; counted: ${counted}.`);
  }
}

/** R77: what was stopped is cancelled, or was taken back before it began. */
function judgeStop(
  verdict: Receipted['receipt']['verdict'],
  turnId: string,
  ledger: Truth['ledger'],
  told: string,
  violate: Violate,
): void {
  if (verdict.kind !== 'stopping') return;
  const outcome = ledger.turns.get(verdict.turnId)?.outcome;
  const fate = ledger.fateOf(messageOf(turnId));
  if (outcome !== 'cancelled' && fate !== 'withdrawn' && fate !== 'cleared')
    violate('R77', `${told} says stopping; the turn is ${outcome ?? 'none'}, its message ${fate}.`);
}

function judgePrompts({ view, ledger }: Truth, violate: Violate): void {
  for (const message of [...view.messages, ...view.offPath])
    for (const part of message.parts) {
      if (part.type !== 'prompt') continue;
      const fate = ledger.prompts.get(part.promptId);
      if (part.outcome === null || part.outcome !== fate?.state || part.answer !== fate.answer)
        violate(
          'T4',
          `${part.promptId} is shown ${part.outcome} "${part.answer}"; it is ${fate?.state} "${fate?.answer}".`,
        );
    }
}

/** F4. */
function judgeReader({ sessionId, view, seen }: SimReader, { store, violate }: Finished): void {
  const truth = store.truthOf(sessionId);
  if (!isDeepStrictEqual(view, plainView(truth.view)))
    violate(
      'F4',
      `${sessionId}: a reader at ${view.seq} differs from the log at ${truth.view.seq}: ${difference(view, plainView(truth.view))}.`,
    );
  for (const [seq, tag] of seen)
    if (truth.records[seq - 1]?.tag !== tag) violate('F4', `${sessionId}: a reader saw another record at ${seq}.`);
}

/** F5. */
function judgeRows(sessionId: string, truth: Truth, { store, loaded }: Finished, violate: Violate): void {
  const stream = `session/${sessionId}`;
  const row = store.rows.get('session', stream, 'session');
  const line = row?.value === undefined ? undefined : (decode(row.value) as SessionSummary);
  const wanted = { ...summaryOf(sessionId as SessionId, truth.view), ...lastEnd(truth) };
  if (!isDeepStrictEqual(visible(line), visible(wanted)))
    violate('F5', `The list shows ${JSON.stringify(visible(line))}, the log ${JSON.stringify(visible(wanted))}.`);
  const messages = [...truth.view.messages, ...truth.view.offPath];
  for (const node of truth.view.turns) {
    const kept = store.rows.get('turn', stream, node.turnId)?.value;
    const ids = new Set<string>([...node.messageIds, node.messageId]);
    const whole = plain({ node, messages: messages.filter((message) => ids.has(message.id)) });
    if (kept === undefined) violate('F5', `${node.turnId} has no row.`);
    else if (!isDeepStrictEqual(decode(kept), whole))
      violate('F5', `The row of ${node.turnId} differs from the log: ${difference(decode(kept), whole)}.`);
  }
  const view = loaded.get(sessionId);
  if (view !== undefined && !isDeepStrictEqual(plain(view), plainView(truth.view)))
    violate('F5', `A view made of rows differs from the log: ${difference(plain(view), plainView(truth.view))}.`);
}

/** Of the list's line, read off the log and not off the view. */
function lastEnd({ entries, view }: Truth): Pick<SessionSummary, 'lastOutcome' | 'unread'> {
  const end = entries.findLast((entry) => entry.type === 'turn-end');
  return end?.type === 'turn-end'
    ? { lastOutcome: end.outcome, unread: end.seq > view.readSeq }
    : { lastOutcome: null, unread: false };
}

function visible(line: SessionSummary | undefined): unknown {
  if (line === undefined) return undefined;
  const { state, title, owner, agent, prompts, queued, pinned, archived, readSeq, unread, lastOutcome } = line;
  return { state, title, owner, agent, prompts, queued, pinned, archived, readSeq, unread, lastOutcome };
}

/** F6, F7. */
function judgeAnswers(sessionId: string, { view, ledger }: Truth, oracle: Oracle, violate: Violate): void {
  const messages = new Map(
    [...view.messages, ...view.offPath].map((message) => [message.turnId + message.role, message]),
  );
  for (const turn of ledger.turns.values()) {
    const calls = oracle.calls.filter((call) => call.sessionId === sessionId && call.turnId === turn.turnId);
    judgeText(turn, calls, violate);
    const told = toldTo(turn, ledger);
    for (const call of calls) {
      if (!isDeepStrictEqual(call.history, told))
        violate(
          'F6',
          `${call.id} of ${turn.turnId} was told of ${call.history.join()}; before it stand ${told.join()}.`,
        );
      if (!isDeepStrictEqual(call.asked, turn.messageIds))
        violate('F6', `${call.id} of ${turn.turnId} was asked ${call.asked.join()}, not ${turn.messageIds.join()}.`);
    }
    const shown = messages.get(`${turn.turnId}assistant`);
    if (shown !== undefined && shown.text !== (turn.discarded ? '' : turn.text))
      violate('F6', `${turn.turnId} shows "${shown.text}", the log has "${turn.text}".`);
    for (const call of calls)
      for (const [promptId, answer] of call.answers)
        if (ledger.prompts.get(promptId)?.answer !== answer)
          violate(
            'F7',
            `${call.id} was told "${answer}" for ${promptId}; the answer was "${ledger.prompts.get(promptId)?.answer}".`,
          );
  }
}

/** The messages of the last turns before this one, by the starts alone. */
function toldTo(turn: TurnFate, { turns }: Truth['ledger']): readonly string[] {
  const path: TurnFate[] = [];
  for (let before = turns.get(turn.parent ?? ''); before !== undefined; before = turns.get(before.parent ?? ''))
    path.unshift(before);
  return path.slice(1 - WINDOW_TURNS).flatMap(({ messageIds, answerId }) => [...messageIds, answerId]);
}

function judgeText(turn: TurnFate, calls: readonly Call[], violate: Violate): void {
  const saidBy = new Map(calls.map((call) => [call.id, 0]));
  let latest: Call | undefined;
  for (const token of turn.text.split(' ').filter((word) => word !== '')) {
    const call = calls.find((other) => token.startsWith(`${other.id}.`));
    const count = call === undefined ? 0 : (saidBy.get(call.id) ?? 0);
    if (call === undefined || `${token} ` !== piece(call.id, count) || count >= call.said)
      return violate('F6', `${turn.turnId} has "${token}" in "${turn.text}", which nobody said there.`);
    if (latest !== undefined && latest !== call && latest.index >= call.index)
      return violate('F6', `${turn.turnId} mixes calls ${latest.id} and ${call.id}: "${turn.text}".`);
    saidBy.set(call.id, count + 1);
    latest = call;
  }
  // A call that handed over to the next, or ended the turn by itself, was heard to its end.
  const finals = calls.filter((call) => call.end === 'completed' && call.isWhole);
  if (turn.outcome === 'completed' && !finals.some((call) => saidBy.get(call.id) === call.said))
    violate(
      'F6',
      `${turn.turnId} is completed with "${turn.text}"; of ${finals.map(({ id, said }) => `${id}: ${said}`).join(', ')}.`,
    );
}

/** F8. */
function judgeKept({ view, entries }: Truth, violate: Violate): void {
  const shown = [...view.messages, ...view.offPath].flatMap(({ btws = [] }) => btws.map(({ btwId }) => btwId));
  const kept = entries.flatMap((entry) => (entry.type === 'btw-keep' ? [entry] : []));
  for (const { btwId, seq } of kept)
    if (view.earlierTurns === 0 && shown.filter((id) => id === btwId).length !== 1)
      violate('F8', `${btwId} was kept at ${seq}; shown are ${shown.join()}.`);
}

/** As JSON gives it: absent fields are absent. */
function plain<T>(value: T): T {
  return JSON.parse(JSON.stringify(value)) as T;
}

/** What many are held against. */
const plainViews = new WeakMap<View, View>();
function plainView(view: View): View {
  const known = plainViews.get(view) ?? plain(view);
  plainViews.set(view, known);
  return known;
}

const decoder = new TextDecoder();
const decode = (bytes: Uint8Array): unknown => JSON.parse(decoder.decode(bytes));

/** The first place where two plain values differ. */
function difference(a: unknown, b: unknown, path = ''): string {
  if (typeof a !== 'object' || typeof b !== 'object' || a === null || b === null)
    return `${path} ${JSON.stringify(a)} ≠ ${JSON.stringify(b)}`;
  const keys = new Set([...Object.keys(a), ...Object.keys(b)]);
  for (const key of keys) {
    const [left, right] = [(a as Record<string, unknown>)[key], (b as Record<string, unknown>)[key]];
    if (!isDeepStrictEqual(left, right)) return difference(left, right, `${path}.${key}`);
  }
  return `${path}: order of keys`;
}
