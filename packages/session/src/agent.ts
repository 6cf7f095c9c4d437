/**
 * The Agent port: whatever answers. An agent turns a conversation into a series of events; it knows no log, no session and
 * no client, and nothing of how its events become durable.
 *
 * 1. `run` is called for a turn, and again for the same turn after each time it was parked (a person had to answer) if the agent is
 *    `resumable`. It finds what it did before in `progress` and goes on from there. It keeps no state between calls.
 * 2. A structural event (everything but text, thinking and tool output) is durable when its `yield` returns: what an agent does
 *    after yielding `tool-start` can never have happened without the log saying so.
 * 3. To ask a person, an agent yields `prompt` and then returns `{ outcome: 'parked' }`. The answers are in `progress.prompts` when it is
 *    called again. The prompts that it yields right before it parks are shown together with the park, and survive a restart. An agent
 *    that is not resumable awaits `context.ask` instead; such a prompt and its turn do not survive a restart.
 * 4. A tool that `progress` shows `running` was cut off in mid-run: it is uncertain, and an agent never runs it again by itself.
 *    (The runtime ends such a turn `interrupted`; the next turn sees the part with state `uncertain`.)
 * 5. `context.signal` says stop. An agent that does not heed it is abandoned: its later events go nowhere.
 */
import type {
  Answer,
  ApprovalRight,
  FaultKind,
  FilePart,
  Message,
  Part,
  PromptId,
  PromptKind,
  PromptOutcome,
  ProviderState,
  Subject,
  ToolId,
  TurnId,
} from '@holdfast/protocol';

export interface ToolRequest {
  readonly type: 'tool-request';
  readonly toolId: ToolId;
  readonly name: string;
  readonly input: unknown;
  /** The model's own name of the call. */
  readonly callId?: string;
}

export type AgentEvent =
  | { readonly type: 'text'; readonly text: string }
  | { readonly type: 'thinking'; readonly text: string }
  | ToolRequest
  | { readonly type: 'tool-start'; readonly toolId: ToolId }
  | { readonly type: 'tool-output'; readonly toolId: ToolId; readonly text: string }
  /** `output` is all of it, up to a bound; where it was longer, `blob` is the rest's address. */
  | {
      readonly type: 'tool-end';
      readonly toolId: ToolId;
      readonly ok: boolean;
      readonly output: string;
      readonly blob?: string;
      readonly outputBytes?: number;
      readonly durationMs: number;
    }
  | {
      readonly type: 'prompt';
      /** From `context.promptId()`. */
      readonly promptId: PromptId;
      readonly kind: PromptKind;
      readonly title: string;
      readonly detail: string;
      /** For an approval: some of `once`, `session`, `always`, `deny`. For a question: what may be chosen; empty: free text. */
      readonly choices: readonly string[];
      readonly deadlineMs?: number;
      readonly toolId?: ToolId;
      /** The right of a subject that allows it. Default for an approval: `tools`. */
      readonly needs?: ApprovalRight;
    }
  | { readonly type: 'data'; readonly name: string; readonly data: unknown }
  /** A picture or another file of the answer; its bytes were written with `context.openBlob`. */
  | ({ readonly type: 'file' } & FilePart)
  /** Comes back in `progress.parts` and in `history`, at its place: see the entry of this name. */
  | ({ readonly type: 'provider-state' } & ProviderState)
  /** The oldest `turns` turns were left out of what the model sees. */
  | { readonly type: 'context-trim'; readonly turns: number }
  /** Adds to the turn's usage. */
  | { readonly type: 'usage'; readonly inputTokens: number; readonly outputTokens: number };

export type RunEnd =
  | { readonly outcome: 'completed' }
  | { readonly outcome: 'parked' }
  | { readonly outcome: 'limit'; readonly reason: string }
  | { readonly outcome: 'failed'; readonly fault: FaultKind; readonly reason: string; readonly retryAfterMs?: number };

export interface PromptState {
  readonly promptId: PromptId;
  readonly kind: PromptKind;
  readonly toolId?: ToolId;
  /** null: still open. */
  readonly outcome: PromptOutcome | null;
  readonly answer?: Answer;
  readonly by?: Subject;
}

