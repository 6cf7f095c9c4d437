/** Terminals, as the gateway tells of them. Output and input are byte streams; every offset counts from their first byte. */

export interface TerminalSize {
  readonly cols: number;
  readonly rows: number;
}

/** `signal`: its name, where one ended the process. */
export interface TerminalExit {
  readonly exitCode: number | null;
  readonly signal: string | null;
}

export interface TerminalStatus extends TerminalSize {
  readonly terminalId: string;
  readonly state: 'running' | 'exited';
  readonly exit: TerminalExit | null;
  readonly command: readonly string[];
  readonly startedAt: string;
  /** The reader that there is; the opener is 1. */
  readonly reader: number;
  /** Of the output: the first byte that is still here, the first that is not confirmed, the next one to come. */
  readonly start: number;
  readonly confirmed: number;
  readonly end: number;
  /** Of the input: the next byte to come. */
  readonly inputEnd: number;
  /** The process is held up until its reader confirms more. */
  readonly paused: boolean;
  /** So much output may be unconfirmed before it is. */
  readonly windowBytes: number;
}
