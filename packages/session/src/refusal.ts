/** What a session answers where it cannot do what it was asked: one place for the words. */
import { fault, type Fault, type SessionId } from '@holdfast/protocol';
import type { Refused } from '@holdfast/log';

export const refused = (value: Fault): { readonly kind: 'fault'; readonly fault: Fault } => ({
  kind: 'fault',
  fault: value,
});

/** Why a log could not be had, as its session's fault. */
export function faultOf(refusal: Refused, sessionId: SessionId): Fault {
  switch (refusal.kind) {
    case 'missing':
      return fault('session-not-found', `There is no session ${sessionId}.`);
    case 'deleted':
      return fault('session-deleted', `Session ${sessionId} was deleted.`);
    case 'unavailable':
      return refusal.fault;
  }
}

export const SHUTTING_DOWN: Fault = fault(
  'shutting-down',
  'The gateway is shutting down. Send the same request again in a moment.',
  { retryAfterMs: 1_000 },
);
