/**
 * A session's view, kept at the head of its log while somebody needs it: the owner, a command in hand, a snapshot.
 *
 * 1. It is made of rows and the entries after them, then follows the log; it never falls behind without noticing.
 * 2. All users of a session in this process share one. It lingers for a moment after the last of them, for what often comes next
 *    (the turn after a message, the page after the list), following the log as before; then it is gone: an idle session costs
 *    nothing.
 * 3. The verdict on a command is taken when its entry is folded, so that a receipt is the fold at the command's own seq.
 * 4. A record that cannot be read ends its session's view with the fault, and nobody else's: whoever wants it is told so.
 */
import {
  FaultError,
  fold,
  isCommand,
  judge,
  type ClientId,
  type Command,
  type Fault,
  type SessionId,
  type Verdict,
  type View,
} from '@holdfast/protocol';
import type { Delivery, Log, LogRecord, Refused, SubscribeOptions, Subscription } from '@holdfast/log';
import type { Clock, Timer } from './clock.ts';
import { isCheckpointDue, loadCheckpoint, streamOf } from './rows.ts';
import { decodeEntry } from './service.ts';

const VERDICTS_MAX = 256;
const LINGER_MS = 1_000;
/** In one process; where more would linger, those go that had no user for longest. */
const LINGERING_MAX = 64;

export interface Judged {
  readonly command: Command;
  readonly verdict: Verdict;
}

/** Somebody waits for the verdict on their command. */
export interface Expectation {
  readonly clientId: ClientId;
  judged: Judged | undefined;
}

/** Why a live session has ended: its last user left, or its stream did, or it cannot be read (rule 4). */
export type LiveEnd = 'deleted' | 'missing' | 'released' | Fault;

export class LiveSession {
  readonly sessionId: SessionId;
  view: View;
  /** The tag of the record at `view.seq`. */
  tag: number;
  ended: LiveEnd | undefined;
  readonly #subscription: Subscription;
  /** The latest, for retries that come soon. */
  readonly #verdicts = new Map<number, Judged>();
  readonly #early = new Map<number, LogRecord>();
  readonly #expected = new Map<ClientId, Set<Expectation>>();
  readonly #waiters = new Set<{ readonly seq: number; readonly resolve: () => void }>();
  readonly #onCall = new Set<() => void>();
  #hold: Promise<void> = Promise.resolve();

  constructor(sessionId: SessionId, start: { readonly view: View; readonly tag: number }, subscription: Subscription) {
    this.sessionId = sessionId;
    this.view = start.view;
    this.tag = start.tag;
    this.#subscription = subscription;
    void this.#follow();
  }

  /** Takes in what this process can already see; after an append resolved, that includes it (log law L7). */
  catchUp(): void {
    for (;;) {
      const delivery = this.ended === undefined ? this.#subscription.poll() : undefined;
      if (delivery === undefined) return;
      this.#take(delivery);
    }
  }

