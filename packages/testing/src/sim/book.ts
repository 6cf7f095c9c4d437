/**
 * The second book: every answer of the store is held against what the port's laws say it must be, by a reading of its own that
 * shares nothing with `admission.ts` or the store. So a store that gives a wrong answer is seen when it gives it, whether or
 * not a session would have come to harm.
 *
 *  B1  The laws' names are the port's: L1 (seqs and records), L3 (fences), L4 (keys, producers), L8 (release), L9 (pending), L10 (leases), L14 (heads).
 *  B2  The book believes the store in one thing only: what it says it has appended, where that was to be appended.
 */
import { isDeepStrictEqual } from 'node:util';
import type {
  AcquireVerdict,
  Append,
  AppendVerdict,
  HeldConsumer,
  LeaseVerdict,
  LogRecord,
  ReadRange,
  ReadVerdict,
  Release,
  ReleaseVerdict,
  RowChange,
} from '@holdfast/log';
import type { Violate } from './ledger.ts';

interface Place {
  readonly first: number;
  readonly last: number;
}

interface Owner {
  epoch: number;
  acked: number;
  holder: string | undefined;
  wakeAt: number | undefined;
}

interface Page {
  readonly records: LogRecord[];
  readonly keys: Map<string, Place & { readonly hash: string }>;
  readonly producers: Map<string, Place & { readonly epoch: number; readonly seq: number }>;
  readonly owners: Map<string, Owner>;
  readonly rows: Map<string, RowChange>;
}

const newOwner = (): Owner => ({ epoch: 0, acked: 0, holder: undefined, wakeAt: undefined });

export class Book {
  readonly #pages = new Map<string, Page>();
  readonly #leaseEnds = new Map<string, number>();
  readonly #violate: Violate;

  constructor(violate: Violate) {
    this.#violate = violate;
  }

  created(name: string, consumers: readonly string[]): void {
    const { owners } = this.#page(name);
    for (const consumer of consumers) if (!owners.has(consumer)) owners.set(consumer, newOwner());
  }

  /** L11: nothing of it is found any more. */
  deleted(name: string): void {
    this.#pages.delete(name);
  }

  hasKey(name: string, id: string): boolean {
    return this.#page(name).keys.has(id);
  }

  /** Who holds the consumer by a living lease. */
  holderOf(name: string, consumer: string, now: number): string | undefined {
    const holder = this.#page(name).owners.get(consumer)?.holder;
    return holder !== undefined && this.hasLease(holder, now) ? holder : undefined;
  }

  /** The holder of an epoch, dead or alive. */
  ownerOf(name: string, consumer: string): string | undefined {
    return this.#page(name).owners.get(consumer)?.holder;
  }

  // ── records ─────────────────────────────────────────────────────────────────────────────────────────────────────────

  appended(name: string, append: Append, verdict: AppendVerdict, records: readonly LogRecord[]): void {
    if (verdict.kind === 'missing' || verdict.kind === 'deleted') return undefined;
    const page = this.#page(name);
    const wanted = wantedOf(page, append);
    const { law, ...answer } = wanted;
    const { kind, ...rest } = verdict;
    const { at: _at, ...given } = { at: 0, ...rest };
    if (!isSame(answer, { kind, ...given }))
      return this.#violate(law, `An append to ${name} is answered ${show(verdict)}; it is ${show(answer)}.`);
    if (verdict.kind !== 'appended') return undefined;
    const { first, last } = verdict;
    if (records.length !== append.records.length || records.some(({ seq }, index) => seq !== first + index))
      this.#violate('L1', `${name}: ${append.records.length} records at ${first}..${last} are not there.`);
    page.records.push(...records);
    if (append.key) page.keys.set(append.key.id, { hash: append.key.hash, first, last });
    if (append.producer) page.producers.set(append.producer.id, { ...append.producer, first, last });
    this.#rows(page, append.rows);
    return undefined;
  }

