/**
 * The shared store of a run, watched: what reached it is decoded, folded and judged once, as it comes.
 *
 * W1  Every answer is held against a second book (`book.ts`): who acquires while another's lease lives, who releases below
 *     the head, is seen whatever the store itself believes.
 * R78 The prompts of an agent that can resume and its park are one append.
 * W2  A message that is accepted stands where its receipt says.
 */
import { MemoryStore } from '@holdfast/log/memory';
import {
  EMPTY_VIEW,
  fold,
  isCommand,
  judge,
  type Entry,
  type MessageId,
  type Verdict,
  type View,
} from '@holdfast/protocol';
import type {
  AcquireVerdict,
  Append,
  AppendVerdict,
  CreateVerdict,
  HeldConsumer,
  LeaseVerdict,
  LogRecord,
  ReadRange,
  ReadVerdict,
  Release,
  ReleaseVerdict,
  StreamOptions,
} from '@holdfast/log';
import { decodeEntry } from '@holdfast/session';
import { Book } from './book.ts';
import { Ledger, type Violate } from './ledger.ts';

/** All that is known of a session's log. */
export interface Truth {
  readonly entries: Entry[];
  readonly records: LogRecord[];
  readonly verdicts: Map<number, Verdict>;
  readonly ledger: Ledger;
  /** Of each entry: the first seq of its append, and the epoch that this was fenced by. */
  /** How many messages waited after each entry, in the queue or as steers. */
  readonly waiting: number[];
  readonly appends: { readonly first: number; readonly epoch: number | undefined }[];
  view: View;
  head: number;
}

const SESSION = 'session/';

/** Called as an entry is committed, with the holder that appended it. */
export type Ambush = (type: Entry['type'], holder: string | undefined) => void;

export class WatchedStore extends MemoryStore {
  readonly truths: Map<string, Truth> = new Map();
  readonly ambushes: Set<Ambush> = new Set();
  /** For a report. */
  onEntry: ((sessionId: string, entry: Entry) => void) | undefined;
  readonly #violate: Violate;
  readonly #book: Book;

  constructor(violate: Violate) {
    super();
    this.#violate = violate;
    this.#book = new Book(violate);
  }

  override append(name: string, append: Append, now: number): AppendVerdict {
    const verdict = super.append(name, append, now);
    const records = verdict.kind === 'appended' ? this.recordsOf(name, verdict.first, verdict.last) : [];
    this.#book.appended(name, append, verdict, records);
    if (verdict.kind === 'appended' && name.startsWith(SESSION)) this.#note(name, append, verdict.first, verdict.last);
    return verdict;
  }

  override create(name: string, options: StreamOptions, now: number): CreateVerdict {
    this.#book.created(name, []);
    const verdict = super.create(name, options, now);
    if (verdict.kind === 'created') this.#book.created(name, options.consumers ?? []);
    return verdict;
  }

  override delete(...request: Parameters<MemoryStore['delete']>): ReturnType<MemoryStore['delete']> {
    const verdict = super.delete(...request);
    if (verdict.kind === 'erased') this.#book.deleted(request[0]);
    return verdict;
  }

  override read(name: string, range: ReadRange, now: number): ReadVerdict {
    const verdict = super.read(name, range, now);
    this.#book.read(name, range, verdict);
    return verdict;
  }

  override findKey(name: string, id: string, now: number): ReturnType<MemoryStore['findKey']> {
    const found = super.findKey(name, id, now);
    this.#book.foundKey(name, id, found);
    return found;
  }

  override renew(holder: string, leaseMs: number, held: readonly HeldConsumer[], now: number): LeaseVerdict {
    const verdict = super.renew(holder, leaseMs, held, now);
    this.#book.renewed(holder, leaseMs, held, verdict, now);
    return verdict;
  }

  override leave(holder: string): void {
    super.leave(holder);
    this.#book.left(holder);
  }

