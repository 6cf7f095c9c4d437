/**
 * The guard: a small process between the gateway and a command, which sees to it that the command never outlives the
 * gateway, not even one that was killed with -9. It is started by `guarded.ts` and runs alone: of Holdfast it imports
 * `strays.ts`.
 *
 *   fd 0  from the gateway: one line of JSON (`GuardOrder`), then nothing more; its end says stop
 *   fd 1  the command's output goes straight to the gateway, not through here
 *   fd 3  to the gateway: lines of JSON (`GuardReport`)
 *
 * 1. The command leads a process group of its own. At the end of fd 0 the whole group gets SIGTERM, and SIGKILL after `graceMs`.
 * 2. When the command ends by itself, what it left in its group is ended the same way: nothing outlives the call.
 * 3. On Linux a process that left the group (`setsid`) is found by the mark in its environment and killed too. One that
 *    left the group *and* emptied its environment is not found: this is a leash, not a jail.
 * 4. If the gateway died before the order arrived, nothing is started.
 */
// oxlint-disable no-restricted-globals -- a process of its own has no clock to be given
import { spawn, type ChildProcess } from 'node:child_process';
import { writeSync } from 'node:fs';
import { MARK_NAME, strays } from './strays.ts';

export interface GuardOrder {
  readonly file: string;
  readonly args: readonly string[];
  readonly cwd: string;
  readonly env: Readonly<Record<string, string>>;
  readonly stdin?: string;
  /** `merge`: into the output, in order. `report`: its tail is in the last report. */
  readonly stderr: 'merge' | 'report';
  readonly graceMs: number;
  /** A random word, set in the command's environment as `MARK_NAME`. */
  readonly mark: string;
}

export type GuardReport =
  | { readonly kind: 'started'; readonly pid: number }
  | { readonly kind: 'failed'; readonly reason: string }
  | {
      readonly kind: 'ended';
      readonly exitCode: number | null;
      readonly signal: string | null;
      readonly stderr: string;
    };

const ORDER_CHARS_MAX = 64 * 1024 * 1024;
const STDERR_CHARS_MAX = 8 * 1024;
const POLL_MS = 20;

type Phase =
  | { readonly kind: 'ordering'; readonly text: string }
  | { readonly kind: 'running'; readonly child: ChildProcess; readonly order: GuardOrder }
  | { readonly kind: 'over' };

let phase: Phase = { kind: 'ordering', text: '' };

function main(): void {
  process.stdin.setEncoding('utf8');
  process.stdin.on('data', (chunk: string) => hear(chunk));
  process.stdin.on('close', stop);
  process.stdin.on('error', stop);
  for (const signal of ['SIGTERM', 'SIGINT', 'SIGHUP'] as const) process.on(signal, stop);
}

function hear(chunk: string): void {
  if (phase.kind !== 'ordering') return;
  const text = phase.text + chunk;
  if (text.length > ORDER_CHARS_MAX) process.exit(1);
  phase = text.endsWith('\n') ? start(JSON.parse(text) as GuardOrder) : { kind: 'ordering', text };
}

function start(order: GuardOrder): Phase {
  const { file, args, cwd, stdin, stderr } = order;
  const child = spawn(file, args, {
    cwd,
    env: { ...order.env, [MARK_NAME]: order.mark },
    detached: true,
    stdio: [stdin === undefined ? 'ignore' : 'pipe', 1, stderr === 'merge' ? 1 : 'pipe'],
  });
  let errorTail = '';
  child.stderr?.setEncoding('utf8').on('data', (text: string) => {
    errorTail = (errorTail + text).slice(-STDERR_CHARS_MAX);
  });
  // A command that does not read its input closes it: no reason to fail.
  child.stdin?.on('error', () => {});
  child.stdin?.end(stdin);
  child.on('error', (error) => finish({ kind: 'failed', reason: error.message }));
  child.on('spawn', () => report({ kind: 'started', pid: child.pid ?? 0 }));
  child.on('exit', (exitCode, signal) => {
    void endGroup(child.pid ?? 0, order).then(() => finish({ kind: 'ended', exitCode, signal, stderr: errorTail }));
  });
  return { kind: 'running', child, order };
}

/** Rule 1. `exit` follows, and with it the report. */
function stop(): void {
  if (phase.kind === 'ordering') process.exit(0);
  if (phase.kind === 'running' && phase.child.pid !== undefined) void endGroup(phase.child.pid, phase.order);
}

/** SIGTERM to everything that is left, SIGKILL after the grace; resolves when nothing is. */
async function endGroup(pid: number, { graceMs, mark }: GuardOrder): Promise<void> {
  signalAll(pid, mark, 'SIGTERM');
  for (let waitedMs = 0; waitedMs < graceMs && isAnyLeft(pid, mark); waitedMs += POLL_MS) {
    await new Promise((resolve) => setTimeout(resolve, POLL_MS));
  }
  signalAll(pid, mark, 'SIGKILL');
}

function signalAll(group: number, mark: string, signal: NodeJS.Signals): void {
  for (const target of [-group, ...strays(group, mark)]) {
    try {
      process.kill(target, signal);
    } catch {
      // It is gone, which is what was wanted.
    }
  }
}

function isAnyLeft(group: number, mark: string): boolean {
  if (process.platform === 'linux') return strays(group, mark).length > 0;
  try {
    process.kill(-group, 0);
    return true;
  } catch {
    return false;
  }
}

function finish(last: GuardReport): void {
  if (phase.kind === 'over') return;
  phase = { kind: 'over' };
  report(last);
  process.exit(0);
}

function report(line: GuardReport): void {
  try {
    writeSync(3, `${JSON.stringify(line)}\n`);
  } catch {
    // The gateway is gone; the group is ended all the same.
  }
}

main();
