/**
 * Batches in one round trip: what decides about an append is guessed from how this node last left its stream.
 *
 * Stages: each commit is noted → a batch of streams that are known is admitted by what was noted, purely → `append_if` compares under
 * the locks, and writes → where anything was different it wrote nothing, what was noted is forgotten, and the batch is decided by what
 * is there (`append.ts`).
 *
 * 1. A guess decides nothing: what is remembered wrongly costs a round trip.
 * 2. Only what is admitted is guessed: a refusal is told from what is there.
 */
import type { StreamName } from '../port.ts';
import { KnownLine } from './line.ts';
import { Writes, type Head, type Request } from './writes.ts';

/** About 3 MB. */
const HEADS_MAX = 10_000;

export interface Guess {
  readonly writes: Writes;
  /** The streams that it changes, in the order of their ids. */
  readonly before: readonly Head[];
}

export class Heads {
  /** The one that was noted longest ago comes first. */
  readonly #heads = new Map<StreamName, Head>();

  note(heads: readonly Head[]): void {
    for (const head of heads) {
      const before = this.#heads.get(head.stream);
      this.#heads.delete(head.stream);
      if (head.closed) continue;
      const { fence = before?.fence, producer = before?.producer } = head;
      this.#heads.set(head.stream, { ...head, fence, producer });
    }
    for (const stream of this.#heads.keys()) {
      if (this.#heads.size <= HEADS_MAX) return;
      this.#heads.delete(stream);
    }
  }

  forget(requests: readonly Request[]): void {
    for (const { stream } of requests) this.#heads.delete(stream);
  }

  /** Undefined: one of them is not to be guessed (rule 2). */
  guess(requests: readonly Request[]): Guess | undefined {
    const writes = new Writes();
    const lines = new Map<StreamName, KnownLine>();
    const before: Head[] = [];
    for (const request of requests) {
      const head = this.#heads.get(request.stream);
      const { fence, producer } = request.append;
      if (head === undefined) return undefined;
      // What is said of a consumer or a producer that is not remembered is to be looked at.
      if (fence !== undefined && fence.consumer !== head.fence?.consumer) return undefined;
      if (producer !== undefined && producer.id !== head.producer?.id) return undefined;
      let line = lines.get(request.stream);
      if (line === undefined) {
        line = lineOf(head);
        lines.set(request.stream, line);
        before.push(head);
      }
      if (!writes.decide(request, line)) return undefined;
    }
    return { writes, before: before.toSorted((a, b) => a.id - b.id) };
  }
}

function lineOf({ id, head, fence, producer }: Head): KnownLine {
  const line = new KnownLine({ id, head, closed: false, gone: false });
  if (fence !== undefined) line.noteEpoch(fence.consumer, fence.epoch);
  // Its place is that of a repeat, and repeats are not guessed.
  if (producer !== undefined) line.noteProducer(producer.id, { ...producer, first: 0, last: 0 });
  return line;
}
