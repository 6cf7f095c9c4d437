/**
 * The pure fold from a session's log to its view. Owner, readers, gateway and clients run this same function.
 *
 * 1. fold(snapshot at S) + tail = fold(all), for every S.
 * 2. Unchanged messages keep their identity: an entry makes new objects only for what it changes.
 * 3. An unknown type or a void command changes nothing but `seq`.
 * 4. The text of an assistant's message is the concatenation of its `text-delta`s; its id never changes.
 * 5. What a command comes to is decided by `judge`, never here.
 */
import { isCommand, type Command, type Entry, type EntryOf, type RunEvent } from './entry.ts';
import type { MessageId, PromptId, ToolId, TurnId } from './ids.ts';
import { interruptIndex, judge, type Applied } from './judge.ts';
import {
  pathOf,
  WINDOW_TURNS,
  type Message,
  type Part,
  type QueuedMessage,
  type RunningTurn,
  type ToolPart,
  type TurnNode,
  type View,
} from './view.ts';

/** Folds one entry. The caller hands each seq once, in order. */
export function fold(view: View, entry: Entry): View {
  const next = isCommand(entry) ? foldCommand(view, entry) : foldRunEvent(view, entry);
  return { ...next, seq: entry.seq, updatedAt: entry.at };
}

export const foldAll = (view: View, entries: Iterable<Entry>): View => {
  let folded = view;
  for (const entry of entries) folded = fold(folded, entry);
  return folded;
};

// ── commands ────────────────────────────────────────────────────────────────────────────────────────────────────────

type Stamped<T> = T & { readonly seq: number; readonly at: string };