/** What this turn has done so far; empty at its first call. */
export interface Progress {
  /** The parts of the answer, in order: text, thinking, tools with their state, prompts, injected steers. */
  readonly parts: readonly Part[];
  readonly prompts: readonly PromptState[];
  /** Results of tools that the caller ran (`tool-result`), by id: those that came since the last call. Their parts have ended. */
  readonly results: readonly { readonly toolId: ToolId; readonly ok: boolean; readonly output: string }[];
}

export interface RunInput {
  readonly sessionId: string;
  readonly turnId: TurnId;
  readonly model: string | null;
  /** The conversation before this turn, oldest first, on the active branch. */
  readonly history: readonly Message[];
  /** How many turns lie before `history` that are not in it, at most (those of other branches may be counted); 0: none. */
  readonly earlierTurns: number;
  /** The messages that this turn answers. */
  readonly messages: readonly Message[];
  readonly progress: Progress;
  /** Whether this is the first start of the turn (1), or it was started again after a crash before any output. */
  readonly attempt: number;
}

export interface BlobSink {
  write(chunk: Uint8Array): Promise<void>;
  /** @returns the blob's hash: its address at `/v1/blobs/{hash}`. */
  close(): Promise<string>;
}

export interface RunContext {
  readonly signal: AbortSignal;
  readonly clock: { now(): number; sleep(ms: number, signal?: AbortSignal): Promise<void> };
  /** The next tool call's id, deterministic by its place in the turn. */
  toolId(): ToolId;
  promptId(): PromptId;
  /** True if a person who may allow it (`needs`, default `tools`) has allowed this tool for the session or always. */
  isGranted(tool: string, needs?: ApprovalRight): boolean;
  /** Messages that people sent to steer this turn: call it at a boundary. Each is returned once and is durable as injected by then. */
  takeSteers(): Promise<readonly { readonly author: Subject; readonly text: string }[]>;
  /** Only for agents that are not resumable: rule 3. */
  ask(prompt: Extract<AgentEvent, { type: 'prompt' }>): Promise<PromptState>;
  openBlob(mediaType: string): BlobSink;
  readBlob(hash: string): Promise<Uint8Array | undefined>;
}

export interface BtwInput {
  readonly sessionId: string;
  readonly model: string | null;
  /** The conversation up to this moment, oldest first; while a turn runs the last one is its answer, as far as it has come. */
  readonly messages: readonly Message[];
  /** How many turns lie before `messages` that are not in it, at most (those of other branches may be counted); 0: none. */
  readonly earlierTurns: number;
  readonly question: string;
}

export type BtwContext = Pick<RunContext, 'signal' | 'clock' | 'readBlob'>;

export interface Agent {
  readonly name: string;
  /** One line for `GET /v1/agents`. */
  readonly description: string;
  readonly resumable: boolean;
  /**
   * Yields events and returns how the turn ended. A throw ends the turn `failed`: a `FaultError` with its kind and words, anything
   * else as `agent-crashed`, and the log has its stack. So do an unknown event and an end that was forgotten.
   */
  run(input: RunInput, context: RunContext): AsyncGenerator<AgentEvent, RunEnd, void>;
  /**
   * Answers a question beside the conversation, while a turn may be running: text alone, no tools, no prompts, and nothing of it
   * reaches the turn. Absent: this agent is not asked such questions.
   */
  btw?(input: BtwInput, context: BtwContext): AsyncGenerator<Extract<AgentEvent, { type: 'text' }>, RunEnd, void>;
  /** A short title for a new conversation; undefined: none. Called once, after the first turn. */
  title?(input: { readonly messages: readonly Message[]; readonly signal: AbortSignal }): Promise<string | undefined>;
  /** For `holdfast doctor` and readiness: can it be reached, is the key right? With the cure where not. */
  check?(
    signal: AbortSignal,
  ): Promise<
    | { readonly ok: true; readonly detail: string }
    | { readonly ok: false; readonly fault: FaultKind; readonly detail: string }
  >;
  /** Models that can be chosen, where it knows. */
  models?(signal: AbortSignal): Promise<readonly string[]>;
}