  /** L6: a page begins where it was asked for, has no gap, and is the log's. */
  read(name: string, range: ReadRange, verdict: ReadVerdict): void {
    if (verdict.kind !== 'page') return;
    const { records } = this.#page(name);
    const upTo = Math.min(range.upTo ?? records.length, records.length);
    const isTrue = verdict.records.every((record, index) => record === records[range.after + index]);
    if (verdict.head !== records.length || !isTrue)
      this.#violate(
        'L6',
        `${name} is read after ${range.after} of ${records.length}: ${show(placesOf(verdict.records))}.`,
      );
    if (verdict.records.length === 0 && range.after < upTo)
      this.#violate('L6', `${name} is read after ${range.after} of ${records.length}: nothing.`);
  }

  foundKey(name: string, id: string, found: (Place & { readonly hash: string }) | undefined): void {
    const wanted = this.#page(name).keys.get(id);
    if (!isSame(wanted, found))
      this.#violate('L4', `${name}: key ${id} is found at ${show(found)}; it is ${show(wanted)}.`);
  }

  // ── owners ──────────────────────────────────────────────────────────────────────────────────────────────────────────

  acquired(name: string, consumer: string, holder: string, verdict: AcquireVerdict, now: number): void {
    const page = this.#page(name);
    const owner = page.owners.get(consumer) ?? newOwner();
    const told = `${holder} acquires ${name}: ${show(verdict)}`;
    const present = this.holderOf(name, consumer, now);
    const wanted = !this.hasLease(holder, now)
      ? 'lost'
      : present !== undefined && present !== holder
        ? 'held'
        : 'acquired';
    if (verdict.kind === 'missing' || verdict.kind === 'deleted') return;
    if (verdict.kind !== wanted) this.#violate('L10', `${told}; it is ${wanted} (by ${present ?? 'nobody'}).`);
    if (verdict.kind !== 'acquired') return;
    if (verdict.epoch !== owner.epoch + 1) this.#violate('L3', `${told} after epoch ${owner.epoch}.`);
    if (verdict.head !== page.records.length || verdict.acked !== owner.acked)
      this.#violate('L8', `${told}; acknowledged are ${owner.acked} of ${page.records.length}.`);
    owner.epoch = verdict.epoch;
    owner.holder = holder;
    page.owners.set(consumer, owner);
  }

  released(name: string, consumer: string, release: Release, verdict: ReleaseVerdict): void {
    const page = this.#page(name);
    if (verdict.kind === 'deleted' && page.records.length === 0) return;
    const owner = page.owners.get(consumer) ?? newOwner();
    const isOwn = owner.holder !== undefined && owner.epoch === release.epoch;
    const wanted = !isOwn ? 'lost' : release.upTo === page.records.length ? 'released' : 'behind';
    if (verdict.kind !== wanted)
      this.#violate(
        'L8',
        `${name} is released by epoch ${release.epoch} of ${owner.epoch} up to ${release.upTo} of ${page.records.length}: ${show(verdict)}.`,
      );
    if (verdict.kind !== 'released') return;
    owner.acked = release.upTo;
    owner.holder = undefined;
    owner.wakeAt = release.wakeAt;
    this.#rows(page, release.rows);
  }

  renewed(holder: string, leaseMs: number, held: readonly HeldConsumer[], verdict: LeaseVerdict, now: number): void {
    const hasLeft = this.#leaseEnds.get(holder) === Number.NEGATIVE_INFINITY;
    if ((verdict.kind === 'lost') !== hasLeft)
      this.#violate('L10', `${holder} renews, ${hasLeft ? 'though it left' : 'and has not left'}: ${show(verdict)}.`);
    if (verdict.kind !== 'alive') return;
    this.#leaseEnds.set(holder, now + leaseMs);
    const taken = held.filter(({ stream, consumer, epoch }) => {
      const owner = this.#page(stream).owners.get(consumer);
      return owner !== undefined && owner.epoch !== epoch;
    });
    const wanted = taken.map(({ stream }) => stream);
    if (!isSame(verdict.taken, wanted))
      this.#violate('L10', `${holder} renews; ${show(wanted)} were taken from it, it is told ${show(verdict.taken)}.`);
  }

  left(holder: string): void {
    this.#leaseEnds.set(holder, Number.NEGATIVE_INFINITY);
  }

  /** L9. */
  pended(consumer: string, limit: number, after: string, given: readonly string[], now: number): void {
    const names = [...this.#pages.keys()].filter((name) => name > after && this.#isPending(name, consumer, now));
    const wanted = names.toSorted((a, b) => (a < b ? -1 : 1)).slice(0, limit);
    if (!isSame(wanted, given)) this.#violate('L9', `Pending are ${show(wanted)}; the store finds ${show(given)}.`);
  }

  #isPending(name: string, consumer: string, now: number): boolean {
    const { owners, records } = this.#page(name);
    const owner = owners.get(consumer);
    if (owner === undefined || this.holderOf(name, consumer, now) !== undefined) return false;
    return owner.acked < records.length || (owner.wakeAt !== undefined && owner.wakeAt <= now);
  }

  // ── the end ─────────────────────────────────────────────────────────────────────────────────────────────────────────

  /** Every key is known for the stream's life, and every row is what the last change made of it (L2). */
  audit(
    store: {
      findKey(name: string, id: string, now: number): unknown;
      readonly rows: {
        get(table: string, stream: string, key: string): { readonly value: Uint8Array | undefined } | undefined;
      };
    },
    now: number,
  ): void {
    for (const [name, { keys, rows }] of this.#pages) {
      for (const id of keys.keys()) store.findKey(name, id, now);
      for (const change of rows.values()) {
        const value = store.rows.get(change.table, name, change.key)?.value;
        if (value !== ('remove' in change ? undefined : change.value))
          this.#violate('L2', `${name}: the row ${change.table} ${change.key} is not what was committed last.`);
      }
    }
  }

  hasLease(holder: string, now: number): boolean {
    return (this.#leaseEnds.get(holder) ?? Number.NEGATIVE_INFINITY) > now;
  }

  #rows(page: Page, rows: readonly RowChange[] = []): void {
    for (const change of rows) page.rows.set(`${change.table}/${change.key}`, change);
  }

  #page(name: string): Page {
    const known = this.#pages.get(name);
    if (known !== undefined) return known;
    const page = { records: [], keys: new Map(), producers: new Map(), owners: new Map(), rows: new Map() };
    this.#pages.set(name, page);
    return page;
  }
}

