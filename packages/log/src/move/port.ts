/**
 * What a store gives to be moved from, and takes to be moved to: its tables, stream by stream.
 *
 * 1. A part belongs to one stream. The parts of a stream come in the order of `PART_KINDS`, streams in the order they were made.
 * 2. Both stores have the same tables; what differs is how they are read and written.
 */
import type { StreamName } from '../port.ts';

export interface MovedStream {
  readonly name: StreamName;
  readonly contentType: string;
  readonly head: number;
  readonly floor: number;
  readonly closed: boolean;
  /** A tombstone. */
  readonly deleted: boolean;
  readonly createdAt: number;
  readonly touchedAt: number;
  readonly ttlMs: number | null;
  readonly expiresAt: number | null;
  readonly forkFrom: string | null;
  readonly forkUpTo: number | null;
}

export interface MovedRecord {
  readonly seq: number;
  readonly at: number;
  readonly bytes: Uint8Array;
}

export interface MovedKey {
  readonly id: string;
  readonly hash: string;
  readonly first: number;
  readonly last: number;
}

export interface MovedProducer {
  readonly id: string;
  readonly epoch: number;
  readonly seq: number;
  readonly first: number;
  readonly last: number;
}

/** Without its holder, whose lease ended with the process. */
export interface MovedConsumer {
  readonly name: string;
  readonly epoch: number;
  readonly acked: number;
  readonly wakeAt: number | null;
  readonly behind: boolean;
}

export interface MovedRow {
  readonly table: string;
  readonly key: string;
  readonly order: number;
  readonly group: string | null;
  readonly value: Uint8Array | null;
  readonly rev: number;
  /** What `search` finds it by, as `searchable` leaves it. */
  readonly words: readonly string[];
}

export type Content =
  | { readonly kind: 'stream'; readonly stream: MovedStream }
  | { readonly kind: 'records'; readonly records: readonly MovedRecord[] }
  /** Packed records, as `page.ts` packs them. */
  | { readonly kind: 'page'; readonly first: number; readonly last: number; readonly body: Uint8Array }
  | { readonly kind: 'keys'; readonly keys: readonly MovedKey[] }
  | { readonly kind: 'producers'; readonly producers: readonly MovedProducer[] }
  | { readonly kind: 'consumers'; readonly consumers: readonly MovedConsumer[] }
  | { readonly kind: 'rows'; readonly rows: readonly MovedRow[] };

/** Behind a part: the next one begins after this. */
export interface Place {
  /** The stream's id in the source. */
  readonly id: number;
  readonly step: number;
  readonly after: readonly (string | number)[];
}

export type Part = Content & { readonly name: StreamName; readonly place: Place };

/** A store's tables at one moment. Each list is in the order of its key, byte by byte, and empty at the end. */
export interface Tables {
  /** Streams whose id is not below `from`, in the order of their ids. */
  streams(from: number): Promise<readonly { readonly id: number; readonly stream: MovedStream }[]>;
  records(id: number, after: number): Promise<Extract<Content, { kind: 'records' | 'page' }> | undefined>;
  keys(id: number, after: string): Promise<readonly MovedKey[]>;
  producers(id: number, after: string): Promise<readonly MovedProducer[]>;
  consumers(id: number, after: string): Promise<readonly MovedConsumer[]>;
  rows(id: number, afterTable: string, afterKey: string): Promise<readonly MovedRow[]>;
  /** The highest rev that was ever given. */
  lastRev(): Promise<number>;
}

export interface Source {
  /** As people know it; it holds no password. */
  readonly name: string;
  readonly tables: Tables;
  close(): Promise<void>;
}

export interface Survey {
  readonly streams: number;
  /** Of these, names that are taken for good by what was deleted. */
  readonly tombstones: number;
  readonly records: number;
  readonly streamsByKind: Readonly<Record<string, number>>;
  /** Of all streams' states: it changes with every append. */
  readonly fingerprint: string;
}

export interface Origin {
  readonly from: string;
  readonly fingerprint: string;
}

export type Begun =
  | {
      readonly kind: 'open';
      readonly place: Place | undefined;
      readonly streams: number;
      readonly records: number;
    }
  | { readonly kind: 'finished'; readonly digest: string };

export interface Target {
  readonly name: string;
  /** Changes nothing. @throws FaultError where `begin` would */
  look(origin: Origin): Promise<Begun>;
  /** @throws FaultError where it is in use, holds something, or a draft of something else (M4) */
  begin(origin: Origin): Promise<Begun>;
  /** One transaction with the place behind the last part (M3). */
  load(parts: readonly Part[], done: { readonly streams: number; readonly records: number }): Promise<void>;
  /** Everything is loaded. */
  settle(lastRev: number): Promise<void>;
  /** The draft's, to read it again. */
  tables(): Promise<Tables>;
  /** Puts the draft in place (M2). */
  finish(digest: string): Promise<void>;
  close(): Promise<void>;
}
