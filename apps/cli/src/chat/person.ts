/**
 * Who sits at the other end: somebody at a terminal, a pipe with a line for each message, or nobody.
 *
 * 1. A line of a pipe is used once: one that came while a prompt was closed elsewhere is the next message.
 * 2. In an approval what is preselected refuses: whoever pressed Enter a moment too early has not allowed anything.
 * 3. What is pasted at a terminal is one message, however many lines it has, and is sent by Enter. Where the terminal does not say
 *    what is pasted each line is a message: none is lost.
 */
import { createInterface } from 'node:readline';
import { isCancel, select, text as askText } from '@clack/prompts';
import type { PromptPart } from '@holdfast/client';
import { printable } from '../text.ts';
import type { Interrupts } from './interrupts.ts';
import type { Printer } from './printer.ts';

export type Reply =
  | { readonly kind: 'answer'; readonly answer: string }
  /** It was closed elsewhere, or the person pressed Ctrl-C. */
  | { readonly kind: 'none' }
  /** There is nobody who could answer, now or later. */
  | { readonly kind: 'nobody' };

export interface Person {
  /** The next message; undefined: there is none any more. */
  message(): Promise<string | undefined>;
  reply(prompt: PromptPart, closed: AbortSignal): Promise<Reply>;
}

const NONE: Reply = { kind: 'none' };
const NOBODY: Reply = { kind: 'nobody' };
const LABELS: Readonly<Record<string, string>> = {
  once: 'Allow once',
  session: 'Allow for this session',
  always: 'Always allow this tool',
  deny: 'Deny',
};
const SOMETHING_ELSE = '\u0000';

export const nobody: Person = {
  message: () => Promise.resolve(undefined),
  reply: () => Promise.resolve(NOBODY),
};

// ── at a terminal ───────────────────────────────────────────────────────────────────────────────────────────────────

export class TerminalPerson implements Person {
  readonly #interrupts: Interrupts;
  readonly #printer: Printer;
  #history: string[] = [];
  /** Rule 3: lines that came behind the one that was sent, and the one that was begun behind those. */
  #ahead: string[] = [];
  #begun = '';

  constructor(interrupts: Interrupts, printer: Printer) {
    this.#interrupts = interrupts;
    this.#printer = printer;
  }

  async message(): Promise<string | undefined> {
    if (this.#ahead.length > 0) return this.#ahead.shift();
    const { stdin, stderr } = process;
    const input = createInterface({ input: stdin, output: stderr, prompt: '\n› ', history: this.#history });
    const message = Promise.withResolvers<string | undefined>();
    const lines: string[] = [];
    let isPasting = false;
    let isSent = false;
    const onKey = (_text: unknown, { name }: { readonly name?: string }): void => {
      if (name === 'paste-start' || name === 'paste-end') isPasting = name === 'paste-start';
    };
    input.on('line', (line) => {
      (isSent ? this.#ahead : lines).push(line);
      if (isPasting || isSent) return;
      isSent = true;
      message.resolve(lines.join('\n'));
    });
    input.on('history', (history) => (this.#history = history));
    input.once('close', () => message.resolve(undefined));
    input.once('SIGINT', () => {
      this.#interrupts.hear();
      message.resolve(undefined);
    });
    stdin.on('keypress', onKey);
    markPastes(true);
    input.prompt();
    input.write(this.#begun);
    const text = await message.promise;
    this.#begun = input.line;
    markPastes(false);
    stdin.off('keypress', onKey);
    input.close();
    if (text === undefined) stderr.write('\n');
    return text;
  }

  async reply({ kind, title, detail, choices }: PromptPart, closed: AbortSignal): Promise<Reply> {
    this.#printer.pause();
    const message = printable(detail === '' ? title : `${title}\n${detail}`);
    const chosen = await ask(message, kind === 'approval', choices, closed);
    if (typeof chosen === 'string') return { kind: 'answer', answer: chosen };
    if (!closed.aborted) this.#interrupts.hear();
    return NONE;
  }
}

/** Terminals that know it (DECSET 2004) then say where a paste begins and ends. */
function markPastes(on: boolean): void {
  if (process.stderr.isTTY && process.env['TERM'] !== 'dumb')
    process.stderr.write(on ? '\u001B[?2004h' : '\u001B[?2004l');
}

async function ask(
  message: string,
  isApproval: boolean,
  choices: readonly string[],
  signal: AbortSignal,
): Promise<string | symbol> {
  const output = process.stderr;
  if (choices.length === 0) return askText({ message, signal, output });
  const options = choices.map((value) => ({ value, label: LABELS[value] ?? printable(value) }));
  if (!isApproval) options.push({ value: SOMETHING_ELSE, label: 'Something else …' });
  const chosen = await select({
    message,
    signal,
    output,
    options,
    ...(isApproval && choices.includes('deny') ? { initialValue: 'deny' } : {}), // Rule 2.
  });
  if (isCancel(chosen) || chosen !== SOMETHING_ELSE) return chosen;
  return askText({ message: 'Your answer', signal, output });
}

// ── at a pipe ───────────────────────────────────────────────────────────────────────────────────────────────────────

type Next =
  | { readonly kind: 'line'; readonly text: string }
  | { readonly kind: 'end' }
  /** The prompt was closed while the line was waited for. */
  | { readonly kind: 'closed' };

export class PipedPerson implements Person {
  readonly #lines: AsyncIterator<string> = createInterface({ input: process.stdin })[Symbol.asyncIterator]();
  readonly #printer: Printer;
  /** The line that is waited for; it is kept where nobody waits any more (rule 1). */
  #coming: Promise<Next> | undefined;

  constructor(printer: Printer) {
    this.#printer = printer;
  }

  async message(): Promise<string | undefined> {
    const next = await this.#next(new AbortController().signal);
    return next.kind === 'line' ? next.text : undefined;
  }

  async reply({ kind, title, detail, choices }: PromptPart, closed: AbortSignal): Promise<Reply> {
    const hint = choices.length === 0 ? '' : `\n${choices.map((choice, at) => `  ${at + 1} ${choice}`).join('\n')}`;
    this.#printer.note(printable(`${title}\n${detail}${hint}`));
    for (;;) {
      const next = await this.#next(closed);
      if (next.kind !== 'line') return next.kind === 'end' ? NOBODY : NONE;
      const line = next.text.trim();
      const answer = answerOf(line, choices, kind === 'approval');
      if (answer !== undefined) return { kind: 'answer', answer };
      this.#printer.note(`'${printable(line)}' is no answer here. There are: ${choices.join(', ')}`);
    }
  }

  async #next(closed: AbortSignal): Promise<Next> {
    this.#coming ??= this.#lines
      .next()
      .then(({ done, value }) => (done === true ? { kind: 'end' } : { kind: 'line', text: value }));
    const next = await Promise.race([this.#coming, aborted(closed)]);
    if (next.kind !== 'closed') this.#coming = undefined;
    return next;
  }
}

/** By its word or its number. A question takes any text too. */
function answerOf(line: string, choices: readonly string[], isApproval: boolean): string | undefined {
  const byNumber = /^\d{1,3}$/.test(line) ? choices[Number(line) - 1] : undefined;
  if (byNumber !== undefined) return byNumber;
  if (choices.includes(line)) return line;
  return isApproval || line === '' ? undefined : line;
}

const aborted = (signal: AbortSignal): Promise<Next> =>
  new Promise((resolve) => {
    if (signal.aborted) resolve({ kind: 'closed' });
    signal.addEventListener('abort', () => resolve({ kind: 'closed' }), { once: true });
  });
