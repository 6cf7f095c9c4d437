/** What a command makes of a view, at the moment of its entry. A void one makes nothing of it. */
import type { Command, EntryOf, Stamped } from './entry.ts';
import { onMessage, onTurn } from './fold-lens.ts';
import { onPath, tipOf } from './fold-tree.ts';
import type { MessageId, TurnId } from './ids.ts';
import { interruptIndex, judge, type Applied } from './judge.ts';
import { turnIdOfItem, WINDOW_TURNS, type QueuedMessage, type Stopping, type View } from './view.ts';

export function foldCommand(view: View, entry: Stamped<Command>): View {
  const verdict = judge(view, entry);
  if (verdict.kind === 'void') return view;
  switch (entry.type) {
    case 'session-open':
      return {
        ...view,
        owner: entry.author,
        createdAt: entry.at,
        title: entry.title ?? null,
        agent: entry.agent ?? null,
        model: entry.model ?? null,
      };
    case 'session-set':
      return foldSet(view, entry);
    case 'mark-unread':
      return { ...view, readSeq: Math.min(entry.readSeq, view.readSeq) };
    case 'message':
    case 'steer':
    case 'regenerate':
      return verdict.kind === 'accepted' ? admit(view, queuedFrom(entry), verdict.applied, entry) : view;
    case 'message-edit':
      return {
        ...view,
        queue: view.queue.map((item) => (item.messageId === entry.messageId ? { ...item, text: entry.text } : item)),
      };
    case 'message-withdraw':
      return withdraw(view, entry.messageId);
    case 'queue-order':
      return { ...view, queue: reorder(view.queue, entry.messageIds) };
    case 'stop':
      return foldStop(view, entry);
    case 'prompt-answer':
      return foldAnswer(view, entry);
    case 'tool-result':
      return onTurn(view, (turn) => ({
        ...turn,
        results: [...turn.results, { toolId: entry.toolId, ok: entry.ok, output: entry.output }],
      }));
    case 'branch-switch':
      return onPath({ ...view, leaf: tipOf(view.turns, startOfBranch(view, entry)) });
    case 'btw-keep':
      return foldKeep(view, entry);
  }
}

function foldSet(view: View, set: EntryOf<'session-set'>): View {
  return {
    ...view,
    title: set.title ?? view.title,
    titleStatus: set.title === undefined ? view.titleStatus : 'done',
    pinned: set.pinned ?? view.pinned,
    archived: set.archived ?? view.archived,
    agent: set.agent ?? view.agent,
    model: set.model ?? view.model,
    readSeq: Math.max(set.readSeq ?? 0, view.readSeq),
  };
}

/** A turn before the window has the end of its branch from the command; that may have been gone on from since. */
const startOfBranch = ({ turns }: View, { turnId, tip = turnId }: EntryOf<'branch-switch'>): TurnId =>
  turns.some((node) => node.turnId === turnId) ? turnId : tip;

function queuedFrom(entry: Stamped<Extract<Command, { type: 'message' | 'steer' | 'regenerate' }>>): QueuedMessage {
  const { messageId, clientId, author, at, seq } = entry;
  const common = { messageId, clientId, author, at, seq, merge: false, urgent: false };
  if (entry.type === 'regenerate')
    return { ...common, text: '', parts: [], again: entry.turnId, ...(entry.source && { source: entry.source }) };
  if (entry.type === 'steer') return { ...common, text: entry.text, parts: [] };
  const message = { ...common, text: entry.text, parts: entry.parts ?? [], merge: entry.merge === true };
  return entry.after === undefined ? message : { ...message, after: entry.after };
}

function admit(view: View, item: QueuedMessage, applied: Applied, entry: Stamped<Command>): View {
  switch (applied) {
    case 'start':
    case 'queue':
      return { ...view, queue: [...view.queue, item] };
    case 'steer':
      return onTurn(view, (turn) => ({ ...turn, steers: [...turn.steers, item] }));
    case 'interrupt': {
      const queue = view.queue.toSpliced(interruptIndex(view), 0, { ...item, urgent: true });
      const stopping = { seq: entry.seq, queue: 'keep', partial: 'keep', by: entry.author } as const;
      return onTurn({ ...view, queue }, (turn) => ({ ...turn, stopping: turn.stopping ?? stopping }));
    }
  }
}

function withdraw(view: View, messageId: MessageId): View {
  const keep = (item: QueuedMessage): boolean => item.messageId !== messageId;
  return onTurn({ ...view, queue: view.queue.filter(keep) }, (turn) => ({ ...turn, steers: turn.steers.filter(keep) }));
}

/** The named ones take each other's places, in the order named; the others stay where they are. */
function reorder(queue: readonly QueuedMessage[], wanted: readonly MessageId[]): readonly QueuedMessage[] {
  const named = [...new Set(wanted)]
    .map((id) => queue.find((item) => item.messageId === id))
    .filter((item) => item !== undefined);
  const moved = new Set(named);
  let next = 0;
  return queue.map((item) => (moved.has(item) ? (named[next++] ?? item) : item));
}

function foldStop(view: View, stop: EntryOf<'stop'>): View {
  const stopped = (before: Stopping | null = null): Stopping => ({
    seq: stop.seq,
    queue: stop.queue,
    partial: stop.partial ?? before?.partial ?? 'keep',
    by: stop.author,
  });
  const isMeant = (item: QueuedMessage): boolean => turnIdOfItem(item) === stop.turnId;
  const queue = stop.queue === 'clear' ? view.queue.filter(isMeant) : view.queue;
  if (queue.some(isMeant))
    return {
      ...view,
      queue: queue.map((item) => (isMeant(item) ? { ...item, stopping: stopped(item.stopping) } : item)),
    };
  return onTurn({ ...view, queue }, (turn) => ({
    ...turn,
    steers: stop.queue === 'clear' ? [] : turn.steers,
    stopping: stopped(turn.stopping),
  }));
}

/** The first answer takes the prompt from the open ones; a later one finds none and is void. */
function foldAnswer(view: View, { promptId, answer, author }: EntryOf<'prompt-answer'>): View {
  const prompts = view.prompts.filter((prompt) => prompt.promptId !== promptId);
  return onTurn({ ...view, prompts }, (turn) => ({
    ...turn,
    answers: [...turn.answers, { promptId, answer, by: author }],
  }));
}

/**
 * Where its turn has left the window, or leaves it with the next start, it stands at the last one: that turn's row is not written again.
 * A row may be ahead of the checkpoint beside it: kept is kept once.
 */
function foldKeep(view: View, entry: EntryOf<'btw-keep'>): View {
  const { btwId, turnId, question, answer, agent, author, askedAt, seq } = entry;
  const node = view.turns.slice(1 - WINDOW_TURNS).find((other) => other.turnId === turnId) ?? view.turns.at(-1);
  if (node === undefined) return view;
  return onMessage(view, node.messageId, (message) => {
    const btws = message.btws ?? [];
    if (btws.some((kept) => kept.btwId === btwId)) return message;
    return { ...message, btws: [...btws, { btwId, question, answer, agent, author, askedAt }], revision: seq };
  });
}
