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

/** What SQLite says of a file that cannot be read or written; anything else is a bug and stays what it is. */
export function ofDatabase(file: string, error: unknown): unknown {
  if (!(error instanceof Error) || !('code' in error) || !String(error.code).startsWith('SQLITE_')) return error;
  if (error.code === 'SQLITE_FULL')
    return new FaultError(
      fault(
        'storage-full',
        `${file} cannot be written: the disk is full. Make room and run the command again; it goes on.`,
      ),
      { cause: error },
    );
  const detail = `${file} cannot be used (${error.message}). "holdfast doctor" reads every page; if it is damaged, restore a backup.`;
  return new FaultError(fault('storage-unavailable', detail), { cause: error });
}
