/** The reader: one thread with a read-only connection, for everything that only asks. */
import path from 'node:path';
import { workerData } from 'node:worker_threads';
import type { LogRecord, ReadVerdict } from '../port.ts';
import { DATABASE_FILE } from './files.ts';
import type { Answer, ReaderCall } from './messages.ts';
import { ReaderStore } from './reader-store.ts';
import { openReaderDatabase } from './schema.ts';
import { answerOf, serve } from './serve.ts';

const { dir } = workerData as { readonly dir: string };

serve<ReaderCall>(dir, () => {
  const file = path.join(dir, DATABASE_FILE);
  const store = new ReaderStore(openReaderDatabase(file), file);
  return (batches) => {
    const transfer: ArrayBuffer[] = [];
    const answers = batches.flatMap(({ calls, now }) =>
      calls.map(({ id, call }): Answer => answerOf(id, () => perform(store, call, now, transfer))),
    );
    return { answers, transfer };
  };
});

function perform(store: ReaderStore, call: ReaderCall, now: number, transfer: ArrayBuffer[]): unknown {
  switch (call.op) {
    case 'read':
      return flatten(store.read(call.stream, call, now), transfer);
    case 'stat':
      return store.stat(call.stream, now);
    case 'find-key':
      return store.findKey(call.stream, call.id);
    case 'pending':
      return store.pending(call.consumer, call.limit, call.after, now);
    case 'next-wake':
      return store.nextWakeMs(call.consumer, now);
    case 'row':
      return store.rows.get(call.table, call.stream, call.key);
    case 'rows':
      return store.rows.list(call.query);
    case 'search':
      return store.rows.search(call);
    case 'changes':
      return store.rows.changes(call);
    case 'last-rev':
      return store.rows.lastRev(call.table);
    case 'page-of':
      return store.pageOf(call.stream, call.upTo, now);
    case 'check':
      return store.check();
    case 'usage':
      return store.usage();
  }
}

/** A page as it crosses to the main thread: one buffer, moved. */
export interface FlatPage {
  readonly kind: 'flat-page';
  readonly after: number;
  readonly ats: Float64Array;
  readonly sizes: Uint32Array;
  readonly bytes: Uint8Array;
  readonly head: number;
  readonly closed: boolean;
  readonly mortal?: true;
}

function flatten(verdict: ReadVerdict & { readonly mortal?: true }, transfer: ArrayBuffer[]): unknown {
  if (verdict.kind !== 'page') return verdict;
  const { records, head, closed, mortal } = verdict;
  const bytes = joined(records);
  const ats = new Float64Array(records.map((record) => record.at));
  const sizes = new Uint32Array(records.map((record) => record.bytes.byteLength));
  transfer.push(bytes.buffer, ats.buffer, sizes.buffer);
  const after = (records[0]?.seq ?? 1) - 1;
  return { kind: 'flat-page', after, ats, sizes, bytes, head, closed, ...(mortal === undefined ? {} : { mortal }) };
}

function joined(records: readonly LogRecord[]): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(records.reduce((sum, record) => sum + record.bytes.byteLength, 0));
  let offset = 0;
  for (const record of records) {
    bytes.set(record.bytes, offset);
    offset += record.bytes.byteLength;
  }
  return bytes;
}
