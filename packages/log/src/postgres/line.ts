/** A stream as a batch knows it, with what the batch does to it. */
import type { KnownAppend, KnownProducer, Line } from '../admission.ts';

export interface LineFacts {
  readonly id: number;
  readonly head: number;
  readonly closed: boolean;
  /** Deleted or expired. */
  readonly gone: boolean;
}

export class KnownLine implements Line {
  readonly id: number;
  readonly deleted: boolean;
  head: number;
  closed: boolean;
  // Made when they are needed: most lines have one of them, and each batch makes its lines anew.
  #epochs: Map<string, number> | undefined;
  #keys: Map<string, KnownAppend> | undefined;
  #producers: Map<string, KnownProducer> | undefined;

  constructor({ id, head, closed, gone }: LineFacts) {
    this.id = id;
    this.deleted = gone;
    this.head = head;
    this.closed = closed;
  }

  epochOf(consumer: string): number {
    return this.#epochs?.get(consumer) ?? 0;
  }
  findKey(id: string): KnownAppend | undefined {
    return this.#keys?.get(id);
  }
  findProducer(id: string): KnownProducer | undefined {
    return this.#producers?.get(id);
  }
  noteEpoch(consumer: string, epoch: number): void {
    (this.#epochs ??= new Map()).set(consumer, epoch);
  }
  noteKey(id: string, known: KnownAppend): void {
    (this.#keys ??= new Map()).set(id, known);
  }
  noteProducer(id: string, known: KnownProducer): void {
    (this.#producers ??= new Map()).set(id, known);
  }
}
