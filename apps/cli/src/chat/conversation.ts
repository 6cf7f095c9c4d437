/**
 * One turn in front of a person: printed as it comes, its prompts asked, stopped by Ctrl-C.
 *
 * 1. What is printed came out of the session's log. A lost connection is a pause, not an end.
 * 2. Prompts are asked one at a time, while the turn is read on: where another client answers first the question goes away.
 * 3. Leaving ends the reading, never the turn: it runs, or waits, in the gateway.
 */
import type { HoldfastClient, PromptId, PromptPart, Session, Turn, TurnEnd } from '@holdfast/client';
import { FaultError } from '@holdfast/protocol/fault';
import { printable } from '../text.ts';
import type { Interrupts } from './interrupts.ts';
import type { Person } from './person.ts';
import type { Printer } from './printer.ts';

export interface Stage {
  readonly client: HoldfastClient;
  readonly session: Session;
  readonly person: Person;
  readonly printer: Printer;
  readonly interrupts: Interrupts;
}

export type Attendance =
  | { readonly kind: 'end'; readonly end: TurnEnd }
  /** Ctrl-C, twice. */
  | { readonly kind: 'left' }
  /** A prompt is open and nobody here can answer it. */
  | { readonly kind: 'waiting'; readonly prompt: PromptPart };

export async function attend(stage: Stage, turn: Turn): Promise<Attendance> {
  const { interrupts, printer } = stage;
  const waiting = Promise.withResolvers<Attendance>();
  const prompts = new Prompts(stage, (prompt) => waiting.resolve({ kind: 'waiting', prompt }), waiting.reject);
  const release = interrupts.guard(() => {
    printer.note('stopping; Ctrl-C again leaves');
    turn.stop().catch(waiting.reject);
  });
  const left = interrupts.left.then((): Attendance => ({ kind: 'left' }));
  const unwatch = onRefused(stage.client, waiting.reject);
  try {
    return await Promise.race([read(turn, printer, prompts), waiting.promise, left]);
  } finally {
    printer.endText();
    unwatch();
    release();
    prompts.close();
  }
}

/** What no retry can mend (the token was revoked): nothing would come any more. */
function onRefused({ connection }: HoldfastClient, refuse: (error: FaultError) => void): () => void {
  return connection.subscribe(() => {
    const state = connection.getSnapshot();
    if (state.kind === 'closed' && state.fault !== undefined) refuse(new FaultError(state.fault));
  });
}

async function read(turn: Turn, printer: Printer, prompts: Prompts): Promise<Attendance> {
  for await (const part of turn) {
    if (part.type === 'prompt') prompts.see(part.prompt);
    // The turn goes on, so whoever was still asked is not any more.
    if (part.type === 'end') prompts.close();
    printer.part(part);
    if (part.type === 'end') return { kind: 'end', end: part.end };
  }
  return { kind: 'end', end: await turn.done };
}

/** Rule 2. */
class Prompts {
  readonly #stage: Stage;
  readonly #onNobody: (prompt: PromptPart) => void;
  readonly #onError: (error: unknown) => void;
  readonly #open = new Map<PromptId, AbortController>();
  readonly #answered = new Set<PromptId>();
  #last: Promise<void> = Promise.resolve();

  constructor(stage: Stage, onNobody: (prompt: PromptPart) => void, onError: (error: unknown) => void) {
    this.#stage = stage;
    this.#onNobody = onNobody;
    this.#onError = onError;
  }

  see(prompt: PromptPart): void {
    const { promptId, outcome } = prompt;
    if (outcome !== null) {
      this.#open.get(promptId)?.abort();
      this.#open.delete(promptId);
      if (!this.#answered.has(promptId)) this.#stage.printer.note(closing(prompt));
      return;
    }
    if (this.#open.has(promptId)) return;
    const closed = new AbortController();
    this.#open.set(promptId, closed);
    this.#last = this.#last.then(() => this.#ask(prompt, closed.signal)).catch(this.#onError);
  }

  close(): void {
    for (const closed of this.#open.values()) closed.abort();
    this.#open.clear();
  }

  async #ask(prompt: PromptPart, closed: AbortSignal): Promise<void> {
    if (closed.aborted) return;
    const { session, printer, person } = this.#stage;
    const reply = await person.reply(prompt, closed);
    if (reply.kind === 'nobody') this.#onNobody(prompt);
    if (reply.kind !== 'answer') return;
    this.#answered.add(prompt.promptId);
    const result = await session.answer(prompt.promptId, reply.answer);
    if (result.kind === 'closed') printer.note(`too late: ${closing({ ...prompt, ...result })}`);
    if (result.kind === 'fault') throw new FaultError(result.fault);
  }
}

function closing({ outcome, answer, by }: Pick<PromptPart, 'outcome' | 'answer' | 'by'>): string {
  if (outcome !== 'answered') return `the prompt is closed: ${outcome}`;
  return printable(`answered${by === undefined ? '' : ` by ${by}`}: ${answer ?? ''}`);
}
