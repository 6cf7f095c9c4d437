/**
 * How a command ends when it does not succeed: one text for the person, one exit code for the script.
 *
 * 1. What is expected to fail (a fault, the system's refusal) is one text with its cure. Only a bug shows a stack.
 * 2. `badInput` means that the same command will never work; `failed` that it may work another time.
 */
import { fault, FaultError, type Fault, type FaultKind } from '@holdfast/protocol/fault';

export const EXIT = {
  ok: 0,
  failed: 1,
  badInput: 2,
  /** `chat --once`: the turn waits for a person's answer. It is kept and goes on when the answer comes. */
  waiting: 3,
  /** Ctrl-C, as shells count it. */
  interrupted: 130,
} as const;

const BAD_INPUT: readonly FaultKind[] = [
  'invalid-request',
  'invalid-config',
  'invalid-cursor',
  'session-not-found',
  'token-not-found',
  'agent-not-found',
];

/** For what the person typed. */
export const badInput = (detail: string): FaultError => new FaultError(fault('invalid-request', detail));

export function explain(error: unknown): { readonly text: string; readonly exitCode: number } {
  if (error instanceof FaultError)
    return {
      text: textOf(error.fault),
      exitCode: BAD_INPUT.includes(error.fault.kind) ? EXIT.badInput : EXIT.failed,
    };
  const refusal = refusalOfSystem(error);
  if (refusal !== undefined) return { text: refusal, exitCode: EXIT.failed };
  return {
    text: `this is a bug in Holdfast.\n${error instanceof Error ? (error.stack ?? error.message) : String(error)}`,
    exitCode: EXIT.failed,
  };
}

/** A gateway's details say the cure already; these are raised on our side, where it is known which command helps. */
function textOf({ kind, detail }: Fault): string {
  if (kind === 'unauthorized' || kind === 'auth-refused')
    return `${detail} Give one that is valid by --token or HOLDFAST_TOKEN; "holdfast token create" makes one.`;
  if (kind === 'disconnected')
    return `${/[.!?]$/.test(detail) ? detail : `${detail}.`} Is the gateway running? "holdfast serve" starts one, "holdfast doctor" looks for what is wrong.`;
  return detail;
}

const CURES: Readonly<Record<string, string>> = {
  EACCES: 'may not be used by this user. Change its owner or rights (chown, chmod), or name another.',
  EPERM: 'may not be changed by this user. Change its owner or rights (chown, chmod), or name another.',
  EROFS: 'is on a file system that is read-only. Name a place that can be written.',
  ENOSPC: 'cannot be written: the disk is full. Make room, and try again.',
  EDQUOT: "cannot be written: the user's quota is used up. Make room, and try again.",
  ENOTDIR: 'has a file where a directory should be. Name another path.',
  EEXIST: 'exists already. Name another path.',
  EISDIR: 'is a directory. Name a file.',
  ENOENT: 'is not there. Correct the path.',
};

function refusalOfSystem(error: unknown): string | undefined {
  if (!(error instanceof Error) || !('code' in error) || typeof error.code !== 'string') return undefined;
  const cure = CURES[error.code];
  if (cure === undefined) return undefined;
  if ('path' in error) return `${String(error.path)} ${cure} (${error.code})`;
  // Of a file that is open the system no longer says the name.
  const what = 'syscall' in error ? { write: 'The output', read: 'The input' }[String(error.syscall)] : undefined;
  return what === undefined ? undefined : `${what} ${cure} (${error.code})`;
}
