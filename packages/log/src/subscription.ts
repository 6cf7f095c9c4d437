/**
 * Catch up, then live: the readers of one process, whatever the store.
 *
 * A reader is a position in a stream and nothing more. What was just committed lies in the stream's **tail**, one list
 * shared by all its readers; a reader whose place is no longer there reads a page from the store. So there is one way
 * to be caught up and no moment of switching from "replay" to "live" in which a record could fall between.
 *
 * Stages of `next`: from the tail; else, where the reader knows that it has everything, wait; else read the store.
 *
 *  H1  A tail is contiguous and ends with the last commit that this process was told of. `head` is the highest seq known
 *      to exist; a reader waits only where its position has reached it, and reads otherwise (L6).
 *  H2  The store calls `appended` before it resolves the append (L7), once per stream for all that it resolves together.
 *      The tail is cut only at the next call, so what a caught-up reader has not yet polled is still there.
 *  H3  A tail keeps what its slowest reader still needs and at most `tailBytesMax`; beyond that the slow ones read from the
 *      store. All tails together keep at most `tailsBytesMax`. Streams without readers keep nothing.
 *  H4  Readers at one place are handed the same batch object, and readers that need the same page share one read of it.
 *  H5  The highest record that a stream's readers have seen is known by its tag. Should the store turn out to be without it (a
 *      failover that lost entries), all of them are told `truncated`: what follows it is another history.
 */
import { FaultError } from '@holdfast/protocol/fault';
import type {
  Delivery,
  LogRecord,
  ReadRange,
  ReadVerdict,
  StreamName,
  SubscribeOptions,
  Subscription,
} from './port.ts';

export interface HubSource {
  read(stream: StreamName, range: ReadRange): Promise<ReadVerdict>;
  /** Awaited before a read that the store could not answer is tried again (L12). */
  pause(): Promise<void>;
}

export interface HubLimits {
  readonly tailBytesMax: number;
  readonly tailsBytesMax: number;
}

const batchBytesMaxDefault = 64 * 1024;
const limitsDefault: HubLimits = { tailBytesMax: 1024 * 1024, tailsBytesMax: 32 * 1024 * 1024 };
/** With few readers it is cheap to ask each what it still needs; with many it is done once per so many records. */
const readersFew = 4;
const recordsBetweenCuts = 64;

export class Hub {
  private readonly source: HubSource;
  private readonly limits: HubLimits;
  private readonly topicsByStream = new Map<StreamName, Topic>();
  private readonly tails: Tails = { bytes: 0 };
  private closed = false;

  constructor(source: HubSource, limits: Partial<HubLimits> = {}) {
    this.source = source;
    this.limits = { ...limitsDefault, ...limits };
  }

  subscribe(stream: StreamName, after: number, options: SubscribeOptions = {}): Subscription {
    let topic = this.topicsByStream.get(stream);
    if (!topic) {
      topic = new Topic(stream, this.source, this.tails, () => this.topicsByStream.delete(stream));
      if (!this.closed) this.topicsByStream.set(stream, topic);
    }
    if (options.tag !== undefined) topic.seen(after, options.tag);
    const reader = new Reader(topic, after, options.batchBytesMax ?? batchBytesMaxDefault);
    if (this.closed) reader.cancel();
    return reader;
  }

  /** Whether anybody here reads the stream: if not, `appended` need not be called. */
  has(stream: StreamName): boolean {
    return this.topicsByStream.has(stream);
  }

  /** H2: these records were committed, in this order, after whatever was told of before. */
  appended(stream: StreamName, records: readonly LogRecord[], closed: boolean): void {
    const topic = this.topicsByStream.get(stream);
    if (!topic) return;
    topic.append(records, closed, this.tails.bytes > this.limits.tailsBytesMax ? 0 : this.limits.tailBytesMax);
    topic.wake();
  }

  /** There are records up to `head`, committed elsewhere: who waits shall read them. */
  advanced(stream: StreamName, head: number, closed: boolean): void {
    const topic = this.topicsByStream.get(stream);
    topic?.learn(head, closed);
    topic?.wake();
  }

