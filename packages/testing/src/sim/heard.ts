/**
 * What agents were told, against what the log says they were to be told: read off a finished run, as `laws.ts` is.
 *
 *  H1  A steer that an agent heard is in the log as injected (or was taken back in the same breath), and was heard once,
 *      as its author's (R20).
 *  H2  A steer that the log calls injected was heard, unless its run was cut short.
 *  H4  A turn's outcome is what its calls came to: it failed where one of them did, was cancelled where somebody stopped it.
 *  H5  What a completed turn has used is what its calls said they had.
 *  H3  An agent runs its tool unasked exactly where somebody allowed it: for this session, or for always (R31). It is
 *      told who answered.
 */
import type { Entry } from '@holdfast/protocol';
import type { Call, Oracle } from './agents.ts';
import { messageOf, type Ledger, type PromptFate, type TurnFate, type Violate } from './ledger.ts';
import { isPast } from './past.ts';
import type { Truth } from './store.ts';

export function judgeHeard(truths: ReadonlyMap<string, Truth>, oracle: Oracle, violate: Violate): void {
  for (const [sessionId, { ledger, entries }] of truths) {
    const tell: Violate = (law, detail) => violate(law, `${sessionId}: ${detail}`);
    const calls = oracle.calls.filter((call) => call.sessionId === sessionId);
    judgeSteers(ledger, oracle, sessionId, tell);
    judgeInjected(ledger, oracle, calls, tell);
    for (const turn of ledger.turns.values())
      judgeOutcome(
        turn,
        entries,
        calls.filter((call) => call.turnId === turn.turnId),
        tell,
      );
  }
  for (const call of oracle.calls) {
    judgeGrant(call, truths, violate);
    for (const [promptId, by] of call.answerers)
      if (truths.get(call.sessionId)?.ledger.prompts.get(promptId)?.answerer !== by)
        violate('R31', `${call.id} was told that ${by} answered ${promptId}.`);
  }
}

/** H1. */
function judgeSteers(ledger: Ledger, oracle: Oracle, sessionId: string, violate: Violate): void {
  const heard = new Set<string>();
  for (const { call, author, text } of oracle.steers) {
    if (call.sessionId !== sessionId) continue;
    const item = [...ledger.items.values()].find((other) => other.text === text);
    if (item === undefined || item.author !== author)
      violate('R20', `${call.id} hears "${text}" of ${author}: nobody's.`);
    else if (item.fate === 'waiting' || item.fate === 'taken' || item.fate === 'void')
      violate('R20', `${call.id} hears "${text}", which is ${item.fate}.`);
    if (heard.has(text)) violate('R20', `${call.id} hears "${text}" once more.`);
    heard.add(text);
  }
}

/** H2. */
function judgeInjected(ledger: Ledger, oracle: Oracle, calls: readonly Call[], violate: Violate): void {
  const heard = new Set(oracle.steers.map(({ call, text }) => `${call.sessionId} ${text}`));
  for (const [messageId, { fate, turnId, text }] of ledger.items) {
    const own = calls.filter((call) => call.turnId === turnId);
    const wereWhole = own.every((call) => call.isWhole && call.end !== 'open');
    if (fate === 'injected' && wereWhole && !own.some((call) => heard.has(`${call.sessionId} ${text}`)))
      violate('R20', `${messageId} is injected into ${turnId}, and nobody heard it.`);
  }
}

