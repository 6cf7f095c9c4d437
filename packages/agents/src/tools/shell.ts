/**
 * The `shell` tool: one command line, in the workspace, under the guard.
 *
 * What it promises: it starts in the workspace root; its environment is a short safe list; it ends at its time limit,
 * at stop, and with the gateway; its output is bounded. With a sandbox it sees the workspace and the system's programs alone (`sandbox.ts`).
 * What it cannot promise without one: it is not confined. A command can then read and write whatever the gateway's user can, the gateway's
 * own secrets among it, so only an admin may allow it (R90), and the approval says so.
 */
import { existsSync } from 'node:fs';
import { stat } from 'node:fs/promises';
import { z } from 'zod';
import type { ApprovalRight } from '@holdfast/protocol';
import { startGuarded, type Command, type CommandEnd } from './guarded.ts';
import { realPath, sandboxArguments, type Sandbox } from './sandbox.ts';
import { defineTool, type Tool, type ToolContext, type ToolEnd } from './tool.ts';

export interface ShellOptions {
  /** Where commands start. */
  readonly root: string;
  /** The gateway's environment; only the names in `SAFE_NAMES` are passed on. */
  readonly env: Readonly<Record<string, string | undefined>>;
  /** Passed on as they are. */
  readonly extraEnv?: Readonly<Record<string, string>>;
  /** When the model names none. */
  readonly timeoutMs?: number;
  readonly timeoutMsMax?: number;
  /** Default: no sandbox, so that an admin has to allow each command. */
  readonly confinement?: Confinement;
}

export interface Confinement {
  readonly sandbox: Sandbox;
  /** Folders that no command sees: the gateway's data. */
  readonly hidden: readonly string[];
  /** Commands in the sandbox may use the network. */
  readonly network: boolean;
  /** The operator lets everybody with the scope `tools` allow commands that run without a sandbox. */
  readonly allowsUnsandboxed: boolean;
}

export const UNCONFINED: Confinement = {
  sandbox: { kind: 'none', why: 'None was looked for.' },
  hidden: [],
  network: true,
  allowsUnsandboxed: false,
};

/** R90: what a command may touch decides which right allows it. */
export const rightOf = ({ sandbox, allowsUnsandboxed }: Confinement): ApprovalRight =>
  sandbox.kind === 'none' && !allowsUnsandboxed ? 'admin' : 'tools';

const SAFE_NAMES = /^(?:PATH|HOME|USER|LOGNAME|SHELL|LANG|LANGUAGE|LC_[A-Z]+|TZ|TMPDIR)$/;
const TIMEOUT_MS = 120_000;
const TIMEOUT_MS_MAX = 3_600_000;
const SHELLS = ['/bin/bash', '/usr/bin/bash', '/bin/sh'];

export function shellTool(options: ShellOptions): Tool {
  const { root, timeoutMs = TIMEOUT_MS, timeoutMsMax = TIMEOUT_MS_MAX, confinement = UNCONFINED } = options;
  return defineTool({
    name: 'shell',
    needs: rightOf(confinement),
    description:
      'Runs a shell command in the workspace and returns what it prints (standard output and error) and its exit code. ' +
      'There is no terminal and no input. Processes left in the background are ended with the command.',
    input: z.strictObject({
      command: z.string().min(1).max(32_768).describe('The command line, for a POSIX shell.'),
      timeoutSeconds: z
        .number()
        .positive()
        .max(timeoutMsMax / 1000)
        .optional()
        .describe(`After this it is ended. Default: ${timeoutMs / 1000}.`),
    }),
    open: ({ command, timeoutSeconds }) => {
      const limitMs = timeoutSeconds === undefined ? timeoutMs : Math.ceil(timeoutSeconds * 1000);
      return {
        title: 'Run a command',
        detail: `${command}\n\nIt starts in ${root} and may run for ${limitMs / 1000} s. ${reachOf(confinement)}`,
        run: (context) => run(command, limitMs, options, context),
      };
    },
  });
}

async function* run(
  command: string,
  timeoutMs: number,
  { root, env, extraEnv = {}, confinement = UNCONFINED }: ShellOptions,
  context: ToolContext,
): AsyncGenerator<string, ToolEnd, void> {
  if (process.platform === 'win32') return { ok: false, note: 'The shell tool needs a POSIX system.' };
  if (!(await isDirectory(root))) return { ok: false, note: `The workspace ${root} is not a directory.` };
  const file = SHELLS.find((path) => existsSync(path)) ?? 'sh';
  const guarded = startGuarded(
    {
      ...confined([file, '-c', command], root, { ...safeEnvironment(env), ...extraEnv }, confinement),
      cwd: root,
      stderr: 'merge',
      timeoutMs,
    },
    context,
  );
  try {
    yield* guarded.output;
    return endOf(await guarded.ended, timeoutMs);
  } finally {
    guarded.stop();
    await guarded.ended;
  }
}

type Started = Pick<Command, 'file' | 'args' | 'env'>;

function confined(
  [file = 'sh', ...args]: readonly string[],
  root: string,
  env: Readonly<Record<string, string>>,
  { sandbox, hidden, network }: Confinement,
): Started {
  if (sandbox.kind === 'none') return { file, args, env };
  const policy = {
    workspace: realPath(root),
    hidden: hidden.map(realPath),
    network,
    // Its home and its temporary files are in the sandbox's own /tmp.
    env: { ...env, HOME: '/tmp', TMPDIR: '/tmp' },
  };
  return { file: sandbox.file, args: [...sandboxArguments(policy), file, ...args], env: {} };
}

function reachOf({ sandbox, network }: Confinement): string {
  if (sandbox.kind === 'none')
    return 'It is not confined: it can read, change and send whatever the user that runs Holdfast can.';
  return `It runs in a sandbox: it can change the workspace alone, and ${network ? 'use the network' : 'has no network'}.`;
}

function endOf(end: CommandEnd, timeoutMs: number): ToolEnd {
  switch (end.kind) {
    case 'exited':
      if (end.exitCode === 0) return { ok: true };
      return { ok: false, note: end.signal === null ? `Exit code ${end.exitCode}.` : `Ended by ${end.signal}.` };
    case 'timed-out':
      return { ok: false, note: `Ended at its time limit of ${timeoutMs / 1000} s.` };
    case 'cancelled':
      return { ok: false, note: 'Ended: the turn was stopped.' };
    case 'failed':
      return { ok: false, note: `It failed: ${end.reason}` };
  }
}

/** No secret of the gateway reaches a command: what is not on the list is not passed on. */
export function safeEnvironment(env: Readonly<Record<string, string | undefined>>): Record<string, string> {
  const safe: Record<string, string> = { TERM: 'dumb', NO_COLOR: '1', PAGER: 'cat', GIT_TERMINAL_PROMPT: '0' };
  for (const [name, value] of Object.entries(env)) {
    if (value !== undefined && SAFE_NAMES.test(name)) safe[name] = value;
  }
  return safe;
}

const isDirectory = (path: string): Promise<boolean> =>
  stat(path).then(
    (stats) => stats.isDirectory(),
    () => false,
  );
