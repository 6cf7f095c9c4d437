/**
 * Drives an agent without the session package: its events become entries, the real fold makes the view of them, and the
 * view gives the agent its history and its progress.
 */
import { createHash } from 'node:crypto';
import {
  EMPTY_VIEW,
  fold,
  promptIdOf,
  toolIdOf,
  turnIdOf,
  answerIdOf,
  type ClientId,
  type EntryBody,
  type InputPart,
  type Message,
  type MessageId,
  type PromptPart,
  type RunEvent,
  type ToolPart,
  type TurnId,
  type View,
} from '@holdfast/protocol';
import { systemClock, type Agent, type AgentEvent, type RunContext, type RunEnd } from '@holdfast/session';

export interface ConversationOptions {
  readonly clock?: RunContext['clock'];
  readonly granted?: readonly string[];
  /** Called with each event before it is folded: to stop, steer or look. */
  readonly onEvent?: (event: AgentEvent, conversation: Conversation) => void;
}

export interface Ran {
  readonly events: readonly AgentEvent[];
  readonly end: RunEnd;
}

export class Conversation {
  view: View = EMPTY_VIEW;
  abort: AbortController = new AbortController();
  readonly blobs: Map<string, Uint8Array> = new Map<string, Uint8Array>();
  readonly #agent: Agent;
  readonly #options: ConversationOptions;
  #count = 0;

  constructor(agent: Agent, options: ConversationOptions = {}) {
    this.#agent = agent;
    this.#options = options;
  }

