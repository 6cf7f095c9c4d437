/** Why a source or a target cannot be used, each with its cure. */
import { fault, FaultError } from '@holdfast/protocol';
import type { Origin } from './port.ts';

const refusal = (detail: string): FaultError => new FaultError(fault('invalid-request', detail));

export const notEmpty = (target: string, streams: number): FaultError =>
  refusal(
    `${target} is not empty: it holds ${streams} streams, and two stores cannot become one. Name an empty target; ` +
      'single sessions go from one gateway to another by "holdfast export" and "holdfast import".',
  );

export const otherDraft = (target: string, origin: string, { from }: Origin): FaultError =>
  refusal(
    origin === from
      ? `${target} holds an unfinished migration of ${from}, which has changed since: somebody has worked on it. ` +
          'Run the command with --restart to begin anew.'
      : `${target} holds an unfinished migration of ${origin}, not of ${from}. ` +
          'Finish that one, or run the command with --restart to drop what it has copied.',
  );

export const isInUseByUs = (target: string): FaultError =>
  refusal(`${target} is the source as well. Name another target.`);
