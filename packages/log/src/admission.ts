/**
 * What becomes of an append, decided purely: every store asks here, so that stores can differ only in how they keep.
 *
 * Stages, in this order, and none of them changes anything:
 *  1. What has been done already is answered as such, whatever has happened since: the key (L4), then the producer.
 *  2. The fence (L3).
 *  3. The producer's own line: an old epoch, a jump (L4).
 *  4. The close mark. It stops records; rows alone may still be committed.
 *  5. The head that the append was decided at (L14). It comes last: a retry whose first try arrived finds a head that this try has
 *     moved itself, and is a duplicate all the same.
 */
import type { Append, AppendVerdict } from './port.ts';

export interface KnownAppend {
  readonly first: number;
  readonly last: number;
  readonly hash: string;
}

/** A producer's latest append: only that one's place is remembered. */
export interface KnownProducer {
  readonly epoch: number;
  readonly seq: number;
  readonly first: number;
  readonly last: number;
}

/** A stream as a store knows it inside the transaction that will append. */
export interface Line {
  readonly head: number;
  readonly closed: boolean;
  /** 0 for a consumer that was never acquired. */
  epochOf(consumer: string): number;
  findKey(id: string): KnownAppend | undefined;
  findProducer(id: string): KnownProducer | undefined;
}

export type Admission =
  | { readonly kind: 'admitted'; readonly first: number; readonly last: number }
  | Exclude<AppendVerdict, { kind: 'appended' | 'missing' | 'deleted' | 'unavailable' }>;

export function admit(line: Line, append: Append): Admission {
  const { key, fence, producer } = append;

  const known = key && line.findKey(key.id);
  if (key && known) {
    return known.hash === key.hash
      ? { kind: 'duplicate', first: known.first, last: known.last }
      : { kind: 'key-conflict', first: known.first };
  }
  const latest = producer && line.findProducer(producer.id);
  if (producer && latest && producer.epoch === latest.epoch && producer.seq <= latest.seq) {
    return { kind: 'duplicate', first: latest.first, last: latest.last, producerSeq: latest.seq };
  }

  if (fence) {
    const epoch = line.epochOf(fence.consumer);
    if (fence.epoch !== epoch) return { kind: 'fenced', epoch };
  }
  if (producer) {
    if (latest && producer.epoch < latest.epoch) return { kind: 'producer-stale', epoch: latest.epoch };
    const expectedSeq = latest?.epoch === producer.epoch ? latest.seq + 1 : 0;
    if (producer.seq !== expectedSeq) return { kind: 'producer-gap', expectedSeq };
  }
  if (line.closed && (append.records.length > 0 || append.close === true)) return { kind: 'closed', head: line.head };
  if (append.ifHead !== undefined && append.ifHead !== line.head) return { kind: 'behind', head: line.head };

  return { kind: 'admitted', first: line.head + 1, last: line.head + append.records.length };
}
