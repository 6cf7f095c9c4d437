/** What PostgreSQL says when it does not do something, as Holdfast's faults. */
import { fault, FaultError, type Fault } from '@holdfast/protocol';
import type { Refused } from '../port.ts';

/** With a digit: the system's own codes (`EPIPE`) have none. */
const SQLSTATE = /^(?=.*\d)[0-9A-Z]{5}$/;

const CURES: readonly (readonly [RegExp, string])[] = [
  [/^28/, 'Correct the user or the password.'],
  [/^3D000/, "Create it (CREATE DATABASE … ENCODING 'UTF8' LOCALE 'C' TEMPLATE template0), or name another."],
  [/^42501/, 'Give the user that right: a database of its own is best.'],
  [/^55P03/, 'Something else holds the tables, such as a dump. Start again when it is done.'],
  [/^53300/, 'Raise max_connections: a node takes 14.'],
];

/** What PostgreSQL says when it refuses an operation for a reason of its own (SQLSTATE classes 53, 57, 58, 08 and read-only). */
export function isConnectionError(error: unknown): boolean {
  const code = error instanceof Error && 'code' in error ? String(error.code) : '';
  return !SQLSTATE.test(code) || /^(08|53|57|58|25006)/.test(code);
}

/** Addresses are left out: whoever asks a gateway need not know where its database is. */
export function faultOfError(error: unknown): Fault {
  if (error instanceof FaultError) return error.fault;
  const code = error instanceof Error && 'code' in error ? String(error.code) : '';
  const said = error instanceof Error ? error.message : String(error);
  if (code === '53100')
    return fault('storage-full', 'The disk of the PostgreSQL server is full. Nothing was stored; make room there.', {
      retryAfterMs: 2_000,
    });
  return fault('storage-unavailable', detailOf(code, said), { retryAfterMs: 1_000 });
}

function detailOf(code: string, said: string): string {
  if (!SQLSTATE.test(code))
    return `The PostgreSQL server is not reached (${code === '' ? said : code}). Does it run, and is its address right?`;
  const [, cure] = CURES.find(([states]) => states.test(code)) ?? [];
  return `The PostgreSQL server refuses: ${said}.${cure === undefined ? '' : ` ${cure}`}`;
}

export const unavailable = (error: unknown): Extract<Refused, { kind: 'unavailable' }> => ({
  kind: 'unavailable',
  fault: faultOfError(error),
});