  deleted(stream: StreamName): void {
    this.topicsByStream.get(stream)?.endAll({ kind: 'deleted' });
  }

  /** H5: what is known of each stream that is read here. */
  tips(): Tip[] {
    return [...this.topicsByStream].flatMap(([stream, { tip, knownHead }]) =>
      tip === undefined ? [] : [{ stream, ...tip, head: Math.max(tip.seq, knownHead ?? 0) }],
    );
  }

  /** H5: the store is without the tip. */
  rewound(stream: StreamName): void {
    this.topicsByStream.get(stream)?.endAll({ kind: 'truncated', floor: 0, head: 0 });
  }

  /** Every reader is told `cancelled`. */
  close(): void {
    this.closed = true;
    for (const topic of this.topicsByStream.values()) topic.endAll({ kind: 'cancelled' });
  }

  /** How far this process knows a stream that is read here. */
  headOf(stream: StreamName): number | undefined {
    return this.topicsByStream.get(stream)?.knownHead;
  }

  /** The streams that are read here. */
  streams(): StreamName[] {
    return [...this.topicsByStream.keys()];
  }

  /** For metrics and leak tests. */
  get size(): { readonly topics: number; readonly readers: number; readonly tailsBytes: number } {
    let readers = 0;
    for (const topic of this.topicsByStream.values()) readers += topic.readers.size;
    return { topics: this.topicsByStream.size, readers, tailsBytes: this.tails.bytes };
  }
}

export interface Tip {
  readonly stream: StreamName;
  /** Of the last record that was seen. */
  readonly seq: number;
  readonly tag: number;
  /** Others may be known of, and not yet seen. */
  readonly head: number;
}

/** What all tails of a hub hold together. */
interface Tails {
  bytes: number;
}

type Batch = Extract<Delivery, { kind: 'records' }>;

/** A stream that has readers here. */
class Topic {
  readonly stream: StreamName;
  readonly source: HubSource;
  readonly readers = new Set<Reader>();
  /** Those to wake when something comes. */
  readonly waiting = new Set<Reader>();
  /** H5. */
  tip: Pick<Tip, 'seq' | 'tag'> | undefined;
  private tail: LogRecord[] = [];
  private tailBytes = 0;
  private sinceCut = 0;
  /** H1. Undefined until the store or a commit has told us. */
  private head: number | undefined;
  private closed = false;
  /** H4. Valid until the tail changes. */
  private shared: { readonly after: number; readonly bytesMax: number; readonly batch: Batch } | undefined;
  private readonly pagesByPlace = new Map<string, Promise<ReadVerdict>>();
  private readonly tails: Tails;
  private readonly onEmpty: () => void;

  constructor(stream: StreamName, source: HubSource, tails: Tails, onEmpty: () => void) {
    this.stream = stream;
    this.source = source;
    this.tails = tails;
    this.onEmpty = onEmpty;
  }

  append(records: readonly LogRecord[], closed: boolean, roomBytes: number): void {
    this.cut(roomBytes);
    this.shared = undefined;
    const end = this.tail.at(-1)?.seq;
    // H1: what does not follow the tail replaces it; the readers in between read from the store.
    if (end !== undefined && records[0] !== undefined && records[0].seq !== end + 1) this.clear();
    let bytes = 0;
    for (const record of records) {
      this.tail.push(record);
      bytes += record.bytes.length;
    }
    this.resize(this.tailBytes + bytes);
    this.sinceCut += records.length;
    this.seenLast(records);
    this.learn(records.at(-1)?.seq ?? this.head ?? 0, closed);
  }

  seenLast(records: readonly LogRecord[]): void {
    const last = records.at(-1);
    if (last !== undefined) this.seen(last.seq, last.tag);
  }

  /** H5. */
  seen(seq: number, tag: number): void {
    if (seq > (this.tip?.seq ?? 0)) this.tip = { seq, tag };
  }

  get knownHead(): number | undefined {
    return this.head;
  }

  learn(head: number, closed: boolean): void {
    this.head = Math.max(this.head ?? 0, head);
    this.closed ||= closed;
  }

  wake(): void {
    for (const reader of this.waiting) reader.wake();
  }

