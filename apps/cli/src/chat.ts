/**
 * `holdfast chat`: a conversation in the terminal.
 *
 * 1. What is printed came out of the session's log; a lost connection shows as a pause, not as an end.
 * 2. Ctrl-C stops the running turn; with none running, or a second time, it leaves. Leaving stops nothing.
 * 3. A prompt is asked in the terminal; if another client answers first, its answer is shown and the question goes away.
 */
import { isCancel, select, text as askText } from '@clack/prompts';
import type { HoldfastClient, Session, Turn, TurnEnd, TurnPart } from '@holdfast/client';
import { fault, FaultError } from '@holdfast/protocol';
import { createInterface, type Interface } from 'node:readline/promises';
import { withClient, type ConnectOptions } from './connect.ts';

type PromptPart = Extract<TurnPart, { type: 'prompt' }>['prompt'];

export async function chat(
  id: string | undefined,
  options: ConnectOptions & { readonly agent?: string; readonly once?: string },
): Promise<void> {
  await withClient(options, async (client) => {
    const session = await openSession(client, id, options.agent);
    if (options.once === undefined) return converse(session);
    const message = options.once === '-' ? await readStdin() : options.once;
    const end = await printTurn(session, await session.send(message));
    if (end.kind !== 'ended' || end.outcome !== 'completed') process.exitCode = 1;
  });
}

async function openSession(
  client: HoldfastClient,
  id: string | undefined,
  agent: string | undefined,
): Promise<Session> {
  if (id === undefined) return client.createSession(agent === undefined ? {} : { agent });
  const session = client.session(id);
  const { status } = await session.ready();
  if (status !== 'ready')
    throw new FaultError(fault('session-not-found', `There is no session ${id}. "holdfast sessions" lists them.`));
  return session;
}

async function readStdin(): Promise<string> {
  let all = '';
  for await (const chunk of process.stdin.setEncoding('utf8')) all += String(chunk);
  return all.trim();
}

async function converse(session: Session): Promise<void> {
  process.stderr.write(`session ${session.id} — an empty line or Ctrl-D leaves\n`);
  for (;;) {
    const message = await askLine();
    if (message === undefined || message === '') return;
    await printTurn(session, await session.send(message));
  }
}

/** The next line; undefined at the end of the input, or at Ctrl-C. */
async function askLine(): Promise<string | undefined> {
  const lines: Interface = createInterface({ input: process.stdin, output: process.stderr });
  const leave = new AbortController();
  lines.once('SIGINT', () => leave.abort());
  lines.once('close', () => leave.abort());
  try {
    return (await lines.question('\n> ', { signal: leave.signal })).trim();
  } catch {
    return undefined;
  } finally {
    lines.close();
  }
}

async function printTurn(session: Session, turn: Turn): Promise<TurnEnd> {
  let stopped = false;
  const onInterrupt = (): void => {
    if (stopped) process.exit(130);
    stopped = true;
    process.stderr.write('\n(stopping; Ctrl-C again leaves)\n');
    void turn.stop();
  };
  process.on('SIGINT', onInterrupt);
  try {
    for await (const part of turn) await printPart(session, part);
  } finally {
    process.off('SIGINT', onInterrupt);
  }
  const end = await turn.done;
  printEnd(end);
  return end;
}

async function printPart(session: Session, part: TurnPart): Promise<void> {
  switch (part.type) {
    case 'text':
      process.stdout.write(part.text);
      return;
    case 'thinking':
      process.stderr.write(dim(part.text));
      return;
    case 'tool':
      process.stderr.write(part.added === '' ? dim(`\n[${part.tool.name}: ${part.tool.state}]\n`) : dim(part.added));
      return;
    case 'prompt':
      if (part.prompt.outcome === null) await ask(session, part.prompt);
      else process.stderr.write(dim(`[${part.prompt.title}: ${part.prompt.answer ?? part.prompt.outcome}]\n`));
      return;
    case 'steer':
      process.stderr.write(dim(`\n[steered: ${part.text}]\n`));
      return;
    default:
  }
}

/** Rule 3. */
async function ask(session: Session, prompt: PromptPart): Promise<void> {
  const closed = new AbortController();
  const stop = session.store.subscribe(() => {
    const isOpen = session.store.getSnapshot().view.prompts.some((open) => open.promptId === prompt.promptId);
    if (!isOpen) closed.abort();
  });
  try {
    const answer = process.stdin.isTTY ? await askPerson(prompt, closed.signal) : await askPipe(prompt, closed.signal);
    if (answer === undefined) return;
    const result = await session.answer(prompt.promptId, answer);
    if (result.kind === 'closed')
      process.stderr.write(dim(`[it was answered elsewhere: ${result.answer ?? result.outcome}]\n`));
  } finally {
    stop();
  }
}

async function askPerson({ title, detail, choices }: PromptPart, signal: AbortSignal): Promise<string | undefined> {
  const message = detail === '' ? title : `${title}\n${detail}`;
  const asked =
    choices.length === 0
      ? askText({ message, signal })
      : select({ message, signal, options: choices.map((value) => ({ value, label: value })) });
  const answer = await asked;
  return isCancel(answer) ? undefined : answer;
}

/** Without a terminal the answer is the next line of the input. */
async function askPipe({ title, detail, choices }: PromptPart, signal: AbortSignal): Promise<string | undefined> {
  process.stderr.write(`\n${title}\n${detail}\n${choices.length === 0 ? '' : `(${choices.join(', ')}) `}`);
  const lines = createInterface({ input: process.stdin });
  try {
    return (await lines.question('', { signal })).trim();
  } catch {
    return undefined;
  } finally {
    lines.close();
  }
}

function printEnd(end: TurnEnd): void {
  process.stdout.write('\n');
  if (end.kind === 'refused' || end.kind === 'lost') process.stderr.write(`${end.fault.detail}\n`);
  if (end.kind === 'ended' && end.outcome !== 'completed')
    process.stderr.write(`[${end.outcome}] ${end.reason ?? ''}\n`);
}

const dim = (text: string): string => (process.stderr.isTTY ? `\u001B[2m${text}\u001B[22m` : text);
