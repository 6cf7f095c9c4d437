/**
 * The session machine: what the owner does next, as a pure function of the session's view and of the run it has in hand.
 * It is level-triggered: nothing is remembered between decisions but what the log says, so a new owner decides alike.
 *
 *  1. The owner folds the log (`fold`), asks `decide`, performs the one effect, and asks again with what the log says then.
 *  2. Every source of turns comes through here (R4): the queue, a restart, an answer, a sweep.
 *  3. A turn that runs in the log but not in hand was lost with its process. One with no event beyond its start is started
 *     again, at most `ATTEMPTS_MAX` times, then `failed` (R35); a resumed one likewise; one with output ends `interrupted`
 *     and is never run again by itself (R34).
 *  4. Ending a turn is one append: prompts, steers, the end, usage, title and `stream-end` (R15, R29). Only a title that
 *     has to be asked for comes between, and then nothing waits for it but `stream-end` (E8).
 *  5. A turn that waits for a person, or for a tool that the caller runs, is parked and holds nothing; answers, results, its
 *     prompts' deadlines and a stop are the ways on.
 *  6. A stop frees the session within `STOP_BOUND_MS`, whether its run heeds it or not (R13).
 *  7. A turn that was stopped before it began begins and ends in one append (R77).
 *  8. With nothing left to do the session is released at the head that was decided on (R18), never before.
 */
import {
  answerIdOf,
  fold,
  turnIdOf,
  type FaultKind,
  type QueuedMessage,
  type RunEvent,
  type RunningTurn,
  type TurnId,
  type TurnOutcome,
  type Usage,
  type View,
} from '@holdfast/protocol';
import type { RunEnd } from './agent.ts';

export const ATTEMPTS_MAX = 3;
/** A run that has not ended this long after it was told to is abandoned. */
export const STOP_BOUND_MS = 3_000;
export const TITLE_WAIT_MS = 2_000;
/** How long the session is kept for a title after its turn's stream has ended without. */
const TITLE_LATE_MAX_MS = 30_000;

/** The run in the owner's hand, if any. */
export type Hand =
  | { readonly kind: 'empty' }
  | { readonly kind: 'running'; readonly turnId: TurnId }
  /** Told to end at this time (monotonic). */
  | {
      readonly kind: 'cancelling';
      readonly turnId: TurnId;
      readonly sinceMs: number;
      readonly why: 'stop' | 'shutdown';
    }
  | {
      readonly kind: 'ended';
      readonly turnId: TurnId;
      readonly end: RunEnd;
      /** Undefined: it was never called. */
      readonly usage: Usage | undefined;
      readonly prompted: boolean;
      /** What is shown together with its park (R78). */
      readonly held: readonly RunEvent[];
      readonly why: 'itself' | 'stop' | 'shutdown';
    };

/** A title that is being asked for. */
export type Titling =
  | { readonly kind: 'none' }
  | { readonly kind: 'asking'; readonly untilMs: number }
  | { readonly kind: 'found'; readonly title: string | undefined };

type TurnStart = Extract<RunEvent, { type: 'turn-start' }>;

export interface Situation {
  readonly view: View;
  readonly hand: Hand;
  readonly titling: Titling;
  /** The default agent's name. */
  readonly agent: string;
  /** Whether the agent of this session is asked for a title, or the first words must do. */
  readonly asksTitle: boolean;
  readonly drain: 'no' | 'finishing' | 'now';
  /** How the owner before this one lost the session, if it did not release it. */
  readonly previousOwner: 'ended' | 'expired' | undefined;
  /** Wall time, for prompts' deadlines. */
  readonly nowMs: number;
  readonly monotonicMs: number;
}