  /** Resolves when the view holds `seq`, or the session has ended. */
  async reached(seq: number): Promise<void> {
    this.catchUp();
    if (this.view.seq >= seq || this.ended !== undefined) return;
    await new Promise<void>((resolve) => this.#waiters.add({ seq, resolve }));
  }

  /** Called before a command is appended: however much comes in between, its verdict is kept until `forget`. */
  expect(clientId: ClientId): Expectation {
    const expectation: Expectation = { clientId, judged: undefined };
    const others = this.#expected.get(clientId);
    if (others === undefined) this.#expected.set(clientId, new Set([expectation]));
    else others.add(expectation);
    return expectation;
  }

  forget(expectation: Expectation): void {
    const others = this.#expected.get(expectation.clientId);
    others?.delete(expectation);
    if (others?.size === 0) this.#expected.delete(expectation.clientId);
  }

  /** The verdict on a command that was folded here lately. */
  verdictAt(seq: number): Judged | undefined {
    return this.#verdicts.get(seq);
  }

  /** Commands of this process wait until the owner's decision is made. @returns release */
  holdCommands(): () => void {
    const hold = Promise.withResolvers<void>();
    this.#hold = hold.promise;
    return hold.resolve;
  }

  /** Resolves when a command may be appended. */
  admits(): Promise<void> {
    return this.#hold;
  }

  /** Calls back when something calls for its owner: a command, a prompt (it may have a deadline), the session's end. @returns stop */
  onCall(run: () => void): () => void {
    this.#onCall.add(run);
    return () => this.#onCall.delete(run);
  }

  close(why: LiveEnd): void {
    if (this.ended !== undefined) return;
    this.ended = why;
    this.#subscription.cancel();
    for (const { resolve } of this.#waiters) resolve();
    this.#waiters.clear();
    for (const run of this.#onCall) run();
  }

  async #follow(): Promise<void> {
    while (this.ended === undefined) {
      this.#take(await this.#subscription.next());
    }
  }

  #take(delivery: Delivery): void {
    if (delivery.kind === 'records') this.#placeAll(delivery.records);
    else if (delivery.kind !== 'cancelled') this.close(delivery.kind === 'deleted' ? 'deleted' : 'missing');
  }

  #placeAll(records: readonly LogRecord[]): void {
    try {
      for (const record of records) this.#place(record);
    } catch (error) {
      if (!(error instanceof FaultError)) throw error;
      this.close(error.fault); // Rule 4.
    }
  }

  /**
   * What `catchUp` polls can overtake a delivery that `#follow` has been given and not yet handed on: records are folded in the
   * order of their seqs, whichever way they come.
   */
  #place(record: LogRecord): void {
    if (record.seq <= this.view.seq) return;
    if (record.seq > this.view.seq + 1) {
      this.#early.set(record.seq, record);
      return;
    }
    this.#fold(record);
    for (let next = this.#early.get(this.view.seq + 1); next !== undefined; next = this.#early.get(this.view.seq + 1)) {
      this.#early.delete(next.seq);
      this.#fold(next);
    }
  }

  #fold(record: LogRecord): void {
    const entry = decodeEntry(record);
    const command = isCommand(entry);
    if (command) this.#note(entry.seq, { command: entry, verdict: judge(this.view, entry) });
    this.view = fold(this.view, entry);
    this.tag = record.tag;
    for (const waiter of this.#waiters) {
      if (waiter.seq > this.view.seq) continue;
      this.#waiters.delete(waiter);
      waiter.resolve();
    }
    if (command || entry.type === 'prompt-open') for (const run of this.#onCall) run();
  }

  #note(seq: number, judged: Judged): void {
    for (const expectation of this.#expected.get(judged.command.clientId) ?? []) expectation.judged ??= judged;
    this.#verdicts.set(seq, judged);
    if (this.#verdicts.size <= VERDICTS_MAX) return;
    const [oldest] = this.#verdicts.keys();
    if (oldest !== undefined) this.#verdicts.delete(oldest);
  }
}

const tagAt = ({ view, tag }: { readonly view: View; readonly tag: number }): SubscribeOptions =>
  view.seq === 0 ? {} : { tag };

export type NotLive = Refused;
type Opened = { readonly kind: 'live'; readonly live: LiveSession } | NotLive;

interface Shared {
  readonly opening: Promise<Opened>;
  users: number;
}

/** The live sessions of this process (rule 2). */
export class LiveSessions {
  readonly #log: Log;
  readonly #clock: Clock;
  readonly #onFarBack: (sessionId: SessionId) => void;
  readonly #lives = new Map<SessionId, Shared>();
  /** Those without a user, longest first. */
  readonly #lingering = new Map<SessionId, Timer>();

  /** @param onFarBack called when a view had to be folded from so far back that rows should be made for the next one */
  constructor(log: Log, clock: Clock, onFarBack: (sessionId: SessionId) => void) {
    this.#onFarBack = onFarBack;
    this.#log = log;
    this.#clock = clock;
  }