function foldCommand(view: View, entry: Stamped<Command>): View {
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
      return onPath({ ...view, leaf: tipOf(view.turns, entry.turnId) });
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

function queuedFrom(entry: Stamped<Extract<Command, { type: 'message' | 'steer' | 'regenerate' }>>): QueuedMessage {
  const { messageId, clientId, author, at, seq } = entry;
  const common = { messageId, clientId, author, at, seq, merge: false, urgent: false };
  if (entry.type === 'regenerate') return { ...common, text: '', parts: [], again: entry.turnId };
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
  const queue = stop.queue === 'clear' ? [] : view.queue;
  return onTurn({ ...view, queue }, (turn) => ({
    ...turn,
    steers: stop.queue === 'clear' ? [] : turn.steers,
    stopping: {
      seq: stop.seq,
      queue: stop.queue,
      partial: stop.partial ?? turn.stopping?.partial ?? 'keep',
      by: stop.author,
    },
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

// ── run events ──────────────────────────────────────────────────────────────────────────────────────────────────────

function foldRunEvent(view: View, entry: Stamped<RunEvent>): View {
  if (entry.type === 'turn-start') return foldTurnStart(view, entry);
  if (entry.type === 'title') return onNode({ ...view, title: entry.title, titleStatus: 'done' }, entry);
  if (entry.type === 'title-status') {
    // A turn that had no title to find leaves the one that is there.
    const titleStatus = entry.status === 'skipped' && view.title !== null ? view.titleStatus : entry.status;
    return onNode({ ...view, titleStatus }, entry);
  }
  if (entry.type === 'stream-end')
    return onNode(view.closing === entry.turnId ? { ...view, closing: null } : view, entry);
  if (entry.type === 'usage') return foldUsage(view, entry);
  if (entry.type === 'steer-end' && view.turn?.turnId !== entry.turnId) return foldMissedSteer(view, entry);
  if (view.turn === null || view.turn.turnId !== entry.turnId) return view;
  const stamped = onTurn(view, (turn) => ({ ...turn, lastSeq: entry.seq, lastEvent: entry.type }));
  return foldRunning(stamped, entry);
}

function foldRunning(view: View, entry: Stamped<RunEvent>): View {
  switch (entry.type) {
    case 'text-delta':
      return onAnswer(view, (message) => ({
        ...message,
        text: message.text + entry.text,
        parts: extend(message.parts, 'text', entry.text),
      }));
    case 'thinking-delta':
      return onAnswer(view, (message) => ({ ...message, parts: extend(message.parts, 'thinking', entry.text) }));
    case 'tool-request':
    case 'tool-start':
    case 'tool-output':
    case 'tool-end':
      return foldTool(view, entry);
    case 'data':
      return addPart(view, { type: 'data', name: entry.name, data: entry.data });
    case 'context-trim':
      return addPart(view, { type: 'context-trim', turns: entry.turns });
    case 'prompt-open':
      return foldPromptOpen(view, entry);
    case 'prompt-close':
      return foldPromptClose(view, entry);
    case 'steer-end':
      return foldSteerEnd(view, entry);
    case 'turn-park':
      return onAnswer(
        onTurn(view, (turn) => ({ ...turn, state: 'parked', spent: entry.usage, awaits: entry.awaits ?? [] })),
        (message) => ({ ...message, state: 'parked' }),
      );
    case 'turn-resume':
      return onAnswer(
        onTurn(view, (turn) => ({ ...turn, state: 'running', attempt: entry.attempt, awaits: [] })),
        (message) => ({ ...message, state: 'streaming' }),
      );
    case 'turn-end':
      return foldTurnEnd(view, entry);
    default:
      return view;
  }
}

function foldTurnStart(view: View, start: EntryOf<'turn-start'>): View {
  const { turnId, messageId, messageIds, agent, attempt, parent, at, seq } = start;
  const turn: RunningTurn = {
    turnId,
    messageId,
    state: 'running',
    agent,
    attempt,
    startSeq: seq,
    startedAt: at,
    lastSeq: seq,
    lastEvent: 'turn-start',
    stopping: null,
    steers: [],
    openTools: [],
    awaits: [],
    answers: [],
    results: [],
    spent: null,
    promptCount: 0,
    toolCount: 0,
  };
  if (view.turn?.turnId === turnId) {
    // Started again after a crash before any output (R35): what people asked of it meanwhile stays.
    const { stopping, steers } = view.turn;
    return { ...view, turn: { ...turn, stopping, steers } };
  }
  const cause = start.cause ?? messageIds[0];
  // What it was to answer was withdrawn a moment before: the start is void, and its owner decides anew.
  if (!view.queue.some((item) => item.messageId === cause)) return view;
  const taken = view.queue.filter((item) => item.messageId === cause || messageIds.includes(item.messageId));
  // In the order of the start: the queue may have been put in another one a moment before.
  const asked = messageIds
    .map((id) => taken.find((item) => item.messageId === id))
    .filter((item) => item !== undefined)
    .map((item) => userMessage(item, turnId));
  const node: TurnNode = {
    turnId,
    parent,
    // A merged message may have been withdrawn a moment before; what is answered again was taken long ago.
    messageIds: start.cause === undefined ? asked.map(({ id }) => id) : messageIds,
    messageId,
    agent,
    startSeq: seq,
    startedAt: at,
    outcome: null,
    revision: 0,
    lastSeq: seq,
    lastEvent: 'turn-start',
  };
  const answer: Message = {
    id: messageId,
    role: 'assistant',
    text: '',
    parts: [],
    turnId,
    state: 'streaming',
    revision: seq,
    at,
  };
  const queue = view.queue.filter((item) => !taken.includes(item));
  const started = { ...view, turn, queue, turns: [...view.turns, node], leaf: turnId };
  // The common case, going on from the leaf, adds to the path; a branch makes it anew.
  return trimWindow(
    parent === view.leaf
      ? { ...started, messages: [...view.messages, ...asked, answer] }
      : onPath({ ...started, offPath: [...view.offPath, ...asked, answer] }),
  );
}

function userMessage(item: QueuedMessage, turnId: TurnId): Message {
  const { messageId, clientId, author, text, parts, at, seq } = item;
  return {
    id: messageId,
    role: 'user',
    text,
    parts: [{ type: 'text', text }, ...parts],
    turnId,
    state: 'sent',
    revision: seq,
    at,
    author,
    clientId,
  };
}

function foldTool(view: View, entry: Stamped<Extract<RunEvent, { type: `tool-${string}` }>>): View {
  const { toolId } = entry;
  switch (entry.type) {
    case 'tool-request': {
      const { name, input, callId } = entry;
      const part: ToolPart = {
        type: 'tool',
        toolId,
        name,
        input,
        state: 'requested',
        output: '',
        ...(callId === undefined ? {} : { callId }),
      };
      return addPart(
        onTurn(view, (turn) => ({ ...turn, toolCount: turn.toolCount + 1, openTools: [...turn.openTools, toolId] })),
        part,
      );
    }
    case 'tool-start':
      return onTool(view, toolId, (part) => ({ ...part, state: 'running' }));
    case 'tool-output':
      return onTool(view, toolId, (part) => ({ ...part, output: part.output + entry.text }));
    case 'tool-end': {
      const { ok, output, blob, outputBytes, durationMs } = entry;
      const closed = onTurn(view, (turn) => ({
        ...turn,
        openTools: turn.openTools.filter((id) => id !== toolId),
        results: turn.results.filter((result) => result.toolId !== toolId),
      }));
      return onTool(closed, toolId, (part) => ({
        ...part,
        state: ok ? 'done' : 'failed',
        output,
        durationMs,
        ...(blob === undefined ? {} : { blob }),
        ...(outputBytes === undefined ? {} : { outputBytes }),
      }));
    }
  }
}

function foldPromptOpen(view: View, open: EntryOf<'prompt-open'>): View {
  const { promptId, turnId, kind, title, detail, choices, deadlineAt, toolId } = open;
  const tool = toolId === undefined ? {} : { toolId };
  const prompts = [...view.prompts, { promptId, turnId, kind, title, detail, choices, deadlineAt, ...tool }];
  const counted = onTurn({ ...view, prompts }, (turn) => ({ ...turn, promptCount: turn.promptCount + 1 }));
  return addPart(counted, { type: 'prompt', promptId, kind, title, detail, choices, outcome: null, ...tool });
}

function foldPromptClose(view: View, close: EntryOf<'prompt-close'>): View {
  const { promptId } = close;
  // An answer that was in the log before the close wins over an expiry or a cancellation (R30).
  const given = view.turn?.answers.find((other) => other.promptId === promptId);
  const { outcome, answer, by } = given === undefined ? close : { ...given, outcome: 'answered' as const };
  const prompts = view.prompts.filter((prompt) => prompt.promptId !== promptId);
  const closed = onTurn({ ...view, prompts }, (turn) => ({
    ...turn,
    answers: turn.answers.filter((given) => given.promptId !== promptId),
  }));
  const settled = onAnswer(closed, (message) => ({
    ...message,
    parts: message.parts.map((part) =>
      part.type === 'prompt' && part.promptId === promptId
        ? { ...part, outcome, ...(answer === undefined ? {} : { answer }), ...(by === undefined ? {} : { by }) }
        : part,
    ),
  }));
  return answer === 'session' ? grant(settled, promptId) : settled;
}

/** An approval "for this session" covers the tool that its prompt named. */
function grant(view: View, promptId: PromptId): View {
  const parts = answerOf(view)?.parts ?? [];
  const prompt = parts.find((part) => part.type === 'prompt' && part.promptId === promptId);
  const tool = parts.find((part) => part.type === 'tool' && prompt?.type === 'prompt' && part.toolId === prompt.toolId);
  if (tool?.type !== 'tool' || view.grants.includes(tool.name)) return view;
  return { ...view, grants: [...view.grants, tool.name] };
}

function foldSteerEnd(view: View, { messageId, outcome }: EntryOf<'steer-end'>): View {
  const steer = view.turn?.steers.find((item) => item.messageId === messageId);
  if (steer === undefined) return view;
  const taken = onTurn(view, (turn) => ({ ...turn, steers: turn.steers.filter((item) => item !== steer) }));
  if (outcome === 'injected')
    return addPart(taken, { type: 'steer', messageId, author: steer.author, text: steer.text });
  return outcome === 'queued'
    ? { ...taken, queue: taken.queue.toSpliced(interruptIndex(taken), 0, { ...steer, urgent: true }) }
    : taken;
}

/** The turn had ended when its owner came to say so: the message is in the queue already (`foldTurnEnd`). */
function foldMissedSteer(view: View, { messageId }: EntryOf<'steer-end'>): View {
  const told = ({ missedTurn: _told, ...item }: QueuedMessage): QueuedMessage => item;
  return { ...view, queue: view.queue.map((item) => (item.messageId === messageId ? told(item) : item)) };
}

function foldTurnEnd(view: View, end: EntryOf<'turn-end'>): View {
  const { turnId, outcome, reason, fault, partial, seq, at } = end;
  const missed = (view.turn?.steers ?? []).map((steer) => ({ ...steer, urgent: true, missedTurn: turnId }));
  const ended = onAnswer(view, (message) => ({
    ...message,
    ...(partial === 'discard' ? { text: '', parts: [] } : { parts: settleParts(message.parts) }),
    state: outcome,
    revision: seq,
    ...(reason === undefined ? {} : { reason }),
    ...(fault === undefined ? {} : { fault }),
  }));
  const turns = ended.turns.map((node) =>
    node.turnId === turnId ? { ...node, outcome, endedAt: at, revision: seq, lastSeq: seq, lastEvent: end.type } : node,
  );
  const prompts = ended.prompts.filter((prompt) => prompt.turnId !== turnId);
  return {
    ...ended,
    turns,
    prompts,
    turn: null,
    closing: turnId,
    queue: ended.queue.toSpliced(interruptIndex(ended), 0, ...missed),
  };
}

/** No spinner, open prompt or empty thought outlives its turn (E5). A tool that was running is uncertain (R34). */
function settleParts(parts: readonly Part[]): readonly Part[] {
  return parts
    .filter((part) => part.type !== 'thinking' || part.text !== '')
    .map((part) => {
      if (part.type === 'tool' && part.state === 'requested') return { ...part, state: 'cancelled' };
      if (part.type === 'tool' && part.state === 'running') return { ...part, state: 'uncertain' };
      if (part.type === 'prompt' && part.outcome === null) return { ...part, outcome: 'cancelled' };
      return part;
    });
}

function foldUsage(view: View, entry: EntryOf<'usage'>): View {
  const { turnId, inputTokens, outputTokens, firstTokenMs, durationMs } = entry;
  const usage = { inputTokens, outputTokens, durationMs, ...(firstTokenMs === undefined ? {} : { firstTokenMs }) };
  const counted = {
    ...view,
    usage: { inputTokens: view.usage.inputTokens + inputTokens, outputTokens: view.usage.outputTokens + outputTokens },
  };
  return onNode(
    onMessageOf(counted, turnId, (message) => ({ ...message, usage, revision: entry.seq })),
    entry,
  );
}

// ── the tree and its window ─────────────────────────────────────────────────────────────────────────────────────────

/** The newest end of the branch that begins at a turn. */
function tipOf(turns: readonly TurnNode[], from: TurnId): TurnId {
  const child = turns.findLast((node) => node.parent === from);
  return child === undefined ? from : tipOf(turns, child.turnId);
}

/** The view with these as the messages of its window: those on the active branch, and the others, each in the order of turns. */
export function divideByPath(view: View, all: readonly Message[]): View {
  const byId = new Map(all.map((message) => [message.id, message]));
  const ids = new Set(idsOf(pathOf(view.turns, view.leaf)));
  const others = new Set(idsOf(view.turns).filter((id) => !ids.has(id)));
  const pick = (wanted: ReadonlySet<MessageId>): readonly Message[] =>
    [...wanted].map((id) => byId.get(id)).filter((message) => message !== undefined);
  return { ...view, messages: pick(ids), offPath: pick(others) };
}

const onPath = (view: View): View => divideByPath(view, [...view.messages, ...view.offPath]);

const idsOf = (nodes: readonly TurnNode[]): readonly MessageId[] =>
  nodes.flatMap((node) => [...node.messageIds, node.messageId]);

function trimWindow(view: View): View {
  const [oldest, ...turns] = view.turns;
  if (oldest === undefined || view.turns.length <= WINDOW_TURNS) return view;
  const used = new Set(idsOf(turns));
  const keep = (message: Message): boolean => used.has(message.id);
  return {
    ...view,
    turns,
    messages: view.messages.filter(keep),
    offPath: view.offPath.filter(keep),
    earlierTurns: view.earlierTurns + 1,
  };
}

// ── small lenses ────────────────────────────────────────────────────────────────────────────────────────────────────

function onTurn(view: View, change: (turn: RunningTurn) => RunningTurn): View {
  return view.turn === null ? view : { ...view, turn: change(view.turn) };
}

/** The node of an ended turn notes its latest entry. */
function onNode(
  view: View,
  { turnId, seq, type }: { readonly turnId?: TurnId; readonly seq: number; readonly type: RunEvent['type'] },
): View {
  if (turnId === undefined || !view.turns.some((node) => node.turnId === turnId && node.outcome !== null)) return view;
  return {
    ...view,
    turns: view.turns.map((node) => (node.turnId === turnId ? { ...node, lastSeq: seq, lastEvent: type } : node)),
  };
}

const answerOf = (view: View): Message | undefined => {
  const id = view.turn?.messageId;
  return view.messages.findLast((message) => message.id === id) ?? view.offPath.find((message) => message.id === id);
};

/** Changes the running turn's message, wherever it is: a branch may have been switched meanwhile. */
const onAnswer = (view: View, change: (message: Message) => Message): View =>
  view.turn === null ? view : onMessage(view, view.turn.messageId, change);

function onMessageOf(view: View, turnId: TurnId, change: (message: Message) => Message): View {
  const node = view.turns.find((turn) => turn.turnId === turnId);
  return node === undefined ? view : onMessage(view, node.messageId, change);
}

function onMessage(view: View, id: MessageId, change: (message: Message) => Message): View {
  const index = view.messages.findLastIndex((message) => message.id === id);
  const message = view.messages[index];
  if (message !== undefined) return { ...view, messages: view.messages.with(index, change(message)) };
  return { ...view, offPath: view.offPath.map((other) => (other.id === id ? change(other) : other)) };
}

const addPart = (view: View, part: Part): View =>
  onAnswer(view, (message) => ({ ...message, parts: [...message.parts, part] }));

function onTool(view: View, toolId: ToolId, change: (part: ToolPart) => ToolPart): View {
  return onAnswer(view, (message) => ({
    ...message,
    parts: message.parts.map((part) => (part.type === 'tool' && part.toolId === toolId ? change(part) : part)),
  }));
}

function extend(parts: readonly Part[], type: 'text' | 'thinking', text: string): readonly Part[] {
  const last = parts.at(-1);
  return last?.type === type
    ? parts.with(parts.length - 1, { ...last, text: last.text + text })
    : [...parts, { type, text }];
}
