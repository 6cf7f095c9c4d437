/**
 * Which of the tabs of a browser leads: holds the one stream that all of them read (R50).
 *
 * Stages: a tab asks → follows who answers, or claims → beats while it leads → steps down when somebody greater claims.
 *
 * Claims are ordered by term, then by id. A claim's term is greater than every term that its tab has seen, so the later of
 * two claims wins, and of two at once the greater id.
 *
 * L1. Two tabs may lead for the moment that a message takes; each hears of the other, and the lesser steps down. Nobody is
 *     harmed meanwhile: what is read twice is dropped by its place.
 * L2. A visible tab takes the lead from a hidden leader (whose timers are slowed) and from one that was silent for two
 *     beats by the wall clock. Hidden tabs leave a slow leader alone, for longer than a browser slows a timer.
 * L3. Where there are Web Locks the leader holds one: its end, by a crash too, is heard at once, and a theft by the robbed. Then
 *     the lock decides: a free one is the lead, at once, and a leader steps down only when it was robbed. A plain-http origin has
 *     none, and a frame in another site's page may not use them; there the claims decide.
 */
import type { Hint, Ports, Timer, TabLocks } from './ports.ts';

export const BEAT_MS = 2000;
const SILENT_MS = 2 * BEAT_MS;
/** Timers of hidden tabs may run once a minute. */
const SILENT_HIDDEN_MS = 150_000;
/** How long a tab that asks waits for an answer. */
const ASK_MS = 300;

interface Claim {
  readonly term: number;
  readonly id: string;
  readonly visible: boolean;
}

export type LeadMessage =
  | { readonly kind: 'ask' }
  | { readonly kind: 'beat'; readonly claim: Claim }
  | { readonly kind: 'resign'; readonly claim: Claim };

export interface TabLeadOptions {
  readonly id: string;
  readonly lockName: string;
  readonly locks: TabLocks | null;
  readonly ports: Ports;
  post(message: LeadMessage): void;
  /** It leads from now on (undefined), follows somebody else than before (its id), or nobody (null). */
  changed(leader: string | null | undefined): void;
}

type Role =
  | { readonly kind: 'asking' }
  | { readonly kind: 'following'; readonly leader: Claim; heardAt: number }
  | { readonly kind: 'leading'; readonly term: number; readonly release: () => void }
  | { readonly kind: 'closed' };

export class TabLead {
  readonly #options: TabLeadOptions;
  #role: Role = { kind: 'asking' };
  #timer: Timer;
  #termSeen = 0;
  #unsubscribe: () => void;
  #locks: TabLocks | null;
  /** The place in the lock's queue. */
  #queued: AbortController | undefined;

  constructor(options: TabLeadOptions) {
    this.#options = options;
    this.#locks = options.locks;
    this.#unsubscribe = options.ports.lifecycle.subscribe((hint) => this.#hint(hint));
    options.post({ kind: 'ask' });
    this.#timer = this.#after(ASK_MS * (1 + options.ports.random()));
    this.#queue();
  }

  get leads(): boolean {
    return this.#role.kind === 'leading';
  }

