/**
 * The entries of a session's log: commands (anyone with the right may append them) and run events (the owner alone).
 *
 * 1. The stored bytes are the JSON of a `Command` or `RunEvent`. `seq` and `at` are metadata of the record, stamped on
 *    reading (`Entry`): an entry cannot disagree with its own place.
 * 2. A command's result is the fold at its own seq (`judge` in `judge.ts`). One that came too late stays in the log,
 *    void for all alike.
 * 3. A run event carries its `turnId`; titles alone may come later without one.
 * 4. Readers ignore types and fields that they do not know and still advance their seq.
 * 5. A command that names a turn carries what admission read of it from the log, and a turn's start the words that it answers
 *    again: the turn may have left the window by then, and `judge` and `fold` see nothing but the view (R76).
 */
import type { BtwId, ClientId, MessageId, PromptId, SessionId, ToolId, TurnId } from './ids.ts';
import type { FaultKind } from './fault.ts';

export type WhenBusy = 'queue' | 'interrupt' | 'steer';
export type TurnOutcome = 'completed' | 'cancelled' | 'failed' | 'interrupted' | 'limit';
export type PromptKind = 'approval' | 'question';
/** The scope of a subject that may allow what an approval asks for; refusing it takes `write` alone. */
export type ApprovalRight = 'write' | 'tools' | 'admin';
export type PromptOutcome = 'answered' | 'expired' | 'cancelled';
/** `once` and `session` and `always` allow; `deny` refuses. The reach of a grant is the tool's name. */
export type ApprovalChoice = 'once' | 'session' | 'always' | 'deny';
/** An approval is answered by an `ApprovalChoice`, a question by one of its choices or free text. */
export type Answer = string;
/** Whether an approval's answer allows; whatever is none of the choices refuses. */
export const isGrant = (answer: Answer | undefined): boolean =>
  answer === 'once' || answer === 'session' || answer === 'always';
export type TitleStatus = 'pending' | 'done' | 'skipped';

export interface FilePart {
  readonly hash: string;
  readonly name: string;
  readonly mediaType: string;
  readonly bytes: number;
}

export interface ProviderState {
  /** Names the provider that gave it and the only one that gets it back. */
  readonly provider: string;
  readonly state: unknown;
}

/** A piece of a message that a caller attaches. Bytes live in the blob store, never inside entries. */
export type InputPart =
  | ({ readonly type: 'file' } & FilePart)
  | { readonly type: 'data'; readonly name: string; readonly data: unknown };

/** A principal, by the `subject` of its token. */
export type Subject = string;

/** Where a turn stands that is asked for again: what it answered, and the turn before it. */
export interface TurnSource {
  readonly messageIds: readonly MessageId[];
  readonly parent: TurnId | null;
}

/** A message that was answered before, as it was sent. */
export interface Question {
  readonly messageId: MessageId;
  readonly clientId: ClientId;
  readonly author: Subject;
  readonly text: string;
  readonly parts: readonly InputPart[];
  readonly at: string;
  readonly seq: number;
  /** The turn that it was sent for. */
  readonly turnId: TurnId;
}

interface CommandBase {
  readonly clientId: ClientId;
  readonly author: Subject;
}

