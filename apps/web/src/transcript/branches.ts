/**
 * Where the conversation forks. A turn's siblings are the turns that follow the same one.
 *
 * B1. Siblings that answer the same messages are versions of the *answer* (regenerated); those with other messages are
 *     versions of the *question* (edited). Each is shown where it differs.
 * B2. Older turns than the window's have no known siblings, and cannot be forked.
 */
import type { TurnId } from '@holdfast/protocol/ids';
import type { Message, TurnNode, View } from '@holdfast/protocol/view';

export interface Versions {
  /** From 0. */
  readonly at: number;
  readonly turnIds: readonly TurnId[];
}

export interface Fork {
  readonly question: Versions | null;
  readonly answer: Versions | null;
  /** What an edited question follows; undefined: it cannot be edited any more (B2). */
  readonly parent: TurnId | null | undefined;
}

const NO_FORK: Fork = { question: null, answer: null, parent: undefined };

/** For each message of the active branch where something can be chosen or forked. */
export function forksOf({ turns, leaf }: Pick<View, 'turns' | 'leaf'>): ReadonlyMap<Message['id'], Fork> {
  const byId = new Map(turns.map((node) => [node.turnId, node]));
  const forks = new Map<Message['id'], Fork>();
  for (let node = leaf === null ? undefined : byId.get(leaf); node !== undefined;) {
    const fork = forkOf(node, turns, byId);
    for (const id of node.messageIds) forks.set(id, fork);
    forks.set(node.messageId, fork);
    node = node.parent === null ? undefined : byId.get(node.parent);
  }
  return forks;
}

function forkOf(node: TurnNode, turns: readonly TurnNode[], byId: ReadonlyMap<TurnId, TurnNode>): Fork {
  if (node.parent !== null && !byId.has(node.parent)) return NO_FORK;
  const siblings = turns.filter((other) => other.parent === node.parent);
  const answers = siblings.filter((other) => isSameQuestion(other, node));
  // Of each question one turn stands for all of its answers: the one that is shown, or its latest.
  const questions = siblings.filter((other) =>
    isSameQuestion(other, node) ? other === node : siblings.findLast((later) => isSameQuestion(later, other)) === other,
  );
  const inOrder = questions.toSorted((a, b) => firstStart(a, siblings) - firstStart(b, siblings));
  return { question: versionsOf(inOrder, node), answer: versionsOf(answers, node), parent: node.parent };
}

const firstStart = (node: TurnNode, siblings: readonly TurnNode[]): number =>
  siblings.find((other) => isSameQuestion(other, node))?.startSeq ?? node.startSeq;

const isSameQuestion = (a: TurnNode, b: TurnNode): boolean =>
  a.messageIds.length === b.messageIds.length && a.messageIds.every((id, index) => id === b.messageIds[index]);

const versionsOf = (nodes: readonly TurnNode[], shown: TurnNode): Versions | null =>
  nodes.length < 2 ? null : { at: nodes.indexOf(shown), turnIds: nodes.map(({ turnId }) => turnId) };