type Wanted = { readonly law: string; readonly kind: AppendVerdict['kind'] } & Record<string, unknown>;

/** L3, L4 and L14, read anew. */
function wantedOf(
  { records, keys, producers, owners }: Page,
  { key, producer, fence, ifHead, records: more }: Append,
): Wanted {
  const known = key === undefined ? undefined : keys.get(key.id);
  if (key !== undefined && known !== undefined) {
    const { first, last, hash } = known;
    return hash === key.hash
      ? { law: 'L4', kind: 'duplicate', first, last }
      : { law: 'L4', kind: 'key-conflict', first };
  }
  const latest = producer === undefined ? undefined : producers.get(producer.id);
  const isOfLatest = producer !== undefined && latest?.epoch === producer.epoch;
  if (isOfLatest && latest !== undefined && producer.seq <= latest.seq)
    return { law: 'L4', kind: 'duplicate', first: latest.first, last: latest.last, producerSeq: latest.seq };
  const epoch = fence === undefined ? 0 : (owners.get(fence.consumer)?.epoch ?? 0);
  if (fence !== undefined && fence.epoch !== epoch) return { law: 'L3', kind: 'fenced', epoch };
  if (producer !== undefined && latest !== undefined && producer.epoch < latest.epoch)
    return { law: 'L4', kind: 'producer-stale', epoch: latest.epoch };
  const expectedSeq = isOfLatest && latest !== undefined ? latest.seq + 1 : 0;
  if (producer !== undefined && producer.seq !== expectedSeq) return { law: 'L4', kind: 'producer-gap', expectedSeq };
  if (ifHead !== undefined && ifHead !== records.length) return { law: 'L14', kind: 'behind', head: records.length };
  return {
    law: fence === undefined ? 'L1' : 'L3',
    kind: 'appended',
    first: records.length + 1,
    last: records.length + more.length,
  };
}

const placesOf = (records: readonly LogRecord[]): readonly number[] => records.map(({ seq }) => seq);
const show = (value: unknown): string => JSON.stringify(value) ?? 'nothing';
/** Nearly all that is compared is flat, and the same. */
function isSame(a: object | undefined, b: object | undefined): boolean {
  if (a === undefined || b === undefined) return a === b;
  const [mine, others] = [Object.entries(a), b as Readonly<Record<string, unknown>>];
  const isFlatlySame =
    mine.length === Object.keys(b).length && mine.every(([key, value]) => key in b && value === others[key]);
  return isFlatlySame || isDeepStrictEqual(a, b);
}
