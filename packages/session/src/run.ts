/**
 * One call of an agent: its events become entries, in order, until it returns, is cancelled, or is abandoned.
 *
 * 1. A structural event is durable before the agent goes on; deltas go through the window and are bounded by the pen's backlog.
 * 2. `cancel` asks; `abandon` cuts: whatever the agent does afterwards reaches nothing (R13). The cancel signal belongs to
 *    this run alone (R14).
 * 3. It ends exactly once, after all that it said is durable: `ended` resolves with how, and what it used.
 * 4. An agent that errs is told to its author (`onError`), and ends its turn `failed` (`agent-fault.ts`).
 * 5. The result of a tool that the caller ran ends the tool's part before the agent goes on; the agent may say it again.
 * 6. What an agent asks a person with its last words before it parks is handed over with its end, not before: the prompt and the
 *    park are one append (R78).
 */
import {
  promptIdOf,
  toolIdOf,
  type Message,
  type Part,
  type PromptId,
  type RunEvent,
  type SessionId,
  type Usage,
  type View,
  visible,
} from '@holdfast/protocol';
import { checkEnd, checkEvent, endOfThrow, startAgent } from './agent-fault.ts';
import type { Agent, AgentEvent, BlobSink, PromptState, RunContext, RunEnd, RunInput } from './agent.ts';
import type { Clock } from './clock.ts';
import { DeltaWindow } from './delta-window.ts';
import type { Told } from './told.ts';
import { BACKLOG_BYTES_MAX, type Writer } from './writer.ts';

/** Entries: so many prompts and tool requests come with one park at most. */
const HELD_MAX = 256;

export interface RunPorts {
  readonly sessionId: SessionId;
  readonly writer: Writer;
  readonly clock: Clock;
  readonly isGranted: RunContext['isGranted'];
  /** Marks pending steers injected and returns them. */
  readonly takeSteers: RunContext['takeSteers'];
  readonly openBlob: (mediaType: string) => BlobSink;
  readonly readBlob: RunContext['readBlob'];
  /** The agent made an error. */
  readonly onError: (error: unknown) => void;
}

export interface RunResult {
  readonly end: RunEnd;
  readonly usage: Usage;
  /** Whether it asked a person something in this call. */
  readonly prompted: boolean;
  /** Rule 6: what is to be appended with the park. Empty if it did not park. */
  readonly held: readonly RunEvent[];
}

export class Run {
  readonly turnId: RunInput['turnId'];
  readonly ended: Promise<RunResult>;
  readonly #agent: Agent;
  readonly #input: RunInput;
  readonly #messageId: Message['id'];
  readonly #ports: RunPorts;
  readonly #window: DeltaWindow;
  readonly #signal = new AbortController();
  /** Resolves when the run is cut off from the log. */
  readonly #cut = Promise.withResolvers<void>();
  readonly #asked = new Map<PromptId, (state: PromptState) => void>();
  readonly #startedMs: number;
  #isCut = false;
  #prompts: number;
  #tools: number;
  #prompted = false;
  #held: RunEvent[] = [];
  #usage: { inputTokens: number; outputTokens: number; firstTokenMs?: number };

