/**
 * The laws that hold at every instant, checked as each entry reaches the log. The ledger reads entries by itself: it shares
 * nothing with `fold` and `judge`, so a fault in them is no alibi.
 *
 *  T1  A message waits, then is taken by one turn, or injected, or withdrawn, or cleared; it never leaves such an end.
 *  T2  One turn runs at a time; a run event belongs to it. A turn starts again only where it had said nothing (R35), and at
 *      most three times.
 *  T3  Run events come under the fence, and epochs never go back (R9).
 *  T4  A prompt closes once and by its turn's end; the first answer it gets while it is open is its outcome (R28, R30).
 *  T5  A turn's messages are of one author (R21), and messages that only queued start in the order in which they came.
 *  T7  A tool starts once, as it was asked for; it ends only where it was.
 *  T8  What a turn has used is counted in whole numbers, and no part of it is longer than the whole.
 *  T9  A turn is given up for lost only where its process did not come back to it: one that lives does not lose its run (R12),
 *      unless another one owned the session in between (R79).
 *  T10 A turn that answers again answers what the turn it is asked of answered, after the same turn (R76).
 *  R77 What was accepted is not overtaken: a stopped turn ends `cancelled` (and without its text, if that was to be discarded), an
 *      answered prompt closes as answered, what was withdrawn neither starts nor is injected, and a person's title stands.
 *  T6  A message that says it was steered and was too late is told so.
 */
import type { Entry, EntryOf } from '@holdfast/protocol';

export type Fate = 'waiting' | 'taken' | 'injected' | 'withdrawn' | 'cleared' | 'void';

export interface Item {
  readonly seq: number;
  readonly author: string;
  /** As it was sent; empty where it asks for an answer again. */
  readonly text: string;
  /** Came by plain queueing and was never moved: it keeps its place among its like. */
  plain: boolean;
  fate: Fate;
  /** The seq of the entry that decided its fate. */
  fateSeq: number;
  turnId: string | undefined;
  /** The turn that is to be answered again. */
  readonly again: string | undefined;
  /** Stops of its turn before that began: what each wanted of the text. */
  readonly stops: Stop[];
}

type Stop = 'keep' | 'discard' | 'default';

export interface PromptFate {
  readonly turnId: string;
  /** The tool that it allows, if it does. */
  readonly toolId: string | undefined;
  /** The seq of the first entry that closed it. */
  closedAt: number | undefined;
  /** What that entry said. An answer that came just before it counts for more. */
  closedAs: 'answered' | 'expired' | 'cancelled' | undefined;
  state: 'open' | 'answered' | 'expired' | 'cancelled';
  answer: string | undefined;
  answerer: string | undefined;
  /** The seq of the answer that counted. */
  answeredAt: number | undefined;
}

export interface TurnFate {
  readonly turnId: string;
  /** What it answers. */
  readonly messageIds: readonly string[];
  readonly answerId: string;
  readonly parent: string | null;
  state: 'running' | 'ended';
  outcome: string | undefined;
  discarded: boolean;
  lastType: string;
  fault: string | undefined;
  starts: number;
  /** The number that its latest start or resumption had. */
  attempts: number;
  text: string;
  hasThought: boolean;
  /** Who said the last of it. */
  holder: string | undefined;
  /** And under which epoch. */
  epoch: number;
  usage: EntryOf<'usage'> | undefined;
  readonly stops: Stop[];
  readonly tools: Map<string, { readonly asked: string; state: 'requested' | 'running' | 'ended' }>;
}

export type Violate = (law: string, detail: string) => void;

export class Ledger {
  readonly items: Map<string, Item> = new Map();
  readonly prompts: Map<string, PromptFate> = new Map();
  readonly turns: Map<string, TurnFate> = new Map();
  /** Who has owned the session. */
  readonly holders: Set<string | undefined> = new Set();
  running: TurnFate | undefined;
  #titledAt: number | undefined;
  #epoch = 0;
  readonly #violate: Violate;

  constructor(violate: Violate) {
    this.#violate = violate;
  }

