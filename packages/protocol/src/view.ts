/**
 * What a person sees of a session, as plain JSON: the result of the fold (`fold.ts`) and the body of a snapshot.
 *
 * 1. It holds everything that later entries refer to: a snapshot at S and the tail after it give what the whole log gives.
 * 2. It holds a window of the last `WINDOW_TURNS` turns, by start order over all branches; older ones are read as pages.
 *    `messages` is the active branch within the window; `offPath` are the other branches' messages.
 * 3. At most one turn runs (`turn`); what lives only while it does (steers, open tools, answers that its agent has not
 *    taken yet) is inside it and is gone with it.
 */
import type {
  Answer,
  InputPart,
  ApprovalRight,
  PromptKind,
  PromptOutcome,
  ProviderState,
  RunEvent,
  Subject,
  TitleStatus,
  TurnOutcome,
  TurnSource,
  Usage,
} from './entry.ts';
import type { FaultKind } from './fault.ts';
import { turnIdOf, type BtwId, type ClientId, type MessageId, type PromptId, type ToolId, type TurnId } from './ids.ts';

/** Raised when a stored view of an older fold must be made anew. */
export const FOLD_VERSION = 2;
export const WINDOW_TURNS = 50;

export type ToolState = 'requested' | 'running' | 'done' | 'failed' | 'cancelled' | 'uncertain';

export type Part =
  | { readonly type: 'text'; readonly text: string }
  | { readonly type: 'thinking'; readonly text: string }
  | {
      readonly type: 'tool';
      readonly toolId: ToolId;
      readonly callId?: string;
      readonly name: string;
      readonly input: unknown;
      readonly state: ToolState;
      readonly output: string;
      readonly blob?: string;
      readonly outputBytes?: number;
      readonly durationMs?: number;
    }
  | {
      readonly type: 'prompt';
      readonly promptId: PromptId;
      readonly kind: PromptKind;
      readonly title: string;
      readonly detail: string;
      readonly choices: readonly string[];
      readonly toolId?: ToolId;
      readonly outcome: PromptOutcome | null;
      readonly answer?: Answer;
      readonly by?: Subject;
    }
  | { readonly type: 'steer'; readonly messageId: MessageId; readonly author: Subject; readonly text: string }
  | { readonly type: 'context-trim'; readonly turns: number }
  /** For the agent alone: pages show nothing of it. */
  | ({ readonly type: 'provider-state' } & ProviderState)
  | InputPart;
export type ToolPart = Extract<Part, { type: 'tool' }>;
export type PromptPart = Extract<Part, { type: 'prompt' }>;

/** A side question that somebody kept, with its answer. */
export interface KeptBtw {
  readonly btwId: BtwId;
  readonly question: string;
  readonly answer: string;
  readonly agent: string;
  readonly author: Subject;
  readonly askedAt: string;
}

export type MessageState = 'sent' | 'streaming' | 'parked' | TurnOutcome;

export interface Message {
  readonly id: MessageId;
  readonly role: 'user' | 'assistant';
  readonly text: string;
  readonly parts: readonly Part[];
  readonly turnId: TurnId;
  readonly state: MessageState;
  /** The seq of the last entry that settled something in it: a lower one never overwrites a higher one (E4). */
  readonly revision: number;
  readonly at: string;
  readonly author?: Subject;
  readonly clientId?: ClientId;
  /** Why a turn ended other than `completed`. */
  readonly reason?: string;
  readonly fault?: FaultKind;
  readonly usage?: Usage;
  /** Of an answer: what was asked beside its turn and kept, in the order of keeping. */
  readonly btws?: readonly KeptBtw[];
}

/** The stop of a turn that has not ended yet. */
export interface Stopping {
  readonly seq: number;
  readonly queue: 'keep' | 'clear';
  readonly partial: 'keep' | 'discard';
  readonly by: Subject;
}

export interface QueuedMessage {
  readonly messageId: MessageId;
  readonly clientId: ClientId;
  readonly author: Subject;
  readonly text: string;
  readonly parts: readonly InputPart[];
  readonly at: string;
  readonly seq: number;
  readonly merge: boolean;
  /** Goes before the waiting ones: it interrupted, or was a steer that its turn did not take. */
  readonly urgent: boolean;
  /** Undefined: goes on from the active branch. */
  readonly after?: TurnId | null;
  /** The turn whose messages run again (`regenerate`); its own text is empty then. */
  readonly again?: TurnId;
  /** And where that turn stands: it may leave the window while this waits. */
  readonly source?: TurnSource;
  /** Its turn was stopped before it began: it ends as it begins. */
  readonly stopping?: Stopping;
  /** Was meant for this turn, which ended before it took it; until the owner has said so (`steer-end`). */
  readonly missedTurn?: TurnId;
}

