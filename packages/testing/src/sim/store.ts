/**
 * The shared store of a run, watched: what reached it is decoded, folded and judged once, as it comes.
 *
 * W1  Time, leases and fences are followed here by a second, simpler book: who acquires while another's lease lives, who
 *     releases below the head, is seen whatever the store itself believes.
 */
import { MemoryStore } from '@holdfast/log/memory';
import { EMPTY_VIEW, fold, isCommand, judge, type Entry, type Verdict, type View } from '@holdfast/protocol';
import type { AcquireVerdict, Append, AppendVerdict, LogRecord, Release, ReleaseVerdict } from '@holdfast/log';
import { decodeEntry } from '@holdfast/session';
import { Ledger, type Violate } from './ledger.ts';

/** All that is known of a session's log. */
export interface Truth {
  readonly entries: Entry[];
  readonly records: LogRecord[];
  readonly verdicts: Map<number, Verdict>;
  readonly ledger: Ledger;
  view: View;
  head: number;
}

const SESSION = 'session/';

export class WatchedStore extends MemoryStore {
  readonly truths: Map<string, Truth> = new Map();
  readonly #violate: Violate;
  readonly #leaseEnds = new Map<string, number>();
  readonly #owners = new Map<string, { readonly holder: string; readonly epoch: number } | undefined>();

  constructor(violate: Violate) {
    super();
    this.#violate = violate;
  }

  override append(name: string, append: Append, now: number): AppendVerdict {
    const verdict = super.append(name, append, now);
    if (verdict.kind === 'appended' && name.startsWith(SESSION)) this.#note(name, append, verdict.first, verdict.last);
    return verdict;
  }

  override renew(holder: string, leaseMs: number, now: number): 'alive' | 'lost' {
    const verdict = super.renew(holder, leaseMs, now);
    const ended = (this.#leaseEnds.get(holder) ?? Number.POSITIVE_INFINITY) <= now;
    if (verdict === 'alive' && ended) this.#violate('W1', `${holder} renews a lease that had ended.`);
    if (verdict === 'alive') this.#leaseEnds.set(holder, now + leaseMs);
    return verdict;
  }

  override leave(holder: string): void {
    super.leave(holder);
    this.#leaseEnds.set(holder, Number.NEGATIVE_INFINITY);
  }

  override acquire(name: string, consumer: string, holder: string, now: number): AcquireVerdict {
    const verdict = super.acquire(name, consumer, holder, now);
    if (verdict.kind !== 'acquired') return verdict;
    const before = this.#owners.get(name);
    if (before !== undefined && before.holder !== holder && (this.#leaseEnds.get(before.holder) ?? 0) > now)
      this.#violate('W1', `${holder} acquires ${name} while ${before.holder} holds it.`);
    this.#owners.set(name, { holder, epoch: verdict.epoch });
    return verdict;
  }

  override release(name: string, consumer: string, release: Release, now: number): ReleaseVerdict {
    const verdict = super.release(name, consumer, release, now);
    if (verdict.kind !== 'released') return verdict;
    const owner = this.#owners.get(name);
    if (owner?.epoch !== release.epoch)
      this.#violate('W1', `Epoch ${release.epoch} releases ${name}; ${owner?.epoch ?? 'nobody'} owns it.`);
    this.#owners.set(name, undefined);
    return verdict;
  }

  /** Whether somebody who lives owns it. */
  isHeld(sessionId: string, now: number): boolean {
    const owner = this.#owners.get(`${SESSION}${sessionId}`);
    return owner !== undefined && (this.#leaseEnds.get(owner.holder) ?? 0) > now;
  }

  truthOf(sessionId: string): Truth {
    const known = this.truths.get(sessionId);
    if (known !== undefined) return known;
    const ledger = new Ledger((law, detail) => this.#violate(law, `${sessionId}: ${detail}`));
    const truth = { entries: [], records: [], verdicts: new Map(), ledger, view: EMPTY_VIEW, head: 0 };
    this.truths.set(sessionId, truth);
    return truth;
  }

  #note(name: string, { records, fence }: Append, first: number, last: number): void {
    const truth = this.truthOf(name.slice(SESSION.length));
    if (first !== truth.head + 1 || last - first + 1 !== records.length)
      this.#violate('L1', `${name}: ${first}..${last} follows ${truth.head}.`);
    truth.head = last;
    for (const record of this.recordsOf(name, first, last)) {
      const entry = decodeEntry(record);
      truth.entries.push(entry);
      truth.records.push(record);
      truth.ledger.take(entry, fence?.epoch);
      if (isCommand(entry)) truth.verdicts.set(entry.seq, judge(truth.view, entry));
      truth.view = fold(truth.view, entry);
    }
  }
}
