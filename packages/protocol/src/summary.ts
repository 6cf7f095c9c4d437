/** A session's line in the list: what of its view is seen without opening it. */
import type { Subject, TurnOutcome } from './entry.ts';
import type { SessionId } from './ids.ts';
import { cut } from './text.ts';
import type { View } from './view.ts';

const PREVIEW_CHARS = 200;

/** A row of the session list. */
export interface SessionSummary {
  readonly sessionId: SessionId;
  readonly owner: Subject;
  readonly title: string | null;
  readonly agent: string | null;
  readonly model: string | null;
  readonly state: 'idle' | 'running' | 'waiting' | 'queued';
  /** Open prompts: a person is awaited. */
  readonly prompts: number;
  readonly queued: number;
  readonly pinned: boolean;
  readonly archived: boolean;
  readonly seq: number;
  readonly readSeq: number;
  /** Somebody's answer has not been read. */
  readonly unread: boolean;
  readonly lastOutcome: TurnOutcome | null;
  /** The first 200 characters of the last message. */
  readonly preview: string;
  readonly createdAt: string;
  /** When something was last said or done in it; not when it was read, pinned, archived or renamed. */
  readonly updatedAt: string;
}

export function summaryOf(sessionId: SessionId, view: View): SessionSummary {
  const last = view.turns.findLast((node) => node.outcome !== null);
  return {
    sessionId,
    owner: view.owner ?? '',
    title: view.title,
    agent: view.agent,
    model: view.model,
    state: stateOf(view),
    prompts: view.prompts.length,
    queued: view.queue.length,
    pinned: view.pinned,
    archived: view.archived,
    seq: view.seq,
    readSeq: view.readSeq,
    unread: last !== undefined && last.revision > view.readSeq,
    lastOutcome: last?.outcome ?? null,
    preview: cut(view.messages.at(-1)?.text ?? view.queue.at(-1)?.text ?? '', 0, PREVIEW_CHARS),
    createdAt: view.createdAt ?? '',
    updatedAt: view.updatedAt ?? '',
  };
}

function stateOf(view: View): SessionSummary['state'] {
  if (view.prompts.length > 0) return 'waiting';
  if (view.turn !== null) return 'running';
  return view.queue.length > 0 ? 'queued' : 'idle';
}
