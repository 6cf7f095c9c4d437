/**
 * Which sessions this process owns: the lease of its holder, the tenures, the slots for turns, and the sweep.
 *
 * 1. One door (R4): whatever may mean work — a command, a restart, a timer, a sweep — calls `wake`, and `wake` acquires. Claim
 *    and check are the store's one step (R1).
 * 2. At most one tenure a session in this process; a wake that comes during one is seen by it through the log.
 * 3. The lease is the process's, under an id that is new at every start and after every loss (L10). Before it can end by this
 *    process's own monotonic clock, every tenure is cut (D2). An exclusive store's lease has no end by time.
 *    A process that stood still finds the time passed already: the lease is in doubt. Then nothing is decided or acquired until
 *    a renewal has told which sessions other processes acquired meanwhile; those are cut, the others go on (R79).
 * 4. The sweep finds pending sessions that nobody told this process about: it is what heals, without traffic (R11).
 * 5. A turn needs a slot. Slots are given first come, first served by session, and a session that had a turn goes to the end.
 *    A session that waits for one is let go of and stays pending: it stands in the queue of every node whose sweep has seen it, and
 *    the first node with a slot takes it up. So work spreads by load, with nobody to spread it.
 */
import type { SessionId } from '@holdfast/protocol';
import type { AcquireVerdict, Log } from '@holdfast/log';
import type { Clock, Timer } from './clock.ts';
import type { LiveSession, LiveSessions } from './live.ts';
import { Tenure, type OwnerPorts, type TenureEnd } from './owner.ts';
import { rebuildRows } from './rebuild.ts';
import { loadRowState, sessionIdOf, streamOf } from './rows.ts';

export interface OwnershipOptions {
  readonly log: Log;
  readonly clock: Clock;
  readonly lives: LiveSessions;
  readonly ports: Omit<OwnerPorts, 'drain' | 'takeSlot' | 'freeSlot' | 'isInDoubt'>;
  readonly newHolderId: () => string;
  readonly leaseMs: number;
  readonly sweepMs: number;
  /** Turns that run at once. */
  readonly turnsMax: number;
  readonly onError: (error: unknown) => void;
}

/** The share of the lease that is left when every tenure is cut; also how long a lease may be in doubt. */
const LEASE_MARGIN = 0.25;
/** A guard that fires later than this share of the lease was held up with the whole process. */
const LATE_SHARE = 0.05;
/** Many at once: what a dead node held is acquired before the reads of the first of it stand in the way of the next page. */
const SWEEP_PAGE = 2_048;
/** A release after fewer new entries than this packs nothing. */
const PACK_ENTRIES_MIN = 256;

interface TenureSlot {
  tenure: Tenure | undefined;
  /** Woken while it was held: looked at once more after it ends. */
  again: boolean;
  ended: Promise<void>;
}

type Holder =
  | { readonly kind: 'none' }
  /** `untilMs`: when the tenures are cut unless a renewal is answered before (monotonic). */
  | { readonly kind: 'held'; readonly id: string; readonly untilMs: number; readonly guard: Timer }
  /** The process stood still until its lease may have ended; `guard` cuts the tenures if no renewal is answered. */
  | { readonly kind: 'doubted'; readonly id: string; readonly guard: Timer }
  | { readonly kind: 'closed' };

const NO_GUARD: Timer = { cancel: () => undefined };

export class Ownership {
  readonly #options: OwnershipOptions;
  readonly #ports: OwnerPorts;
  readonly #tenures = new Map<SessionId, TenureSlot>();
  readonly #queue = new Set<SessionId>();
  readonly #granted = new Set<SessionId>();
  readonly #timers = new Set<Timer>();
  #holder: Holder = { kind: 'none' };
  #renewing: Promise<void> = Promise.resolve();
  #drain: 'no' | 'finishing' | 'now' = 'no';
  #slots: number;

