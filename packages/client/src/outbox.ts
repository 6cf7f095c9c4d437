/**
 * Messages on their way: they survive a reload, a lost network and a closed client, and arrive once (R23, R59, R72).
 *
 * Stages: `send` keeps the message in the store → it goes out, in order within its session → the receipt takes it from the
 * store → it is dropped here when the view shows it.
 *
 * O1. One idempotency key for life. A message may go out any number of times, from any number of tabs; it is one message.
 * O2. In order per session: while one is on its way or unconfirmed, the later ones of its session wait, and so they do while
 *     what an earlier page left is taken up. A refused one does not hold them up; sessions do not wait for each other.
 * O3. It belongs to who wrote it: what another subject left is neither sent nor shown, it stays in the store for them. What
 *     waits while somebody signs in goes nowhere before it is known who that is. What was written before anybody knew who was
 *     signed in waits for the person.
 * O4. It belongs to its session, whichever is on screen.
 * O5. What another tab discarded is not sent: the store is asked before each try. A store that fails costs durability, not
 *     the message.
 * O6. What an earlier page left is taken up before any view is shown (`restored`): a message is never missing in between.
 * O7. At `ITEMS_MAX` a further message is refused (`queue-full`).
 */
import type { Subject, WhenBusy } from '@holdfast/protocol/entry';
import { fault, type Fault } from '@holdfast/protocol/fault';
import type { ClientId, SessionId } from '@holdfast/protocol/ids';
import { turnIdOfItem, type View } from '@holdfast/protocol/view';

import type { Admission, OutboxItem, Receipt, SendOptions } from './api.ts';
import { held } from './held.ts';
import { newId } from './new-id.ts';
import { SENDING, transition, type SendEvent, type SendState } from './outbox-machine.ts';
import type { OutboxStore, StoredSend } from './outbox-store.ts';
import type { Ports, Timer } from './ports.ts';
import type { Answer, Requests } from './requests.ts';

const ITEMS_MAX = 500;
const STORE_MS_MAX = 1_000;

export interface OutboxOptions {
  readonly store: OutboxStore;
  readonly requests: Requests;
  readonly ports: Ports;
  readonly baseUrl: string;
  /** Who is signed in; undefined: the gateway is asked. */
  readonly subject: Subject | undefined;
  /** Whether the session's view will show what was accepted. */
  readonly isFollowed: (sessionId: SessionId) => boolean;
  readonly onChange: (sessionId: SessionId) => void;
  /** O6: now views may be shown. Those that are there may show some of it already. */
  readonly onRestored: () => void;
  readonly onError: (error: unknown) => void;
}

interface Item {
  send: StoredSend;
  state: SendState;
  timer: Timer | undefined;
  /** What readers see; the same object until it changes. */
  shown: OutboxItem;
  readonly admission: Promise<Admission>;
  readonly admit: (admission: Admission) => void;
}

export interface Sent {
  readonly clientId: ClientId;
  readonly admission: Promise<Admission>;
}

export class Outbox {
  readonly #options: OutboxOptions;
  /** In the order of sending. */
  readonly #items = new Map<ClientId, Item>();
  readonly #sending = new Set<SessionId>();
  #shownBySession = new Map<SessionId, readonly OutboxItem[]>();
  #subject: Subject | null;
  #identifying: Promise<void> | undefined;
  #lastOrder = 0;
  #storeFailed = false;
  #closed = false;
  /** What an earlier page left is being taken up. */
  #restoring = false;
  /** O6. */
  restored: boolean = false;

  constructor(options: OutboxOptions) {
    this.#options = options;
    this.#subject = options.subject ?? null;
  }

  items(sessionId: SessionId): readonly OutboxItem[] {
    let shown = this.#shownBySession.get(sessionId);
    if (shown === undefined) {
      shown = this.#of(sessionId).map((item) => item.shown);
      this.#shownBySession.set(sessionId, shown);
    }
    return shown;
  }

