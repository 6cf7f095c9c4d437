/** What the disk or the system says against a database, as a fault with its cure. Anything else is a bug and stays what it is. */
import { fault, FaultError } from '@holdfast/protocol';

/** @param place the file or the directory that was opened, read or written */
export function ofDatabase(place: string, error: unknown): unknown {
  if (!(error instanceof Error) || !('code' in error) || !String(error.code).startsWith('SQLITE_')) return error;
  if (error.code === 'SQLITE_FULL')
    return new FaultError(
      fault('storage-full', `${place} cannot be written: the disk is full. Make room, and run the command again.`),
      { cause: error },
    );
  const detail = `${place} cannot be used (${error.message}). "holdfast doctor" looks at its rights, its disk and its pages; if those are damaged, restore a backup.`;
  return new FaultError(fault('storage-unavailable', detail), { cause: error });
}