export interface OpenPrompt {
  readonly promptId: PromptId;
  readonly turnId: TurnId;
  readonly kind: PromptKind;
  readonly title: string;
  readonly detail: string;
  readonly choices: readonly string[];
  readonly deadlineAt: string | null;
  readonly toolId?: ToolId;
  readonly needs?: ApprovalRight;
}

/** The turn that runs or waits for a person. */
export interface RunningTurn {
  readonly turnId: TurnId;
  readonly messageId: MessageId;
  readonly state: 'running' | 'parked';
  readonly agent: string;
  readonly attempt: number;
  readonly startSeq: number;
  readonly startedAt: string;
  readonly lastSeq: number;
  readonly lastEvent: RunEvent['type'];
  readonly stopping: Stopping | null;
  readonly steers: readonly QueuedMessage[];
  readonly openTools: readonly ToolId[];
  /** Tools that the caller runs, whose results a parked turn waits for. */
  readonly awaits: readonly ToolId[];
  readonly answers: readonly { readonly promptId: PromptId; readonly answer: Answer; readonly by: Subject }[];
  /** Results of tools that the caller ran, until the agent takes them. */
  readonly results: readonly { readonly toolId: ToolId; readonly ok: boolean; readonly output: string }[];
  /** What it had used when it was last parked. */
  readonly spent: Usage | null;
  /** How many prompts and tool calls it has had: names the next one. */
  readonly promptCount: number;
  readonly toolCount: number;
}

/** A turn of the window, running or settled. */
export interface TurnNode {
  readonly turnId: TurnId;
  readonly parent: TurnId | null;
  readonly messageIds: readonly MessageId[];
  readonly messageId: MessageId;
  readonly agent: string;
  readonly startSeq: number;
  readonly startedAt: string;
  readonly outcome: TurnOutcome | null;
  readonly endedAt?: string;
  /** The seq of its `turn-end`. */
  readonly revision: number;
  readonly lastSeq: number;
  readonly lastEvent: RunEvent['type'];
}

export interface View {
  readonly foldVersion: number;
  readonly seq: number;
  /** Who opened the session. */
  readonly owner: Subject | null;
  readonly createdAt: string | null;
  readonly updatedAt: string | null;
  readonly title: string | null;
  readonly titleStatus: TitleStatus | null;
  readonly agent: string | null;
  readonly model: string | null;
  readonly pinned: boolean;
  readonly archived: boolean;
  /** Up to here somebody has read it. */
  readonly readSeq: number;
  readonly messages: readonly Message[];
  readonly offPath: readonly Message[];
  readonly turns: readonly TurnNode[];
  /** The last turn of the active branch; null before the first. */
  readonly leaf: TurnId | null;
  /** Turns that have left the window. */
  readonly earlierTurns: number;
  readonly queue: readonly QueuedMessage[];
  readonly prompts: readonly OpenPrompt[];
  readonly turn: RunningTurn | null;
  /** An ended turn whose `stream-end` is still to come. */
  readonly closing: TurnId | null;
  /** Tools that were allowed for this session. */
  readonly grants: readonly string[];
  /** Which subject allowed each of them: a grant counts only as long as its giver may allow the tool (R90). */
  readonly grantedBy?: Readonly<Record<string, Subject>>;
  readonly usage: { readonly inputTokens: number; readonly outputTokens: number };
}

export const EMPTY_VIEW: View = {
  foldVersion: FOLD_VERSION,
  seq: 0,
  owner: null,
  createdAt: null,
  updatedAt: null,
  title: null,
  titleStatus: null,
  agent: null,
  model: null,
  pinned: false,
  archived: false,
  readSeq: 0,
  messages: [],
  offPath: [],
  turns: [],
  leaf: null,
  earlierTurns: 0,
  queue: [],
  prompts: [],
  turn: null,
  closing: null,
  grants: [],
  usage: { inputTokens: 0, outputTokens: 0 },
};

/** Busy is derived, never stored (R74). */
export const isBusy = (view: View): boolean => view.turn !== null || view.queue.length > 0;

/** The turn that a queued item will start. */
export const turnIdOfItem = (item: QueuedMessage): TurnId => turnIdOf(item.messageId);

/** The turns from the root (or the window's edge) to the leaf. */
export function pathOf(turns: readonly TurnNode[], leaf: TurnId | null): readonly TurnNode[] {
  const byId = new Map(turns.map((node) => [node.turnId, node]));
  const path: TurnNode[] = [];
  for (let id = leaf; id !== null;) {
    const node = byId.get(id);
    if (node === undefined) break;
    path.push(node);
    id = node.parent;
  }
  return path.toReversed();
}