  receive(message: LeadMessage): void {
    if (this.#role.kind === 'closed') return;
    if (message.kind === 'ask') return this.#beat();
    const { claim } = message;
    this.#termSeen = Math.max(this.#termSeen, claim.term);
    if (message.kind === 'beat') this.#hear(claim);
    else if (this.#role.kind === 'following' && this.#role.leader.id === claim.id) this.#orphaned();
  }

  /** Takes the lead, whoever has it. */
  claim(): void {
    if (this.#role.kind === 'leading' || this.#role.kind === 'closed') return;
    this.#leaveQueue();
    this.#lead(this.#steal());
  }

  close(): void {
    if (this.#role.kind === 'closed') return;
    const { term } = this.#role.kind === 'leading' ? this.#role : { term: 0 };
    if (term > 0) this.#options.post({ kind: 'resign', claim: this.#mine(term) });
    this.#become({ kind: 'closed' });
    this.#timer.cancel();
    this.#unsubscribe();
  }

  // --------------------------------------------------------------------------------------------------- what is heard

  #hear(claim: Claim): void {
    const role = this.#role;
    if (role.kind === 'leading') {
      if (!isGreater(claim, this.#mine(role.term))) return this.#beat(); // L1
      // L3: whoever claims without the lock has lost it and will hear so; the next beat is above it.
      if (this.#locks !== null) return this.#raise();
    }
    const follows = role.kind === 'following';
    // The same tab with another term has led anew and knows nothing of who followed it before.
    const known = follows && role.leader.id === claim.id && role.leader.term === claim.term;
    if (follows && role.leader.id !== claim.id && !isGreater(claim, role.leader) && !this.#isSilent(role.heardAt))
      return;
    this.#follow(claim, known);
    if (!claim.visible && this.#isVisible()) this.claim(); // L2
  }

  #raise(): void {
    if (this.#role.kind === 'leading') this.#role = { ...this.#role, term: ++this.#termSeen };
  }

  #follow(leader: Claim, known: boolean): void {
    const role: Role = { kind: 'following', leader, heardAt: this.#options.ports.clock.now() };
    if (known) this.#role = role;
    else {
      this.#become(role);
      this.#options.changed(leader.id);
      this.#queue();
    }
  }

  #hint(hint: Hint): void {
    if (hint !== 'visible' && hint !== 'hidden') return;
    if (this.#role.kind === 'leading') this.#beat();
    else if (hint === 'visible') this.#judge();
  }

  #tick(): void {
    this.#timer = this.#after(BEAT_MS);
    if (this.#role.kind === 'asking') this.claim();
    else if (this.#role.kind === 'leading') this.#beat();
    else this.#judge();
  }

  /** L2. */
  #judge(): void {
    if (this.#role.kind !== 'following') return;
    const { leader, heardAt } = this.#role;
    if (this.#isSilent(heardAt) || (this.#isVisible() && !leader.visible)) this.claim();
  }

  /** The leader has gone: a visible tab takes over at once, of the hidden ones whoever wakes first. */
  #orphaned(): void {
    this.#timer.cancel();
    this.#timer = this.#after(this.#isVisible() ? 0 : ASK_MS * (1 + this.#options.ports.random()));
    this.#become({ kind: 'asking' });
    this.#options.changed(null);
  }

  // ------------------------------------------------------------------------------------------------------ what is done

  #lead(release: () => void): void {
    const term = ++this.#termSeen;
    this.#become({ kind: 'leading', term, release });
    this.#beat();
    this.#options.changed(undefined);
  }

  #beat(): void {
    if (this.#role.kind === 'leading') this.#options.post({ kind: 'beat', claim: this.#mine(this.#role.term) });
  }

  #become(role: Role): void {
    const former = this.#role;
    this.#role = role;
    if (former.kind === 'leading') former.release();
    if (role.kind !== 'following') this.#leaveQueue();
  }

  #mine(term: number): Claim {
    return { term, id: this.#options.id, visible: this.#isVisible() };
  }

  #isVisible(): boolean {
    return this.#options.ports.lifecycle.visible();
  }

  #isSilent(heardAt: number): boolean {
    const silentForMs = this.#options.ports.clock.now() - heardAt;
    return silentForMs > (this.#isVisible() ? SILENT_MS : SILENT_HIDDEN_MS);
  }

  #after(delayMs: number): Timer {
    return this.#options.ports.clock.after(delayMs, () => this.#tick());
  }

  // ------------------------------------------------------------------------------------------------------ the lock (L3)

  /** @returns how to let go of it. */
  #steal(): () => void {
    if (this.#locks === null) return () => {};
    let release = (): void => {};
    const held = new Promise<void>((resolve) => (release = resolve));
    this.#request({ steal: true }, () => held, release);
    return release;
  }

  /** Whoever stole it answers; its own beat may have come before. */
  #robbed(release: () => void): void {
    if (this.#role.kind !== 'leading' || this.#role.release !== release) return;
    this.#become({ kind: 'asking' });
    this.#options.changed(null);
    this.#options.post({ kind: 'ask' });
  }

  /** Granted when the leader is gone, however it went. */
  #queue(): void {
    if (this.#locks === null) return;
    this.#leaveQueue();
    const queued = new AbortController();
    this.#queued = queued;
    let release = (): void => {};
    const held = new Promise<void>((resolve) => (release = resolve));
    const granted = (): Promise<void> | undefined => {
      if (queued.signal.aborted || (this.#role.kind !== 'following' && this.#role.kind !== 'asking')) return undefined;
      this.#queued = undefined;
      this.#lead(release);
      return held;
    };
    this.#request({ signal: queued.signal }, granted, release);
  }

  #request(
    how: Parameters<TabLocks['request']>[1],
    granted: () => Promise<void> | undefined,
    release: () => void,
  ): void {
    this.#locks?.request(this.#options.lockName, how, granted).catch((error: unknown) => {
      if ((error as Error).name === 'AbortError') this.#robbed(release);
      else this.#locks = null;
    });
  }

  #leaveQueue(): void {
    this.#queued?.abort();
    this.#queued = undefined;
  }
}

const isGreater = (a: Claim, b: Claim): boolean => a.term > b.term || (a.term === b.term && a.id > b.id);