  /** @param epoch of the append's fence, and who had it; undefined where it had none. */
  take(entry: Entry, epoch: number | undefined, holder: string | undefined): void {
    switch (entry.type) {
      case 'message':
        if (entry.whenBusy === 'interrupt' && isPlaced(entry, this.turns)) this.running?.stops.push('default');
        return this.#admit(entry, isPlaced(entry, this.turns));
      case 'steer':
        return this.#admit(entry, true);
      case 'regenerate':
        return this.#admit(entry, this.turns.has(entry.turnId));
      case 'message-withdraw':
        return this.#end(entry.messageId, 'withdrawn', entry.seq);
      case 'queue-order':
        for (const id of entry.messageIds) this.#move(id);
        return undefined;
      case 'stop':
        this.#targetOf(entry.turnId)?.stops.push(entry.partial ?? 'default');
        if (this.running?.turnId === entry.turnId && entry.queue === 'clear')
          for (const id of this.items.keys()) this.#end(id, 'cleared', entry.seq);
        return undefined;
      case 'prompt-answer':
        return this.#answer(entry);
      case 'session-set':
        if (entry.title !== undefined) this.#titledAt = entry.seq;
        return undefined;
      case 'session-open':
      case 'mark-unread':
      case 'message-edit':
      case 'tool-result':
      case 'branch-switch':
      case 'btw-keep':
        return undefined;
      default:
        this.#fence(entry, epoch);
        this.holders.add(holder);
        return this.#runEvent(entry, holder);
    }
  }

  fateOf(messageId: string): Fate {
    return this.items.get(messageId)?.fate ?? 'void';
  }

  /** What the entry at `seq` made of a message; undefined where another decided. */
  fateAt(messageId: string, seq: number): Fate | undefined {
    const item = this.items.get(messageId);
    return item?.fateSeq === seq ? item.fate : undefined;
  }