  endAll(delivery: Delivery): void {
    for (const reader of this.readers) reader.end(delivery);
  }

  leave(reader: Reader): void {
    this.readers.delete(reader);
    this.waiting.delete(reader);
    if (this.readers.size > 0) return;
    this.clear();
    this.onEmpty();
  }

  /** What follows `after`, as far as the tail has it. */
  batchAfter(after: number, bytesMax: number): Batch | undefined {
    const first = this.tail[0];
    if (first === undefined || after < first.seq - 1) return undefined;
    if (this.shared?.after === after && this.shared.bytesMax === bytesMax) return this.shared.batch;
    const from = after + 1 - first.seq;
    if (from >= this.tail.length) return undefined;
    const batch: Batch = { kind: 'records', records: this.tail.slice(from, this.endOfBatch(from, bytesMax)) };
    this.shared = { after, bytesMax, batch };
    return batch;
  }

  /** H3: the only reader has taken everything there is. */
  consumed(upTo: number): void {
    if (this.readers.size === 1 && this.tail.length > 0 && this.tail.at(-1)?.seq === upTo) this.clear();
  }

  /** Whether a reader at `after` has everything (it may wait), and whether nothing can follow; one that knows more is to ask. */
  placeOf(after: number): 'unknown' | 'behind' | 'caught-up' | 'ended' {
    if (this.head === undefined || after > this.head) return 'unknown';
    if (after < this.head) return 'behind';
    return this.closed ? 'ended' : 'caught-up';
  }

  /** H4. */
  readPage(after: number, bytesMax: number): Promise<ReadVerdict> {
    const place = `${after}/${bytesMax}`;
    let page = this.pagesByPlace.get(place);
    if (!page) {
      page = this.source.read(this.stream, { after, bytesMax }).finally(() => this.pagesByPlace.delete(place));
      this.pagesByPlace.set(place, page);
    }
    return page;
  }

  private endOfBatch(from: number, bytesMax: number): number {
    let end = from;
    let bytes = 0;
    while (end < this.tail.length) {
      bytes += this.tail[end]!.bytes.length;
      if (bytes > bytesMax && end > from) break;
      end += 1;
    }
    return end;
  }

  /** H3: drops what no reader needs from the tail, and more where it is too large. */
  private cut(roomBytes: number): void {
    const due = this.readers.size <= readersFew || this.sinceCut >= recordsBetweenCuts || this.tailBytes > roomBytes;
    const first = this.tail[0];
    if (!due || first === undefined) return;
    this.sinceCut = 0;
    let needed = Number.POSITIVE_INFINITY;
    // A reader that is behind the tail reads from the store anyway.
    for (const { after } of this.readers) if (after >= first.seq - 1 && after < needed) needed = after;
    let drop = Math.min(Math.max(needed - first.seq + 1, 0), this.tail.length);
    let bytes = this.tailBytes;
    for (let index = 0; index < drop; index += 1) bytes -= this.tail[index]!.bytes.length;
    for (; bytes > roomBytes && drop < this.tail.length; drop += 1) bytes -= this.tail[drop]!.bytes.length;
    if (drop === 0) return;
    this.tail = this.tail.slice(drop);
    this.resize(bytes);
    this.shared = undefined;
  }

  private clear(): void {
    this.tail = [];
    this.resize(0);
    this.shared = undefined;
  }

  private resize(bytes: number): void {
    this.tails.bytes += bytes - this.tailBytes;
    this.tailBytes = bytes;
  }
}

/** The promise that `next` has given. */
interface Promised {
  readonly resolve: (delivery: Delivery) => void;
  readonly reject: (bug: unknown) => void;
}

type ReaderState =
  | { readonly kind: 'idle' }
  | { readonly kind: 'waiting'; readonly promised: Promised }
  | { readonly kind: 'reading'; readonly promised: Promised }
  | { readonly kind: 'ended'; readonly delivery: Delivery };

const idle: ReaderState = { kind: 'idle' };

class Reader implements Subscription {
  after: number;
  private readonly topic: Topic;
  private readonly batchBytesMax: number;
  private state: ReaderState = idle;

