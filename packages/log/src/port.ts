/**
 * The log port: what every store promises. It knows nothing of chats.
 *
 * A **stream** is an ordered line of records (opaque bytes) numbered 1, 2, 3 … A **consumer** of a stream is a named
 * reader with an acknowledged position, an epoch and a holder; a **holder** is one incarnation of a process, kept alive by
 * a lease. A **row** is derived data (an index, a checkpoint, a list) that is committed together with the append or the
 * release that it follows from.
 *
 * Laws. Each is a group of tests in `conformance.ts`, which every store passes whole:
 *
 *  L1  Seqs have no holes, and a record never changes. An `appended` verdict means durable: it survives kill -9.
 *  L2  An append is all or nothing: its records, its rows, its key, its producer seq and its close mark are one transaction.
 *  L3  An append whose fence is not the consumer's current epoch changes nothing (`fenced`), checked in that transaction. Only
 *      `acquire` raises an epoch, always; epochs never come again, not even after `delete`.
 *  L4  A key names one append for the stream's life. Again with the same hash: `duplicate`, with the first verdict's seqs. With
 *      another hash: `key-conflict`. A producer's retry is a `duplicate`, a jump a `producer-gap`, an old epoch `producer-stale`;
 *      a new producer epoch begins at seq 0.
 *  L5  A verdict concerns its own append: a refused one never fails, delays or reorders its neighbours. Appends that one caller
 *      made to one stream, in order, without waiting, are applied in that order.
 *  L6  A reader at `after` sees each later record once, in order, without a gap, whatever happens meanwhile; or it is told why not
 *      (`truncated`, `closed`, `deleted`). A slow reader costs no memory: it is only a position, and reads again from the store.
 *  L7  By the time an append resolves as `appended`, subscriptions of this process that had caught up can already `poll` it.
 *  L8  `release` succeeds only where `upTo` is the head (else `behind`): "nothing left to do" and "not mine any more" are one step.
 *      A record appended after that makes the consumer pending again.
 *  L9  A consumer is pending where `acked < head` or its `wakeAt` has passed. Pending consumers without a live holder are found by
 *      `pending`, by any process, without anybody having told it.
 *  L10 Time is the store's: a lease runs by the store's clock alone, and in an exclusive store by none. An expired holder that
 *      renews takes up again what no other holder has acquired, at the same epoch, and is told of what others have. A holder
 *      that left is `lost` for good.
 *  L11 A deleted stream's bytes and rows are gone; its name stays as a tombstone: every later call answers `deleted`.
 *  L12 A store that cannot write (full disk, lost connection) answers `unavailable` and has changed nothing; it works again by
 *      itself when the cause is gone.
 *  L13 A fork shares its parent's records up to an offset and has its own seqs from there on; deleting the parent leaves it whole.
 *  L14 An append with `ifHead` is admitted only if that is the stream's head (else `behind`, and nothing has changed): a decision
 *      counts only at the head that it was made at. A duplicate is answered as such, however far the head has moved.
 *
 * A call whose answer has no `unavailable` rejects with a `FaultError` where the store cannot be reached; any other
 * rejection is a bug. Bytes are given away: neither the caller who appends them nor a reader ever writes to them again.
 */
import type { Fault } from '@holdfast/protocol';

/** `kind/name`, at most 512 characters; the part before the first slash says what kind of stream it is. */
export type StreamName = string;

export interface LogRecord {
  readonly seq: number;
  /** Store time of the append, in milliseconds since the epoch. Informs; never orders. */
  readonly at: number;
  readonly bytes: Uint8Array;
  /** CRC-32 (ISO 3309) of `bytes`: the tag of a cursor that names this record. */
  readonly tag: number;
}

