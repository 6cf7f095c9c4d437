/**
 * What a crash run has to show: the logs against what people were told, and against what the rehearsal agent was to say.
 *
 *  lost       acknowledged or seen, and not in the log
 *  doubled    twice in the log, run twice, or a tool's work done twice
 *  reordered  one author's messages in another order than they were sent
 *  stuck      a turn, a prompt or a queue that is not done when everything is quiet
 *  wrong      an answer that is not what was to be said (a prefix of it, where it was cut off), or an entry that changed
 */
import { rehearse } from '@holdfast/agents/rehearse';
import { EMPTY_VIEW, fold, type Entry, type View } from '@holdfast/protocol';
import type { Person } from './load.ts';

export interface Judgement {
  readonly acknowledged: number;
  readonly seen: number;
  readonly turns: number;
  readonly interrupted: number;
  readonly lost: readonly string[];
  readonly doubled: readonly string[];
  readonly reordered: readonly string[];
  readonly stuck: readonly string[];
  readonly wrong: readonly string[];
}

export function judgeRun(
  people: readonly Person[],
  logs: ReadonlyMap<string, readonly Entry[]>,
  toolLines: readonly string[],
): Judgement {
  const lost: string[] = [];
  const doubled: string[] = [];
  const reordered: string[] = [];
  const stuck: string[] = [];
  const wrong: string[] = people.flatMap((person) => person.contradictions);
  let turns = 0;
  let interrupted = 0;
  for (const person of people) {
    const log = logs.get(person.sessionId) ?? [];
    const messages = log.filter((entry) => entry.type === 'message');
    const starts = log
      .filter((entry) => entry.type === 'turn-start' && entry.attempt === 1)
      .flatMap((entry) => (entry.type === 'turn-start' ? entry.messageIds : []));
    for (const { clientId, messageId } of person.acknowledged) {
      const count = messages.filter((entry) => entry.clientId === clientId).length;
      if (count === 0) lost.push(`${clientId} was acknowledged and is not in the log`);
      if (count > 1) doubled.push(`${clientId} is in the log ${count} times`);
      const runs = starts.filter((id) => id === messageId).length;
      if (runs === 0 && count === 1) stuck.push(`${clientId} was never run`);
      if (runs > 1) doubled.push(`${clientId} was run ${runs} times`);
    }
    for (const { seq, json } of person.seen.values()) {
      const entry = log[seq - 1];
      if (entry === undefined) lost.push(`${person.sessionId} ${seq} was seen and is not in the log`);
      else if (!sameEntry(entry, json))
        wrong.push(`${person.sessionId} ${seq}: seen ${json}, now ${JSON.stringify(entry)}`);
    }
    const order = messages.map((entry) => Number(entry.clientId.split('-').at(-1)));
    if (order.some((n, index) => index > 0 && n <= (order[index - 1] ?? -1)))
      reordered.push(`${person.sessionId}: ${order.join(' ')}`);
    const view = log.reduce<View>((folded, entry) => fold(folded, entry), { ...EMPTY_VIEW });
    if (view.turn !== null || view.queue.length > 0 || view.prompts.length > 0 || view.closing !== null)
      stuck.push(
        `${person.sessionId}: ${view.turn?.turnId ?? 'no turn'} ${view.turn?.state ?? ''}, ${view.queue.length} queued, ${view.prompts.length} prompts`,
      );
    const texts = textsOf(log);
    for (const { messageIds, text, outcome } of texts) {
      turns += 1;
      interrupted += outcome === 'interrupted' ? 1 : 0;
      const scene = messages.find((entry) => entry.messageId === messageIds[0])?.text ?? '';
      const whole = rehearse(scene, { answer: scene.includes('question') ? 'blue' : 'once' });
      const isRight =
        outcome === 'completed'
          ? text === whole || scene.includes('run=')
          : whole.startsWith(text) || scene.includes('run=');
      if (!isRight) wrong.push(`${person.sessionId} ${scene} (${outcome}): said ${JSON.stringify(text.slice(-120))}`);
    }
  }
  for (const line of new Set(toolLines)) {
    const count = toolLines.filter((other) => other === line).length;
    if (count > 1) doubled.push(`the tool of ${line} ran ${count} times`);
  }
  const acknowledged = people.reduce((sum, person) => sum + person.acknowledged.length, 0);
  const seen = people.reduce((sum, person) => sum + person.seen.size, 0);
  return { acknowledged, seen, turns, interrupted, lost, doubled, reordered, stuck, wrong };
}

function sameEntry(entry: Entry, json: string): boolean {
  const shown = JSON.parse(json) as Entry;
  return JSON.stringify(sorted(entry)) === JSON.stringify(sorted(shown));
}

const sorted = (entry: object): unknown =>
  Object.fromEntries(Object.entries(entry).toSorted(([a], [b]) => (a < b ? -1 : 1)));

function textsOf(
  log: readonly Entry[],
): readonly { readonly messageIds: readonly string[]; readonly text: string; readonly outcome: string }[] {
  const turns = new Map<string, { messageIds: readonly string[]; text: string; outcome: string }>();
  for (const entry of log) {
    if (entry.type === 'turn-start')
      turns.set(entry.turnId, turns.get(entry.turnId) ?? { messageIds: entry.messageIds, text: '', outcome: '' });
    const turn = 'turnId' in entry && entry.turnId !== undefined ? turns.get(entry.turnId) : undefined;
    if (turn === undefined) continue;
    if (entry.type === 'text-delta') turn.text += entry.text;
    if (entry.type === 'turn-end') turn.outcome = entry.outcome;
  }
  return [...turns.values()];
}
