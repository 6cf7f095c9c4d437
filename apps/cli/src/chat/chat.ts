/**
 * `holdfast chat`: a conversation in the terminal, or one message in a script.
 *
 * 1. A session that is named is gone on with. Without a name it is the one that changed last, and for a script a new one.
 * 2. A turn that runs or waits when we come is attended first: a prompt that another client left open is asked here.
 */
import type { HoldfastClient, Session, SessionSummary, TurnEnd } from '@holdfast/client';
import { fault, FaultError } from '@holdfast/protocol/fault';
import { parseId, type SessionId } from '@holdfast/protocol/ids';
import { call, withClient, type ConnectOptions } from '../connect.ts';
import { badInput, EXIT } from '../failure.ts';
import { json, oneLine } from '../text.ts';
import { Asides } from './asides.ts';
import { attend, type Attendance, type Stage } from './conversation.ts';

import { Interrupts } from './interrupts.ts';
import { nobody, PipedPerson, TerminalPerson, type Person } from './person.ts';
import { Printer } from './printer.ts';

export interface ChatOptions extends ConnectOptions {
  readonly new: boolean;
  readonly agent?: string;
  readonly model?: string;
  /** true: the message is read from stdin. */
  readonly once?: string | true;
  readonly json: boolean;
}

export async function chat(id: string | undefined, options: ChatOptions): Promise<void> {
  if (options.json && options.once === undefined) throw badInput('--json is for --once.');
  const message = options.once === true || options.once === '-' ? await readStdin() : options.once;
  if (message?.trim() === '') throw badInput('The message is empty. Give it after --once, or on standard input.');
  process.exitCode = await withClient(options, async (client, gateway) => {
    // Fails at once, and with the cure, where a session that retries would wait.
    await call(client, 'GET', '/v1/me');
    const session = await openSession(client, id, options);
    const interrupts = new Interrupts();
    const printer = new Printer();
    const person = personFor(options, interrupts, printer);
    const stage: Stage = { client, session, person, printer, interrupts };
    const asides = new Asides(stage, gateway);
    const unwatch = [watchConnection(client, printer), watchOutbox(session, printer)];
    try {
      return await (message === undefined ? converse(stage, asides) : sendOnce(stage, message, options.json));
    } finally {
      for (const end of unwatch) end();
      await asides.close();
      interrupts.end();
      // A line that is still waited for would keep the process.
      process.stdin.destroy();
    }
  });
}

function personFor({ once }: ChatOptions, interrupts: Interrupts, printer: Printer): Person {
  if (once === true || once === '-') return nobody;
  return process.stdin.isTTY ? new TerminalPerson(interrupts, printer) : new PipedPerson(printer);
}

async function readStdin(): Promise<string> {
  let all = '';
  for await (const chunk of process.stdin.setEncoding('utf8')) all += String(chunk);
  return all.replace(/\r?\n$/, '');
}

// ── the session ─────────────────────────────────────────────────────────────────────────────────────────────────────

async function openSession(
  client: HoldfastClient,
  name: string | undefined,
  { new: isNew, agent, model, once }: ChatOptions,
): Promise<Session> {
  const id = name === undefined ? undefined : parseId<SessionId>(name);
  if (name !== undefined && id === undefined)
    throw badInput(`'${oneLine(name, 80)}' is no session's id. "holdfast sessions" lists them.`);
  const known = id ?? (isNew || once !== undefined || agent !== undefined ? undefined : await lastSession(client));
  if (known === undefined || isNew)
    return client.createSession({
      ...(known === undefined ? {} : { id: known }),
      ...(agent === undefined ? {} : { agent }),
      ...(model === undefined ? {} : { model }),
    });
  const session = client.session(known);
  const { status } = await session.ready();
  if (status === 'ready') return session;
  throw new FaultError(
    fault(
      'session-not-found',
      status === 'deleted'
        ? `Session ${known} was deleted.`
        : `There is no session ${known}. "holdfast sessions" lists them, --new makes one of this id.`,
    ),
  );
}

async function lastSession(client: HoldfastClient): Promise<string | undefined> {
  const { sessions } = (await call(client, 'GET', '/v1/sessions?limit=20')) as {
    readonly sessions: readonly SessionSummary[];
  };
  return sessions.find(({ archived }) => !archived)?.sessionId;
}