export interface StreamOptions {
  readonly contentType: string;
  /** Consumers that exist, unacknowledged, from the first record on: work nobody has taken yet is pending (L9). */
  readonly consumers?: readonly string[];
  /**
   * The stream is deleted this long after its last access (`ttlMs`: an append or a read, not a `stat`) or at this time
   * (`expiresAt`, ms since the epoch). From then on it answers `deleted`; its bytes and rows go at the next `expire`.
   */
  readonly ttlMs?: number;
  readonly expiresAt?: number;
  /** Keys, producers, consumers and rows are not shared. What the parent has truncated is truncated in the fork. */
  readonly fork?: { readonly from: StreamName; readonly upTo: number };
  /** The first append, in the transaction that creates the stream; refused, it leaves an empty stream, and says so. */
  readonly first?: Append;
}

export interface StreamState {
  readonly stream: StreamName;
  readonly contentType: string;
  /** The seq of the last record; 0 where there is none. */
  readonly head: number;
  /** Records up to this one were dropped by retention; 0 where all are there. */
  readonly floor: number;
  readonly closed: boolean;
  readonly createdAt: number;
  readonly ttlMs?: number;
  readonly expiresAt?: number;
}

export interface RowPut {
  readonly table: string;
  readonly key: string;
  /** Sorts `list`. */
  readonly order: number;
  /** A list can be limited to one group (the owner of a session). */
  readonly group?: string;
  readonly value: Uint8Array;
  /** Found by `search`. */
  readonly text?: string;
}
/** A row that is removed leaves a tombstone in `changes` where `tombstone` says so; where there is no row, nothing happens. */
export interface RowRemove {
  readonly table: string;
  readonly key: string;
  readonly remove: true;
  readonly tombstone?: boolean;
}
export type RowChange = RowPut | RowRemove;

export interface Row {
  readonly stream: StreamName;
  readonly table: string;
  readonly key: string;
  readonly order: number;
  readonly group: string | undefined;
  /** Undefined: a tombstone (seen by `changes` alone). It keeps the group and the order that the row had. */
  readonly value: Uint8Array | undefined;
  /**
   * Each change of a row has its own, larger than all before it, and they become visible in this order: who has read
   * `changes` up to a rev never finds a smaller one later. After a failover or restore it is of another history (`historyOf`), and
   * `changes` after one of the history before finds all.
   */
  readonly rev: number;
}

/** What is refused, and which refusal comes first, is decided in `admission.ts` for all stores. */
export interface Append {
  readonly records: readonly Uint8Array[];
  /** Idempotency: `id` unique in the stream for its life, `hash` of the content. */
  readonly key?: { readonly id: string; readonly hash: string };
  /** The epoch of a consumer that was never acquired is 0. */
  readonly fence?: { readonly consumer: string; readonly epoch: number };
  readonly producer?: { readonly id: string; readonly epoch: number; readonly seq: number };
  /** Admitted only if the stream's head is this (L14). */
  readonly ifHead?: number;
  readonly rows?: readonly RowChange[];
  /** No record can follow. (Rows without records still can.) */
  readonly close?: boolean;
}

export type Refused =
  | { readonly kind: 'missing' }
  | { readonly kind: 'deleted' }
  | { readonly kind: 'unavailable'; readonly fault: Fault };

export type AppendVerdict =
  /** `first..last` are the seqs of the records; `last = first - 1` where there were none. */
  | { readonly kind: 'appended'; readonly first: number; readonly last: number; readonly at: number }
  /** `producerSeq`: the highest seq accepted from the producer; `first..last` are then those of that append. */
  | { readonly kind: 'duplicate'; readonly first: number; readonly last: number; readonly producerSeq?: number }
  | { readonly kind: 'key-conflict'; readonly first: number }
  | { readonly kind: 'fenced'; readonly epoch: number }
  | { readonly kind: 'producer-gap'; readonly expectedSeq: number }
  | { readonly kind: 'producer-stale'; readonly epoch: number }
  | { readonly kind: 'closed'; readonly head: number }
  /** The head is not the append's `ifHead`. */
  | { readonly kind: 'behind'; readonly head: number }
  | Refused;

export type CreateVerdict =
  | { readonly kind: 'created'; readonly state: StreamState; readonly first?: AppendVerdict }
  /** It is there: with the same options, or (`same: false`) others. Nothing was appended. */
  | { readonly kind: 'exists'; readonly state: StreamState; readonly same: boolean }
  | { readonly kind: 'fork-missing' }
  | { readonly kind: 'fork-beyond-head'; readonly head: number }
  | Exclude<Refused, { kind: 'missing' }>;