export type Command =
  | (CommandBase & {
      readonly type: 'session-open';
      readonly sessionId: SessionId;
      readonly title?: string;
      readonly agent?: string;
      readonly model?: string;
      /** The entries up to this one come from a file of this version: their authors and approvals are what the file says. */
      readonly imported?: { readonly version: number; readonly entries: number };
    })
  | (CommandBase & {
      readonly type: 'session-set';
      readonly title?: string;
      readonly pinned?: boolean;
      readonly archived?: boolean;
      readonly agent?: string;
      readonly model?: string;
      readonly readSeq?: number;
    })
  /** The mark goes back to `readSeq`. A `session-set` of another device that comes late only moves it forward (R82). */
  | (CommandBase & { readonly type: 'mark-unread'; readonly readSeq: number })
  | (CommandBase & {
      readonly type: 'message';
      readonly messageId: MessageId;
      readonly text: string;
      readonly parts?: readonly InputPart[];
      readonly whenBusy: WhenBusy;
      /** May share one turn with neighbours of the same author that ask for it too. */
      readonly merge?: boolean;
      /** Start a branch after this turn (null: at the root). Absent: go on from the active branch. */
      readonly after?: TurnId | null;
      /** Admission found that turn in the log, within the window or before it (rule 5). */
      readonly afterFound?: true;
    })
  | (CommandBase & { readonly type: 'message-edit'; readonly messageId: MessageId; readonly text: string })
  | (CommandBase & { readonly type: 'message-withdraw'; readonly messageId: MessageId })
  | (CommandBase & { readonly type: 'queue-order'; readonly messageIds: readonly MessageId[] })
  | (CommandBase & {
      readonly type: 'steer';
      readonly turnId: TurnId;
      readonly messageId: MessageId;
      readonly text: string;
    })
  | (CommandBase & {
      readonly type: 'stop';
      readonly turnId: TurnId;
      readonly queue: 'keep' | 'clear';
      readonly partial?: 'keep' | 'discard';
    })
  | (CommandBase & {
      readonly type: 'prompt-answer';
      readonly promptId: PromptId;
      readonly answer: Answer;
      /** The highest right that the author had at admission; absent in logs of before. */
      readonly right?: ApprovalRight;
    })
  | (CommandBase & {
      readonly type: 'tool-result';
      readonly toolId: ToolId;
      readonly ok: boolean;
      readonly output: string;
    })
  /** Run the turn's messages again on a branch of their own. `messageId` names the new turn, not a new message. */
  | (CommandBase & {
      readonly type: 'regenerate';
      readonly messageId: MessageId;
      readonly turnId: TurnId;
      /** As admission found it (rule 5). */
      readonly source?: TurnSource;
    })
  | (CommandBase & {
      readonly type: 'branch-switch';
      readonly turnId: TurnId;
      /** The end of the turn's branch, as admission found it (rule 5). */
      readonly tip?: TurnId;
    })
  /** A side question and its answer (`btw.ts`) become part of the transcript, at the turn that they are about. */
  | (CommandBase & {
      readonly type: 'btw-keep';
      readonly btwId: BtwId;
      readonly turnId: TurnId;
      readonly question: string;
      readonly answer: string;
      readonly agent: string;
      /** ISO time. */
      readonly askedAt: string;
    });

export interface Usage {
  readonly inputTokens: number;
  readonly outputTokens: number;
  /** From the turn's start to its first token, in milliseconds. */
  readonly firstTokenMs?: number;
  readonly durationMs: number;
}

interface RunBase {
  readonly turnId: TurnId;
}