  /** How many have users. */
  get size(): number {
    return this.#lives.size - this.#lingering.size;
  }

  /** Nothing lingers any more. */
  close(): void {
    for (const sessionId of this.#lingering.keys()) this.#letGo(sessionId);
  }

  /** Somebody has its view, or has asked for it. */
  has(sessionId: SessionId): boolean {
    return this.#lives.has(sessionId);
  }

  /** Runs `use` with the session's view: whole, and as far as this process has heard. */
  async with<T>(sessionId: SessionId, use: (live: LiveSession) => Promise<T>): Promise<T | NotLive> {
    const joined = this.#lives.get(sessionId);
    const shared = joined ?? this.#open(sessionId);
    this.#stay(sessionId);
    shared.users += 1;
    try {
      const opened = await shared.opening;
      if (opened.kind === 'live') {
        opened.live.catchUp();
        const { ended } = opened.live;
        if (ended === 'deleted') return { kind: 'deleted' };
        if (typeof ended === 'object') return this.#unreadable(sessionId, shared, ended);
        if (ended !== 'missing') return await use(opened.live);
        // Its log was taken back: what it holds never was.
        this.#drop(sessionId, shared);
        return joined === undefined ? { kind: 'missing' } : await this.with(sessionId, use);
      }
      // Whoever joined may have come after the question was put: for them it is asked again.
      return joined === undefined ? opened : await this.with(sessionId, use);
    } finally {
      shared.users -= 1;
      if (shared.users === 0) this.#linger(sessionId, shared);
    }
  }

  /** Rule 4. Whoever asks again reads it again. */
  #unreadable(sessionId: SessionId, shared: Shared, why: Fault): NotLive {
    this.#drop(sessionId, shared);
    return { kind: 'unavailable', fault: why };
  }

  #open(sessionId: SessionId): Shared {
    const shared: Shared = { opening: this.#load(sessionId), users: 0 };
    this.#lives.set(sessionId, shared);
    const drop = (): void => this.#drop(sessionId, shared);
    void shared.opening.then((opened) => (opened.kind === 'live' ? undefined : drop()), drop);
    return shared;
  }

  #drop(sessionId: SessionId, shared: Shared): void {
    if (this.#lives.get(sessionId) === shared) this.#lives.delete(sessionId);
  }

  #stay(sessionId: SessionId): void {
    this.#lingering.get(sessionId)?.cancel();
    this.#lingering.delete(sessionId);
  }

  #linger(sessionId: SessionId, shared: Shared): void {
    // Dropped, it is nobody's any more.
    if (this.#lives.get(sessionId) !== shared) return release(shared);
    this.#lingering.set(
      sessionId,
      this.#clock.after(LINGER_MS, () => this.#letGo(sessionId)),
    );
    const [longest] = this.#lingering.keys();
    if (this.#lingering.size > LINGERING_MAX && longest !== undefined) this.#letGo(longest);
  }

  #letGo(sessionId: SessionId): void {
    this.#stay(sessionId);
    const shared = this.#lives.get(sessionId);
    this.#lives.delete(sessionId);
    if (shared !== undefined) release(shared);
  }

  async #load(sessionId: SessionId): Promise<Opened> {
    const stream = streamOf(sessionId);
    const found = await this.#log.stat(stream);
    if (found.kind !== 'state') return found;
    const start = await loadCheckpoint(this.#log, sessionId);
    const live = new LiveSession(sessionId, start, this.#log.subscribe(stream, start.view.seq, tagAt(start)));
    await live.reached(found.state.head);
    if (live.ended === undefined && isCheckpointDue(live.view, { checkpointSeq: start.view.seq }))
      this.#onFarBack(sessionId);
    return live.ended === 'deleted' ? { kind: 'deleted' } : { kind: 'live', live };
  }
}

function release({ opening }: Shared): void {
  // A session that could not be opened has told its users so; there is nothing to close.
  void opening.then(
    (opened) => opened.kind === 'live' && opened.live.close('released'),
    () => undefined,
  );
}