export type Effect =
  /** Append these, in one transaction. */
  | { readonly kind: 'append'; readonly entries: readonly RunEvent[]; readonly clears?: 'hand' | 'titling' }
  /** Append the start (or resumption), then run the agent. Needs a slot. */
  | { readonly kind: 'run'; readonly turnId: TurnId; readonly entries: readonly RunEvent[] }
  | { readonly kind: 'cancel'; readonly why: 'stop' | 'shutdown' }
  | { readonly kind: 'abandon'; readonly why: 'stop' | 'shutdown' }
  | { readonly kind: 'ask-title'; readonly turnId: TurnId }
  /** Until something happens, or until the time comes (milliseconds from now). */
  | { readonly kind: 'wait'; readonly forMs?: number }
  | { readonly kind: 'release'; readonly wakeAt?: number }
  /** Stop owning without having dealt with everything: what is left is pending for the next owner. */
  | { readonly kind: 'leave' };

export function decide(now: Situation): Effect {
  const { view, hand } = now;
  const told = reportMissedSteers(view) ?? closeAnswered(view) ?? closeExpired(now);
  if (told !== undefined) return told;
  if (view.turn === null) return decideIdle(now);
  if (hand.kind === 'empty' || hand.turnId !== view.turn.turnId) return decideWithoutRun(now, view.turn);
  return decideRunning(now, view.turn, hand);
}

// ── no turn ─────────────────────────────────────────────────────────────────────────────────────────────────────────

function decideIdle(now: Situation): Effect {
  const { view, titling } = now;
  if (view.closing !== null) return closeStream(now, view.closing);
  if (titling.kind === 'found') return lateTitle(view, titling.title);
  if (now.drain !== 'no')
    return view.queue.length === 0 && titling.kind === 'none' ? { kind: 'release' } : { kind: 'leave' };
  if (view.queue.length > 0) return startNext(now);
  // A title that comes late is an ordinary entry (E8); one that never comes does not hold the session for ever.
  const lateMs = titling.kind === 'asking' ? titling.untilMs + TITLE_LATE_MAX_MS - now.monotonicMs : 0;
  return lateMs > 0 ? { kind: 'wait', forMs: lateMs } : { kind: 'release' };
}

function startNext(now: Situation): Effect {
  const [head] = now.view.queue;
  if (head === undefined) return { kind: 'release' };
  if (head.stopping !== undefined) return cancelBefore(now, head, head.stopping);
  return { kind: 'run', turnId: turnIdOf(head.messageId), entries: [startOfNext(now, head)] };
}

/** Stopped before it began: it begins and ends in one append, without a slot (R77). */
function cancelBefore(now: Situation, head: QueuedMessage, stopping: NonNullable<RunningTurn['stopping']>): Effect {
  const start = startOfNext(now, head);
  const at = new Date(now.nowMs).toISOString();
  const view = fold(now.view, { ...start, seq: now.view.seq + 1, at });
  const turn = view.turn === null ? null : { ...view.turn, stopping };
  return turn === null
    ? { kind: 'release' }
    : { kind: 'append', entries: [start, ...endOf({ ...now, view }, turn, cancelled(turn))] };
}

function startOfNext({ view, agent }: Situation, head: QueuedMessage): TurnStart {
  const turnId = turnIdOf(head.messageId);
  const base = {
    type: 'turn-start',
    turnId,
    messageId: answerIdOf(turnId),
    agent: view.agent ?? agent,
    attempt: 1,
  } as const;
  if (head.again !== undefined) {
    // An entry of an older version names no source.
    const source = head.source ?? view.turns.find(({ turnId: other }) => other === head.again);
    const { messageIds = [], parent = null } = source ?? {};
    return { ...base, messageIds, parent, cause: head.messageId };
  }
  const messageIds = mergedWith(head, view.queue).map((item) => item.messageId);
  const parent = head.after === undefined ? view.leaf : head.after;
  return { ...base, messageIds, parent };
}