// ── talking ─────────────────────────────────────────────────────────────────────────────────────────────────────────

async function converse(stage: Stage, asides: Asides): Promise<number> {
  const { session, person, interrupts } = stage;
  greet(session);
  const attended = await attendRunning(stage);
  for (let attendance = attended; ;) {
    if (attendance?.kind === 'waiting') return sayWaiting(stage, attendance);
    if (attendance?.kind === 'left') return EXIT.interrupted;
    const message = await Promise.race([person.message(), interrupts.left]);
    if (interrupts.isLeaving) return EXIT.interrupted;
    if (typeof message !== 'string') return EXIT.ok;
    const isTaken = message.trim() === '' || (await asides.take(message));
    attendance = isTaken ? undefined : await attend(stage, await session.send(message));
  }
}

/** Rule 2. */
async function attendRunning(stage: Stage): Promise<Attendance | undefined> {
  const { session } = stage;
  const { view } = await session.ready();
  return view.turn === null ? undefined : attend(stage, session.turn(view.turn.turnId));
}

function greet({ id, store }: Session): void {
  if (!process.stderr.isTTY) return;
  const { view } = store.getSnapshot();
  const title = view.title === null ? '' : ` ${oneLine(view.title, 60)}`;
  process.stderr.write(`${id}${title}\nCtrl-C stops an answer, Ctrl-D leaves. /btw QUESTION asks beside.\n`);
  const last = view.messages.at(-1);
  if (last !== undefined) process.stderr.write(`\n${oneLine(last.text, 400)}\n`);
}

async function sendOnce(stage: Stage, message: string, isJson: boolean): Promise<number> {
  const { session } = stage;
  const turn = await session.send(message);
  const attendance = await attend(isJson ? { ...stage, printer: new SilentPrinter() } : stage, turn);
  if (attendance.kind === 'waiting') return sayWaiting(stage, attendance);
  if (attendance.kind === 'left') return EXIT.interrupted;
  if (isJson) process.stdout.write(json(resultOf(session.id, attendance.end)));
  const isWhole = attendance.end.kind === 'ended' && attendance.end.outcome === 'completed';
  const isStopped = attendance.end.kind === 'ended' && attendance.end.outcome === 'cancelled';
  return isWhole ? EXIT.ok : isStopped ? EXIT.interrupted : EXIT.failed;
}

class SilentPrinter extends Printer {
  override part(): void {}
}

const resultOf = (sessionId: SessionId, end: TurnEnd): object =>
  end.kind === 'ended'
    ? {
        sessionId,
        turnId: end.turnId,
        outcome: end.outcome,
        text: end.text,
        ...(end.reason === undefined ? {} : { reason: end.reason }),
        ...(end.fault === undefined ? {} : { fault: end.fault.kind }),
        ...(end.usage === undefined ? {} : { usage: end.usage }),
      }
    : { sessionId, outcome: end.kind };

function sayWaiting({ session, printer }: Stage, { prompt }: Extract<Attendance, { kind: 'waiting' }>): number {
  printer.note(`the turn waits for an answer: ${oneLine(prompt.title, 200)}`);
  printer.note(`it is kept; answer by: holdfast chat ${session.id}`);
  return EXIT.waiting;
}

/** Rule 1 of `conversation.ts`: a pause is told, once. */
function watchConnection({ connection }: HoldfastClient, printer: Printer): () => void {
  let isLost = false;
  return connection.subscribe(() => {
    const { kind } = connection.getSnapshot();
    if (!isLost && (kind === 'waiting' || kind === 'offline'))
      printer.note('the connection is lost; it is tried again, nothing is missed');
    if (isLost && kind === 'live') printer.note('connected again');
    isLost = kind === 'live' ? false : isLost || kind === 'waiting' || kind === 'offline';
  });
}

/** A gateway that is there and takes nothing (its disk is full) is told once a message; it is sent again by itself. */
function watchOutbox({ store }: Session, printer: Printer): () => void {
  let told: string | undefined;
  return store.subscribe(() => {
    for (const { clientId, state, fault } of store.getSnapshot().outbox) {
      if (clientId === told || state !== 'unconfirmed' || fault === undefined || fault.kind === 'disconnected')
        continue;
      told = clientId;
      printer.note(`not sent yet, it is tried again: ${oneLine(fault.detail, 400)}`);
    }
  });
}