  constructor(options: OwnershipOptions) {
    this.#options = options;
    this.#slots = options.turnsMax;
    this.#ports = {
      ...options.ports,
      drain: () => this.#drain,
      takeSlot: (sessionId, hadTurn) => this.#takeSlot(sessionId, hadTurn),
      freeSlot: () => this.#freeSlot(),
      isInDoubt: () => this.#isInDoubt(),
    };
  }

  get running(): number {
    return this.#options.turnsMax - this.#slots;
  }

  /** Whose lease is this process's at the moment. */
  get holderId(): string | undefined {
    return 'id' in this.#holder ? this.#holder.id : undefined;
  }

  get waiting(): number {
    return this.#queue.size;
  }

  /** Begins the lease, recovers what an earlier process left, and starts the sweep. Admission opens after it resolves (R4). */
  async start(): Promise<void> {
    await this.#renew();
    await this.#sweep();
    this.#every(this.#options.leaseMs / 4, () => this.#renew());
    this.#every(this.#options.sweepMs, () => this.#sweep());
  }

  /** There may be work for this session. */
  wake(sessionId: SessionId): void {
    if (this.#holder.kind === 'closed') return;
    const held = this.#tenures.get(sessionId);
    if (held !== undefined) {
      held.again = true;
      held.tenure?.wake();
      return;
    }
    const slot: TenureSlot = { tenure: undefined, again: false, ended: Promise.resolve() };
    this.#tenures.set(sessionId, slot);
    slot.ended = this.#hold(sessionId, slot)
      .catch((error: unknown) => this.#tryLater(sessionId, error))
      .then(() => this.#tenureEnded(sessionId, slot));
  }

  /** No new turns; the running ones may finish within the budget, then they are ended `interrupted`. */
  async drain(budgetMs: number): Promise<void> {
    this.#drain = 'finishing';
    const hurry = this.#options.clock.after(budgetMs, () => this.#setDrain('now'));
    this.#setDrain('finishing');
    while (this.#tenures.size > 0) {
      await Promise.all([...this.#tenures.values()].map((held) => held.ended));
    }
    hurry.cancel();
  }

  /** Lets everything go at once; what was under way is pending for the next owner. */
  async close(): Promise<void> {
    const holder = this.#holder;
    this.#holder = { kind: 'closed' };
    if ('guard' in holder) holder.guard.cancel();
    for (const timer of this.#timers) timer.cancel();
    this.#timers.clear();
    this.#cutAll();
    await Promise.all([...this.#tenures.values()].map((held) => held.ended));
    // A renewal that was under way gives up what it got by itself.
    await this.#renewing;
    if ('id' in holder) await this.#options.log.holders.leave(holder.id);
  }

  #setDrain(drain: 'finishing' | 'now'): void {
    this.#drain = drain;
    for (const { tenure } of this.#tenures.values()) tenure?.wake();
  }

  // ── one tenure ──────────────────────────────────────────────────────────────────────────────────────────────────────

  async #hold(sessionId: SessionId, slot: TenureSlot): Promise<void> {
    if (this.#isInDoubt()) return;
    const holder = this.#holder;
    if (holder.kind !== 'held') return;
    const { lives } = this.#options;
    // A view that is there (a command was just taken) is kept over the claim. One that is not is loaded by whoever gets the session
    // alone: after a node has died, all others want all of its sessions.
    const early = lives.has(sessionId) ? undefined : await this.#claim(sessionId, holder.id);
    const held =
      early !== undefined && early.kind !== 'acquired'
        ? early
        : await lives.with(sessionId, async (live) => ({
            kind: await this.#holdAs(holder.id, live, slot, early ?? (await this.#claim(sessionId, holder.id))),
          }));
    // It is (or may be) ours, and nobody else takes up what we hold: look again.
    const mine = this.#isHolder(holder.id) && (held.kind === 'lost' || held.kind === 'unavailable');
    if (mine) this.#once(this.#options.sweepMs, () => this.wake(sessionId));
  }

  async #claim(sessionId: SessionId, holderId: string): Promise<AcquireVerdict> {
    const acquired = await this.#options.log.consumers.acquire(streamOf(sessionId), 'run', holderId);
    if (acquired.kind === 'lost') await this.#renew();
    return acquired;
  }

  async #holdAs(
    holderId: string,
    live: LiveSession,
    slot: TenureSlot,
    acquired: AcquireVerdict,
  ): Promise<TenureEnd | Exclude<AcquireVerdict['kind'], 'acquired'>> {
    const { log } = this.#options;
    if (acquired.kind !== 'acquired') return acquired.kind;
    await live.reached(acquired.head);
    const rows = await rebuildRows(log, live, acquired.epoch, await loadRowState(log, live.sessionId));
    if (rows.kind !== 'rows') return rows.kind;
    if (!this.#isHolder(holderId)) return 'lost';
    const tenure = new Tenure(this.#ports, live, acquired, rows.state);
    slot.tenure = tenure;
    const end = await tenure.hold();
    slot.tenure = undefined;
    if (end === 'released') await this.#packSome(live.sessionId, acquired.acked, live.view.seq);
    return end;
  }

  /** An error here is a bug, not an outcome; the session is still ours and nobody else will take it up. */
  #tryLater(sessionId: SessionId, error: unknown): void {
    this.#options.onError(error);
    this.#once(this.#options.sweepMs, () => this.wake(sessionId));
  }

  #tenureEnded(sessionId: SessionId, slot: TenureSlot): void {
    this.#tenures.delete(sessionId);
    const again = slot.again && this.#drain === 'no';
    // A slot that was brought to a session which no longer wants it goes on to the next.
    if (!again && this.#granted.delete(sessionId)) this.#freeSlot();
    if (again) this.wake(sessionId);
  }

  /** Settled records are packed in the background; nothing waits for it. */
  async #packSome(sessionId: SessionId, from: number, upTo: number): Promise<void> {
    if (upTo - from >= PACK_ENTRIES_MIN) await this.#options.log.pack(streamOf(sessionId), upTo);
  }

  // ── slots ───────────────────────────────────────────────────────────────────────────────────────────────────────────

  #takeSlot(sessionId: SessionId, hadTurn: boolean): boolean {
    if (this.#granted.delete(sessionId)) return true;
    if (this.#slots > 0 && !(hadTurn && this.#queue.size > 0)) {
      this.#slots -= 1;
      return true;
    }
    this.#queue.add(sessionId);
    return false;
  }

  #freeSlot(): void {
    this.#slots += 1;
    this.#grantSlots();
  }

  #grantSlots(): void {
    for (const next of this.#queue) {
      if (this.#slots === 0 || this.#holder.kind !== 'held') return;
      this.#queue.delete(next);
      this.#slots -= 1;
      this.#granted.add(next);
      this.wake(next);
    }
  }

  // ── the lease ───────────────────────────────────────────────────────────────────────────────────────────────────────

  #renew(): Promise<void> {
    const renewal = this.#holder.kind === 'closed' ? Promise.resolve() : this.#renewOnce();
    this.#renewing = renewal.catch(() => undefined);
    return renewal;
  }

  async #renewOnce(): Promise<void> {
    const { log, clock, leaseMs, newHolderId } = this.#options;
    const before = this.#holder;
    if (before.kind === 'held' && log.holders.exclusive) return;
    const id = 'id' in before ? before.id : newHolderId();
    // The lease is counted from before the request: the store's count began later.
    const untilMs = clock.monotonicMs() + leaseMs * (1 - LEASE_MARGIN);
    const held = this.#tenuresHeld();
    const consumers = held.map(({ stream, epoch }) => ({ stream, consumer: 'run', epoch }));
    const verdict = await log.holders.renew(id, leaseMs, consumers);
    if (verdict.kind === 'unavailable') return;
    if (verdict.kind === 'lost') return this.#loseLease(id);
    const isCurrent = 'id' in before ? this.#isHolder(id) : this.#holder === before;
    // A tenure that this process began since the request is not meant.
    const taken = new Set(verdict.taken);
    for (const tenure of held) if (taken.has(tenure.stream)) tenure.cut();
    if (isCurrent) this.#renewed(id, untilMs);
    // The lease was given up meanwhile, or was never begun here: other processes need not wait for its end.
    if (!this.#isHolder(id)) await log.holders.leave(id);
  }

  #renewed(id: string, untilMs: number): void {
    const { log, clock } = this.#options;
    const before = this.#holder;
    const isOld = !log.holders.exclusive && (clock.monotonicMs() >= untilMs || this.#endsAfter(untilMs));
    // The answer came too late to say anything of the present, or a later request was answered first.
    if (isOld) return;
    if ('guard' in before) before.guard.cancel();
    this.#holder = log.holders.exclusive
      ? { kind: 'held', id, untilMs: Number.POSITIVE_INFINITY, guard: NO_GUARD }
      : { kind: 'held', id, untilMs, guard: this.#guard(id, untilMs) };
    if (before.kind === 'doubted') this.#resume();
  }

  #endsAfter(untilMs: number): boolean {
    return this.#holder.kind === 'held' && this.#holder.untilMs > untilMs;
  }

  #guard(id: string, untilMs: number): Timer {
    const { clock } = this.#options;
    return clock.after(untilMs - clock.monotonicMs(), () => {
      if (!this.#isInDoubt()) this.#loseLease(id);
    });
  }

  /** By the clock, not by the guard alone: after a standstill, answers may be handled before timers. */
  #isInDoubt(): boolean {
    const { clock, leaseMs } = this.#options;
    const holder = this.#holder;
    if (holder.kind === 'held' && clock.monotonicMs() > holder.untilMs + leaseMs * LATE_SHARE)
      this.#doubtLease(holder.id);
    return this.#holder.kind === 'doubted';
  }

  /** Rule 3: the process stood still. It asks before it acts or gives up. */
  #doubtLease(id: string): void {
    const { clock, leaseMs } = this.#options;
    if (this.#holder.kind === 'held') this.#holder.guard.cancel();
    this.#holder = { kind: 'doubted', id, guard: clock.after(leaseMs * LEASE_MARGIN, () => this.#loseLease(id)) };
    this.#renew().catch((error: unknown) => this.#options.onError(error));
  }

  /** What was held back while the lease was in doubt goes on. */
  #resume(): void {
    for (const { tenure } of this.#tenures.values()) tenure?.wake();
    this.#grantSlots();
    this.#sweep().catch((error: unknown) => this.#options.onError(error));
  }

  #tenuresHeld(): readonly Tenure[] {
    return [...this.#tenures.values()].flatMap(({ tenure }) => (tenure === undefined ? [] : [tenure]));
  }

  /** Rule 3. The next renewal begins a new lease under a new id. */
  #loseLease(id: string): void {
    if (!this.#isHolder(id) || !('guard' in this.#holder)) return;
    this.#holder.guard.cancel();
    this.#holder = { kind: 'none' };
    this.#cutAll();
  }

  /** By its id: each renewal keeps the holder and makes another guard. */
  #isHolder(id: string): boolean {
    return 'id' in this.#holder && this.#holder.id === id;
  }

  #cutAll(): void {
    for (const { tenure } of this.#tenures.values()) tenure?.cut();
    this.#queue.clear();
  }

  // ── the sweep ───────────────────────────────────────────────────────────────────────────────────────────────────────

  async #sweep(): Promise<void> {
    if (this.#holder.kind !== 'held' || this.#drain !== 'no') return;
    const { consumers } = this.#options.log;
    for (let after: string | undefined; ;) {
      const page = await consumers.pending('run', { limit: SWEEP_PAGE, ...(after === undefined ? {} : { after }) });
      for (const stream of page) if (!this.#queue.has(sessionIdOf(stream))) this.wake(sessionIdOf(stream));
      if (page.length < SWEEP_PAGE) return;
      after = page.at(-1);
    }
  }

  #every(ms: number, run: () => Promise<void>): void {
    this.#once(ms, () => {
      void run()
        .catch((error: unknown) => this.#options.onError(error))
        .finally(() => this.#every(ms, run));
    });
  }

  #once(ms: number, run: () => void): void {
    if (this.#holder.kind === 'closed') return;
    const timer = this.#options.clock.after(ms, () => {
      this.#timers.delete(timer);
      run();
    });
    this.#timers.add(timer);
  }
}
