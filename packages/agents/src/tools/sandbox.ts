/**
 * The sandbox of commands: which part of the machine a command sees (`sandboxArguments`, pure), and whether this machine can build one
 * (`findSandbox`). Linux with bubblewrap and user namespaces has it; elsewhere commands run unconfined, and `needs` of their tools says so.
 *
 * 1. A command sees what is listed here and nothing else: the system's programs and settings, read-only, and its workspace.
 * 2. The data directory is hidden last. Where one lies in the other, the inner one is mounted after the outer one: a workspace within the
 *    data directory is seen alone, and a data directory within the workspace is an empty folder.
 * 3. Processes, sockets (`/run`, `/tmp`) and `/proc` of the machine are out of reach: the command has its own. Without `network` it has no
 *    network either, not even loopback of the machine.
 * 4. bubblewrap itself is started with an empty environment, for `/proc/1/environ` in the sandbox is bubblewrap's; the command's own is set by
 *    arguments.
 */
import { spawnSync } from 'node:child_process';
import { existsSync, realpathSync } from 'node:fs';
import path from 'node:path';

export interface SandboxPolicy {
  /** Writable; the only folder of people's that a command sees. Absolute, without symbolic links. */
  readonly workspace: string;
  /** Hidden. Absolute, without symbolic links. */
  readonly hidden: readonly string[];
  /** Seen read-only besides the system's own folders. */
  readonly readable?: readonly string[];
  readonly network: boolean;
  readonly env: Readonly<Record<string, string>>;
}

export type Sandbox =
  | { readonly kind: 'bubblewrap'; readonly file: string }
  /** `why`: a sentence for the operator. */
  | { readonly kind: 'none'; readonly why: string };

/** Folders of the system that programs need. */
const SYSTEM = ['/usr', '/bin', '/sbin', '/lib', '/lib32', '/lib64', '/libx32', '/opt', '/nix'] as const;
/** Not all of `/etc`: it holds the machine's secrets as well, and a gateway that runs as root could read them. */
const SETTINGS = (
  'passwd group hosts nsswitch.conf resolv.conf protocols services localtime os-release ld.so.cache ld.so.conf ld.so.conf.d ' +
  'alternatives ssl/certs ssl/openssl.cnf pki/tls/certs ca-certificates mime.types gitconfig bash.bashrc profile'
)
  .split(' ')
  .map((name) => `/etc/${name}`);
const PROBE_MS = 5_000;

/** Rules 1 to 4. @returns the arguments of bubblewrap, the command's own excepted */
export function sandboxArguments({ workspace, hidden, readable = [], network, env }: SandboxPolicy): readonly string[] {
  const mounts: Mount[] = [
    ...[...SYSTEM, ...SETTINGS, ...readable].map((at): Mount => ({ at, args: ['--ro-bind-try', at, at] })),
    { at: workspace, args: ['--bind', workspace, workspace] },
    ...hidden.map((at): Mount => ({ at, args: ['--tmpfs', at] })),
  ];
  return [
    '--unshare-all',
    ...(network ? ['--share-net'] : []),
    '--die-with-parent',
    '--clearenv',
    ...Object.entries(env).flatMap(([name, value]) => ['--setenv', name, value]),
    '--dev',
    '/dev',
    '--proc',
    '/proc',
    '--tmpfs',
    '/tmp',
    '--tmpfs',
    '/run',
    ...outerFirst(mounts).flatMap(({ args }) => args),
    '--chdir',
    workspace,
    '--',
  ];
}

interface Mount {
  readonly at: string;
  readonly args: readonly string[];
}

/** Rule 2: a mount covers what was mounted below it before. Of two at one place the later one of the list counts. */
const outerFirst = (mounts: readonly Mount[]): readonly Mount[] =>
  mounts.toSorted((a, b) => depthOf(a.at) - depthOf(b.at));

const depthOf = (place: string): number => place.split('/').filter((part) => part !== '').length;

/** Tries one: a kernel or a container may forbid what bubblewrap needs. */
export function findSandbox(searchPath: string | undefined): Sandbox {
  if (process.platform !== 'linux') return { kind: 'none', why: `There is no sandbox for ${process.platform} yet.` };
  const file = (searchPath ?? '')
    .split(path.delimiter)
    .map((folder) => path.join(folder, 'bwrap'))
    .find((candidate) => path.isAbsolute(candidate) && existsSync(candidate));
  if (file === undefined) return { kind: 'none', why: 'bubblewrap (bwrap) is not installed.' };
  const args = sandboxArguments({ workspace: '/usr', hidden: [], network: false, env: {} });
  const tried = spawnSync(file, [...args, '/bin/sh', '-c', 'exit 0'], { env: {}, timeout: PROBE_MS, encoding: 'utf8' });
  if (tried.status === 0) return { kind: 'bubblewrap', file };
  const said = tried.stderr?.trim().split('\n', 1)[0] ?? tried.error?.message ?? '';
  return { kind: 'none', why: `bubblewrap does not work here: ${said === '' ? 'it gave no reason' : said}.` };
}

/** A folder as the kernel names it: a policy knows no symbolic links. */
export const realPath = (place: string): string => (existsSync(place) ? realpathSync(place) : path.resolve(place));
