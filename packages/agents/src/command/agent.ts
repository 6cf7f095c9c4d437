/**
 * The `command` agent: any program is an agent. It gets what was said on its standard input; what it prints is the answer.
 *
 * 1. It runs under the guard (`tools/guard.ts`): a stop, the time limit and the end of the gateway end it.
 * 2. Its standard error is no part of the answer; its tail is the reason where the program fails.
 * 3. It is not resumable: a program cannot be parked.
 */
import type { Agent, AgentEvent, RunContext, RunEnd, RunInput } from '@holdfast/session';
import { startGuarded, type CommandEnd } from '../tools/guarded.ts';
import { safeEnvironment } from '../tools/shell.ts';

export interface CommandConfig {
  /** Default: `command`. */
  readonly name?: string;
  readonly description?: string;
  /** The program and its arguments; no shell is involved. */
  readonly command: readonly [string, ...string[]];
  readonly cwd: string;
  /** The gateway's environment; only the safe part of it is passed on (`safeEnvironment`). */
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly extraEnv?: Readonly<Record<string, string>>;
  /**
   * `text` (default): the messages of this turn. `json`: one line, `{sessionId, turnId, history, messages}`, with messages as
   * `{role, text}`.
   */
  readonly input?: 'text' | 'json';
  /** Default: 10 minutes. */
  readonly timeoutMs?: number;
}

const TIMEOUT_MS = 600_000;

export function commandAgent(config: CommandConfig): Agent {
  return {
    name: config.name ?? 'command',
    description: config.description ?? `Answers with what ${config.command[0]} prints`,
    resumable: false,
    run: (input, context) => run(input, context, config),
  };
}

async function* run(
  input: RunInput,
  context: RunContext,
  config: CommandConfig,
): AsyncGenerator<AgentEvent, RunEnd, void> {
  const [file, ...args] = config.command;
  const { cwd, env, extraEnv = {}, timeoutMs = TIMEOUT_MS } = config;
  const guarded = startGuarded(
    {
      file,
      args,
      cwd,
      env: { ...safeEnvironment(env), ...extraEnv },
      stdin: stdinOf(input, config),
      stderr: 'report',
      timeoutMs,
    },
    context,
  );
  try {
    for await (const text of guarded.output) yield { type: 'text', text };
    return endOf(await guarded.ended, file, timeoutMs);
  } finally {
    guarded.stop();
    await guarded.ended;
  }
}

function stdinOf({ sessionId, turnId, history, messages }: RunInput, { input = 'text' }: CommandConfig): string {
  if (input === 'text') return messages.map(({ text }) => `${text}\n`).join('');
  const plain = (list: typeof messages): unknown => list.map(({ role, text }) => ({ role, text }));
  return `${JSON.stringify({ sessionId, turnId, history: plain(history), messages: plain(messages) })}\n`;
}

function endOf(end: CommandEnd, file: string, timeoutMs: number): RunEnd {
  const failed = (why: string): RunEnd => ({ outcome: 'failed', fault: 'agent-crashed', reason: `${file} ${why}` });
  switch (end.kind) {
    case 'exited': {
      if (end.exitCode === 0) return { outcome: 'completed' };
      const how = end.signal === null ? `ended with exit code ${end.exitCode}` : `was ended by ${end.signal}`;
      return failed(`${how}.${end.stderr === '' ? '' : ` It said: ${end.stderr.trim()}`}`);
    }
    case 'timed-out':
      return { outcome: 'limit', reason: `${file} reached its time limit of ${timeoutMs / 1000} s.` };
    case 'cancelled':
      // Whoever cancelled it knows.
      return { outcome: 'completed' };
    case 'failed':
      return failed(`could not be run: ${end.reason}`);
  }
}