export type ReadVerdict =
  /** Records after `after`, in order; fewer than asked where `limit` or `bytesMax` was reached or the head. Never empty below the head. */
  | { readonly kind: 'page'; readonly records: readonly LogRecord[]; readonly head: number; readonly closed: boolean }
  /** `after` lies below the floor: the records in between are gone. */
  | { readonly kind: 'truncated'; readonly floor: number; readonly head: number }
  | Refused;

export interface ReadRange {
  readonly after: number;
  /** The last seq wanted. Default: the head. Not above `after`: an empty page. */
  readonly upTo?: number;
  /** At most 10,000, which is the default. */
  readonly limit?: number;
  /** Default 1 MiB. One record may be larger. */
  readonly bytesMax?: number;
}

export type AcquireVerdict =
  | {
      readonly kind: 'acquired';
      readonly epoch: number;
      readonly acked: number;
      readonly head: number;
      /**
       * How another holder lost the consumer that it had not released: it left or its process is gone (`ended`), or its lease
       * passed without a renewal (`expired`).
       */
      readonly previous?: 'ended' | 'expired';
    }
  | { readonly kind: 'held'; readonly holder: string; readonly remainingMs: number }
  /** The asking holder's own lease has expired, or it has left. */
  | { readonly kind: 'lost' }
  | Refused;

export type ReleaseVerdict =
  | { readonly kind: 'released' }
  | { readonly kind: 'behind'; readonly head: number }
  | { readonly kind: 'lost' }
  | Refused;

/** A release goes by the epoch alone, not by the lease; it is done once, and then the consumer has no holder. */
export interface Release {
  readonly epoch: number;
  /** The last seq the holder has dealt with. */
  readonly upTo: number;
  /** Pending again at this time (store clock, ms since the epoch), with or without new records. */
  readonly wakeAt?: number;
  readonly rows?: readonly RowChange[];
}

/** A consumer as its holder acquired it. */
export interface HeldConsumer {
  readonly stream: StreamName;
  readonly consumer: string;
  readonly epoch: number;
}

export type LeaseVerdict =
  /** `taken`: the streams among those given as held whose consumer has another epoch now. */
  { readonly kind: 'alive'; readonly taken: readonly StreamName[] } | { readonly kind: 'lost' };

export type HolderVerdict = LeaseVerdict | { readonly kind: 'unavailable'; readonly fault: Fault };

export interface Holders {
  /** No other process can open the store while this one has it open, so a lease here never ends by time (L10). */
  readonly exclusive: boolean;
  /**
   * Begins or prolongs the lease of one process incarnation, also after it has expired. `id` is new at every start.
   *
   * @param held what the holder believes to hold (default: nothing)
   */
  renew(id: string, leaseMs: number, held?: readonly HeldConsumer[]): Promise<HolderVerdict>;
  /** Ends the lease at once: everything it holds can be acquired by others. */
  leave(id: string): Promise<void>;
}

export interface Consumers {
  /**
   * Takes the consumer for `holder` unless another holder's lease lives. Raises the epoch (L3), also for its present holder.
   * A consumer that is not there begins at the first record. A `wakeAt` stands until a release replaces it: a holder that
   * dies does not lose it.
   */
  acquire(stream: StreamName, consumer: string, holder: string): Promise<AcquireVerdict>;
  release(stream: StreamName, consumer: string, release: Release): Promise<ReleaseVerdict>;
  /** Streams whose consumer is pending and held by no live holder, `after` this name, in order of name. */
  pending(
    consumer: string,
    options: { readonly limit: number; readonly after?: StreamName },
  ): Promise<readonly StreamName[]>;
  /** Milliseconds until the next `wakeAt` of any consumer without a live holder (0: it has passed), or undefined. */
  nextWakeMs(consumer: string): Promise<number | undefined>;
}

