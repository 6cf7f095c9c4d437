/** A session service on the memory log with agents that a test scripts, and commands with less to type. */
import { openMemoryLog, MemoryStore } from '@holdfast/log/memory';
import type { Log } from '@holdfast/log';
import type {
  Answer,
  ClientId,
  Command,
  Entry,
  MessageId,
  PromptId,
  SessionId,
  TurnId,
  View,
} from '@holdfast/protocol';
import {
  decodeEntry,
  openSessionService,
  systemClock,
  type Agent,
  type AgentEvent,
  type Clock,
  type Receipt,
  type RunContext,
  type RunEnd,
  type RunInput,
  type SessionService,
  type SessionServiceOptions,
} from '../src/index.ts';

export type Script = (input: RunInput, context: RunContext) => AsyncGenerator<AgentEvent, RunEnd, void>;

export const scripted = (run: Script, more: Partial<Agent> = {}): Agent => ({
  name: 'scripted',
  description: 'A scripted agent.',
  resumable: true,
  run,
  ...more,
});

/** Answers each message with its own words, one token each. */
export const echo: Script = async function* echoScript(input) {
  for (const word of input.messages
    .map((message) => message.text)
    .join(' ')
    .split(' '))
    yield { type: 'text', text: `${word} ` };
  return { outcome: 'completed' };
};

let drawn = 0;
export const fresh = (prefix: string): string => `${prefix}_${++drawn}`;

export class World {
  readonly service: SessionService;
  readonly log: Log;
  readonly store: MemoryStore;
  readonly sessionId: SessionId;

  private constructor(service: SessionService, log: Log, store: MemoryStore, sessionId: SessionId) {
    this.service = service;
    this.log = log;
    this.store = store;
    this.sessionId = sessionId;
  }

  static async open(
    agents: readonly Agent[],
    options: Partial<SessionServiceOptions> & {
      readonly store?: MemoryStore;
      readonly sessionId?: SessionId;
      readonly clock?: Clock;
    } = {},
  ): Promise<World> {
    const store = options.store ?? new MemoryStore();
    const log = openMemoryLog({ clock: options.clock ?? systemClock, store });
    const service = await openSessionService({
      log,
      agents,
      randomId: () => fresh('holder'),
      sweepMs: 20,
      onError: (error) => {
        throw error;
      },
      ...options,
    });
    const sessionId = options.sessionId ?? (fresh('s') as SessionId);
    await service.create({ type: 'session-open', sessionId, clientId: `open-${sessionId}` as ClientId, author: 'ann' });
    return new World(service, log, store, sessionId);
  }

  submit(
    command: Omit<Command, 'clientId' | 'author'> & { readonly clientId?: string; readonly author?: string },
  ): Promise<Receipt> {
    return this.service.submit(this.sessionId, {
      clientId: fresh('c') as ClientId,
      author: 'ann',
      ...command,
    } as Command);
  }

  async say(
    text: string,
    more: {
      readonly whenBusy?: 'queue' | 'interrupt' | 'steer';
      readonly merge?: boolean;
      readonly author?: string;
      readonly clientId?: string;
      readonly after?: TurnId | null;
    } = {},
  ): Promise<Extract<Receipt, { kind: 'ok' }>> {
    const receipt = await this.submit({
      type: 'message',
      messageId: fresh('m') as MessageId,
      text,
      whenBusy: 'queue',
      ...more,
    } as never);
    if (receipt.kind !== 'ok') throw new Error(receipt.fault.detail);
    return receipt;
  }

  stop(turnId: TurnId, queue: 'keep' | 'clear' = 'keep', partial?: 'keep' | 'discard'): Promise<Receipt> {
    return this.submit({ type: 'stop', turnId, queue, ...(partial === undefined ? {} : { partial }) } as never);
  }

  answer(promptId: PromptId, answer: Answer): Promise<Receipt> {
    return this.submit({ type: 'prompt-answer', promptId, answer } as never);
  }

  async view(): Promise<View> {
    const found = await this.service.snapshot(this.sessionId);
    if (found.kind !== 'ok') throw new Error(found.fault.detail);
    return found.view;
  }

  /** The view as soon as it is as wanted; looked at after every batch of entries. */
  async until(wanted: (view: View) => boolean): Promise<View> {
    const first = await this.view();
    if (wanted(first)) return first;
    const subscription = this.log.subscribe(`session/${this.sessionId}`, first.seq);
    try {
      for (;;) {
        const next = await subscription.next();
        if (next.kind !== 'records') throw new Error(`The log ended: ${next.kind}.`);
        const view = await this.view();
        if (wanted(view)) return view;
      }
    } finally {
      subscription.cancel();
    }
  }

  idle(): Promise<View> {
    return this.until(
      (view) => view.turn === null && view.queue.length === 0 && view.closing === null && view.turns.length > 0,
    );
  }

  async entries(): Promise<readonly Entry[]> {
    const page = await this.log.read(`session/${this.sessionId}`, { after: 0 });
    return page.kind === 'page' ? page.records.map((record) => decodeEntry(record)) : [];
  }

  async close(): Promise<void> {
    await this.service.close();
    await this.log.close();
  }
}

export const types = (entries: readonly Entry[]): readonly string[] => entries.map((entry) => entry.type);