/** Neighbours that asked to share a turn, of one author and with no place of their own (R21), and none of them stopped. */
function mergedWith(head: QueuedMessage, queue: readonly QueuedMessage[]): readonly QueuedMessage[] {
  if (!head.merge || head.stopping !== undefined) return [head];
  const shares = ({ merge, author, after, again, stopping }: QueuedMessage): boolean =>
    merge && author === head.author && after === undefined && again === undefined && stopping === undefined;
  const end = queue.findIndex((item, index) => index > 0 && !shares(item));
  return end < 0 ? queue : queue.slice(0, end);
}

function closeStream(now: Situation, turnId: TurnId): Effect {
  const { titling, view } = now;
  if (titling.kind === 'found') {
    // One that a person gave meanwhile stands.
    const title = view.title === null ? (titling.title ?? titleFromWords(view, turnId)) : undefined;
    return { kind: 'append', entries: titleEntries(turnId, title), clears: 'titling' };
  }
  const patient = view.titleStatus === 'pending' && now.asksTitle && view.queue.length === 0 && now.drain === 'no';
  if (patient && titling.kind === 'none') return { kind: 'ask-title', turnId };
  if (patient && titling.kind === 'asking' && now.monotonicMs < titling.untilMs) {
    return { kind: 'wait', forMs: titling.untilMs - now.monotonicMs };
  }
  return { kind: 'append', entries: titleEntries(turnId, undefined) };
}

function titleEntries(turnId: TurnId, title: string | undefined): readonly RunEvent[] {
  const status = { type: 'title-status', turnId, status: title === undefined ? 'skipped' : 'done' } as const;
  const end = { type: 'stream-end', turnId } as const;
  return title === undefined ? [status, end] : [status, { type: 'title', turnId, title }, end];
}

/** A title that came after its turn's stream had to close; one that somebody gave meanwhile stands. */
function lateTitle({ title: given }: View, title: string | undefined): Effect {
  return {
    kind: 'append',
    entries: title === undefined || given !== null ? [] : [{ type: 'title', title }],
    clears: 'titling',
  };
}

// ── a turn without a run ────────────────────────────────────────────────────────────────────────────────────────────

function decideWithoutRun(now: Situation, turn: RunningTurn): Effect {
  if (turn.stopping !== null) return { kind: 'append', entries: endOf(now, turn, cancelled(turn)) };
  if (turn.state === 'parked') return decideParked(now, turn);
  if (turn.lastEvent === 'turn-start')
    return tryAgain(now, turn, { ...startOf(now.view, turn), attempt: turn.attempt + 1 });
  if (turn.lastEvent === 'turn-resume')
    return tryAgain(now, turn, { type: 'turn-resume', turnId: turn.turnId, attempt: turn.attempt + 1 });
  return {
    kind: 'append',
    entries: endOf(now, turn, {
      outcome: 'interrupted',
      fault: 'owner-lost',
      reason: `${PREVIOUS_OWNER[now.previousOwner ?? 'ended']} Its text so far is kept.`,
    }),
  };
}

/** What is known of the run that was lost (R79). */
const PREVIOUS_OWNER = {
  ended: 'The process that ran the turn ended.',
  expired: 'The node that ran the turn stopped renewing its lease: it died, stood still or lost the database.',
} as const;

function tryAgain(now: Situation, turn: RunningTurn, entry: RunEvent): Effect {
  if (now.drain !== 'no') return { kind: 'leave' };
  if (turn.attempt < ATTEMPTS_MAX) return { kind: 'run', turnId: turn.turnId, entries: [entry] };
  const reason = `The process died ${ATTEMPTS_MAX} times in a row when this turn began.`;
  return { kind: 'append', entries: endOf(now, turn, { outcome: 'failed', fault: 'crash-loop', reason }) };
}

function startOf(view: View, turn: RunningTurn): TurnStart {
  const node = view.turns.find((other) => other.turnId === turn.turnId);
  return {
    type: 'turn-start',
    turnId: turn.turnId,
    messageId: turn.messageId,
    messageIds: node?.messageIds ?? [],
    agent: turn.agent,
    attempt: turn.attempt,
    parent: node?.parent ?? null,
  };
}

