/**
 * All terminals of this process: who may have how many, where one is, and the end of all of them.
 *
 * 1. A terminal lives in the process that made it, and its id names that process. Another node of the same store says `terminal-elsewhere`,
 *    which is worth a retry: a balancer may send the next request to the right one. Where there is one process alone, an id of
 *    another is one of a process that is gone.
 * 2. A terminal is its opener's: another subject's is not there.
 * 3. Who asks twice with one client id gets one terminal; for another command it is refused.
 * 4. There are `perSubjectMax` of a subject and `max` in all. One that has exited and is not read makes room for a new one.
 * 5. A stream outlives its token by less than a second.
 * 6. `close` ends all: SIGHUP, SIGKILL after a grace; it resolves when every process is gone. Nobody gets a new one from then on.
 */
import { homedir } from 'node:os';
import { isDeepStrictEqual } from 'node:util';
import { fault, type Fault, type TerminalSize, type TerminalStatus } from '@holdfast/protocol';
import type { Clock, Timer } from '@holdfast/session';
import type { Principal } from '../auth/principal.ts';
import { newId } from '../auth/secret.ts';
import type { Config } from '../config-table.ts';
import { environmentOf, loadPty, type SpawnPty } from './pty.ts';
import { Terminal, GRACE_MS } from './terminal.ts';

export interface TerminalsOptions {
  readonly clock: Clock;
  readonly config: Pick<Config, 'terminals' | 'workspace' | 'store'>;
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly isValid: (principal: Principal) => boolean;
}

export interface TerminalRequest extends TerminalSize {
  readonly clientId?: string;
  /** Default: the shell. */
  readonly command?: readonly string[];
}

export type Opened =
  | { readonly kind: 'opened'; readonly terminal: Terminal; readonly isNew: boolean }
  | { readonly kind: 'fault'; readonly fault: Fault };
export type Found =
  | { readonly kind: 'found'; readonly terminal: Terminal }
  | { readonly kind: 'fault'; readonly fault: Fault };

/** After the exit and the last reader. */
const LINGER_MS = 60_000;
const SWEEP_MS = 250;
const ID_PATTERN = /^tm_([0-9a-f]{8})_[0-9a-f]{24}$/;

export class Terminals {
  readonly #options: TerminalsOptions;
  readonly #spawn: SpawnPty | undefined;
  readonly #node: string = newId('n').slice(2, 10);
  readonly #terminals = new Map<string, Terminal>();
  #sweep: Timer | undefined;
  #isClosing = false;
  /** Of `close`. */
  #onEmpty: (() => void) | undefined;

  constructor(options: TerminalsOptions) {
    this.#options = options;
    this.#spawn = options.config.terminals.on === 'on' ? loadPty(options.clock) : undefined;
  }

  get isOn(): boolean {
    return this.#spawn !== undefined;
  }

  get size(): number {
    return this.#terminals.size;
  }

