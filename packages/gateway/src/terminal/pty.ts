/**
 * A process on a pseudo-terminal: its bytes, its input, its size, its end. The only file that knows which library makes ptys.
 *
 * Of `@lydell/node-pty` only the native part is used, by its `fork` and `resize`, which is why its version is pinned. Its own stream
 * destroys the socket 200 ms after the process has exited: what a paused reader had not taken by then, up to some kilobytes, is
 * lost, and nothing says so. It also queues input without a bound, and a socket's own writes would block this process for as long as the
 * program does not read: libuv knows no other kind for the upper end of a pty.
 *
 * 1. `onData` gets every byte that the process wrote, also what it wrote before it exited while reading was paused.
 * 2. `onEnd` comes once, after the last byte, with how the process ended. A process that left others behind on its terminal is
 *    over when they have been quiet for `QUIET_MS`; while reading is paused it is not over.
 * 3. `write` never waits. What the program has not read yet is held, up to a bound: beyond it the answer is false, and nothing was taken.
 * 4. `hangUp` sends SIGHUP to the process group. `kill` sends SIGKILL to every process of the session, on Linux to those that made
 *    groups of their own too (a shell's jobs), and ends the terminal. When the gateway itself is killed the kernel hangs up.
 * 5. Nothing of the gateway's environment is handed on but a short list.
 */
import { readdirSync, readFileSync, writeSync } from 'node:fs';
import { createRequire } from 'node:module';
import { constants } from 'node:os';
import { ReadStream } from 'node:tty';
import type { TerminalExit, TerminalSize } from '@holdfast/protocol';
import type { Clock, Timer } from '@holdfast/session';

export interface PtyOrder extends TerminalSize {
  readonly file: string;
  readonly args: readonly string[];
  readonly cwd: string;
  readonly env: Readonly<Record<string, string>>;
}

export interface PtyEvents {
  onData(bytes: Buffer): void;
  onEnd(exit: TerminalExit): void;
}

export interface Pty {
  readonly pid: number;
  pause(): void;
  resume(): void;
  write(bytes: Uint8Array): boolean;
  resize(size: TerminalSize): void;
  hangUp(): void;
  kill(): void;
}

export type SpawnPty = (order: PtyOrder, events: PtyEvents) => Pty;

interface NativePty {
  fork(
    file: string,
    args: readonly string[],
    env: readonly string[],
    cwd: string,
    cols: number,
    rows: number,
    uid: number,
    gid: number,
    utf8: boolean,
    helper: string,
    onExit: (exitCode: number, signal: number) => void,
  ): { readonly fd: number; readonly pid: number };
  resize(fd: number, cols: number, rows: number): void;
}

const QUIET_MS = 250;
/** Input that the process has not read yet. */
const INPUT_BYTES_MAX = 262_144;
/** How often a program that does not read is offered its input. */
const OFFER_MS = 20;
const NOBODY = -1;
const NOTHING = Buffer.alloc(0);
const SAFE_NAMES = /^(?:PATH|HOME|USER|LOGNAME|SHELL|LANG|LANGUAGE|LC_[A-Z]+|TZ|TMPDIR)$/;

/** Rule 5. */
export const environmentOf = (env: Readonly<Record<string, string | undefined>>): Record<string, string> => ({
  ...Object.fromEntries(
    Object.entries(env).flatMap(([name, value]) =>
      value !== undefined && SAFE_NAMES.test(name) ? [[name, value]] : [],
    ),
  ),
  TERM: 'xterm-256color',
  COLORTERM: 'truecolor',
});

/** @returns undefined on a platform that has none */
export function loadPty(clock: Clock): SpawnPty | undefined {
  if (process.platform === 'win32') return undefined;
  const binary = `@lydell/node-pty-${process.platform}-${process.arch}`;
  try {
    const require = createRequire(createRequire(import.meta.url).resolve('@lydell/node-pty'));
    const native = require(`${binary}/pty.node`) as NativePty;
    const helper = process.platform === 'darwin' ? require.resolve(`${binary}/spawn-helper`) : '';
    return (order, events) => new NodePty(native, helper, clock, order, events);
  } catch {
    return undefined;
  }
}

type Life =
  | { readonly kind: 'running' }
  /** The process has exited; its terminal may still hold bytes. */
  | { readonly kind: 'exited'; readonly exit: TerminalExit; readonly quiet: Timer | undefined }
  | { readonly kind: 'over' };

class NodePty implements Pty {
  readonly pid: number;
  readonly #native: NativePty;
  readonly #clock: Clock;
  readonly #events: PtyEvents;
  readonly #fd: number;
  readonly #stream: ReadStream;
  #life: Life = { kind: 'running' };
  #isPaused = false;
  #isClosed = false;
  /** Input that the program has not read yet (rule 3). */
  #input: Buffer = NOTHING;
  #offer: Timer | undefined;