export type RunEvent =
  | (RunBase & {
      readonly type: 'turn-start';
      readonly messageIds: readonly MessageId[];
      /** The assistant's message that the deltas of this turn build. */
      readonly messageId: MessageId;
      readonly agent: string;
      /** 1 for the first start. A turn that died before any output is started again, at most three times (R35). */
      readonly attempt: number;
      /** The turn that this one follows in the tree; null at the root. */
      readonly parent: TurnId | null;
      /** The command whose turn this is, where it is not the first message (`regenerate`). */
      readonly cause?: MessageId;
      /** The messages that it answers again, if they have left the window (rule 5). */
      readonly question?: readonly Question[];
    })
  | (RunBase & { readonly type: 'text-delta'; readonly messageId: MessageId; readonly text: string })
  | (RunBase & { readonly type: 'thinking-delta'; readonly messageId: MessageId; readonly text: string })
  | (RunBase & {
      readonly type: 'tool-request';
      readonly toolId: ToolId;
      readonly name: string;
      readonly input: unknown;
      readonly callId?: string;
    })
  /** The tool runs from here on: a start without an end is *uncertain* and is never repeated by itself (R34). */
  | (RunBase & { readonly type: 'tool-start'; readonly toolId: ToolId; readonly name: string; readonly input: unknown })
  | (RunBase & { readonly type: 'tool-output'; readonly toolId: ToolId; readonly text: string })
  | (RunBase & {
      readonly type: 'tool-end';
      readonly toolId: ToolId;
      readonly ok: boolean;
      readonly output: string;
      readonly blob?: string;
      readonly outputBytes?: number;
      readonly durationMs: number;
    })
  | (RunBase & { readonly type: 'data'; readonly name: string; readonly data: unknown })
  | (RunBase & {
      readonly type: 'prompt-open';
      readonly promptId: PromptId;
      readonly kind: PromptKind;
      readonly title: string;
      readonly detail: string;
      readonly choices: readonly string[];
      /** ISO time, or null: it waits for ever. */
      readonly deadlineAt: string | null;
      readonly toolId?: ToolId;
      readonly needs?: ApprovalRight;
    })
  | (RunBase & {
      readonly type: 'prompt-close';
      readonly promptId: PromptId;
      readonly outcome: PromptOutcome;
      readonly answer?: Answer;
      readonly by?: Subject;
    })
  | (RunBase & {
      readonly type: 'steer-end';
      readonly messageId: MessageId;
      readonly outcome: 'injected' | 'queued' | 'void';
    })
  /** A file that the answer shows, such as a picture that the model made. */
  | (RunBase & { readonly type: 'file' } & FilePart)
  /**
   * State of the model's provider, opaque to everything else (signatures, reasoning to hand back). It belongs to the answer
   * whose text stands before it and whose tool requests stand behind it.
   */
  | (RunBase & { readonly type: 'provider-state' } & ProviderState)
  /** The oldest turns were left out of what the model was given; `turns` of them, in front of this one. */
  | (RunBase & { readonly type: 'context-trim'; readonly turns: number })
  /** `usage`: what the turn has used so far. `awaits`: tools that the caller runs and has not answered yet. */
  | (RunBase & { readonly type: 'turn-park'; readonly usage: Usage; readonly awaits?: readonly ToolId[] })
  /** `attempt` counts resumptions in a row that came to nothing (R35). */
  | (RunBase & { readonly type: 'turn-resume'; readonly attempt: number })
  | (RunBase & {
      readonly type: 'turn-end';
      readonly outcome: TurnOutcome;
      readonly reason?: string;
      readonly fault?: FaultKind;
      readonly retryAfterMs?: number;
      readonly partial?: 'discard';
    })
  | (RunBase & { readonly type: 'usage' } & Usage)
  | (Partial<RunBase> & { readonly type: 'title-status'; readonly status: TitleStatus })
  | (Partial<RunBase> & { readonly type: 'title'; readonly title: string })
  | (RunBase & { readonly type: 'stream-end' });

export type EntryBody = Command | RunEvent;
export type EntryType = EntryBody['type'];
export type CommandType = Command['type'];

/** At its place in the log. `at` (ISO time) informs; order is `seq`. */
export type Stamped<T> = T & { readonly seq: number; readonly at: string };
export type Entry = Stamped<EntryBody>;
export type EntryOf<T extends EntryType> = Stamped<Extract<EntryBody, { type: T }>>;

/** Typed by the list of commands: a new command that is not named here does not compile. */
const COMMANDS: Readonly<Record<CommandType, true>> = {
  'session-open': true,
  'session-set': true,
  'mark-unread': true,
  message: true,
  'message-edit': true,
  'message-withdraw': true,
  'queue-order': true,
  steer: true,
  stop: true,
  'prompt-answer': true,
  'tool-result': true,
  regenerate: true,
  'branch-switch': true,
  'btw-keep': true,
};

export const isCommand = (entry: EntryBody): entry is Command => Object.hasOwn(COMMANDS, entry.type);