  /** Resolves when the message is in the store. */
  async send(sessionId: SessionId, text: string, options: SendOptions = {}): Promise<Sent> {
    const known = this.#items.get(options.clientId as ClientId);
    if (known !== undefined) {
      // R97: a retry says the same.
      const { send, admission } = known;
      const said = JSON.stringify([send.sessionId, send.text, send.parts]);
      if (said !== JSON.stringify([sessionId, text, options.parts ?? []])) return refusedSend(options.clientId, REUSED);
      return { clientId: send.clientId, admission };
    }
    if (this.#items.size >= ITEMS_MAX) return refusedSend(options.clientId, FULL);
    const { parts = [], whenBusy = 'queue', clientId = newId('c'), ...rest } = options;
    const at = this.#options.ports.clock.now();
    const send: StoredSend = {
      clientId: clientId as ClientId,
      sessionId,
      baseUrl: this.#options.baseUrl,
      subject: this.#subject,
      order: Math.max(this.#lastOrder + 1, at),
      at,
      text,
      parts,
      whenBusy: whenBusy satisfies WhenBusy,
      ...rest,
    };
    const item = this.#add(send, SENDING);
    void held(this, item.admission);
    if (this.#closed) item.admit({ kind: 'unconfirmed', fault: UNCONFIRMED });
    void this.identify();
    await this.#stored((store) => store.put(send));
    this.#pump(sessionId);
    return { clientId: send.clientId, admission: item.admission };
  }

  /** R98: why nothing of this session goes out before there are new credentials. */
  refusal(sessionId: SessionId): Fault | undefined {
    const isRefused = ({ state }: Item): boolean => state.kind === 'unconfirmed' && state.delayMs === null;
    return this.#of(sessionId).find(isRefused)?.shown.fault;
  }

  retry(clientId: ClientId): void {
    const item = this.#items.get(clientId);
    if (item !== undefined) this.#post(item, { kind: 'retry' });
  }

  discard(clientId: ClientId): void {
    const item = this.#items.get(clientId);
    if (item === undefined || item.state.kind === 'accepted') return;
    item.admit({ kind: 'discarded' });
    this.#drop(item);
    void this.#stored((store) => store.delete(clientId));
  }

  /** Something may have changed for the better. */
  hint(): void {
    void this.identify().then(() => {
      for (const item of this.#items.values()) this.#post(item, { kind: 'hint' });
    });
  }

  /** The view moved: what it shows is not unsent, whatever became of the response. */
  seen(sessionId: SessionId, view: View): void {
    if (this.items(sessionId).length === 0) return; // Asked for every entry.
    const items = this.#of(sessionId);
    const receipts = receiptsIn(view);
    for (const item of items) {
      const receipt = receipts.get(item.send.clientId);
      if (receipt !== undefined) this.#post(item, { kind: 'receipt', receipt });
      const { state } = item;
      if (receipt !== undefined || (state.kind === 'accepted' && state.receipt.seq <= view.seq)) this.#drop(item);
    }
  }

  /** Takes up what an earlier page or process left. */
  async restore(): Promise<void> {
    this.#restoring = true;
    const left = await this.#left();
    for (const send of left.slice(0, ITEMS_MAX)) {
      if (this.#items.has(send.clientId)) continue;
      this.#add(send, send.subject === null ? { kind: 'refused', fault: NOBODYS } : SENDING);
    }
    this.#restoring = false;
    this.restored = true;
    this.#options.onRestored();
    for (const { send } of this.#items.values()) this.#pump(send.sessionId);
  }

  async #left(): Promise<readonly StoredSend[]> {
    const all = (await this.#stored((store) => store.all())) ?? [];
    const here = all.filter((send) => send.baseUrl === this.#options.baseUrl && !this.#items.has(send.clientId));
    if (here.length === 0) return here;
    await this.identify();
    return here.filter((send) => this.#isOurs(send)); // O3
  }

  /** There are new credentials: perhaps of somebody else. */
  credentialsChanged(): void {
    if (this.#options.subject === undefined) {
      this.#identifying = undefined;
      this.#subject = null;
    }
    this.hint();
  }

  /** Asks who is signed in, until it is known. */
  identify(): Promise<void> {
    if (this.#options.subject !== undefined || this.#closed) return Promise.resolve();
    const asking = (this.#identifying ??= this.#options.requests.get('/v1/me').then((answer) => {
      // About who was signed in before it says nothing of who is.
      if (this.#identifying === asking) this.#identified(answer);
    }));
    return asking;
  }

  async close(): Promise<void> {
    this.#closed = true;
    for (const item of this.#items.values()) {
      item.timer?.cancel();
      item.admit({ kind: 'unconfirmed', fault: UNCONFIRMED });
    }
    await this.#stored((store) => store.close());
  }

  // ── one item ──────────────────────────────────────────────────────────────────────────────────────────────────────

  #add(send: StoredSend, state: SendState): Item {
    let admit: (admission: Admission) => void = () => {};
    const admission = new Promise<Admission>((resolve) => (admit = resolve));
    const item: Item = { send, state, timer: undefined, shown: shownOf(send, state), admission, admit };
    this.#items.set(send.clientId, item);
    this.#lastOrder = Math.max(this.#lastOrder, send.order);
    this.#changed(send.sessionId);
    return item;
  }

  #post(item: Item, event: SendEvent): void {
    const next = transition(item.state, event);
    if (next === item.state || this.#closed) return;
    item.timer?.cancel(); // B1
    item.timer = undefined;
    item.state = next;
    item.shown = shownOf(item.send, next);
    if (next.kind === 'unconfirmed' && next.delayMs !== null)
      item.timer = this.#options.ports.clock.after(next.delayMs, () => this.#post(item, { kind: 'due' }));
    const { clientId, sessionId } = item.send;
    if (next.kind === 'accepted') {
      item.admit({ ...next.receipt, kind: 'accepted' });
      void this.#stored((store) => store.delete(clientId));
      // Nobody's view would take it away.
      if (!this.#options.isFollowed(sessionId)) this.#drop(item);
    }
    if (next.kind === 'refused') item.admit({ kind: 'refused', fault: next.fault });
    this.#changed(sessionId);
    this.#pump(sessionId);
  }

  #drop(item: Item): void {
    item.timer?.cancel();
    this.#items.delete(item.send.clientId);
    this.#changed(item.send.sessionId);
    this.#pump(item.send.sessionId);
  }

  // ── sending ───────────────────────────────────────────────────────────────────────────────────────────────────────

  /** O2: looks at what is there, whoever calls and however often. */
  #pump(sessionId: SessionId): void {
    if (this.#closed || this.#restoring || this.#sending.has(sessionId)) return;
    const head = this.#of(sessionId).find(({ state }) => state.kind === 'sending' || state.kind === 'unconfirmed');
    if (head?.state.kind !== 'sending') return;
    this.#sending.add(sessionId);
    void this.#deliver(head).finally(() => {
      this.#sending.delete(sessionId);
      this.#pump(sessionId);
    });
  }

  async #deliver(item: Item): Promise<void> {
    const { requests, ports } = this.#options;
    const { clientId, sessionId, text, parts, whenBusy, merge, after } = item.send;
    if (this.#subject === null) await this.identify(); // O2, O3
    if ((await this.#stored((store) => store.has(clientId))) === false) return this.discard(clientId); // O5
    if (!this.#items.has(clientId) || this.#closed || this.#restoring) return;
    const json = { clientId, text, whenBusy, parts: parts.length === 0 ? undefined : parts, merge, after };
    const answer: Answer = this.#isOurs(item.send)
      ? await requests.once('POST', `/v1/sessions/${sessionId}/messages`, { json })
      : { kind: 'fault', fault: WHOSE };
    if (this.#items.get(clientId) !== item) return;
    if (answer.kind === 'fault') this.#post(item, { kind: 'fault', fault: answer.fault, roll: ports.random() });
    else this.#post(item, { kind: 'receipt', receipt: answer.body as Receipt });
  }

  // ── whose it is ───────────────────────────────────────────────────────────────────────────────────────────────────

  #identified(answer: Answer): void {
    if (answer.kind === 'fault' && answer.fault.kind !== 'route-not-found') {
      this.#identifying = undefined; // Asked again by the next hint.
      return;
    }
    const body = answer.kind === 'ok' ? (answer.body as { readonly subject?: Subject }) : {};
    const subject = body.subject ?? '';
    this.#subject = subject;
    for (const item of this.#items.values()) {
      const theirs = item.send.subject;
      if (theirs === null && item.state.kind !== 'refused') {
        // Written while nobody knew who was signed in, and nobody else has signed in since.
        item.send = { ...item.send, subject };
        void this.#stored((store) => store.put(item.send));
      }
      if (theirs !== null && theirs !== subject) {
        // O3: somebody else's. The store keeps it.
        item.admit({ kind: 'unconfirmed', fault: NOBODYS });
        this.#drop(item);
      }
    }
    // What is theirs was left alone while nobody knew.
    if (this.restored) void this.restore();
  }

  /** Somebody may have signed in since it was written, and nobody knows yet who. */
  #isOurs({ subject }: StoredSend): boolean {
    return (subject ?? this.#subject) === this.#subject;
  }

  // ── small things ──────────────────────────────────────────────────────────────────────────────────────────────────

  #of(sessionId: SessionId): Item[] {
    const items = [...this.#items.values()].filter((item) => item.send.sessionId === sessionId);
    return items.toSorted((a, b) => a.send.order - b.send.order);
  }

  #changed(sessionId: SessionId): void {
    this.#shownBySession.delete(sessionId);
    this.#options.onChange(sessionId);
  }

  /** O5. A store that does not answer is a store that fails. */
  async #stored<T>(use: (store: OutboxStore) => Promise<T>): Promise<T | undefined> {
    if (this.#storeFailed) return undefined;
    let timer: Timer | undefined;
    const late = new Promise<never>((_, reject) => {
      timer = this.#options.ports.clock.after(STORE_MS_MAX, () => reject(new Error('The outbox is silent.')));
    });
    try {
      return await Promise.race([use(this.#options.store), late]);
    } catch (error) {
      this.#storeFailed = true;
      this.#options.onError(error);
      return undefined;
    } finally {
      timer?.cancel();
    }
  }
}

const UNCONFIRMED = fault('cancelled', 'The client was closed before the message arrived. The outbox keeps it.');
const WHOSE: Fault = fault('auth-unavailable', 'It was not known who was signed in.');
const NOBODYS: Fault = fault(
  'unauthorized',
  'It was written before it was known who was signed in. Send it again or discard it.',
);

const FULL = fault('queue-full', `${ITEMS_MAX} messages wait to be sent. Let some arrive.`);
const REUSED = fault('client-id-reused', 'Another message has this clientId.');

function refusedSend(clientId: string = newId('c'), why: Fault): Sent {
  return { clientId: clientId as ClientId, admission: Promise.resolve({ kind: 'refused', fault: why }) };
}

function shownOf(send: StoredSend, state: SendState): OutboxItem {
  const { subject: _subject, baseUrl: _baseUrl, order: _order, ...message } = send;
  if (state.kind === 'sending') return { ...message, state: state.kind };
  if (state.kind === 'accepted') return { ...message, state: state.kind, receipt: state.receipt };
  return { ...message, state: state.kind, fault: state.fault };
}

/** What the view says of each message that it shows: as good as the receipt. */
function receiptsIn(view: View): ReadonlyMap<ClientId, Receipt> {
  const receipts = new Map<ClientId, Receipt>();
  const waiting = [...view.queue, ...(view.turn?.steers ?? [])];
  for (const [index, item] of waiting.entries()) {
    const { clientId, messageId, seq } = item;
    const applied = index < view.queue.length ? 'queue' : 'steer';
    const turnId = applied === 'queue' ? { turnId: turnIdOfItem(item) } : {};
    receipts.set(clientId, { messageId, seq, position: index, applied, duplicate: false, ...turnId });
  }
  for (const { id, clientId, turnId, revision } of [...view.messages, ...view.offPath]) {
    if (clientId === undefined) continue;
    receipts.set(clientId, {
      messageId: id,
      seq: revision,
      turnId,
      position: 0,
      applied: 'start',
      duplicate: false,
    });
  }
  return receipts;
}
