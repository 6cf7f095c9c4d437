/**
 * What a command comes to: a pure function of the view just before it. The fold applies the verdict, the receipt reports it.
 *
 * 1. A command's result is decided here and nowhere else, at the command's own seq: every reader, the owner and the
 *    receipt agree, on whatever node they are.
 * 2. A command that came too late is `void`, with the truth in its reason; it changes nothing.
 * 3. A turn that a command names is known if the window holds it, or if admission found it in the log and the command says so.
 * 4. Judging needs the view's *control* part alone (queue, running turn, prompts, tree), never a message's text.
 */
import type { Answer, ApprovalRight, Command } from './entry.ts';
import { turnIdOf, type MessageId, type ToolId, type TurnId } from './ids.ts';
import { turnIdOfItem, type TurnNode, type View } from './view.ts';

export type Applied = 'start' | 'queue' | 'interrupt' | 'steer';

export type VoidReason =
  | 'message-not-queued'
  | 'turn-not-running'
  | 'turn-unknown'
  | 'prompt-not-open'
  | 'tool-not-open'
  | 'prompt-needs-right'
  | 'already-stopping'
  | 'already-open';

export type Verdict =
  /** `position`: how many turns come before it; 0 is started at once. A steer has no turn of its own yet. */
  | { readonly kind: 'accepted'; readonly applied: Applied; readonly position: number; readonly turnId?: TurnId }
  | { readonly kind: 'edited'; readonly messageId: MessageId }
  | { readonly kind: 'withdrawn'; readonly messageId: MessageId }
  | { readonly kind: 'ordered'; readonly messageIds: readonly MessageId[] }
  | { readonly kind: 'stopping'; readonly turnId: TurnId }
  | { readonly kind: 'answered'; readonly answer: Answer }
  | { readonly kind: 'done' }
  | { readonly kind: 'void'; readonly reason: VoidReason };

const no = (reason: VoidReason): Verdict => ({ kind: 'void', reason });

export function judge(view: View, command: Command): Verdict {
  switch (command.type) {
    case 'session-open':
      return view.seq === 0 ? { kind: 'done' } : no('already-open');
    case 'session-set':
    case 'mark-unread':
      return { kind: 'done' };
    case 'message':
      return command.after === undefined ||
        command.after === null ||
        command.afterFound === true ||
        isKnown(view, command.after)
        ? judgeMessage(view, command.messageId, command.whenBusy)
        : no('turn-unknown');
    case 'steer':
      return view.turn?.turnId === command.turnId && view.turn.stopping === null
        ? { kind: 'accepted', applied: 'steer', position: 0 }
        : judgeMessage(view, command.messageId, 'queue');
    case 'regenerate':
      return command.source !== undefined || isKnown(view, command.turnId)
        ? judgeMessage(view, command.messageId, 'queue')
        : no('turn-unknown');
    case 'message-edit':
      return isQueued(view, command.messageId)
        ? { kind: 'edited', messageId: command.messageId }
        : no('message-not-queued');
    case 'message-withdraw':
      return isQueued(view, command.messageId) || isSteering(view, command.messageId)
        ? { kind: 'withdrawn', messageId: command.messageId }
        : no('message-not-queued');
    case 'queue-order':
      return { kind: 'ordered', messageIds: command.messageIds.filter((id) => isQueued(view, id)) };
    case 'stop':
      return judgeStop(view, command.turnId, command.queue);
    case 'prompt-answer':
      return judgeAnswer(view, command);
    case 'tool-result':
      return awaitsResult(view, command.toolId) ? { kind: 'done' } : no('tool-not-open');
    case 'branch-switch':
      return command.tip !== undefined || isKnown(view, command.turnId) ? { kind: 'done' } : no('turn-unknown');
    case 'btw-keep':
      return view.turns.length > 0 ? { kind: 'done' } : no('turn-unknown');
  }
}

/** An approval is given only by an author who has its right; any author may refuse it (R90). */
function judgeAnswer(view: View, { promptId, answer, right }: Extract<Command, { type: 'prompt-answer' }>): Verdict {
  const prompt = view.prompts.find((open) => open.promptId === promptId);
  if (prompt === undefined) return no('prompt-not-open');
  const isShort = right !== undefined && RIGHTS.indexOf(right) < RIGHTS.indexOf(prompt.needs ?? 'write');
  return isShort && answer !== 'deny' ? no('prompt-needs-right') : { kind: 'answered', answer };
}
const RIGHTS: readonly ApprovalRight[] = ['write', 'tools', 'admin'];

/** The first result wins, as the first answer does (R28). */
const awaitsResult = ({ turn }: View, toolId: ToolId): boolean =>
  turn?.openTools.includes(toolId) === true && !turn.results.some((result) => result.toolId === toolId);

function judgeMessage(view: View, messageId: MessageId, whenBusy: 'queue' | 'interrupt' | 'steer'): Verdict {
  const turnId = turnIdOf(messageId);
  const { turn, queue } = view;
  if (turn === null && queue.length === 0) return { kind: 'accepted', applied: 'start', position: 0, turnId };
  if (turn !== null && turn.stopping === null && whenBusy === 'steer')
    return { kind: 'accepted', applied: 'steer', position: 0 };
  if (whenBusy === 'interrupt')
    return { kind: 'accepted', applied: 'interrupt', position: interruptIndex(view), turnId };
  return { kind: 'accepted', applied: 'queue', position: queue.length + (turn === null ? 0 : 1), turnId };
}

/** Interrupting messages go before the waiting ones and keep their own order. */
export function interruptIndex(view: View): number {
  const index = view.queue.findIndex((item) => !item.urgent);
  return index < 0 ? view.queue.length : index;
}

/** A turn is stopped by the id in its message's receipt: before it begins, and as part of the turn that its message was merged into. */
function judgeStop({ turn, turns, queue }: View, turnId: TurnId, wants: 'keep' | 'clear'): Verdict {
  const merged = turns.find((node) => node.turnId === turn?.turnId && isOfItsOwn(node))?.messageIds ?? [];
  const running = turn?.turnId === turnId || merged.some((id) => turnIdOf(id) === turnId) ? turn : null;
  const target = running ?? queue.find((item) => turnIdOfItem(item) === turnId);
  if (target === undefined) return no('turn-not-running');
  // A second stop still counts where it asks for more than the first did: the end of all that waits.
  const waiting = running === null ? queue.length - 1 : queue.length + running.steers.length;
  const repeats = (target.stopping ?? null) !== null && (wants === 'keep' || waiting === 0);
  return repeats ? no('already-stopping') : { kind: 'stopping', turnId: running?.turnId ?? turnId };
}

/** One that answers its messages for the first time: a regenerated turn has the messages of another one. */
const isOfItsOwn = ({ turnId, messageIds: [first] }: TurnNode): boolean =>
  first !== undefined && turnIdOf(first) === turnId;
const isKnown = (view: View, id: TurnId): boolean => view.turns.some((turn) => turn.turnId === id);
const isQueued = (view: View, id: MessageId): boolean => view.queue.some((item) => item.messageId === id);
const isSteering = (view: View, id: MessageId): boolean =>
  view.turn?.steers.some((item) => item.messageId === id) === true;
