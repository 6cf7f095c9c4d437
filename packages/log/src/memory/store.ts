/**
 * What a memory log keeps, and each operation on it as one synchronous step: nothing can come in between. This is the
 * reference: where another store answers otherwise, the other one is wrong.
 *
 *  M1  Every method looks at the time it is given and at nothing else.
 *  M2  A stream whose time has come is `deleted` to everybody, and erased by `expire`.
 *  M3  An idle stream is one object and its records; keys, producers and consumers have a map from their first use on.
 */
import { admit } from '../admission.ts';
import type { KnownAppend, KnownProducer, Line } from '../admission.ts';
import { boundsOf, checkStreamName } from '../limits.ts';
import type {
  AcquireVerdict,
  Append,
  AppendVerdict,
  CreateVerdict,
  LogRecord,
  ReadRange,
  ReadVerdict,
  Refused,
  HeldConsumer,
  LeaseVerdict,
  Release,
  ReleaseVerdict,
  StreamName,
  StreamOptions,
  StreamState,
} from '../port.ts';
import { logRecords } from '../record.ts';
import { MemoryRows } from './rows.ts';

interface Consumer {
  epoch: number;
  acked: number;
  holder: string | undefined;
  wakeAt: number | undefined;
}

class Stream implements Line {
  readonly options: StreamOptions;
  readonly createdAt: number;
  /** The record with seq `floor + 1` is the first. */
  records: LogRecord[];
  floor: number;
  closed = false;
  touchedAt: number;
  keys: Map<string, KnownAppend> | undefined = undefined;
  producers: Map<string, KnownProducer> | undefined = undefined;
  consumers: Map<string, Consumer> | undefined = undefined;

  constructor(options: StreamOptions, now: number, floor: number, records: LogRecord[]) {
    const { first: _, ...lasting } = options;
    this.options = lasting;
    this.createdAt = now;
    this.touchedAt = now;
    this.floor = floor;
    this.records = records;
  }

  get head(): number {
    return this.floor + this.records.length;
  }

  epochOf(consumer: string): number {
    return this.consumers?.get(consumer)?.epoch ?? 0;
  }

  findKey(id: string): KnownAppend | undefined {
    return this.keys?.get(id);
  }

  findProducer(id: string): KnownProducer | undefined {
    return this.producers?.get(id);
  }

  hasExpired(now: number): boolean {
    const { ttlMs, expiresAt } = this.options;
    return (ttlMs !== undefined && now >= this.touchedAt + ttlMs) || (expiresAt !== undefined && now >= expiresAt);
  }
}

type Tombstones = readonly { readonly table: string; readonly key: string; readonly group?: string }[];
type Gone = Extract<Refused, { kind: 'missing' | 'deleted' }>;
const missing: { readonly kind: 'missing' } = { kind: 'missing' };
const deleted: { readonly kind: 'deleted' } = { kind: 'deleted' };

/** The end of a lease whose holder left. */
const LEFT = Number.NEGATIVE_INFINITY;

export class MemoryStore {
  readonly rows: MemoryRows = new MemoryRows();
  private readonly streams = new Map<StreamName, Stream | 'deleted'>();
  private readonly leaseEndsByHolder = new Map<string, number>();

  create(name: StreamName, options: StreamOptions, now: number): CreateVerdict {
    checkStreamName(name);
    const present = this.find(name, now);
    if (present instanceof Stream)
      return { kind: 'exists', state: stateOf(name, present), same: isSame(present.options, options) };
    if (present.kind === 'deleted') return deleted;
    const stream = this.begin(options, now);
    if (!(stream instanceof Stream)) return stream;
    this.streams.set(name, stream);
    for (const consumer of options.consumers ?? []) this.consumerOf(stream, consumer);
    const first = options.first && this.append(name, options.first, now);
    return { kind: 'created', state: stateOf(name, stream), ...(first && { first }) };
  }

  stat(name: StreamName, now: number): { readonly kind: 'state'; readonly state: StreamState } | Gone {
    const stream = this.find(name, now);
    return stream instanceof Stream ? { kind: 'state', state: stateOf(name, stream) } : stream;
  }

