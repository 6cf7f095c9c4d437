/** What a side question is answered where it cannot be had: one place for the words, and for the bounds that they name. */
import { fault, type BtwEnd, type BtwId, type Fault } from '@holdfast/protocol';
import type { Refused } from '@holdfast/log';

/** Of one subject in one session, in one process. */
export const BTWS_MAX = 4;
export const PROCESS_BTWS_MAX = 256;
const RETRY_MS = 2_000;

export const notFound = (btwId: BtwId): Fault =>
  fault('btw-not-found', `There is no side question ${btwId} here, or not any more. Ask it again.`);

export const faultOfStream = (gone: Refused, btwId: BtwId): Fault =>
  gone.kind === 'unavailable' ? gone.fault : notFound(btwId);

export const unfinished = (btwId: BtwId, end: BtwEnd | undefined): Fault =>
  fault(
    'btw-unfinished',
    end === undefined
      ? `The side question ${btwId} is still being answered. Keep it when its answer is whole.`
      : `The side question ${btwId} ended ${end.outcome}. Only a whole answer can be kept; ask it again.`,
    { facts: { state: end?.outcome ?? 'running' } },
  );

export const unsupported = (agent: string): Fault =>
  fault('btw-unsupported', `The agent ${agent} answers no side questions. Send it as a message instead.`);

export const tooMany = (ofAsker: number): Fault =>
  fault(
    'too-many-btws',
    ofAsker >= BTWS_MAX
      ? `${BTWS_MAX} side questions of yours are being answered in this session. Cancel one, or wait.`
      : `${PROCESS_BTWS_MAX} side questions are being answered here. Wait a moment.`,
    { retryAfterMs: RETRY_MS, facts: { btwsMax: BTWS_MAX } },
  );

export const invalidCursor = (btwId: BtwId): Fault =>
  fault('invalid-cursor', `The cursor names no record of ${btwId}. Read it from its start: leave the cursor out.`);

export const NOTHING_TO_ASK_ABOUT: Fault = fault(
  'turn-not-found',
  'The session has no turn yet to ask about. Send a message first.',
);

export const NO_LEASE: Fault = fault(
  'storage-unavailable',
  'This process has no lease on the store. Ask again in a moment.',
  {
    retryAfterMs: RETRY_MS,
  },
);