  override acquire(name: string, consumer: string, holder: string, now: number): AcquireVerdict {
    const verdict = super.acquire(name, consumer, holder, now);
    this.#book.acquired(name, consumer, holder, verdict, now);
    return verdict;
  }

  override release(name: string, consumer: string, release: Release, now: number): ReleaseVerdict {
    const verdict = super.release(name, consumer, release, now);
    this.#book.released(name, consumer, release, verdict);
    return verdict;
  }

  override pending(consumer: string, limit: number, after: string, now: number): string[] {
    const names = super.pending(consumer, limit, after, now);
    this.#book.pended(consumer, limit, after, names, now);
    return names;
  }

  hasLease(holder: string, now: number): boolean {
    return this.#book.hasLease(holder, now);
  }

  hasKey(sessionId: string, clientId: string): boolean {
    return this.#book.hasKey(`${SESSION}${sessionId}`, clientId);
  }

  /** What must still be true of the store when all is over. */
  audit(now: number): void {
    this.#book.audit(this, now);
  }

  /** Whether somebody who lives owns it. */
  isHeld(sessionId: string, now: number): boolean {
    return this.#book.holderOf(`${SESSION}${sessionId}`, 'run', now) !== undefined;
  }

  truthOf(sessionId: string): Truth {
    const known = this.truths.get(sessionId);
    if (known !== undefined) return known;
    const ledger = new Ledger((law, detail) => this.#violate(law, `${sessionId}: ${detail}`));
    const truth = {
      entries: [],
      records: [],
      verdicts: new Map(),
      ledger,
      waiting: [],
      appends: [],
      view: EMPTY_VIEW,
      head: 0,
    };
    this.truths.set(sessionId, truth);
    return truth;
  }

  #note(name: string, { records, fence }: Append, first: number, last: number): void {
    const truth = this.truthOf(name.slice(SESSION.length));
    if (first !== truth.head + 1 || last - first + 1 !== records.length)
      this.#violate('L1', `${name}: ${first}..${last} follows ${truth.head}.`);
    truth.head = last;
    for (const record of this.recordsOf(name, first, last)) {
      const entry = decodeEntry(record);
      truth.entries.push(entry);
      truth.appends.push({ first, epoch: fence?.epoch });
      this.onEntry?.(name.slice(SESSION.length), entry);
      truth.records.push(record);
      const holder = fence === undefined ? undefined : this.#book.ownerOf(name, fence.consumer);
      // What a session is made of comes with its creation, before it has an owner.
      truth.ledger.take(entry, first === 1 ? 0 : fence?.epoch, holder);
      const verdict = isCommand(entry) ? judge(truth.view, entry) : undefined;
      if (verdict !== undefined) truth.verdicts.set(entry.seq, verdict);
      truth.view = fold(truth.view, entry);
      if (
        verdict?.kind === 'accepted' &&
        'messageId' in entry &&
        placeIn(truth.view, entry.messageId) !== verdict.position
      )
        this.#violate('W2', `${name}: ${entry.messageId} is told ${JSON.stringify(verdict)}; it is elsewhere.`);
      truth.waiting.push(truth.view.queue.length + (truth.view.turn?.steers.length ?? 0));
      for (const strike of this.ambushes) strike(entry.type, holder);
    }
    const asks = truth.entries.slice(first - 1).some(({ type }) => type === 'prompt-open');
    if (asks && truth.view.turn?.agent === 'patient' && truth.view.turn.state !== 'parked')
      this.#violate('R78', `${name}: a prompt at ${last} is shown and its turn is not parked.`);
  }
}

/** How many turns come before this message's own; a steer and an interrupt come before all that runs. */
function placeIn({ queue, turn }: View, messageId: MessageId): number | undefined {
  if (turn?.steers.some((steer) => steer.messageId === messageId) === true) return 0;
  const index = queue.findIndex((item) => item.messageId === messageId);
  if (index < 0) return undefined;
  return turn === null || queue[index]?.urgent === true ? index : index + 1;
}