  /** What their output takes. */
  get memoryBytes(): number {
    return [...this.#terminals.values()].reduce((bytes, terminal) => bytes + terminal.memoryBytes, 0);
  }

  open(principal: Principal, { clientId, command, cols, rows }: TerminalRequest): Opened {
    const { subject } = principal;
    const spawn = this.#spawn;
    if (spawn === undefined) return { kind: 'fault', fault: this.#off() };
    const { config, env, clock } = this.#options;
    const { shell, idleMs, windowBytes } = config.terminals;
    const [file = shell ?? env['SHELL'] ?? '/bin/sh', ...args] = command ?? [];
    for (const terminal of this.#terminals.values())
      if (clientId !== undefined && terminal.clientId === clientId && terminal.subject === subject)
        return isDeepStrictEqual(terminal.command, [file, ...args])
          ? { kind: 'opened', terminal, isNew: false }
          : { kind: 'fault', fault: reused(clientId) };
    const refusal = this.#refusal(principal);
    if (refusal !== undefined) return { kind: 'fault', fault: refusal };

    const terminal = new Terminal({
      terminalId: `tm_${this.#node}_${newId('x').slice(2)}`,
      subject,
      opener: principal,
      clientId,
      order: { file, args, cols, rows, cwd: config.workspace ?? homedir(), env: environmentOf(env) },
      spawn,
      clock,
      windowBytes,
      idleMs,
      lingerMs: LINGER_MS,
      onGone: this.#forget,
    });
    this.#terminals.set(terminal.terminalId, terminal);
    this.#sweep ??= clock.after(SWEEP_MS, this.#check);
    return { kind: 'opened', terminal, isNew: true };
  }

  /** Rules 1 and 2. */
  find(principal: Principal, terminalId: string): Found {
    if (this.#spawn === undefined) return { kind: 'fault', fault: this.#off() };
    const terminal = this.#terminals.get(terminalId);
    if (terminal?.subject === principal.subject) return { kind: 'found', terminal };
    const node = ID_PATTERN.exec(terminalId)?.[1];
    if (node !== undefined && node !== this.#node && this.#options.config.store.kind === 'postgres')
      return {
        kind: 'fault',
        fault: fault(
          'terminal-elsewhere',
          `This terminal belongs to the process ${node}, and this is ${this.#node}. Ask again: another node may answer.`,
          { retryAfterMs: 200, facts: { node } },
        ),
      };
    return {
      kind: 'fault',
      fault: fault(
        'terminal-not-found',
        'There is no such terminal here: it was closed, or its gateway was restarted. Open another.',
      ),
    };
  }

  list(principal: Principal): Fault | readonly TerminalStatus[] {
    if (this.#spawn === undefined) return this.#off();
    return [...this.#terminals.values()]
      .filter(({ subject }) => subject === principal.subject)
      .map((terminal) => terminal.status());
  }

  checkTokens(): void {
    for (const terminal of this.#terminals.values()) terminal.checkToken(this.#options.isValid);
  }

  /** Rule 6. */
  async close(): Promise<void> {
    this.#isClosing = true;
    for (const terminal of this.#terminals.values()) terminal.end(true);
    if (this.#terminals.size > 0) await new Promise<void>((resolve) => (this.#onEmpty = () => resolve()));
    this.#sweep?.cancel();
  }

  /** Rule 4. */
  #refusal({ subject }: Principal): Fault | undefined {
    if (this.#isClosing)
      return fault('shutting-down', 'The gateway is shutting down. Open a terminal on another, or in a moment.', {
        retryAfterMs: GRACE_MS,
      });
    const { max, perSubjectMax } = this.#options.config.terminals;
    const isOf = (terminal: Terminal): boolean => terminal.subject === subject;
    return this.#fullAt(max, () => true, 'this gateway') ?? this.#fullAt(perSubjectMax, isOf, subject);
  }

  #fullAt(max: number, isOf: (terminal: Terminal) => boolean, whose: string): Fault | undefined {
    const terminals = [...this.#terminals.values()].filter(isOf);
    if (terminals.length < max) return undefined;
    const spent = terminals.find((terminal) => terminal.isOver && !terminal.isRead);
    if (spent !== undefined) return void spent.end(true);
    return fault('too-many-terminals', `${max} terminals of ${whose} are open, which is the limit. Close one.`, {
      retryAfterMs: 5_000,
      facts: { max },
    });
  }

  #off(): Fault {
    return fault(
      'terminals-off',
      this.#options.config.terminals.on === 'on'
        ? 'This platform has no pty that the gateway could use, so it opens no terminals.'
        : 'This gateway opens no terminals. Whoever runs it turns them on by HOLDFAST_TERMINALS=on.',
    );
  }

  readonly #check = (): void => {
    this.#sweep = this.#terminals.size === 0 ? undefined : this.#options.clock.after(SWEEP_MS, this.#check);
    this.checkTokens();
  };

  readonly #forget = (terminal: Terminal): void => {
    this.#terminals.delete(terminal.terminalId);
    if (this.#terminals.size === 0) this.#onEmpty?.();
  };
}

const reused = (clientId: string): Fault =>
  fault(
    'client-id-reused',
    `The client id ${clientId} was used for a terminal with another command. Choose a new one.`,
  );
