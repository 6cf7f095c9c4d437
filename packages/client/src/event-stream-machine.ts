/**
 * What a stream does next: pure, complete, without clock, socket or cursor.
 *
 * M1. A state owns its resources: `connecting` and `reading` the attempt of that number, `waiting` the timer of that number.
 *     The runtime ends what the old state owned and begins what the new one owns, by comparing `ownedBy`. There is no other
 *     way to end or begin anything.
 * M2. What comes from an attempt or timer carries its number and is void unless it is the current one (R43, R44).
 * M3. Failures grow by one with each lost attempt and are forgotten only by the first event of one (R45): neither a 200 nor
 *     a greeting nor a hint resets them, so a persistent failure never spins.
 * M4. The server's advice wins over the back-off, and over hints (R49).
 * M5. `stop`, a terminal fault and `close` are left only by `start` or `restart`, or never: no late rotation, timer or hint
 *     opens a stopped stream (R42).
 * M6. A restart ends the running attempt at once and begins the next one after `RESTART_MS`: all restarts of that time become
 *     one attempt (R115). A browser keeps the sockets of requests that were given up until its next collection, and it has six.
 */
import type { Fault } from '@holdfast/protocol/fault';

import { backoffMs } from './backoff.ts';

export type MachineState =
  | { readonly kind: 'idle'; readonly attempt: number; readonly fault?: Fault }
  | { readonly kind: 'connecting'; readonly attempt: number; readonly failures: number }
  | { readonly kind: 'reading'; readonly attempt: number; readonly failures: number }
  | {
      readonly kind: 'waiting';
      readonly attempt: number;
      readonly failures: number;
      readonly delayMs: number;
      /** By the server. */
      readonly advised: boolean;
      readonly fault: Fault;
    }
  /** Between a restart and its attempt (M6). Owns a timer. */
  | { readonly kind: 'pacing'; readonly attempt: number }
  | { readonly kind: 'closed'; readonly attempt: number };

export type MachineEvent =
  | { readonly kind: 'start' | 'stop' | 'restart' | 'close' }
  /** There is a new token. */
  | { readonly kind: 'rotate' }
  | { readonly kind: 'nudge' | 'online' | 'offline' | 'visible' | 'hidden' }
  /** Headers of a stream that will be read. */
  | { readonly kind: 'opened'; readonly attempt: number }
  /** The first event of it. */
  | { readonly kind: 'progress'; readonly attempt: number }
  /** A retry helps. `roll` is the jitter's dice, in [0, 1). */
  | { readonly kind: 'lost'; readonly attempt: number; readonly fault: Fault; readonly roll: number }
  /** There is no more: with a fault, no retry helps; without one, all was said. */
  | { readonly kind: 'ended'; readonly attempt: number; readonly fault?: Fault }
  | { readonly kind: 'due'; readonly attempt: number };

export const BACKOFF_BASE_MS = 1000;
export const BACKOFF_CAP_MS = 30_000;
export const RESTART_MS = 250;

export const INITIAL: MachineState = { kind: 'idle', attempt: 0 };

/** Returns the same object where nothing changes. */
export function transition(state: MachineState, event: MachineEvent): MachineState {
  if (state.kind === 'closed') return state;
  switch (event.kind) {
    case 'start':
      return state.kind === 'idle' ? connect(state, 0) : state;
    case 'restart':
      return afterRestart(state);
    case 'stop':
      return state.kind === 'idle' ? state : { kind: 'idle', attempt: state.attempt };
    case 'close':
      return { kind: 'closed', attempt: state.attempt };
    case 'rotate':
      return afterRotation(state);
    case 'nudge':
    case 'online':
    case 'visible':
      return state.kind === 'waiting' && !state.advised ? connect(state, state.failures) : state;
    case 'offline':
    case 'hidden':
      return state;
    default:
      // M2
      return event.attempt === state.attempt ? afterOwn(state, event) : state;
  }
}

/** The number of what the state owns, or nothing: M1. */
export function ownedBy(state: MachineState): string {
  switch (state.kind) {
    case 'connecting':
    case 'reading':
      return `attempt ${state.attempt}`;
    case 'waiting':
    case 'pacing':
      return `timer ${state.attempt}`;
    case 'idle':
    case 'closed':
      return '';
  }
}

type OwnEvent = Extract<MachineEvent, { attempt: number }>;

function afterOwn(state: MachineState, event: OwnEvent): MachineState {
  switch (state.kind) {
    case 'connecting':
    case 'reading':
      return afterAttempt(state, event);
    case 'waiting':
      return event.kind === 'due' ? connect(state, state.failures) : state;
    case 'pacing':
      return event.kind === 'due' ? connect(state, 0) : state;
    case 'idle':
    case 'closed':
      return state;
  }
}

function afterAttempt(state: Extract<MachineState, { kind: 'connecting' | 'reading' }>, event: OwnEvent): MachineState {
  const { attempt, failures } = state;
  switch (event.kind) {
    case 'opened':
      return state.kind === 'reading' ? state : { kind: 'reading', attempt, failures };
    case 'progress':
      return state.kind === 'reading' && failures === 0 ? state : { kind: 'reading', attempt, failures: 0 }; // M3
    case 'lost': {
      const advised = event.fault.retryAfterMs !== undefined;
      const delayMs = delayAfter(failures, event.fault.retryAfterMs, event.roll);
      return { kind: 'waiting', attempt, failures: failures + 1, delayMs, advised, fault: event.fault };
    }
    case 'ended':
      return event.fault === undefined ? { kind: 'idle', attempt } : { kind: 'idle', attempt, fault: event.fault };
    case 'due':
      return state;
  }
}

/** M6. Where no attempt runs there is nothing to pace. */
function afterRestart(state: Exclude<MachineState, { kind: 'closed' }>): MachineState {
  if (state.kind === 'pacing') return state;
  const runs = state.kind === 'connecting' || state.kind === 'reading';
  return runs ? { kind: 'pacing', attempt: state.attempt } : connect(state, 0);
}

/**
 * An attempt that has not opened yet will ask for the token itself; one that reads goes on in the next attempt, with the
 * new token, from its cursors (B4). A pause goes on unless the missing token was its reason.
 */
function afterRotation(state: MachineState): MachineState {
  if (state.kind === 'reading') return connect(state, state.failures);
  if (state.kind === 'waiting' && state.fault.kind === 'auth-unavailable') return connect(state, state.failures);
  return state;
}

function connect(state: MachineState, failures: number): MachineState {
  return { kind: 'connecting', attempt: state.attempt + 1, failures };
}

/**
 * Exponential with full jitter. Advice wins; it is spread upwards by a quarter, so that a thousand clients who heard the same
 * do not come back in the same instant, and after a failure it is never less than the base (M3).
 */
function delayAfter(failures: number, adviceMs: number | undefined, roll: number): number {
  if (adviceMs === undefined) return backoffMs(failures, BACKOFF_BASE_MS, BACKOFF_CAP_MS) * roll;
  return Math.max(adviceMs, failures === 0 ? 0 : BACKOFF_BASE_MS) * (1 + roll / 4);
}
