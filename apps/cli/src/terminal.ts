/**
 * `holdfast terminal`: a terminal of the gateway's machine in this one. It outlives a lost connection, and this command too:
 * Ctrl-] leaves it running, `--attach` takes it up again.
 *
 * 1. Bytes go through as they are, both ways: what a program draws is what is seen, and every key but Ctrl-] is the program's.
 * 2. The command ends as the program did: its exit code, or 128 and the number of the signal.
 * 3. This terminal is left as it was found, whatever happens.
 */
import { execFileSync } from 'node:child_process';
import { once } from 'node:events';
import { constants } from 'node:os';
import { TerminalClient, type Terminal, type TerminalExit, type TerminalSize } from '@holdfast/client';
import { findGateway, type ConnectOptions } from './connect.ts';
import { EXIT } from './failure.ts';
import { json, oneLine } from './text.ts';

export interface TerminalOptions extends ConnectOptions {
  readonly attach?: string;
  readonly list: boolean;
  readonly json: boolean;
}

/** Ctrl-], as in telnet. */
const LEAVE = 0x1d;
/** What a terminal says for "no more input": where a line was begun the first of two only ends that. */
const END_OF_INPUT = '\u0004';
const LINE_FEED = 0x0a;

export async function terminal(command: readonly string[], options: TerminalOptions): Promise<void> {
  const gateway = await findGateway(options);
  const { url, credentials } = gateway;
  const transport = gateway.transport();
  const terminals = new TerminalClient({ baseUrl: url, transport, credentials });
  try {
    if (options.list) return await list(terminals, options.json);
    const opened =
      options.attach === undefined
        ? await terminals.open({ ...(command.length === 0 ? {} : { command }), ...sizeHere() })
        : terminals.attach(options.attach);
    await attend(opened);
  } finally {
    transport.close();
  }
}

async function list(terminals: TerminalClient, asJson: boolean): Promise<void> {
  for (const info of await terminals.list()) {
    const { terminalId, state, startedAt, command } = info;
    process.stdout.write(
      asJson ? json(info) : `${terminalId}  ${state.padEnd(7)}  ${startedAt}  ${oneLine(command.join(' '), 60)}\n`,
    );
  }
}

async function attend(terminal: Terminal): Promise<void> {
  const { stdin, stdout } = process;
  const resize = (): void => void terminal.resize(sizeHere()).catch(() => {});
  const leave = (): void => {
    terminal.detach();
    process.stderr.write(`\r\n[It goes on. holdfast terminal --attach ${terminal.terminalId}]\r\n`);
  };
  const restore = stdin.isTTY ? makeRaw() : () => undefined;
  if (stdout.isTTY) {
    stdout.on('resize', resize);
    resize();
  }
  const typing = type(terminal, leave);
  // In a terminal Ctrl-C is the program's; a script that is interrupted ends what it began.
  const interrupt = (): void => {
    process.exitCode = EXIT.interrupted;
    void terminal.close();
  };
  // `holdfast terminal … | head`: nobody reads any more.
  const hangUp = (): void => {
    restore();
    void terminal.close().finally(() => process.exit(EXIT.ok));
  };
  process.once('SIGTERM', leave).once('SIGINT', interrupt);
  stdout.once('unread', hangUp);
  try {
    for await (const { bytes } of terminal)
      if (!stdout.write(bytes)) await once(stdout, 'drain').catch(() => undefined);
    const exit = await terminal.exit.catch(() => undefined);
    if (exit !== undefined) process.exitCode = exitCodeOf(exit);
  } finally {
    typing.end();
    process.off('SIGTERM', leave).off('SIGINT', interrupt);
    stdout.off('resize', resize).off('unread', hangUp);
    restore();
  }
}

/** Rule 1. What is typed faster than it is taken waits in stdin. */
function type(terminal: Terminal, leave: () => void): { end(): void } {
  const { stdin } = process;
  let isOver = false;
  let isLineBegun = false;
  const send = (data: string | Uint8Array): void => {
    stdin.pause();
    terminal.write(data).then(
      () => isOver || stdin.resume(),
      () => undefined,
    );
  };
  const onData = (bytes: Buffer): void => {
    isLineBegun = bytes.at(-1) !== LINE_FEED;
    const at = stdin.isTTY ? bytes.indexOf(LEAVE) : -1;
    if (at === -1) return send(bytes);
    stdin.pause();
    void terminal.write(bytes.subarray(0, at)).then(leave, leave);
  };
  const onEnd = (): void => send(isLineBegun ? END_OF_INPUT.repeat(2) : END_OF_INPUT);
  stdin.on('data', onData).on('end', onEnd);
  return {
    end: () => {
      isOver = true;
      stdin.off('data', onData).off('end', onEnd);
      stdin.pause();
    },
  };
}

/** Node's own raw mode still turns each line feed into two characters, which a program that draws does not expect. */
function makeRaw(): () => void {
  const stty = (...args: readonly string[]): string =>
    execFileSync('stty', args, { stdio: ['inherit', 'pipe', 'ignore'], encoding: 'utf8' }).trim();
  const before = stty('-g');
  stty('raw', '-echo');
  return () => void stty(before);
}

const sizeHere = (): TerminalSize => ({ cols: process.stdout.columns || 80, rows: process.stdout.rows || 24 });

/** Rule 2. */
const exitCodeOf = ({ exitCode, signal }: TerminalExit): number =>
  exitCode ?? 128 + (constants.signals[signal as NodeJS.Signals] ?? 0);