export interface RowQuery {
  readonly table: string;
  readonly stream?: StreamName;
  readonly group?: string;
  /** Exclusive bounds on `order`. */
  readonly before?: number;
  readonly after?: number;
  /** Default `descending`. Rows of one order are sorted by stream and key. */
  readonly direction?: 'ascending' | 'descending';
  readonly limit: number;
}

export interface Rows {
  get(table: string, stream: StreamName, key: string): Promise<Row | undefined>;
  list(query: RowQuery): Promise<readonly Row[]>;
  /** Full text: every word must occur (the last one as a prefix); best first. User text, never query syntax. */
  search(query: {
    readonly table: string;
    readonly words: string;
    readonly group?: string;
    readonly limit: number;
  }): Promise<readonly Row[]>;
  /** Rows changed after `rev`, oldest change first, tombstones too; each row once, in its latest state. */
  changes(query: {
    readonly table: string;
    readonly after: number;
    readonly group?: string;
    readonly limit: number;
  }): Promise<readonly Row[]>;
  /** The rev of the table's latest change: what `changes` shows up to now is not after it. A look-up, however long the table. */
  lastRev(table: string): Promise<number>;
  /** Calls back after each commit of rows that this process sees. @returns stop */
  watch(onCommit: () => void): () => void;
}

export type Delivery =
  | { readonly kind: 'records'; readonly records: readonly LogRecord[] }
  | { readonly kind: 'closed' }
  | { readonly kind: 'deleted' }
  | { readonly kind: 'truncated'; readonly floor: number; readonly head: number }
  | { readonly kind: 'missing' }
  | { readonly kind: 'cancelled' };

/** A place in a stream and what follows it: catch up, then live (L6). One caller; deliveries other than `records` are the last. */
export interface Subscription {
  /** What can be had at once, without reading from the store; undefined where nothing can. */
  poll(): Delivery | undefined;
  /** Resolves as soon as there is something; a batch holds at most `batchBytesMax`. */
  next(): Promise<Delivery>;
  /** A pending `next` resolves `cancelled`. Idempotent. */
  cancel(): void;
}

export interface SubscribeOptions {
  /** Default 64 KiB: what one `next` hands out at most (one record may be larger). */
  readonly batchBytesMax?: number;
  /** Of the record at `after`, where it is known: then it is noticed when a failover takes that record back (`truncated`). */
  readonly tag?: number;
}

export interface Log {
  readonly consumers: Consumers;
  readonly holders: Holders;
  readonly rows: Rows;
  create(stream: StreamName, options: StreamOptions): Promise<CreateVerdict>;
  stat(stream: StreamName): Promise<{ readonly kind: 'state'; readonly state: StreamState } | Refused>;
  append(stream: StreamName, append: Append): Promise<AppendVerdict>;
  read(stream: StreamName, range: ReadRange): Promise<ReadVerdict>;
  /** @param after the last seq the reader has; 0: from the first record. */
  subscribe(stream: StreamName, after: number, options?: SubscribeOptions): Subscription;
  /** Where a key's append was put, if it was. */
  findKey(
    stream: StreamName,
    id: string,
  ): Promise<{ readonly first: number; readonly last: number; readonly hash: string } | undefined>;
  /** Erases the stream (L11). `tombstones` name rows whose removal `changes` shall show. */
  delete(
    stream: StreamName,
    tombstones?: readonly { readonly table: string; readonly key: string; readonly group?: string }[],
  ): Promise<{ readonly kind: 'erased' } | Refused>;
  /** Packs records up to `upTo` without changing what any read returns. @returns bytes saved */
  pack(stream: StreamName, upTo: number): Promise<number>;
  /** Drops records up to `upTo` for good (retention). */
  truncate(stream: StreamName, upTo: number): Promise<void>;
  /** Deletes the streams whose time has come. No store has a timer of its own: call it now and then. @returns how many */
  expire(): Promise<number>;
  /** The store's clock, in milliseconds since the epoch. */
  now(): Promise<number>;
  /** Resolves when every accepted append is answered and nothing is left open. */
  close(): Promise<void>;
}
