/**
 * The agent of a session in memory: takes what waits, plays the script's steps, heeds stop, steers and answers.
 *
 * 1. Everything it knows it reads off the log's view, at each step: there is no queue or flag of its own.
 */
import type { RunEvent, TurnOutcome } from '@holdfast/protocol/entry';
import type { FaultKind } from '@holdfast/protocol/fault';
import { answerIdOf, promptIdOf, toolIdOf, turnIdOf, type PromptId, type TurnId } from '@holdfast/protocol/ids';
import type { QueuedMessage } from '@holdfast/protocol/view';

import type { MemoryLog } from './memory-log.ts';

export type Step =
  /** Text of the answer. */
  | string
  | { readonly type: 'thinking'; readonly text: string }
  | {
      readonly type: 'tool';
      readonly name: string;
      readonly input?: unknown;
      readonly output: string;
      readonly ok?: boolean;
    }
  /** Waits for a person; the answer is what `yield` returns. */
  | {
      readonly type: 'prompt';
      readonly kind?: 'approval' | 'question';
      readonly title: string;
      readonly choices?: readonly string[];
    }
  | { readonly type: 'data'; readonly name: string; readonly data: unknown }
  | { readonly type: 'end'; readonly outcome: TurnOutcome; readonly reason?: string; readonly fault?: FaultKind };

/** What is answered to a message. Each `await` in it is a pause of the stream. */
export type Script = (message: {
  readonly sessionId: string;
  readonly turnId: string;
  readonly text: string;
}) => AsyncGenerator<Step, void, string | undefined> | Generator<Step, void, string | undefined> | string;

type End = Extract<Step, { type: 'end' }>;
const COMPLETED: End = { type: 'end', outcome: 'completed' };

/** From now on every message of this log is answered. */
export function startRuns(log: MemoryLog, script: Script): void {
  const run = new MemoryRun(log, script);
  log.subscribe(() => queueMicrotask(() => void run.drain()));
}

class MemoryRun {
  readonly #log: MemoryLog;
  readonly #script: Script;
  #running = false;

  constructor(log: MemoryLog, script: Script) {
    this.#log = log;
    this.#script = script;
  }

