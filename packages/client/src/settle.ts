/**
 * Decides what to do when a stream ended and its turn had not: pure. `recovery.ts` performs it.
 *
 *   idle ─stream-end─▶ waiting ─due─▶ asking ─answered─▶ waiting … ─▶ ended
 *
 * S1. The end of a stream changes nothing on screen (E1). Recovery waits 180 ms where live content is shown, so that a real
 *     terminal event can come first, and asks at once where there is none.
 * S2. `active`: the run lives, or its transcript is still being written. Asked again every 200 ms, ten times, then every
 *     second for as long as it is so (E2). Each pause is spread by an eighth to either side, so that clients that lost the
 *     same gateway do not ask in step.
 * S3. `missing` ten times in a row ends the turn as `interrupted`; everything seen stays (E3).
 * S4. `error` is no answer: it is tried again with back-off and finalises nothing, however often it comes (E3). The server's
 *     advice (`retryAfterMs`) wins over the back-off, and over hints.
 * S5. `stale`: a newer stream owns the view. Nothing is touched (E3, R64). `failed`: the caller's own function failed, and a
 *     second call cannot help.
 * S6. `ended` is final. A state owns its resource: `waiting` one timer, `asking` one request.
 * S7. A hint (the network came back, the person did) has an effect in every state but `ended`, and hints may come at any rate:
 *     a pause after a failure and the slow pace become the quick one; a request that is under way is replaced by a fresh one,
 *     once, because it may hang on a dead socket. The grace of S1 and the server's advice stay as they are.
 */
import { backoffMs } from './backoff.ts';

/** The result of one attempt to restore the turn. */
export type SettleStatus = 'restored' | 'active' | 'missing' | 'stale' | 'error' | 'failed';

export interface SettleCounts {
  readonly actives: number;
  readonly missings: number;
  readonly errors: number;
}

/** Why a recovery waits: S1, S2 and S3, S4, S4. */
export type SettleWait = 'grace' | 'pace' | 'failure' | 'advice';

/**
 * How a recovery ended.
 * - `restored`: the settled transcript was handed to `restore`.
 * - `interrupted`: the server does not know the run; `interrupt` was called.
 * - `settled`: the terminal event came after all, or the stream did (`terminal()`).
 * - `stale`: another attachment owns the view; nothing was touched.
 * - `failed`: a function of the caller's (`restore`, `interrupt`, `seenRevision`, the token) threw, hung or returned nonsense.
 */
export type RecoveryEnd = 'restored' | 'interrupted' | 'settled' | 'stale' | 'failed';

export type SettleState =
  | { readonly kind: 'idle' }
  | { readonly kind: 'waiting'; readonly why: SettleWait; readonly delayMs: number; readonly counts: SettleCounts }
  /** `renewed`: a hint has replaced the request that was under way (S7). */
  | { readonly kind: 'asking'; readonly renewed: boolean; readonly counts: SettleCounts }
  | { readonly kind: 'ended'; readonly how: RecoveryEnd };

export type SettleEvent =
  /** `shown`: live content is on screen. */
  | { readonly kind: 'stream-end'; readonly shown: boolean }
  | { readonly kind: 'terminal' }
  | { readonly kind: 'due' }
  /** `roll` is the jitter's dice, in [0, 1). `adviceMs`: the server said when to ask again. */
  | { readonly kind: 'answered'; readonly status: SettleStatus; readonly roll: number; readonly adviceMs?: number }
  /** The network came back, the person did. */
  | { readonly kind: 'hint' };

export const SHOWN_GRACE_MS = 180;
export const QUICK_MS = 200;
export const QUICK_TIMES = 10;
export const SLOW_MS = 1_000;
export const MISSING_MAX = 10;
const ERROR_BASE_MS = 500;
const ERROR_CAP_MS = 30_000;
/** Advice beyond it is no longer about this turn. */
const ADVICE_CAP_MS = 300_000;

export const SETTLE_IDLE: SettleState = { kind: 'idle' };
const NO_COUNTS: SettleCounts = { actives: 0, missings: 0, errors: 0 };

/** Returns the same object where nothing changes. */
export function settle(state: SettleState, event: SettleEvent): SettleState {
  if (state.kind === 'ended') return state;
  switch (event.kind) {
    case 'stream-end':
      if (state.kind !== 'idle') return state;
      return event.shown ? wait('grace', NO_COUNTS, SHOWN_GRACE_MS) : ask(NO_COUNTS);
    case 'terminal':
      return { kind: 'ended', how: 'settled' };
    case 'due':
      return state.kind === 'waiting' ? ask(state.counts) : state;
    case 'hint':
      return afterHint(state);
    case 'answered':
      return state.kind === 'asking' ? afterAnswer(state.counts, event) : state;
  }
}

/** S7. */
function afterHint(state: Exclude<SettleState, { kind: 'ended' }>): SettleState {
  if (state.kind === 'asking') return state.renewed ? state : { ...state, renewed: true };
  if (state.kind === 'idle') return state;
  const { why, delayMs, counts } = state;
  const isShort = why === 'grace' || delayMs <= SLOWEST_QUICK_MS;
  return isShort || why === 'advice' ? state : wait('pace', { ...counts, actives: 0 }, QUICK_MS);
}

function afterAnswer(
  { actives, missings, errors }: SettleCounts,
  { status, roll, adviceMs }: Extract<SettleEvent, { kind: 'answered' }>,
): SettleState {
  switch (status) {
    case 'restored':
    case 'stale':
    case 'failed':
      return { kind: 'ended', how: status };
    case 'active': {
      const paceMs = actives < QUICK_TIMES ? QUICK_MS : SLOW_MS;
      return wait('pace', { actives: actives + 1, missings: 0, errors: 0 }, spread(paceMs, roll));
    }
    case 'missing':
      return missings + 1 === MISSING_MAX
        ? { kind: 'ended', how: 'interrupted' }
        : wait('pace', { actives, missings: missings + 1, errors: 0 }, spread(QUICK_MS, roll));
    case 'error': {
      const counts = { actives, missings: 0, errors: errors + 1 };
      return wait(adviceMs === undefined ? 'failure' : 'advice', counts, failurePauseMs(errors, roll, adviceMs));
    }
  }
}

/** S4: how long to wait after so many failures before this one. */
export function failurePauseMs(failures: number, roll: number, adviceMs: number | undefined): number {
  if (adviceMs === undefined) return QUICK_MS + backoffMs(failures, ERROR_BASE_MS, ERROR_CAP_MS) * roll;
  return Math.max(QUICK_MS, Math.min(adviceMs, ADVICE_CAP_MS)) * (1 + roll / 4);
}

const spread = (ms: number, roll: number): number => ms * (0.875 + roll / 4);
const SLOWEST_QUICK_MS = spread(QUICK_MS, 1);

const wait = (why: SettleWait, counts: SettleCounts, delayMs: number): SettleState => ({
  kind: 'waiting',
  why,
  delayMs,
  counts,
});
const ask = (counts: SettleCounts): SettleState => ({ kind: 'asking', renewed: false, counts });
