/**
 * The gateway's side of the guard: a command whose life is tied to this process, to a signal and to a time limit.
 *
 * 1. The order goes through a pipe that stays open for as long as the command may live. Any way in which this process
 *    ends closes it, and the guard ends the command's whole group.
 * 2. `ended` resolves exactly once, when the group is gone.
 * 3. If the guard itself is killed, this side kills the group, and on Linux whatever has its mark.
 * 4. Output is read as it is consumed: a slow consumer slows the command by its pipe.
 */
import { spawn, type ChildProcessByStdio } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { createInterface } from 'node:readline';
import type { Readable, Writable } from 'node:stream';
import { fileURLToPath } from 'node:url';
import type { RunContext } from '@holdfast/session';
import type { GuardOrder, GuardReport } from './guard.ts';
import { strays } from './strays.ts';

export type Command = Omit<GuardOrder, 'mark' | 'graceMs'> & {
  readonly timeoutMs: number;
  readonly graceMs?: number;
};

export type CommandEnd =
  | {
      readonly kind: 'exited';
      readonly exitCode: number | null;
      readonly signal: string | null;
      readonly stderr: string;
    }
  | { readonly kind: 'timed-out' | 'cancelled' }
  | { readonly kind: 'failed'; readonly reason: string };

export interface GuardedCommand {
  /** UTF-8, split at no character; ends when the command has closed it or is gone. */
  readonly output: AsyncIterable<string>;
  readonly ended: Promise<CommandEnd>;
  /** Ends the whole group; may be called at any time and again. */
  stop(): void;
}

type Stop = 'timed-out' | 'cancelled' | null;
type GuardProcess = ChildProcessByStdio<Writable, Readable, null>;

const GUARD_FILE = fileURLToPath(new URL('guard.ts', import.meta.url));
const GRACE_MS = 1_000;
/** How long output may still come after the group is gone: only a process that escaped can hold the pipe. */
const DRAIN_MS = 1_000;

const NEVER_STARTED: GuardedCommand = {
  output: readAll(null),
  ended: Promise.resolve({ kind: 'cancelled' }),
  stop: () => {},
};

export function startGuarded(
  { timeoutMs, graceMs = GRACE_MS, ...command }: Command,
  { signal, clock }: Pick<RunContext, 'signal' | 'clock'>,
): GuardedCommand {
  if (signal.aborted) return NEVER_STARTED;
  const guard = spawn(process.execPath, [GUARD_FILE], {
    // A session of its own: Ctrl+C at the gateway's terminal must not reach it before the pipe closes.
    detached: true,
    stdio: ['pipe', 'pipe', 'ignore', 'pipe'],
    env: {},
  }) as GuardProcess;
  const life = new AbortController();
  let stopped: Stop = null;
  const stop = (why: Exclude<Stop, null>): void => {
    stopped ??= why;
    guard.stdin.destroy();
  };
  const onAbort = (): void => stop('cancelled');
  const order: GuardOrder = { ...command, graceMs, mark: randomUUID() };
  // A guard that died before it read its order is seen by its exit.
  guard.stdin.on('error', () => {});
  guard.stdin.write(`${JSON.stringify(order)}\n`);
  signal.addEventListener('abort', onAbort, { once: true });
  void clock.sleep(timeoutMs, life.signal).then(() => (life.signal.aborted ? undefined : stop('timed-out')));

  const ended = verdictOf(guard, order.mark).then((end) => {
    life.abort();
    signal.removeEventListener('abort', onAbort);
    guard.stdin.destroy();
    drain(guard.stdout, clock);
    return stopped === null ? end : ({ kind: stopped } as const);
  });
  guard.stdout.setEncoding('utf8');
  return { output: readAll(guard.stdout), ended, stop: () => stop('cancelled') };
}

async function verdictOf(guard: GuardProcess, mark: string): Promise<CommandEnd> {
  let group: number | null = null;
  let end: CommandEnd | null = null;
  const reports = createInterface({ input: guard.stdio[3] as Readable });
  reports.on('line', (line) => {
    const report = JSON.parse(line) as GuardReport;
    if (report.kind === 'started') group = report.pid;
    else end = report.kind === 'ended' ? { ...report, kind: 'exited' } : report;
  });
  // Both: reports may still be in the pipe when the process is gone.
  const [spawnError] = await Promise.all([
    new Promise<Error | null>((resolve) => {
      guard.once('error', resolve);
      guard.once('exit', () => resolve(null));
    }),
    new Promise<void>((resolve) => {
      reports.once('close', () => resolve());
    }),
  ]);
  if (end !== null) return end;
  killAll(group, mark); // rule 3
  return { kind: 'failed', reason: spawnError?.message ?? 'The guard of the command ended without a word.' };
}

/** The rest of the output may still be read; a stream that does not end, or that nobody reads, is closed. */
function drain(output: Readable, clock: RunContext['clock']): void {
  const closed = new AbortController();
  output.once('close', () => closed.abort());
  if (!output.destroyed) void clock.sleep(DRAIN_MS, closed.signal).then(() => output.destroy());
}

/** A guard that had no time to tell of its group has marked it: by now the command runs, or its end of the reports would be open. */
function killAll(group: number | null, mark: string): void {
  for (const target of [...(group === null ? [] : [-group]), ...strays(group ?? NO_GROUP, mark)]) {
    try {
      process.kill(target, 'SIGKILL');
    } catch {
      // It is gone already.
    }
  }
}
const NO_GROUP = -1;

/** A stream that is destroyed ends here like one that ended: how the command ended is told by `ended`. */
async function* readAll(stream: Readable | null): AsyncGenerator<string> {
  if (stream === null) return;
  try {
    for await (const chunk of stream) yield chunk as string;
  } catch (error) {
    if (!stream.destroyed) throw error;
  }
}
