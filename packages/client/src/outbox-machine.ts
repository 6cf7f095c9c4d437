/**
 * The life of a message on its way: pure. `outbox.ts` performs it.
 *
 *   sending ─receipt─▶ accepted      sending ─lost─▶ unconfirmed ─due | retry | hint─▶ sending      sending ─refused─▶ refused
 *
 * B1. A state owns its resource: `sending` one request at most, `unconfirmed` its timer (none where `delayMs` is null: only
 *     new credentials or the person help).
 * B2. Nothing but a receipt, or the view showing the message, makes it `accepted`; nothing makes an accepted one unsent.
 * B3. The idempotency key is the item's for life; nothing here can change it.
 */
import { retryOf, type Fault } from '@holdfast/protocol/fault';

import type { Receipt } from './api.ts';
import { backoffMs } from './backoff.ts';

export type SendState =
  | { readonly kind: 'sending'; readonly failures: number }
  | {
      readonly kind: 'unconfirmed';
      readonly failures: number;
      readonly fault: Fault;
      readonly delayMs: number | null;
    }
  | { readonly kind: 'accepted'; readonly receipt: Receipt }
  | { readonly kind: 'refused'; readonly fault: Fault };

export type SendEvent =
  | { readonly kind: 'receipt'; readonly receipt: Receipt }
  /** `roll` is the jitter's dice, in [0, 1). */
  | { readonly kind: 'fault'; readonly fault: Fault; readonly roll: number }
  | { readonly kind: 'due' }
  /** The network came back, the stream did, the person did, there are new credentials. */
  | { readonly kind: 'hint' }
  | { readonly kind: 'retry' };

const BASE_MS = 1_000;
const CAP_MS = 30_000;

export const SENDING: SendState = { kind: 'sending', failures: 0 };

/** Returns the same object where nothing changes. */
export function transition(state: SendState, event: SendEvent): SendState {
  if (state.kind === 'accepted') return state; // B2
  switch (event.kind) {
    case 'receipt':
      return { kind: 'accepted', receipt: event.receipt };
    case 'fault':
      return state.kind === 'sending' ? afterFault(state.failures, event.fault, event.roll) : state;
    case 'due':
      return state.kind === 'unconfirmed' ? { kind: 'sending', failures: state.failures } : state;
    case 'hint':
      // The server's advice is no pause of ours to cut short.
      return state.kind === 'unconfirmed' && state.fault.retryAfterMs === undefined
        ? { kind: 'sending', failures: state.failures }
        : state;
    case 'retry':
      return state.kind === 'sending' ? state : SENDING;
  }
}

function afterFault(failures: number, fault: Fault, roll: number): SendState {
  const retry = retryOf(fault.kind);
  if (retry === 'auth') return { kind: 'unconfirmed', failures, fault, delayMs: null };
  // A broken answer says nothing about the message; sending it again by its key does no harm.
  if (retry === 'no' && fault.kind !== 'cancelled') return { kind: 'refused', fault };
  const delayMs = fault.retryAfterMs ?? backoffMs(failures, BASE_MS, CAP_MS) * (0.5 + roll / 2);
  return { kind: 'unconfirmed', failures: failures + 1, fault, delayMs };
}