  append(name: StreamName, append: Append, now: number): AppendVerdict {
    const stream = this.find(name, now);
    if (!(stream instanceof Stream)) return stream;
    const verdict = admit(stream, append);
    if (verdict.kind !== 'admitted') return verdict;

    const { first, last } = verdict;
    const { key, producer, rows = [] } = append;
    for (const record of logRecords(first, now, append.records)) stream.records.push(record);
    if (key) (stream.keys ??= new Map()).set(key.id, { first, last, hash: key.hash });
    if (producer) (stream.producers ??= new Map()).set(producer.id, { ...producer, first, last });
    if (append.close === true) stream.closed = true;
    this.rows.apply(name, rows);
    stream.touchedAt = now;
    return { kind: 'appended', first, last, at: now };
  }

  read(name: StreamName, range: ReadRange, now: number): ReadVerdict {
    const stream = this.find(name, now);
    if (!(stream instanceof Stream)) return stream;
    stream.touchedAt = now;
    const { head, floor, closed } = stream;
    if (range.after < floor) return { kind: 'truncated', floor, head };
    const { after, upTo, limit, bytesMax } = boundsOf(range, head);
    const records: LogRecord[] = [];
    let bytes = 0;
    for (const record of stream.records.slice(after - floor, Math.max(upTo, after) - floor)) {
      bytes += record.bytes.length;
      if (records.length > 0 && (bytes > bytesMax || records.length >= limit)) break;
      records.push(record);
    }
    return { kind: 'page', records, head, closed };
  }

  /** For readers that are told of a commit. */
  recordsOf(name: StreamName, first: number, last: number): LogRecord[] {
    const stream = this.streams.get(name);
    return stream instanceof Stream ? stream.records.slice(first - stream.floor - 1, last - stream.floor) : [];
  }

  findKey(name: StreamName, id: string, now: number): KnownAppend | undefined {
    const stream = this.find(name, now);
    return stream instanceof Stream ? stream.findKey(id) : undefined;
  }

  delete(name: StreamName, tombstones: Tombstones, now: number): { readonly kind: 'erased' } | Gone {
    const stream = this.find(name, now);
    if (!(stream instanceof Stream)) return stream;
    this.erase(name, tombstones);
    return { kind: 'erased' };
  }

  truncate(name: StreamName, upTo: number, now: number): void {
    const stream = this.find(name, now);
    if (!(stream instanceof Stream)) return;
    const floor = Math.min(upTo, stream.head);
    if (floor <= stream.floor) return;
    stream.records = stream.records.slice(floor - stream.floor);
    stream.floor = floor;
  }

  /** @returns the names of the streams that are gone now. */
  expire(now: number): StreamName[] {
    const names = [...this.streams].flatMap(([name, stream]) =>
      stream instanceof Stream && stream.hasExpired(now) ? [name] : [],
    );
    for (const name of names) this.erase(name, []);
    return names;
  }

  acquire(name: StreamName, consumerName: string, holder: string, now: number): AcquireVerdict {
    const stream = this.find(name, now);
    if (!(stream instanceof Stream)) return stream;
    if (!this.isAlive(holder, now)) return { kind: 'lost' };
    const present = stream.consumers?.get(consumerName)?.holder;
    if (present !== undefined && present !== holder && this.isAlive(present, now)) {
      return { kind: 'held', holder: present, remainingMs: (this.leaseEndsByHolder.get(present) ?? now) - now };
    }
    const previous = present === undefined || present === holder ? {} : { previous: this.endOf(present) };
    const consumer = this.consumerOf(stream, consumerName);
    consumer.epoch += 1;
    consumer.holder = holder;
    return { kind: 'acquired', epoch: consumer.epoch, acked: consumer.acked, head: stream.head, ...previous };
  }

  release(name: StreamName, consumerName: string, release: Release, now: number): ReleaseVerdict {
    const stream = this.find(name, now);
    if (!(stream instanceof Stream)) return stream;
    const consumer = stream.consumers?.get(consumerName);
    if (consumer?.holder === undefined || consumer.epoch !== release.epoch) return { kind: 'lost' };
    if (release.upTo !== stream.head) return { kind: 'behind', head: stream.head };
    consumer.acked = release.upTo;
    consumer.holder = undefined;
    consumer.wakeAt = release.wakeAt;
    this.rows.apply(name, release.rows ?? []);
    return { kind: 'released' };
  }