/** H4, H5. */
function judgeOutcome(turn: TurnFate, entries: readonly Entry[], calls: readonly Call[], violate: Violate): void {
  const { turnId, outcome, fault, usage } = turn;
  if (isPast(turnId)) return;
  const told = `${turnId} is ${outcome}${fault === undefined ? '' : ` (${fault})`}`;
  const ends = calls.map((call) => call.end);
  if (fault === 'agent-crashed' && !ends.includes('threw')) violate('F6', `${told}; its calls: ${ends.join()}.`);
  if (fault === 'model-unreachable' && !ends.includes('failed')) violate('F6', `${told}; its calls: ${ends.join()}.`);
  if (fault === 'crash-loop' && turn.attempts < 3) violate('R35', `${told} after ${turn.attempts} attempts.`);
  if ((outcome === 'cancelled') !== (fault === undefined && outcome !== 'completed'))
    violate('F6', `${told}: an end of its own is no fault, and a fault no end of its own.`);
  if (outcome === 'cancelled' && !entries.some((entry) => mayStop(entry, turn)))
    violate('F6', `${told}, and nobody stopped it.`);
  if (!calls.some((call) => call.hasToldUsage) && (usage?.inputTokens ?? 0) + (usage?.outputTokens ?? 0) > 0)
    violate('T8', `${told}; no call said what it used, and it has used ${JSON.stringify(usage)}.`);
  // A process that slept may play it once more in the instant that it wakes: nobody hears that.
  const isHeard = ({ process }: Call): boolean => turn.holder?.startsWith(`${process.name}_`) === true;
  const last = calls.findLast((call) => call.isWhole && call.end === 'completed' && isHeard(call));
  if (outcome !== 'completed' || last === undefined) return;
  const hasSaid = turn.text !== '' || turn.hasThought;
  if (usage?.inputTokens !== 3 || usage.outputTokens !== last.said)
    violate('T8', `${told} with ${last.said} pieces by ${last.id}, and has used ${JSON.stringify(usage)}.`);
  if (usage !== undefined && (usage.firstTokenMs === undefined) === hasSaid)
    violate('T8', `${told}, has ${hasSaid ? '' : 'not '}said something, and has used ${JSON.stringify(usage)}.`);
}

const mayStop = (entry: Entry, { turnId, messageIds }: TurnFate): boolean =>
  (entry.type === 'stop' && (entry.turnId === turnId || messageIds.includes(messageOf(entry.turnId)))) ||
  (entry.type === 'message' && entry.whenBusy === 'interrupt');

/** H3. What was allowed before the call began counts; what was answered meanwhile may. */
function judgeGrant(call: Call, truths: ReadonlyMap<string, Truth>, violate: Violate): void {
  const own = truths.get(call.sessionId);
  if (own === undefined) return;
  // Its own beginning: a process that slept may begin a call when others are long since further, also with its turn.
  const before = own.entries.slice(0, call.atSeq).filter((entry) => 'turnId' in entry && entry.turnId === call.turnId);
  const parks = before.filter((entry) => entry.type === 'turn-park');
  const begunAt = before.findLast(
    (entry) =>
      (entry.type === 'turn-start' || entry.type === 'turn-resume') &&
      entry.seq < (parks[call.index]?.seq ?? Number.POSITIVE_INFINITY),
  );
  const allows = (prompt: PromptFate): boolean => prompt.toolId !== undefined && prompt.state === 'answered';
  const here = [...own.ledger.prompts.values()].filter(
    (prompt) => allows(prompt) && (prompt.answer === 'session' || prompt.answer === 'always'),
  );
  const always = [...truths.values()].flatMap(({ ledger }) =>
    [...ledger.prompts.values()].filter((prompt) => allows(prompt) && prompt.answer === 'always'),
  );
  const isDue = ({ closedAt = Infinity, closedAs, answer }: PromptFate): boolean =>
    closedAt < (begunAt?.seq ?? 0) &&
    (closedAs === 'answered' || answer === 'session' || wentOnAt(own, closedAt) < (begunAt?.seq ?? 0));
  const must = here.some(isDue);
  const may = always.length > 0 || here.some(({ answeredAt }) => (answeredAt ?? Infinity) <= call.atSeq);
  if (call.isGranted ? !may : must)
    violate('R31', `${call.id} of ${call.turnId} is ${call.isGranted ? '' : 'not '}allowed its tool at ${call.atSeq}.`);
}

/** Where the owner that appended this appended again: whatever it owed to the first append is done by then. */
export function wentOnAt({ appends }: Truth, seq: number): number {
  const { first, epoch } = appends[seq - 1] ?? {};
  const next = appends.findIndex((append, index) => index >= seq && append.first !== first && append.epoch === epoch);
  return next < 0 ? Number.POSITIVE_INFINITY : next + 1;
}