  /** Sends a message and runs its turn up to its end or to where it parks. */
  async say(text: string, parts: readonly InputPart[] = []): Promise<Ran> {
    const messageId = this.#nextId();
    this.append({ type: 'message', ...this.#by('ann'), messageId, text, parts, whenBusy: 'queue' });
    const turnId = turnIdOf(messageId);
    const parent = this.view.leaf;
    this.append({
      type: 'turn-start',
      turnId,
      messageIds: [messageId],
      messageId: answerIdOf(turnId),
      agent: this.#agent.name,
      attempt: 1,
      parent,
    });
    return this.run();
  }

  /** Answers the open prompt and goes on; null: it expires. */
  async answer(answer: string | null): Promise<Ran> {
    const [prompt] = this.view.prompts;
    if (prompt === undefined) throw new Error('No prompt is open.');
    const { promptId, turnId } = prompt;
    if (answer === null) {
      this.append({ type: 'prompt-close', turnId, promptId, outcome: 'expired' });
    } else {
      this.append({ type: 'prompt-answer', ...this.#by('ann'), promptId, answer });
      this.append({ type: 'prompt-close', turnId, promptId, outcome: 'answered', answer, by: 'ann' });
    }
    this.append({ type: 'turn-resume', turnId, attempt: 1 });
    return this.run();
  }

  steer(text: string): void {
    const turn = this.#turn();
    const messageId = this.#nextId();
    this.append({ type: 'steer', ...this.#by('ann'), turnId: turn.turnId, messageId, text });
  }

  async run(): Promise<Ran> {
    const turn = this.#turn();
    const events: AgentEvent[] = [];
    const running = this.#agent.run(this.#input(), this.#context());
    try {
      for (;;) {
        const next = await running.next();
        if (next.done === true) {
          this.#end(next.value);
          return { events, end: next.value };
        }
        this.#options.onEvent?.(next.value, this);
        events.push(next.value);
        const entry = this.#entryOf(next.value, turn.turnId);
        if (entry !== null) this.append(entry);
      }
    } finally {
      await running.return({ outcome: 'completed' });
    }
  }

  append(entry: EntryBody): void {
    this.view = fold(this.view, { ...entry, seq: this.view.seq + 1, at: '2030-01-01T00:00:00.000Z' });
  }

  get answerMessage(): Message {
    const message = this.view.messages.findLast(({ role }) => role === 'assistant');
    if (message === undefined) throw new Error('Nothing was answered.');
    return message;
  }

  get text(): string {
    return this.answerMessage.text;
  }

  get tools(): readonly ToolPart[] {
    return this.answerMessage.parts.filter((part) => part.type === 'tool');
  }

  get prompts(): readonly PromptPart[] {
    return this.answerMessage.parts.filter((part) => part.type === 'prompt');
  }

  /** Unlike those of a view that another conversation began. */
  #nextId(): MessageId {
    for (;;) {
      const id = `m_${++this.#count}` as MessageId;
      if (!this.view.turns.some(({ turnId }) => turnId === turnIdOf(id))) return id;
    }
  }

  #turn(): NonNullable<View['turn']> {
    if (this.view.turn === null) throw new Error('No turn runs.');
    return this.view.turn;
  }

  #by(author: string): { readonly clientId: ClientId; readonly author: string } {
    return { clientId: `c_${this.view.seq + 1}` as ClientId, author };
  }

  #input(): Parameters<Agent['run']>[0] {
    const { turnId, messageId, results, attempt } = this.#turn();
    const { messages, model, earlierTurns } = this.view;
    const { parts } = this.answerMessage;
    return {
      sessionId: 's_1',
      turnId,
      model,
      history: messages.filter((message) => message.turnId !== turnId),
      earlierTurns,
      messages: messages.filter((message) => message.turnId === turnId && message.id !== messageId),
      progress: { parts, prompts: parts.filter((part) => part.type === 'prompt'), results },
      attempt,
    };
  }

  #context(): RunContext {
    const { turnId, toolCount, promptCount } = this.#turn();
    let tools = toolCount;
    let prompts = promptCount;
    return {
      signal: this.abort.signal,
      clock: this.#options.clock ?? systemClock,
      toolId: () => toolIdOf(turnId, ++tools),
      promptId: () => promptIdOf(turnId, ++prompts),
      isGranted: (tool) => this.view.grants.includes(tool) || this.#options.granted?.includes(tool) === true,
      takeSteers: () => Promise.resolve(this.#takeSteers(turnId)),
      ask: () => Promise.reject(new Error('These agents are resumable.')),
      openBlob: () => this.#openBlob(),
      readBlob: (hash) => Promise.resolve(this.blobs.get(hash)),
    };
  }

  #takeSteers(turnId: TurnId): readonly { readonly author: string; readonly text: string }[] {
    const taken = this.view.turn?.steers ?? [];
    for (const { messageId } of taken) this.append({ type: 'steer-end', turnId, messageId, outcome: 'injected' });
    return taken.map(({ author, text }) => ({ author, text }));
  }

  #openBlob(): ReturnType<RunContext['openBlob']> {
    const chunks: Uint8Array[] = [];
    return {
      write: (chunk) => Promise.resolve(void chunks.push(chunk)),
      close: () => Promise.resolve(this.putBlob(Buffer.concat(chunks))),
    };
  }

  putBlob(bytes: Uint8Array): string {
    const hash = createHash('sha256').update(bytes).digest('hex');
    this.blobs.set(hash, bytes);
    return hash;
  }

  #entryOf(event: AgentEvent, turnId: TurnId): RunEvent | null {
    const { messageId } = this.#turn();
    switch (event.type) {
      case 'text':
        return { type: 'text-delta', turnId, messageId, text: event.text };
      case 'thinking':
        return { type: 'thinking-delta', turnId, messageId, text: event.text };
      case 'tool-start':
        return { ...event, turnId, name: '', input: null };
      case 'prompt': {
        const { deadlineMs, type: _type, ...prompt } = event;
        return { ...prompt, type: 'prompt-open', turnId, deadlineAt: deadlineMs === undefined ? null : 'later' };
      }
      case 'usage':
        return null;
      default:
        return { ...event, turnId };
    }
  }

  #end(end: RunEnd): void {
    const { turnId } = this.#turn();
    if (end.outcome === 'parked')
      this.append({ type: 'turn-park', turnId, usage: { inputTokens: 0, outputTokens: 0, durationMs: 0 } });
    else if (this.abort.signal.aborted) this.append({ type: 'turn-end', turnId, outcome: 'cancelled' });
    else this.append({ type: 'turn-end', turnId, ...end });
  }
}