function decideParked({ view, drain }: Situation, turn: RunningTurn): Effect {
  const deadlines = view.prompts
    .filter((prompt) => prompt.deadlineAt !== null)
    .map((prompt) => Date.parse(prompt.deadlineAt ?? ''));
  const owed = turn.awaits.some((toolId) => !turn.results.some((result) => result.toolId === toolId));
  const waits = view.prompts.length > 0 || owed;
  if (!waits && drain === 'no')
    return { kind: 'run', turnId: turn.turnId, entries: [{ type: 'turn-resume', turnId: turn.turnId, attempt: 1 }] };
  if (!waits) return { kind: 'leave' };
  return deadlines.length === 0 ? { kind: 'release' } : { kind: 'release', wakeAt: Math.min(...deadlines) };
}

// ── a turn with its run ─────────────────────────────────────────────────────────────────────────────────────────────

function decideRunning(now: Situation, turn: RunningTurn, hand: Exclude<Hand, { kind: 'empty' }>): Effect {
  switch (hand.kind) {
    case 'running':
      if (turn.stopping !== null) return { kind: 'cancel', why: 'stop' };
      if (now.drain === 'now') return { kind: 'cancel', why: 'shutdown' };
      return { kind: 'wait', ...untilDeadline(now) };
    case 'cancelling': {
      const leftMs = hand.sinceMs + STOP_BOUND_MS - now.monotonicMs;
      return leftMs <= 0 ? { kind: 'abandon', why: hand.why } : { kind: 'wait', forMs: leftMs };
    }
    case 'ended':
      return finish(now, turn, hand);
  }
}

function untilDeadline({ view, nowMs }: Situation): { readonly forMs?: number } {
  const deadlines = view.prompts
    .filter((prompt) => prompt.deadlineAt !== null)
    .map((prompt) => Date.parse(prompt.deadlineAt ?? ''));
  return deadlines.length === 0 ? {} : { forMs: Math.max(0, Math.min(...deadlines) - nowMs) };
}

function finish(now: Situation, turn: RunningTurn, hand: Extract<Hand, { kind: 'ended' }>): Effect {
  const { end, usage } = hand;
  if (turn.stopping !== null) return ended(now, turn, cancelled(turn), usage);
  // A turn that is parked outlives the process.
  if (end.outcome === 'parked') return park(now, turn, hand);
  if (hand.why === 'shutdown')
    return ended(
      now,
      turn,
      { outcome: 'interrupted', fault: 'shutdown', reason: 'The gateway was shut down. What was said is kept.' },
      usage,
    );
  return ended(now, turn, end, usage);
}

function park(now: Situation, turn: RunningTurn, hand: Extract<Hand, { kind: 'ended' }>): Effect {
  const { usage, held, prompted } = hand;
  const entry = { type: 'turn-park', turnId: turn.turnId, usage: usage ?? spentBy(now, turn) } as const;
  if (prompted || now.view.prompts.length > 0) return { kind: 'append', entries: [...held, entry], clears: 'hand' };
  if (turn.openTools.length > 0)
    return { kind: 'append', entries: [{ ...entry, awaits: turn.openTools }], clears: 'hand' };
  const reason = 'The agent waits, and has asked nobody for anything.';
  return ended(now, turn, { outcome: 'failed', fault: 'agent-crashed', reason }, usage);
}

const spentBy = ({ nowMs }: Situation, turn: RunningTurn): Usage =>
  turn.spent ?? { inputTokens: 0, outputTokens: 0, durationMs: Math.max(0, nowMs - Date.parse(turn.startedAt)) };

const ended = (now: Situation, turn: RunningTurn, end: TurnEnd, usage?: Usage): Effect => ({
  kind: 'append',
  entries: endOf(now, turn, end, usage),
  clears: 'hand',
});

interface TurnEnd {
  readonly outcome: TurnOutcome;
  readonly reason?: string;
  readonly fault?: FaultKind;
  readonly retryAfterMs?: number;
  readonly partial?: 'discard';
}

