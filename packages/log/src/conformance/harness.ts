/** What the groups of the conformance suite share: the log under test, fresh names in it, and short words. */
import { randomUUID } from 'node:crypto';
import { assert } from 'vitest';
import type { AppendVerdict, Delivery, Log, LogRecord, ReadVerdict, StreamOptions, Subscription } from '../port.ts';

export interface ConformanceOptions {
  /** Lets this much of the store's time pass: a turn of its clock, or a wait where the clock is the server's. */
  readonly elapse: (ms: number) => Promise<void>;
  /** A lease that surely outlives a test without `elapse`. Default 60,000. */
  readonly leaseMs?: number;
  /** Ends the log as a crash would or by `close`, and opens the same data again. */
  readonly reopen?: (log: Log) => Promise<Log>;
  /** Another process's log on the same data, while the first stays open. The suite closes it. */
  readonly openSecond?: (log: Log) => Promise<Log>;
  /** L12: makes writing impossible. @returns what makes it possible again */
  readonly breakWrites?: (log: Log) => Promise<() => Promise<void>>;
  /** How many cases each property tries. Default 60. */
  readonly runs?: number;
}

export interface Suite extends ConformanceOptions {
  /** The log under test; `reopen` replaces it. */
  log: Log;
  readonly leaseMs: number;
  readonly runs: number;
}

/** A name that no other test uses, so that all can share one store. */
export function fresh(what: string): string {
  return `${what}-${randomUUID().slice(0, 13)}`;
}

export async function freshStream(log: Log, options: Partial<StreamOptions> = {}): Promise<string> {
  const stream = fresh('test/stream');
  const verdict = await log.create(stream, { contentType: 'application/json', ...options });
  assert.equal(verdict.kind, 'created');
  return stream;
}

export async function freshHolder(suite: Suite): Promise<string> {
  const holder = fresh('holder');
  assert.deepEqual(await suite.log.holders.renew(holder, suite.leaseMs), { kind: 'alive', taken: [] });
  return holder;
}

export const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);
export const textOf = (value: Uint8Array | undefined): string => new TextDecoder().decode(value);
export const texts = (records: readonly LogRecord[]): string[] => records.map((record) => textOf(record.bytes));
export const say = (...words: string[]): { readonly records: Uint8Array[] } => ({ records: words.map(bytes) });

/** The records of a page; anything else fails the test. */
export function pageOf(verdict: ReadVerdict): readonly LogRecord[] {
  assert(verdict.kind === 'page', `a page was expected, not ${JSON.stringify(verdict)}`);
  return verdict.records;
}

/** Every record after `after`, page by page. */
export async function readAll(log: Log, stream: string, after = 0): Promise<LogRecord[]> {
  const records: LogRecord[] = [];
  for (;;) {
    const page = pageOf(await log.read(stream, { after: records.at(-1)?.seq ?? after }));
    if (page.length === 0) return records;
    records.push(...page);
  }
}

export function appendedOf(verdict: AppendVerdict): { readonly first: number; readonly last: number } {
  assert(verdict.kind === 'appended', `it should be appended, not ${JSON.stringify(verdict)}`);
  return verdict;
}

export function recordsOf(delivery: Delivery | undefined): readonly LogRecord[] {
  assert(delivery?.kind === 'records', `records were expected, not ${JSON.stringify(delivery)}`);
  return delivery.records;
}

/** Reads on until the record with this seq was seen. */
export async function takeUpTo(subscription: Subscription, seq: number): Promise<LogRecord[]> {
  const records: LogRecord[] = [];
  while ((records.at(-1)?.seq ?? 0) < seq) records.push(...recordsOf(await subscription.next()));
  return records;
}

export function seqs(records: readonly LogRecord[]): number[] {
  return records.map((record) => record.seq);
}

export function range(first: number, last: number): number[] {
  return Array.from({ length: Math.max(last - first + 1, 0) }, (_, index) => first + index);
}
