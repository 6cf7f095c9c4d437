/**
 * A side question (*btw*): asked about a running conversation, answered on a stream of its own.
 *
 * 1. It is no part of the session: nothing of it is in the session's log unless it is kept (`btw-keep`), as one entry.
 * 2. Its stream is `btw-start`, any number of `btw-delta`, one `btw-end`; each has a cursor as an entry has.
 */
import type { Subject } from './entry.ts';
import type { FaultKind } from './fault.ts';
import type { BtwId, TurnId } from './ids.ts';

/**
 * `cancelled`: somebody did, or nobody read it any more. `interrupted`: the process that answered it ended. `limit`: the answer grew
 * too long or took too long; what came stands.
 */
export type BtwOutcome = 'completed' | 'cancelled' | 'failed' | 'interrupted' | 'limit';

export interface BtwStart {
  readonly type: 'btw-start';
  readonly btwId: BtwId;
  readonly author: Subject;
  readonly question: string;
  readonly agent: string;
  /** The turn that ran, or was the last one, when it was asked: where it is shown if it is kept. */
  readonly turnId: TurnId;
}

export interface BtwDelta {
  readonly type: 'btw-delta';
  readonly text: string;
}

export interface BtwEnd {
  readonly type: 'btw-end';
  readonly outcome: BtwOutcome;
  readonly reason?: string;
  readonly fault?: FaultKind;
}

export type BtwEvent = BtwStart | BtwDelta | BtwEnd;