  pending(consumerName: string, limit: number, after: StreamName, now: number): StreamName[] {
    const names: StreamName[] = [];
    for (const { name, stream, consumer } of this.freeConsumers(consumerName, now)) {
      const due = consumer.acked < stream.head || (consumer.wakeAt !== undefined && consumer.wakeAt <= now);
      if (due && name > after) names.push(name);
    }
    return names.toSorted(byCode).slice(0, limit);
  }

  nextWakeMs(consumerName: string, now: number): number | undefined {
    let next: number | undefined;
    for (const { consumer } of this.freeConsumers(consumerName, now)) {
      if (consumer.wakeAt !== undefined && (next === undefined || consumer.wakeAt < next)) next = consumer.wakeAt;
    }
    return next === undefined ? undefined : Math.max(next - now, 0);
  }

  renew(holder: string, leaseMs: number, held: readonly HeldConsumer[], now: number): LeaseVerdict {
    if (this.leaseEndsByHolder.get(holder) === LEFT) return { kind: 'lost' };
    this.leaseEndsByHolder.set(holder, now + leaseMs);
    const taken = held.filter(({ stream, consumer, epoch }) => {
      const found = this.find(stream, now);
      return found instanceof Stream && found.consumers?.get(consumer)?.epoch !== epoch;
    });
    return { kind: 'alive', taken: taken.map(({ stream }) => stream) };
  }

  leave(holder: string): void {
    this.leaseEndsByHolder.set(holder, LEFT);
  }

  private endOf(holder: string): 'ended' | 'expired' {
    return this.leaseEndsByHolder.get(holder) === LEFT ? 'ended' : 'expired';
  }

  private erase(name: StreamName, tombstones: Tombstones): void {
    this.streams.set(name, 'deleted');
    this.rows.erase(name, tombstones);
  }

  private isAlive(holder: string, now: number): boolean {
    return (this.leaseEndsByHolder.get(holder) ?? LEFT) > now;
  }

  /** M2. */
  private find(name: StreamName, now: number): Stream | Gone {
    const stream = this.streams.get(name);
    if (stream === undefined) return missing;
    return stream === 'deleted' || stream.hasExpired(now) ? deleted : stream;
  }

  /** L13: the records are shared objects, so a fork is a slice. */
  private begin(options: StreamOptions, now: number): Stream | Extract<CreateVerdict, { kind: `fork-${string}` }> {
    if (!options.fork) return new Stream(options, now, 0, []);
    const { from, upTo } = options.fork;
    const parent = this.find(from, now);
    if (!(parent instanceof Stream)) return { kind: 'fork-missing' };
    if (upTo > parent.head) return { kind: 'fork-beyond-head', head: parent.head };
    const floor = Math.min(parent.floor, upTo);
    return new Stream(options, now, floor, parent.records.slice(0, upTo - floor));
  }

  private consumerOf(stream: Stream, name: string): Consumer {
    const consumers = (stream.consumers ??= new Map<string, Consumer>());
    let consumer = consumers.get(name);
    if (!consumer) consumers.set(name, (consumer = { epoch: 0, acked: 0, holder: undefined, wakeAt: undefined }));
    return consumer;
  }

  private *freeConsumers(
    consumerName: string,
    now: number,
  ): Generator<{ readonly name: StreamName; readonly stream: Stream; readonly consumer: Consumer }> {
    for (const [name, stream] of this.streams) {
      if (stream === 'deleted') continue;
      const consumer = stream.consumers?.get(consumerName);
      if (!consumer || stream.hasExpired(now)) continue;
      if (consumer.holder === undefined || !this.isAlive(consumer.holder, now)) yield { name, stream, consumer };
    }
  }
}

function stateOf(name: StreamName, stream: Stream): StreamState {
  const { head, floor, closed, createdAt } = stream;
  const { contentType, ttlMs, expiresAt } = stream.options;
  return {
    stream: name,
    contentType,
    head,
    floor,
    closed,
    createdAt,
    ...(ttlMs !== undefined && { ttlMs }),
    ...(expiresAt !== undefined && { expiresAt }),
  };
}

function isSame(a: StreamOptions, b: StreamOptions): boolean {
  return (
    a.contentType === b.contentType &&
    a.ttlMs === b.ttlMs &&
    a.expiresAt === b.expiresAt &&
    a.fork?.from === b.fork?.from &&
    a.fork?.upTo === b.fork?.upTo
  );
}

function byCode(a: string, b: string): number {
  return a < b ? -1 : Number(a > b);
}
