/**
 * What a run's event makes of a view. Those of a turn that is over change nothing but what is told of it afterwards: usage, title,
 * its stream's end.
 */
import type { EntryOf, Question, RunEvent, Stamped } from './entry.ts';
import { addPart, answerOf, extend, onAnswer, onMessageOf, onNode, onTool, onTurn } from './fold-lens.ts';
import { onPath, trimWindow } from './fold-tree.ts';
import type { PromptId, TurnId } from './ids.ts';
import { interruptIndex } from './judge.ts';
import type { Message, Part, QueuedMessage, RunningTurn, ToolPart, TurnNode, View } from './view.ts';

export function foldRunEvent(view: View, entry: Stamped<RunEvent>): View {
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
    case 'file':
    case 'provider-state':
    case 'context-trim': {
      const { turnId: _turnId, seq: _seq, at: _at, ...part } = entry;
      return addPart(view, part);
    }
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
  const items = start.question ?? messageIds.flatMap((id) => taken.find((item) => item.messageId === id) ?? []);
  const asked = items.map((item) => userMessage(item, turnId));
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
    parent === view.leaf && start.cause === undefined
      ? { ...started, messages: [...view.messages, ...asked, answer] }
      : onPath({ ...started, offPath: [...view.offPath, ...asked, answer] }),
  );
}

/** @param starting the turn that it starts, if it was not sent for another one */
function userMessage(item: Omit<Question, 'turnId'> & Partial<Question>, starting: TurnId): Message {
  const { messageId, clientId, author, text, parts, at, seq, turnId = starting } = item;
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
  const { promptId, turnId, kind, title, detail, choices, deadlineAt, toolId, needs } = open;
  const tool = toolId === undefined ? {} : { toolId };
  const right = needs === undefined ? {} : { needs };
  const prompts = [...view.prompts, { promptId, turnId, kind, title, detail, choices, deadlineAt, ...tool, ...right }];
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
  if (tool?.type !== 'tool') return view;
  const grants = view.grants.includes(tool.name) ? view.grants : [...view.grants, tool.name];
  const by = prompt?.type === 'prompt' ? prompt.by : undefined;
  return by === undefined
    ? { ...view, grants }
    : { ...view, grants, grantedBy: { ...view.grantedBy, [tool.name]: by } };
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