function cancelled({ stopping }: RunningTurn): TurnEnd {
  const reason = `Stopped by ${stopping?.by ?? 'a person'}.`;
  return stopping?.partial === 'discard'
    ? { outcome: 'cancelled', reason, partial: 'discard' }
    : { outcome: 'cancelled', reason };
}

/** Rule 4. */
function endOf(now: Situation, turn: RunningTurn, end: TurnEnd, usage?: Usage): readonly RunEvent[] {
  const { view } = now;
  const { turnId } = turn;
  const spent = usage ?? spentBy(now, turn);
  return [
    ...turn.steers.map(
      (steer) => ({ type: 'steer-end', turnId, messageId: steer.messageId, outcome: 'queued' }) as const,
    ),
    ...view.prompts.map(
      (prompt) => ({ type: 'prompt-close', turnId, promptId: prompt.promptId, outcome: 'cancelled' }) as const,
    ),
    { type: 'turn-end', turnId, ...end },
    { type: 'usage', turnId, ...spent },
    ...firstTitle(now, turnId, end.outcome),
  ];
}

function firstTitle({ view, asksTitle, drain }: Situation, turnId: TurnId, outcome: TurnOutcome): readonly RunEvent[] {
  const untitled = view.title === null && view.titleStatus === null;
  if (!untitled) return titleEntries(turnId, undefined);
  // Asked for after the turn has ended: it never delays the end.
  if (asksTitle && drain === 'no' && outcome === 'completed')
    return [{ type: 'title-status', turnId, status: 'pending' }];
  return titleEntries(turnId, titleFromWords(view, turnId));
}

const TITLE_CHARS_MAX = 60;
const characters = new Intl.Segmenter();

/** The first words of the conversation, cut at a word. */
export function titleFromWords(view: View, turnId: TurnId): string | undefined {
  const first = view.messages.find((message) => message.role === 'user' && message.turnId === turnId)?.text ?? '';
  const words = first.replaceAll(/\s+/g, ' ').trim();
  if (words === '') return undefined;
  const chars = Array.from(characters.segment(words), (piece) => piece.segment);
  if (chars.length <= TITLE_CHARS_MAX) return words;
  const cut = chars.slice(0, TITLE_CHARS_MAX).join('');
  return `${cut.includes(' ') ? cut.slice(0, cut.lastIndexOf(' ')) : cut}…`;
}

// ── what the owner owes the log ─────────────────────────────────────────────────────────────────────────────────────

/** A steer that reached the log after its turn's end is in the queue already; its sender is told so (R20). */
function reportMissedSteers(view: View): Effect | undefined {
  const entries = view.queue
    .filter((item) => item.missedTurn !== undefined)
    .map(
      (item) =>
        ({
          type: 'steer-end',
          turnId: item.missedTurn as TurnId,
          messageId: item.messageId,
          outcome: 'queued',
        }) as const,
    );
  return entries.length === 0 ? undefined : { kind: 'append', entries };
}

function closeAnswered({ turn }: View): Effect | undefined {
  if (turn === null || turn.answers.length === 0) return undefined;
  const { turnId } = turn;
  return {
    kind: 'append',
    entries: turn.answers.map(({ promptId, answer, by }) => ({
      type: 'prompt-close',
      turnId,
      promptId,
      outcome: 'answered',
      answer,
      by,
    })),
  };
}

/** Expiry is one atomic event: an answer that reaches the log before it wins, one after it is void (R30). */
function closeExpired({ view, nowMs }: Situation): Effect | undefined {
  const expired = view.prompts.filter((prompt) => prompt.deadlineAt !== null && Date.parse(prompt.deadlineAt) <= nowMs);
  if (expired.length === 0) return undefined;
  return {
    kind: 'append',
    entries: expired.map(({ promptId, turnId }) => ({ type: 'prompt-close', turnId, promptId, outcome: 'expired' })),
  };
}
