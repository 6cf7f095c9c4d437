/** What PostgreSQL says when it does not do something, as Holdfast's faults. */
import { fault, FaultError, type Fault } from '@holdfast/protocol';
import type { Refused } from '../port.ts';

/** What PostgreSQL says when it refuses an operation for a reason of its own (SQLSTATE classes 53, 57, 58, 08 and read-only). */
export function isConnectionError(error: unknown): boolean {
  const code = error instanceof Error && 'code' in error ? String(error.code) : '';
  return !/^[0-9A-Z]{5}$/.test(code) || /^(08|53|57|58|25006)/.test(code);
}

export function faultOfError(error: unknown): Fault {
  if (error instanceof FaultError) return error.fault;
  const code = error instanceof Error && 'code' in error ? String(error.code) : '';
  const said = error instanceof Error ? error.message : String(error);
  if (code === '53100')
    return fault('storage-full', 'The disk of the PostgreSQL server is full. Nothing was stored; make room there.', {
      retryAfterMs: 2_000,
    });
  return fault('storage-unavailable', `The PostgreSQL server did not do it: ${said}`, { retryAfterMs: 1_000 });
}

export const unavailable = (error: unknown): Extract<Refused, { kind: 'unavailable' }> => ({
  kind: 'unavailable',
  fault: faultOfError(error),
});