  async drain(): Promise<void> {
    if (this.#running) return;
    this.#running = true;
    try {
      for (let [head] = this.#log.view.queue; head !== undefined; [head] = this.#log.view.queue) {
        await this.#turn(head);
        await Promise.resolve();
      }
    } finally {
      this.#running = false;
    }
  }

  async #turn(head: QueuedMessage): Promise<void> {
    const { view } = this.#log;
    const turnId = turnIdOf(head.messageId);
    const original = view.turns.find((node) => node.turnId === head.again);
    this.#append({
      type: 'turn-start',
      turnId,
      messageIds: original?.messageIds ?? [head.messageId],
      messageId: answerIdOf(turnId),
      agent: 'script',
      attempt: 1,
      parent: original === undefined ? (head.after === undefined ? view.leaf : head.after) : original.parent,
      ...(original === undefined ? {} : { cause: head.messageId }),
    });
    const text = original === undefined ? head.text : this.#textOf(original.messageIds[0]);
    const { outcome, reason, fault } = await this.#play(turnId, text);
    this.#append({
      type: 'turn-end',
      turnId,
      outcome,
      ...(reason === undefined ? {} : { reason }),
      ...(fault === undefined ? {} : { fault }),
    });
    this.#append({ type: 'usage', turnId, inputTokens: 1, outputTokens: 1, durationMs: 1 });
    this.#append({ type: 'stream-end', turnId });
  }

  async #play(turnId: TurnId, text: string): Promise<End> {
    let steps: Exclude<ReturnType<Script>, string> | undefined;
    try {
      const played = this.#script({ sessionId: this.#log.sessionId, turnId, text });
      steps = typeof played === 'string' ? words(played) : played;
      let said: string | undefined;
      for (;;) {
        this.#injectSteers(turnId);
        if (this.#isStopped(turnId)) return { type: 'end', outcome: 'cancelled' };
        const step = await Promise.race([steps.next(said), this.#stopped(turnId)]);
        if (step === undefined || this.#isStopped(turnId)) return { type: 'end', outcome: 'cancelled' };
        if (step.done === true) return COMPLETED;
        if (typeof step.value === 'object' && step.value.type === 'end') return step.value;
        said = await this.#perform(turnId, step.value);
      }
    } catch (error) {
      return { type: 'end', outcome: 'failed', reason: String(error), fault: 'agent-crashed' };
    } finally {
      void Promise.resolve(steps?.return?.()).catch(() => {});
    }
  }

  async #perform(turnId: TurnId, step: Exclude<Step, End>): Promise<string | undefined> {
    const messageId = answerIdOf(turnId);
    if (typeof step === 'string') {
      this.#append({ type: 'text-delta', turnId, messageId, text: step });
      return undefined;
    }
    switch (step.type) {
      case 'thinking':
        this.#append({ type: 'thinking-delta', turnId, messageId, text: step.text });
        return undefined;
      case 'data':
        this.#append({ type: 'data', turnId, name: step.name, data: step.data });
        return undefined;
      case 'tool': {
        const { name, input = {}, output, ok = true } = step;
        const toolId = toolIdOf(turnId, (this.#log.view.turn?.toolCount ?? 0) + 1);
        this.#append({ type: 'tool-request', turnId, toolId, name, input });
        this.#append({ type: 'tool-start', turnId, toolId, name, input });
        this.#append({ type: 'tool-end', turnId, toolId, ok, output, durationMs: 1 });
        return undefined;
      }
      case 'prompt':
        return this.#ask(turnId, step);
    }
  }

  async #ask(
    turnId: TurnId,
    { kind = 'question', title, choices = [] }: Extract<Step, { type: 'prompt' }>,
  ): Promise<string | undefined> {
    const promptId = promptIdOf(turnId, (this.#log.view.turn?.promptCount ?? 0) + 1);
    this.#append({ type: 'prompt-open', turnId, promptId, kind, title, detail: '', choices, deadlineAt: null });
    const given = await this.#until(
      () => this.#isStopped(turnId) || this.#answerTo(promptId) !== undefined,
      () => this.#answerTo(promptId),
    );
    if (given === undefined) return undefined;
    this.#append({ type: 'prompt-close', turnId, promptId, outcome: 'answered', answer: given.answer, by: given.by });
    return given.answer;
  }

  #answerTo(promptId: PromptId): { readonly answer: string; readonly by: string } | undefined {
    return this.#log.view.turn?.answers.find((answer) => answer.promptId === promptId);
  }

  #injectSteers(turnId: TurnId): void {
    for (const { messageId } of this.#log.view.turn?.steers ?? [])
      this.#append({ type: 'steer-end', turnId, messageId, outcome: 'injected' });
  }

  #isStopped(turnId: TurnId): boolean {
    const { turn } = this.#log.view;
    return turn?.turnId !== turnId || turn.stopping !== null;
  }

  #stopped(turnId: TurnId): Promise<undefined> {
    return this.#until(
      () => this.#isStopped(turnId),
      () => undefined,
    );
  }

  #until<T>(isTrue: () => boolean, value: () => T): Promise<T> {
    return new Promise((resolve) => {
      const look = (): void => {
        if (!isTrue()) return;
        end();
        resolve(value());
      };
      const end = this.#log.subscribe(look);
      look();
    });
  }

  #textOf(messageId: string | undefined): string {
    return [...this.#log.view.messages, ...this.#log.view.offPath].find(({ id }) => id === messageId)?.text ?? '';
  }

  #append(event: RunEvent): void {
    this.#log.append(event);
  }
}

function* words(text: string): Generator<Step, void, string | undefined> {
  for (const word of text.match(/\s*\S+\s*$|\s*\S+/g) ?? []) yield word;
}