  /** What a stop by a receipt's id is for: the running turn, also as one of its messages, or one that has not begun. */
  #targetOf(turnId: string): { readonly stops: Stop[] } | undefined {
    const { running } = this;
    const item = this.items.get(messageOf(turnId));
    const wasTaken = item?.fate === 'taken' && item.turnId === running?.turnId;
    if (running !== undefined && (running.turnId === turnId || wasTaken)) return running;
    return item?.fate === 'waiting' ? item : undefined;
  }

  #admit(entry: EntryOf<'message' | 'steer' | 'regenerate'>, isValid: boolean): void {
    const { seq, author, messageId, type } = entry;
    if (this.items.has(messageId)) this.#violate('T1', `${messageId} came twice (${seq}).`);
    const plain = type === 'message' && entry.whenBusy === 'queue';
    const fate = isValid ? 'waiting' : 'void';
    this.items.set(messageId, {
      seq,
      author,
      text: entry.type === 'regenerate' ? '' : entry.text,
      plain,
      fate,
      fateSeq: seq,
      turnId: undefined,
      again: entry.type === 'regenerate' ? entry.turnId : undefined,
      stops: [],
    });
  }

  #end(messageId: string, fate: Fate, seq: number): void {
    const item = this.items.get(messageId);
    if (item?.fate !== 'waiting') return;
    item.fate = fate;
    item.fateSeq = seq;
  }

  #move(messageId: string): void {
    const item = this.items.get(messageId);
    if (item !== undefined) item.plain = false;
  }

  #answer({ promptId, answer, author, seq }: EntryOf<'prompt-answer'>): void {
    const prompt = this.prompts.get(promptId);
    if (prompt?.state !== 'open') return;
    prompt.state = 'answered';
    prompt.answer = answer;
    prompt.answerer = author;
    prompt.answeredAt = seq;
  }

  /** T3. */
  #fence({ seq, type }: Entry, epoch: number | undefined): void {
    if (epoch === undefined) this.#violate('T3', `${type} at ${seq} came without a fence.`);
    else if (epoch < this.#epoch) this.#violate('T3', `${type} at ${seq} is of epoch ${epoch}, after ${this.#epoch}.`);
    else this.#epoch = epoch;
  }

  #runEvent(entry: Exclude<Entry, { readonly author: string }>, holder: string | undefined): void {
    if (entry.type === 'turn-start') return this.#start(entry, holder);
    if (entry.type === 'steer-end') return this.#steerEnd(entry);
    if (entry.type === 'usage') return this.#count(entry);
    if (entry.type === 'title' && this.#titledAt !== undefined)
      this.#violate('R77', `The title at ${entry.seq} takes the place of the person's of ${this.#titledAt}.`);
    if (entry.type === 'title' || entry.type === 'title-status' || entry.type === 'stream-end') return undefined;
    const turn = this.running;
    if (turn?.turnId !== entry.turnId)
      return this.#violate(
        'T2',
        `${entry.type} at ${entry.seq} is of ${entry.turnId}; ${turn?.turnId ?? 'none'} runs.`,
      );
    if (entry.type === 'turn-resume' && turn.lastType !== 'turn-resume' && !mayResume(turn.lastType))
      this.#violate('T2', `${turn.turnId} is resumed at ${entry.seq} after ${turn.lastType}.`);
    if (entry.type === 'text-delta') turn.text += entry.text;
    if (entry.type === 'thinking-delta') turn.hasThought = true;
    if (entry.type === 'turn-resume') turn.attempts = entry.attempt;
    if (entry.type === 'tool-request' || entry.type === 'tool-start' || entry.type === 'tool-end')
      this.#tool(turn, entry);
    const isOfNext = turn.holder === holder && this.#epoch <= turn.epoch + 1;
    if (entry.type === 'turn-end' && entry.fault === 'owner-lost' && isOfNext)
      this.#violate('T9', `${turn.turnId} is given up for lost at ${entry.seq} by ${holder}, who ran it.`);
    // Whoever takes over may close prompts before the end.
    if (entry.type !== 'prompt-close') Object.assign(turn, { holder, epoch: this.#epoch });
    if (entry.type === 'prompt-open') this.#openPrompt(entry);
    if (entry.type === 'prompt-close') this.#closePrompt(entry);
    else turn.lastType = entry.type;
    if (entry.type === 'turn-end') this.#turnEnd(turn, entry);
  }

  #start(start: EntryOf<'turn-start'>, holder: string | undefined): void {
    const { turnId, seq, messageIds, cause } = start;
    const again = this.turns.get(turnId);
    if (again !== undefined) {
      again.starts += 1;
      again.attempts = start.attempt;
      again.holder = holder;
      again.epoch = this.#epoch;
      if (this.running !== again) this.#violate('T2', `${turnId} starts again at ${seq} and had ended.`);
      if (again.lastType !== 'turn-start')
        this.#violate('R35', `${turnId} starts again at ${seq} after ${again.lastType}.`);
      if (again.starts > 3) this.#violate('R35', `${turnId} starts a fourth time at ${seq}.`);
      return;
    }
    if (this.running !== undefined)
      this.#violate('T2', `${turnId} starts at ${seq} while ${this.running.turnId} runs.`);
    const named = cause === undefined ? messageIds : [cause];
    const left = named.find((id) => this.#hasLeft(id));
    if (left !== undefined) this.#violate('R77', `${turnId} at ${seq} takes ${left}, which has left the queue.`);
    const taken = named.filter((id) => !this.#hasLeft(id));
    for (const id of taken) this.#takeItem(id, start);
    if (cause !== undefined) this.#judgeAgain(start, cause);
    if (new Set(taken.map((id) => this.items.get(id)?.author)).size > 1)
      this.#violate('R21', `${turnId} at ${seq} has messages of several authors.`);
    this.running = {
      turnId,
      messageIds: cause === undefined ? taken : messageIds,
      answerId: start.messageId,
      parent: start.parent,
      state: 'running',
      outcome: undefined,
      discarded: false,
      lastType: 'turn-start',
      fault: undefined,
      starts: 1,
      attempts: 1,
      text: '',
      hasThought: false,
      holder,
      epoch: this.#epoch,
      usage: undefined,
      stops: taken.flatMap((id) => this.items.get(id)?.stops ?? []),
      tools: new Map(),
    };
    this.turns.set(turnId, this.running);
  }

  /** T10. */
  #judgeAgain({ turnId, messageIds, parent, seq }: EntryOf<'turn-start'>, cause: string): void {
    const source = this.turns.get(this.items.get(cause)?.again ?? '');
    if (source === undefined || source.parent !== parent || source.messageIds.join() !== messageIds.join())
      this.#violate(
        'T10',
        `${turnId} at ${seq} answers ${messageIds.join()} after ${parent}; asked for is ${source?.messageIds.join()} after ${source?.parent}.`,
      );
  }

  #hasLeft(id: string | undefined): boolean {
    const fate = id === undefined ? undefined : this.items.get(id)?.fate;
    return fate === 'withdrawn' || fate === 'cleared';
  }

  /** T1, T5. */
  #takeItem(id: string, { turnId, seq }: EntryOf<'turn-start'>): void {
    const item = this.items.get(id);
    if (item?.fate !== 'waiting')
      return this.#violate('T1', `${turnId} at ${seq} takes ${id}, which is ${item?.fate ?? 'unknown'}.`);
    item.fate = 'taken';
    item.turnId = turnId;
    for (const [otherId, other] of this.items)
      if (item.plain && other.plain && other.fate === 'waiting' && other.seq < item.seq)
        this.#violate('T5', `${turnId} at ${seq} takes ${id} before ${otherId}, which came earlier.`);
  }

  #steerEnd({ messageId, turnId, outcome, seq }: EntryOf<'steer-end'>): void {
    const item = this.items.get(messageId);
    if (item === undefined) return this.#violate('T6', `steer-end at ${seq} names ${messageId}, which is unknown.`);
    if (outcome !== 'injected') return;
    item.turnId ??= turnId;
    if (item.fate === 'waiting') item.fate = 'injected';
    else if (item.fate === 'taken' || item.fate === 'injected')
      this.#violate('T1', `${messageId} is injected at ${seq} and was ${item.fate}.`);
    else this.#violate('R77', `${messageId} is injected at ${seq} and was ${item.fate}.`);
  }

  #openPrompt({ promptId, turnId, toolId, seq }: EntryOf<'prompt-open'>): void {
    if (this.prompts.has(promptId)) this.#violate('T4', `${promptId} is opened again at ${seq}.`);
    const blank = {
      closedAt: undefined,
      closedAs: undefined,
      answer: undefined,
      answerer: undefined,
      answeredAt: undefined,
    };
    this.prompts.set(promptId, { turnId, toolId, state: 'open', ...blank });
  }

  /** T4. */
  #closePrompt({ promptId, outcome, answer, seq }: EntryOf<'prompt-close'>): void {
    const prompt = this.prompts.get(promptId);
    if (prompt === undefined) return this.#violate('T4', `prompt-close at ${seq} names ${promptId}, which is unknown.`);
    if (outcome === 'answered' && (prompt.state !== 'answered' || prompt.answer !== answer))
      this.#violate(
        'T4',
        `${promptId} is closed at ${seq} with "${answer}"; it is ${prompt.state} "${prompt.answer}".`,
      );
    if (outcome !== 'answered' && prompt.state === 'answered')
      this.#violate('R77', `${promptId} is ${outcome} at ${seq} and was answered at ${prompt.answeredAt}.`);
    if (prompt.state === 'open') prompt.state = outcome;
    prompt.closedAt ??= seq;
    prompt.closedAs ??= outcome;
  }

  /** T7. */
  #tool(turn: TurnFate, entry: EntryOf<'tool-request' | 'tool-start' | 'tool-end'>): void {
    const { type, toolId, seq } = entry;
    const tool = turn.tools.get(toolId);
    const asked = type === 'tool-end' ? '' : JSON.stringify([entry.name, entry.input]);
    if (type === 'tool-request' && tool === undefined) {
      turn.tools.set(toolId, { asked, state: 'requested' });
      return;
    }
    // Of two results of one tool, the agent may report both.
    const isDue = type === 'tool-end' || (tool?.state === 'requested' && tool.asked === asked);
    if (tool === undefined || type === 'tool-request' || !isDue)
      return this.#violate('T7', `${type} of ${toolId} ${asked} at ${seq}; it is ${tool?.state} ${tool?.asked}.`);
    tool.state = type === 'tool-start' ? 'running' : 'ended';
  }

  /** T8. */
  #count(usage: EntryOf<'usage'>): void {
    const { turnId, seq, inputTokens, outputTokens, durationMs, firstTokenMs } = usage;
    const turn = this.turns.get(turnId);
    if (turn?.state !== 'ended' || turn.usage !== undefined)
      return this.#violate('T8', `What ${turnId} has used is told at ${seq}, out of place.`);
    turn.usage = usage;
    const isWhole = [inputTokens, outputTokens, durationMs, firstTokenMs ?? 0].every(
      (n) => Number.isInteger(n) && n >= 0,
    );
    if (!isWhole || (firstTokenMs ?? 0) > durationMs)
      this.#violate('T8', `${turnId} has used ${JSON.stringify(usage)}.`);
  }

  /** R77. Of stops that differ in what they want of the text, the fold says which counts. */
  #judgeStops({ turnId, stops, outcome, discarded }: TurnFate, seq: number): void {
    const [first] = stops;
    if (first === undefined) return;
    if (outcome !== 'cancelled') this.#violate('R77', `${turnId} was stopped and is ${outcome} at ${seq}.`);
    if (stops.every((stop) => stop === first) && discarded !== (first === 'discard'))
      this.#violate(
        'R77',
        `${turnId} was stopped (${first}) and its text is ${discarded ? 'discarded' : 'kept'} at ${seq}.`,
      );
  }

  #turnEnd(turn: TurnFate, { outcome, partial, fault, seq }: EntryOf<'turn-end'>): void {
    turn.state = 'ended';
    turn.fault = fault;
    turn.outcome = outcome;
    turn.discarded = partial === 'discard';
    this.running = undefined;
    this.#judgeStops(turn, seq);
    for (const [promptId, prompt] of this.prompts)
      if (prompt.turnId === turn.turnId && prompt.state === 'open')
        this.#violate('T4', `${turn.turnId} ends at ${seq} and leaves ${promptId} open.`);
  }
}

const isPlaced = ({ after }: EntryOf<'message'>, turns: ReadonlyMap<string, TurnFate>): boolean =>
  after === undefined || after === null || turns.has(after);

/** A turn is named after its first message. */
export const messageOf = (turnId: string): string => `m_${turnId.slice('t_'.length)}`;

/** A turn is resumed where it was parked, with closes of its prompts in between (they do not count as said). */
const mayResume = (lastType: string): boolean => lastType === 'turn-park';