  /** @param told what came before the turn (`told.ts`) */
  constructor(agent: Agent, view: View, told: Told, ports: RunPorts) {
    const turn = view.turn;
    if (turn === null) throw new Error('A run needs a running turn.');
    this.turnId = turn.turnId;
    this.#agent = agent;
    this.#messageId = turn.messageId;
    this.#ports = ports;
    this.#prompts = turn.promptCount;
    this.#tools = turn.toolCount;
    this.#usage = {
      inputTokens: turn.spent?.inputTokens ?? 0,
      outputTokens: turn.spent?.outputTokens ?? 0,
      ...(turn.spent?.firstTokenMs === undefined ? {} : { firstTokenMs: turn.spent.firstTokenMs }),
    };
    this.#startedMs = ports.clock.monotonicMs() - (turn.spent?.durationMs ?? 0);
    this.#window = new DeltaWindow(ports.clock, (deltas) => void ports.writer.write(deltas));
    this.#input = runInput(ports.sessionId, view, told);
    this.ended = this.#drive();
  }

  cancel(): void {
    this.#signal.abort();
  }

  /** The run ends now, as far as the session is concerned. */
  abandon(): void {
    this.#isCut = true;
    this.#window.take();
    this.#signal.abort();
    this.#cut.resolve();
  }

  /** A prompt that the agent awaits (`context.ask`) has been closed. */
  promptClosed(state: PromptState): void {
    this.#asked.get(state.promptId)?.(state);
    this.#asked.delete(state.promptId);
  }

  async #drive(): Promise<RunResult> {
    const end = await Promise.race([this.#consume(), this.#cut.promise.then((): RunEnd => ({ outcome: 'completed' }))]);
    const parks = end.outcome === 'parked';
    await this.#write(parks ? [] : this.#takeHeld());
    // Cut or not: the end is decided on a view that holds all that was handed over before.
    await this.#ports.writer.write([]);
    const durationMs = Math.max(0, Math.round(this.#ports.clock.monotonicMs() - this.#startedMs));
    return { end, usage: { ...this.#usage, durationMs }, prompted: this.#prompted, held: parks ? this.#held : [] };
  }

  async #consume(): Promise<RunEnd> {
    let events: ReturnType<Agent['run']> | undefined;
    try {
      await this.#write(this.#callersEnds()); // 5
      events = startAgent(this.#agent, this.#input, this.#context());
      for (;;) {
        const next = await events.next();
        if (next.done === true) return checkEnd(next.value);
        if (!this.#isCut) await this.#take(next.value);
        // An abandoned agent gets no further: its generator is left where it is.
        if (this.#isCut) return { outcome: 'completed' };
      }
    } catch (error) {
      void Promise.resolve(events?.return({ outcome: 'completed' })).catch(() => undefined);
      return this.#failed(error);
    }
  }

  /** 4. One that was told to stop and throws has heeded it. */
  #failed(error: unknown): RunEnd {
    const { name } = this.#agent;
    const where = `The agent "${name}" made an error in turn ${this.turnId} of session ${this.#ports.sessionId}.`;
    if (!this.#signal.signal.aborted) this.#ports.onError(new Error(where, { cause: error }));
    return endOfThrow(error, name);
  }

  #callersEnds(): readonly RunEvent[] {
    const { results, parts } = this.#input.progress;
    const isOpen = (id: string): boolean =>
      parts.some((part) => part.type === 'tool' && part.toolId === id && part.state === 'requested');
    const { turnId } = this;
    return results
      .filter(({ toolId }) => isOpen(toolId))
      .map(({ toolId, ok, output }) => ({ type: 'tool-end', turnId, toolId, ok, output, durationMs: 0 }));
  }

  async #take(event: AgentEvent): Promise<void> {
    checkEvent(event);
    if (event.type === 'usage') return this.#addUsage(event);
    if (event.type === 'prompt') return this.#prompt(event);
    if (event.type === 'tool-request') {
      const { toolId, name, input } = event;
      this.#requests.set(toolId, { name, input });
      if (this.#held.length > 0) return this.#hold({ ...event, turnId: this.turnId });
    }
    // It goes on without parking: what it asked is shown now.
    if (this.#held.length > 0) await this.#write(this.#takeHeld());
    return this.#tell(event);
  }

  async #tell(event: Exclude<AgentEvent, { type: 'usage' | 'prompt' }>): Promise<void> {
    const { turnId } = this;
    switch (event.type) {
      case 'tool-end':
        return this.#isCallers(event.toolId) ? undefined : this.#write([{ ...event, turnId }]); // 5
      case 'text':
      case 'thinking':
        this.#noteFirstToken();
        return this.#pushDelta({ type: `${event.type}-delta`, turnId, messageId: this.#messageId, text: event.text });
      case 'tool-output':
        return this.#pushDelta({ type: 'tool-output', turnId, toolId: event.toolId, text: event.text });
      case 'tool-start':
        return this.#write([{ type: 'tool-start', turnId, toolId: event.toolId, ...this.#requested(event.toolId) }]);
      default:
        return this.#write([{ ...event, turnId }]);
    }
  }

  #addUsage({ inputTokens, outputTokens }: Extract<AgentEvent, { type: 'usage' }>): void {
    this.#usage = {
      ...this.#usage,
      inputTokens: this.#usage.inputTokens + inputTokens,
      outputTokens: this.#usage.outputTokens + outputTokens,
    };
  }

  // ── prompts ─────────────────────────────────────────────────────────────────────────────────────────────────────────

  #prompt(event: Extract<AgentEvent, { type: 'prompt' }>): Promise<void> | undefined {
    const open = this.#promptOpen(event);
    // A call that awaits its prompts in the process does not park: it shows them at once.
    return this.#agent.resumable ? this.#hold(open) : this.#write([open]);
  }

  /** Rule 6. Beyond the bound it is shown without its park. */
  #hold(entry: RunEvent): Promise<void> | undefined {
    this.#held.push(entry);
    return this.#held.length > HELD_MAX ? this.#write(this.#takeHeld()) : undefined;
  }

  #takeHeld(): readonly RunEvent[] {
    const held = this.#held;
    this.#held = [];
    return held;
  }

  #promptOpen(event: Extract<AgentEvent, { type: 'prompt' }>): RunEvent {
    this.#prompted = true;
    const { promptId, kind, title, detail, choices, deadlineMs, toolId, needs } = event;
    const deadlineAt = deadlineMs === undefined ? null : new Date(this.#ports.clock.now() + deadlineMs).toISOString();
    const tool = toolId === undefined ? {} : { toolId };
    // An agent that does not say what it is about to do is taken to run something here.
    const right = kind === 'approval' ? { needs: needs ?? 'tools' } : {};
    // R96: at the source, so that every door shows what will run.
    const words = kind === 'approval' ? { title: visible(title), detail: visible(detail) } : { title, detail };
    const shown = { promptId, kind, ...words, choices, deadlineAt, ...tool, ...right };
    return { type: 'prompt-open', turnId: this.turnId, ...shown };
  }

  /** What was asked for, here or before the turn was parked: a start repeats it, so that it can be read alone. */
  readonly #requests = new Map<string, { readonly name: string; readonly input: unknown }>();
  #requested(toolId: string): { readonly name: string; readonly input: unknown } {
    const known = this.#requests.get(toolId);
    if (known !== undefined) return known;
    const part = this.#input.progress.parts.find(
      (candidate) => candidate.type === 'tool' && candidate.toolId === toolId,
    );
    return part?.type === 'tool' ? { name: part.name, input: part.input } : { name: 'unknown', input: null };
  }

  #isCallers(toolId: string): boolean {
    return this.#input.progress.results.some((result) => result.toolId === toolId);
  }

  #noteFirstToken(): void {
    if (this.#usage.firstTokenMs !== undefined) return;
    this.#usage = {
      ...this.#usage,
      firstTokenMs: Math.max(0, Math.round(this.#ports.clock.monotonicMs() - this.#startedMs)),
    };
  }

  #pushDelta(delta: Parameters<DeltaWindow['push']>[0]): Promise<void> | undefined {
    this.#window.push(delta);
    return this.#ports.writer.backlogBytes > BACKLOG_BYTES_MAX ? this.#write([]) : undefined;
  }

  /** Everything said so far, then these. */
  async #write(entries: readonly RunEvent[]): Promise<void> {
    if (this.#isCut) return;
    const all = [...this.#window.take(), ...entries];
    const written = await Promise.race([this.#ports.writer.write(all), this.#cut.promise.then(() => 'lost' as const)]);
    if (written === 'lost') this.abandon();
  }

  #context(): RunContext {
    const { clock, isGranted, takeSteers, openBlob, readBlob } = this.#ports;
    return {
      signal: this.#signal.signal,
      clock,
      isGranted,
      openBlob,
      readBlob,
      toolId: () => toolIdOf(this.turnId, ++this.#tools),
      promptId: () => promptIdOf(this.turnId, ++this.#prompts),
      takeSteers: async () => {
        // What was said before the boundary stands before what was heard at it.
        await this.#write([]);
        return this.#isCut ? [] : takeSteers();
      },
      ask: async (prompt) => {
        const closed = new Promise<PromptState>((resolve) => this.#asked.set(prompt.promptId, resolve));
        await this.#write([this.#promptOpen(prompt)]);
        return closed;
      },
    };
  }
}

/** What the running turn has said so far; somebody may be looking at another branch meanwhile. */
export function answerOf({ turn, messages, offPath }: View): Message | undefined {
  const isAnswer = (message: Message): boolean => message.id === turn?.messageId;
  return messages.findLast(isAnswer) ?? offPath.find(isAnswer);
}

function runInput(sessionId: SessionId, view: View, { history, earlierTurns }: Told): RunInput {
  const { turn } = view;
  if (turn === null) throw new Error('A run needs a running turn.');
  const node = view.turns.find((other) => other.turnId === turn.turnId);
  const shown = new Map([...view.messages, ...view.offPath].map((message) => [message.id, message]));
  const parts = answerOf(view)?.parts ?? [];
  return {
    sessionId,
    turnId: turn.turnId,
    model: view.model,
    history,
    earlierTurns,
    messages: (node?.messageIds ?? []).flatMap((id) => shown.get(id) ?? []),
    progress: { parts, prompts: promptStates(parts), results: turn.results },
    attempt: turn.attempt,
  };
}

export function promptStates(parts: readonly Part[]): readonly PromptState[] {
  return parts.flatMap((part) => {
    if (part.type !== 'prompt') return [];
    const { promptId, kind, toolId, outcome, answer, by } = part;
    return [
      {
        promptId,
        kind,
        outcome,
        ...(toolId === undefined ? {} : { toolId }),
        ...(answer === undefined ? {} : { answer }),
        ...(by === undefined ? {} : { by }),
      },
    ];
  });
}
