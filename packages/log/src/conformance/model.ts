/**
 * A second, naive opinion on what a log answers: written from the laws in `port.ts`, sharing no code with any store.
 * Verdicts are compared without times. One holder never loses its lease here; `leave` ends the others.
 */

export interface ModelAppend {
  readonly bodies: readonly string[];
  readonly key?: { readonly id: string; readonly hash: string };
  readonly epoch?: number;
  readonly producer?: { readonly id: string; readonly epoch: number; readonly seq: number };
  readonly row?: { readonly key: string; readonly value: string | undefined };
  readonly close: boolean;
  readonly ifHead?: number;
}

interface ModelStream {
  bodies: string[];
  floor: number;
  closed: boolean;
  readonly keys: Map<string, { readonly hash: string; readonly first: number; readonly last: number }>;
  readonly producers: Map<
    string,
    { readonly epoch: number; readonly seq: number; readonly first: number; readonly last: number }
  >;
  readonly rows: Map<string, string>;
  consumer: { epoch: number; acked: number; holder: string | undefined } | undefined;
}

type Answer = { readonly kind: string; readonly [fact: string]: unknown };

export class Model {
  private readonly streams = new Map<string, ModelStream | 'deleted'>();
  private readonly left = new Set<string>();

  create(
    name: string,
    withConsumer: boolean,
    fork: { readonly from: string; readonly upTo: number } | undefined,
  ): Answer {
    const present = this.streams.get(name);
    if (present === 'deleted') return { kind: 'deleted' };
    if (present) return { kind: 'exists' };
    const parent = fork ? this.streams.get(fork.from) : undefined;
    if (fork && (parent === undefined || parent === 'deleted')) return { kind: 'fork-missing' };
    if (fork && typeof parent === 'object' && fork.upTo > parent.bodies.length) {
      return { kind: 'fork-beyond-head', head: parent.bodies.length };
    }
    const shared = fork && typeof parent === 'object' ? parent.bodies.slice(0, fork.upTo) : [];
    this.streams.set(name, {
      bodies: shared,
      floor: fork && typeof parent === 'object' ? Math.min(parent.floor, fork.upTo) : 0,
      closed: false,
      keys: new Map(),
      producers: new Map(),
      rows: new Map(),
      consumer: withConsumer ? { epoch: 0, acked: 0, holder: undefined } : undefined,
    });
    return { kind: 'created' };
  }

  append(name: string, { bodies, key, epoch, producer, row, close, ifHead }: ModelAppend): Answer {
    const stream = this.streams.get(name);
    if (stream === undefined || stream === 'deleted') return gone(stream);
    const head = stream.bodies.length;

    const known = key && stream.keys.get(key.id);
    if (key && known?.hash === key.hash) return { kind: 'duplicate', first: known.first, last: known.last };
    if (known) return { kind: 'key-conflict', first: known.first };

    const line = producer && stream.producers.get(producer.id);
    if (producer && line && line.epoch === producer.epoch && producer.seq <= line.seq) {
      return { kind: 'duplicate', first: line.first, last: line.last, producerSeq: line.seq };
    }
    const current = stream.consumer?.epoch ?? 0;
    if (epoch !== undefined && epoch !== current) return { kind: 'fenced', epoch: current };
    if (producer && line && producer.epoch < line.epoch) return { kind: 'producer-stale', epoch: line.epoch };
    if (producer) {
      const expectedSeq = line && line.epoch === producer.epoch ? line.seq + 1 : 0;
      if (producer.seq !== expectedSeq) return { kind: 'producer-gap', expectedSeq };
    }
    if (stream.closed && (close || bodies.length > 0)) return { kind: 'closed', head };
    if (ifHead !== undefined && ifHead !== head) return { kind: 'behind', head };

    const place = { first: head + 1, last: head + bodies.length };
    stream.bodies.push(...bodies);
    if (key) stream.keys.set(key.id, { hash: key.hash, ...place });
    if (producer) stream.producers.set(producer.id, { ...producer, ...place });
    if (row?.value !== undefined) stream.rows.set(row.key, row.value);
    else if (row) stream.rows.delete(row.key);
    if (close) stream.closed = true;
    return { kind: 'appended', ...place };
  }

  read(name: string, after: number): Answer {
    const stream = this.streams.get(name);
    if (stream === undefined || stream === 'deleted') return gone(stream);
    const head = stream.bodies.length;
    if (after < stream.floor) return { kind: 'truncated', floor: stream.floor, head };
    return { kind: 'page', bodies: stream.bodies.slice(after), head, closed: stream.closed };
  }

  acquire(name: string, holder: string): Answer {
    const stream = this.streams.get(name);
    if (stream === undefined || stream === 'deleted') return gone(stream);
    if (this.left.has(holder)) return { kind: 'lost' };
    const present = stream.consumer?.holder;
    if (present !== undefined && present !== holder && !this.left.has(present))
      return { kind: 'held', holder: present };
    stream.consumer ??= { epoch: 0, acked: 0, holder };
    stream.consumer.epoch += 1;
    stream.consumer.holder = holder;
    const { epoch, acked } = stream.consumer;
    const previous = present === undefined || present === holder ? {} : { previous: 'ended' };
    return { kind: 'acquired', epoch, acked, head: stream.bodies.length, ...previous };
  }

  release(name: string, epoch: number, upTo: number): Answer {
    const stream = this.streams.get(name);
    if (stream === undefined || stream === 'deleted') return gone(stream);
    const { consumer } = stream;
    if (!consumer || consumer.holder === undefined || consumer.epoch !== epoch) return { kind: 'lost' };
    if (upTo !== stream.bodies.length) return { kind: 'behind', head: stream.bodies.length };
    consumer.acked = upTo;
    consumer.holder = undefined;
    return { kind: 'released' };
  }

  leave(holder: string): void {
    this.left.add(holder);
  }

  delete(name: string): Answer {
    const stream = this.streams.get(name);
    if (stream === undefined || stream === 'deleted') return gone(stream);
    this.streams.set(name, 'deleted');
    return { kind: 'erased' };
  }

  truncate(name: string, upTo: number): void {
    const stream = this.streams.get(name);
    if (typeof stream === 'object') stream.floor = Math.max(stream.floor, Math.min(upTo, stream.bodies.length));
  }

  headOf(name: string): number {
    const stream = this.streams.get(name);
    return typeof stream === 'object' ? stream.bodies.length : 0;
  }

  epochOf(name: string): number {
    const stream = this.streams.get(name);
    return typeof stream === 'object' ? (stream.consumer?.epoch ?? 0) : 0;
  }

  pending(): string[] {
    const due = [...this.streams].flatMap(([name, stream]) => {
      if (stream === 'deleted' || !stream.consumer) return [];
      const { holder, acked } = stream.consumer;
      const held = holder !== undefined && !this.left.has(holder);
      return !held && acked < stream.bodies.length ? [name] : [];
    });
    return due.toSorted();
  }

  /** Every row, as `stream/key=value`. */
  rows(): string[] {
    const all = [...this.streams].flatMap(([name, stream]) =>
      stream === 'deleted' ? [] : [...stream.rows].map(([key, value]) => `${name}/${key}=${value}`),
    );
    return all.toSorted();
  }
}

function gone(stream: 'deleted' | undefined): Answer {
  return { kind: stream ?? 'missing' };
}