  constructor(topic: Topic, after: number, batchBytesMax: number) {
    this.topic = topic;
    this.after = after;
    this.batchBytesMax = batchBytesMax;
    topic.readers.add(this);
  }

  poll(): Delivery | undefined {
    if (this.state.kind === 'ended') return this.state.delivery;
    const batch = this.topic.batchAfter(this.after, this.batchBytesMax);
    if (batch) {
      this.after = batch.records.at(-1)!.seq;
      this.topic.consumed(this.after);
      return batch;
    }
    return this.topic.placeOf(this.after) === 'ended' ? this.end({ kind: 'closed' }) : undefined;
  }

  next(): Promise<Delivery> {
    const ready = this.poll();
    if (ready) return Promise.resolve(ready);
    if (this.state.kind !== 'idle')
      throw new Error('A subscription has one caller: await `next` before calling it again.');
    return new Promise((resolve, reject) => {
      if (this.topic.placeOf(this.after) === 'caught-up') this.wait({ resolve, reject });
      else this.read({ resolve, reject });
    });
  }

  cancel(): void {
    this.end({ kind: 'cancelled' });
  }

  /** Called for waiting readers when something was committed. */
  wake(): void {
    if (this.state.kind !== 'waiting') return;
    const { promised } = this.state;
    const ready = this.poll();
    if (ready) this.settle(promised, ready);
    else if (this.topic.placeOf(this.after) === 'behind') this.read(promised);
  }

  /** The last delivery; the first one stands. */
  end(delivery: Delivery): Delivery {
    if (this.state.kind === 'ended') return this.state.delivery;
    const before = this.state;
    this.state = { kind: 'ended', delivery };
    this.topic.leave(this);
    if (before.kind === 'waiting' || before.kind === 'reading') before.promised.resolve(delivery);
    return delivery;
  }

  private wait(promised: Promised): void {
    this.state = { kind: 'waiting', promised };
    this.topic.waiting.add(this);
  }

  private read(promised: Promised): void {
    const reading: ReaderState = { kind: 'reading', promised };
    this.state = reading;
    this.topic.waiting.delete(this);
    this.readOn(reading, promised).catch(promised.reject);
  }

  private settle(promised: Promised, delivery: Delivery): void {
    if (this.state.kind !== 'ended') {
      this.state = idle;
      this.topic.waiting.delete(this);
    }
    promised.resolve(delivery);
  }

  private async readOn(reading: ReaderState, promised: Promised): Promise<void> {
    for (let tries = 1; ; tries += 1) {
      const verdict = await this.readOnce();
      // It was cancelled, or the stream was deleted meanwhile: `end` has resolved.
      if (this.state !== reading) return;
      const delivery = this.take(verdict);
      if (delivery) return this.settle(promised, delivery);
      if (verdict.kind === 'page' && this.topic.placeOf(this.after) !== 'behind') return this.wait(promised);
      // A page that was asked for before what is known of was there may be empty; another one is not, unless a failover took that back.
      if (verdict.kind === 'unavailable' || tries > 1) await this.topic.source.pause();
      if (this.state !== reading) return;
    }
  }

  private async readOnce(): Promise<ReadVerdict> {
    try {
      return await this.topic.readPage(this.after, this.batchBytesMax);
    } catch (error) {
      if (error instanceof FaultError) return { kind: 'unavailable', fault: error.fault };
      throw error;
    }
  }

  /** @returns what the page gives; undefined where there is nothing yet. */
  private take(verdict: ReadVerdict): Delivery | undefined {
    switch (verdict.kind) {
      case 'page': {
        this.topic.learn(verdict.head, verdict.closed);
        const last = verdict.records.at(-1);
        // An empty page may be older than the tail.
        if (!last) return this.poll();
        this.after = last.seq;
        this.topic.seenLast(verdict.records);
        return { kind: 'records', records: verdict.records };
      }
      case 'truncated':
        return this.end({ kind: 'truncated', floor: verdict.floor, head: verdict.head });
      case 'missing':
      case 'deleted':
        return this.end({ kind: verdict.kind });
      case 'unavailable':
        return undefined;
    }
  }
}
