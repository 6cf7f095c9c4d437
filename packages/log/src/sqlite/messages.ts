/**
 * What the main thread and the workers of a SQLite log say to each other.
 *
 * 1. Calls are posted once a tick and answered once a batch: a message costs more than what is in it.
 * 2. The bytes of records travel in one transferred buffer beside the calls, never as many small ones.
 * 3. An error crosses as a fault where it is an expected one, and as text where it is a bug.
 */
import type { Fault } from '@holdfast/protocol';
import type { Append, HeldConsumer, Release, RowQuery, StreamName, StreamOptions } from '../port.ts';

/** An append without the bytes of its records: they are next in the batch's buffer. */
export interface FlatAppend extends Omit<Append, 'records'> {
  readonly sizes: readonly number[];
}

export type WriterCall =
  | { readonly op: 'append'; readonly stream: StreamName; readonly append: FlatAppend }
  | {
      readonly op: 'create';
      readonly stream: StreamName;
      readonly options: Omit<StreamOptions, 'first'>;
      readonly first?: FlatAppend;
    }
  | { readonly op: 'acquire'; readonly stream: StreamName; readonly consumer: string; readonly holder: string }
  | { readonly op: 'release'; readonly stream: StreamName; readonly consumer: string; readonly release: Release }
  | { readonly op: 'renew'; readonly holder: string; readonly held: readonly HeldConsumer[] }
  | { readonly op: 'leave'; readonly holder: string }
  | {
      readonly op: 'delete';
      readonly stream: StreamName;
      readonly tombstones: readonly { readonly table: string; readonly key: string; readonly group?: string }[];
    }
  | { readonly op: 'truncate'; readonly stream: StreamName; readonly upTo: number }
  | { readonly op: 'touch'; readonly stream: StreamName }
  | { readonly op: 'expire' }
  /** One step of it; true: there is more to do. */
  | { readonly op: 'purge-words' }
  | {
      readonly op: 'put-page';
      readonly stream: StreamName;
      readonly first: number;
      readonly last: number;
      readonly body: Uint8Array;
    }
  /** For tests: the database cannot grow, or cannot be written at all. */
  | { readonly op: 'break-disk'; readonly how: 'full' | 'read-only' | 'whole' }
  /** The last call. */
  | { readonly op: 'close' };

export type ReaderCall =
  | {
      readonly op: 'read';
      readonly stream: StreamName;
      readonly after: number;
      readonly upTo?: number;
      readonly limit?: number;
      readonly bytesMax?: number;
    }
  | { readonly op: 'stat'; readonly stream: StreamName }
  | { readonly op: 'find-key'; readonly stream: StreamName; readonly id: string }
  | { readonly op: 'pending'; readonly consumer: string; readonly limit: number; readonly after: StreamName }
  | { readonly op: 'next-wake'; readonly consumer: string }
  | { readonly op: 'row'; readonly table: string; readonly stream: StreamName; readonly key: string }
  | { readonly op: 'rows'; readonly query: RowQuery }
  | {
      readonly op: 'search';
      readonly table: string;
      readonly words: string;
      readonly group?: string;
      readonly limit: number;
    }
  | {
      readonly op: 'changes';
      readonly table: string;
      readonly after: number;
      readonly group?: string;
      readonly limit: number;
    }
  | { readonly op: 'last-rev'; readonly table: string }
  /** The next page that packing can make of the stream's records up to `upTo`; undefined: nothing is worth it. */
  | { readonly op: 'page-of'; readonly stream: StreamName; readonly upTo: number }
  | { readonly op: 'check' }
  | { readonly op: 'usage' };

export interface Call<C> {
  readonly id: number;
  readonly call: C;
}

export interface Batch<C> {
  /** The store's time for the whole batch. */
  readonly now: number;
  readonly calls: readonly Call<C>[];
  readonly bytes: Uint8Array;
}

export type Answer =
  | { readonly id: number; readonly value: unknown }
  | { readonly id: number; readonly fault: Fault }
  | { readonly id: number; readonly bug: string };