  constructor(native: NativePty, helper: string, clock: Clock, order: PtyOrder, events: PtyEvents) {
    const { file, args, cwd, env, cols, rows } = order;
    this.#native = native;
    this.#clock = clock;
    this.#events = events;
    const pairs = Object.entries({ ...env, PWD: cwd }).map(([name, value]) => `${name}=${value}`);
    const forked = native.fork(file, args, pairs, cwd, cols, rows, NOBODY, NOBODY, false, helper, this.#onExit);
    this.pid = forked.pid;
    this.#fd = forked.fd;
    this.#stream = new ReadStream(forked.fd);
    this.#stream.on('data', (bytes: Buffer) => {
      this.#awaitQuiet();
      events.onData(bytes);
    });
    // EIO is how a terminal says that nobody is left on it.
    this.#stream.on('error', () => undefined);
    this.#stream.on('close', () => {
      this.#isClosed = true;
      this.#offer?.cancel();
      this.#finish();
    });
  }

  pause(): void {
    this.#isPaused = true;
    this.#stream.pause();
    this.#awaitQuiet();
  }

  resume(): void {
    this.#isPaused = false;
    this.#stream.resume();
    this.#awaitQuiet();
  }

  write(bytes: Uint8Array): boolean {
    if (this.#input.length + bytes.length > INPUT_BYTES_MAX) return false;
    this.#input = Buffer.concat([this.#input, bytes]);
    this.#offerInput();
    return true;
  }

  resize({ cols, rows }: TerminalSize): void {
    if (!this.#stream.destroyed) this.#native.resize(this.#fd, cols, rows);
  }

  hangUp(): void {
    if (this.#life.kind === 'running') signal(-this.pid, 'SIGHUP');
  }

  kill(): void {
    for (const pid of sessionOf(this.pid)) signal(pid, 'SIGKILL');
    if (this.#life.kind === 'running') signal(-this.pid, 'SIGKILL');
    this.#stream.destroy();
  }

  readonly #onExit = (exitCode: number, signalNumber: number): void => {
    const exit = signalNumber === 0 ? { exitCode, signal: null } : { exitCode: null, signal: nameOf(signalNumber) };
    this.#life = { kind: 'exited', exit, quiet: undefined };
    this.#awaitQuiet();
    this.#finish();
  };

  /** The descriptor is non-blocking; once the stream is destroyed its number may be another file's. */
  #offerInput(): void {
    this.#offer?.cancel();
    this.#offer = undefined;
    try {
      while (this.#input.length > 0 && !this.#stream.destroyed)
        this.#input = this.#input.subarray(writeSync(this.#fd, this.#input));
    } catch (error) {
      // Whatever else is wrong, reading says it too.
      if ((error as NodeJS.ErrnoException).code === 'EAGAIN')
        this.#offer = this.#clock.after(OFFER_MS, () => this.#offerInput());
    }
  }

  /** Rule 2. */
  #awaitQuiet(): void {
    if (this.#life.kind !== 'exited') return;
    this.#life.quiet?.cancel();
    const quiet = this.#isPaused ? undefined : this.#clock.after(QUIET_MS, () => this.#hearOnceMore());
    this.#life = { ...this.#life, quiet };
  }

  /** A timer may be late and so run before what came meanwhile was read. */
  #hearOnceMore(): void {
    const waited = this.#life;
    setImmediate(() => setImmediate(() => this.#life === waited && this.#stream.destroy()));
  }

  #finish(): void {
    if (this.#life.kind !== 'exited' || !this.#isClosed) return;
    const { exit, quiet } = this.#life;
    quiet?.cancel();
    this.#life = { kind: 'over' };
    this.#events.onEnd(exit);
  }
}

function signal(pid: number, name: 'SIGHUP' | 'SIGKILL'): void {
  try {
    process.kill(pid, name);
  } catch {
    // It is gone.
  }
}

const nameOf = (signalNumber: number): string =>
  Object.entries(constants.signals).find(([, number]) => number === signalNumber)?.[0] ?? `SIG${signalNumber}`;

/** Rule 4: the processes whose session the terminal's process leads. */
function sessionOf(leader: number): readonly number[] {
  if (process.platform !== 'linux') return [];
  return readdirSync('/proc').flatMap((name) => {
    if (!/^\d+$/.test(name)) return [];
    try {
      // pid (name) state ppid pgrp session …: a name may hold anything, so the fields are counted from its end.
      const fields = readFileSync(`/proc/${name}/stat`, 'latin1')
        .replace(/^.*\) /s, '')
        .split(' ');
      return Number(fields[3]) === leader ? [Number(name)] : [];
    } catch {
      return [];
    }
  });
}
