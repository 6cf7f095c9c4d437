/**
 * What to do when a stream ended and its turn had not: pure. `recovery.ts` performs it.
 *
 *   idle ─stream-end─▶ waiting ─due─▶ asking ─answered─▶ waiting … ─▶ ended
 *
 * S1. The end of a stream changes nothing on screen (E1). Recovery waits 180 ms where live content is shown, so that a real
 *     terminal event can come first, and asks at once where there is none.
 * S2. `active`: the run lives, or its transcript is still being written. Asked again every 200 ms, ten times, then every
 *     second for as long as it is so (E2).
 * S3. `missing` ten times in a row ends the turn as `interrupted`; everything seen stays (E3).
 * S4. `error` is no answer: it is tried again with back-off and finalises nothing, however often it comes (E3).
 * S5. `stale`: a newer stream owns the view. Nothing is touched (E3, R64).
 * S6. `ended` is final. A state owns its resource: `waiting` one timer, `asking` one request.
 */
import { backoffMs } from './backoff.ts';

/** What an attempt to restore came to. */
export type SettleStatus = 'restored' | 'active' | 'missing' | 'stale' | 'error';

export interface SettleCounts {
  readonly actives: number;
  readonly missings: number;
  readonly errors: number;
}

export type SettleState =
  | { readonly kind: 'idle' }
  | { readonly kind: 'waiting'; readonly delayMs: number; readonly counts: SettleCounts }
  | { readonly kind: 'asking'; readonly counts: SettleCounts }
  /** `settled`: the real terminal event came, or the stream did. */
  | { readonly kind: 'ended'; readonly how: 'restored' | 'interrupted' | 'stale' | 'settled' };

export type SettleEvent =
  /** `shown`: live content is on screen. */
  | { readonly kind: 'stream-end'; readonly shown: boolean }
  | { readonly kind: 'terminal' }
  | { readonly kind: 'due' }
  /** `roll` is the jitter's dice, in [0, 1). */
  | { readonly kind: 'answered'; readonly status: SettleStatus; readonly roll: number }
  /** The network came back, the person did. */
  | { readonly kind: 'hint' };

export const SHOWN_GRACE_MS = 180;
export const QUICK_MS = 200;
export const QUICK_TIMES = 10;
export const SLOW_MS = 1_000;
export const MISSING_MAX = 10;
const ERROR_BASE_MS = 500;
const ERROR_CAP_MS = 30_000;

export const SETTLE_IDLE: SettleState = { kind: 'idle' };
const NO_COUNTS: SettleCounts = { actives: 0, missings: 0, errors: 0 };

/** Returns the same object where nothing changes. */
export function settle(state: SettleState, event: SettleEvent): SettleState {
  if (state.kind === 'ended') return state;
  switch (event.kind) {
    case 'stream-end':
      return state.kind === 'idle' ? wait(NO_COUNTS, event.shown ? SHOWN_GRACE_MS : 0) : state;
    case 'terminal':
      return { kind: 'ended', how: 'settled' };
    case 'due':
      return state.kind === 'waiting' ? ask(state.counts) : state;
    case 'hint':
      // Only a pause that a failure made is cut short: the others are the pace.
      return state.kind === 'waiting' && state.counts.errors > 0 ? ask(state.counts) : state;
    case 'answered':
      return state.kind === 'asking' ? afterAnswer(state.counts, event) : state;
  }
}

function afterAnswer(
  { actives, missings, errors }: SettleCounts,
  { status, roll }: Extract<SettleEvent, { kind: 'answered' }>,
): SettleState {
  switch (status) {
    case 'restored':
    case 'stale':
      return { kind: 'ended', how: status };
    case 'active':
      return wait({ actives: actives + 1, missings: 0, errors: 0 }, actives < QUICK_TIMES ? QUICK_MS : SLOW_MS);
    case 'missing':
      return missings + 1 === MISSING_MAX
        ? { kind: 'ended', how: 'interrupted' }
        : wait({ actives, missings: missings + 1, errors: 0 }, QUICK_MS);
    case 'error': {
      const delayMs = QUICK_MS + backoffMs(errors, ERROR_BASE_MS, ERROR_CAP_MS) * roll;
      return wait({ actives, missings: 0, errors: errors + 1 }, delayMs);
    }
  }
}

const wait = (counts: SettleCounts, delayMs: number): SettleState =>
  delayMs === 0 ? ask(counts) : { kind: 'waiting', delayMs, counts };
const ask = (counts: SettleCounts): SettleState => ({ kind: 'asking', counts });
