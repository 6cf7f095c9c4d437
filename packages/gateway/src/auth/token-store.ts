/**
 * Issues, refreshes and revokes tokens, and says whether one is valid. Every change is an entry of the stream
 * `tokens/main`; every node follows it and answers from memory.
 *
 * Stages: create the stream or find it, read it to its head, follow it.
 *
 * 1. A change is durable before its answer, and known here before it too: what a caller was told holds on this node at once,
 *    on the others as soon as the log reaches them (well within a second).
 * 2. An unknown secret is refused only after this node has read the log's head: a token that another node issued a moment
 *    ago works. Such look-ups are shared and limited, so that guessing costs the store nothing; who guesses waits for the next.
 * 3. A start code and a refresh token are exchanged once: the entry's idempotency key is the secret's hash, so that two
 *    nodes cannot both do it.
 * 4. The answer to a used refresh token, within `graceMs`, is the same answer: the tokens are derived from it and from the
 *    stream's own key, not drawn. After that its return means that somebody else has it too, and the grant is revoked.
 * 5. The stream is bounded: after `COMPACT_AFTER` entries one that sums them up is appended, then they are dropped. Who begins behind
 *    the floor holds back what it reads until it has found the summary, so that nothing that came in between is lost.
 * 6. When the store does not answer, what is known stays valid until it expires.
 * 7. A stream that is shorter than what was read of it was taken back, by a failover or a restore: it is read anew from its beginning, and
 *    what was known stays until that is done. What was issued or revoked in the lost part is not, any more.
 */
import { fault, FaultError, type Fault, type Subject } from '@holdfast/protocol';
import type { Scope } from '@holdfast/protocol/schema';
import { holds } from './principal.ts';
import type { Delivery, Log, LogRecord, Subscription } from '@holdfast/log';
import type { Clock } from '@holdfast/session';
import { deriveSecret, hashOf, newId, newSecret } from './secret.ts';
import { TokenBook, type Found, type Grant, type GrantKind, type TokenEntry } from './token-book.ts';

const STREAM = 'tokens/main';
/** How often an unknown secret may make this node read the log (rule 2). */
const CATCH_UP_EVERY_MS = 100;
const PRUNE_EVERY_MS = 60_000;
const COMPACT_AFTER = 10_000;

export interface TokenTimes {
  readonly accessMs: number;
  readonly refreshMs: number;
  readonly graceMs: number;
  readonly startMs: number;
  readonly cookieMs: number;
}

/** Secrets as they are handed out, once. Times are milliseconds since the epoch; null: it does not expire. */
export interface Issued {
  readonly tokenId: string;
  readonly accessToken: string;
  readonly expiresAt: number | null;
  readonly refreshToken?: string;
}

export type IssueResult =
  | { readonly kind: 'issued'; readonly issued: Issued }
  | { readonly kind: 'fault'; readonly fault: Fault };

export interface IssueRequest {
  readonly subject: Subject;
  readonly scopes: readonly Scope[];
  readonly label?: string;
  readonly expiresInMs?: number;
  readonly refresh: boolean;
  /** The token that asks for it; undefined: the configured admin token. */
  readonly by?: string;
}

const encoder = new TextEncoder();
const decoder = new TextDecoder();
const encode = (entry: TokenEntry): Uint8Array => encoder.encode(JSON.stringify(entry));

export class TokenStore {
  readonly #log: Log;
  readonly #clock: Clock;
  readonly #times: TokenTimes;
  #book = new TokenBook();
  /** Rule 5: entries up to here are gone; what was read behind it waits for the summary. */
  #floor = 0;
  #unsummed: { readonly entry: TokenEntry; readonly at: number }[] | undefined;
  #compacting = false;
  readonly #onChange = new Set<() => void>();
  #subscription: Subscription;
  #seq = 0;
  #closed = false;
  /** Not begun yet. */
  #nextCatchUp: Promise<void> | undefined;
  #caughtUpAt = Number.NEGATIVE_INFINITY;
  #prunedAt = 0;

  private constructor(log: Log, clock: Clock, times: TokenTimes) {
    this.#log = log;
    this.#clock = clock;
    this.#times = times;
    this.#subscription = log.subscribe(STREAM, 0);
  }

  static async open(log: Log, clock: Clock, times: TokenTimes): Promise<TokenStore> {
    const key: TokenEntry = { type: 'token-key', key: newSecret() };
    const created = await log.create(STREAM, { contentType: 'application/json', first: { records: [encode(key)] } });
    if (created.kind === 'unavailable') throw new FaultError(created.fault);
    if (created.kind !== 'created' && created.kind !== 'exists')
      throw new Error(`The stream ${STREAM} is ${created.kind}`);
    const store = new TokenStore(log, clock, times);
    await store.#readTo(created.state.head);
    void store.#follow();
    return store;
  }

  /** Calls back after every change, so that open streams can be looked through. @returns stop */
  onChange(run: () => void): () => void {
    this.#onChange.add(run);
    return () => this.#onChange.delete(run);
  }

  close(): void {
    this.#closed = true;
    this.#subscription.cancel();
  }

  // ── asking ────────────────────────────────────────────────────────────────────────────────────────────────────────

  async find(secret: string): Promise<Found | undefined> {
    const hash = hashOf(secret);
    const known = this.#book.find(hash, this.#clock.now());
    if (known !== undefined) return known;
    await this.#readHead();
    return this.#book.find(hash, this.#clock.now());
  }

  isIssued(tokenId: string): boolean {
    return this.#book.has(tokenId);
  }

  grant(tokenId: string): Grant | undefined {
    return this.#book.grant(tokenId);
  }

  /** Whether a token of this subject that has not expired holds the scope (R90). Looks at what this node has read of the tokens. */
  mayUse(subject: Subject, scope: Scope): boolean {
    const now = this.#clock.now();
    return this.#book
      .grants()
      .some((grant) => grant.subject === subject && (grant.expiresAt ?? Infinity) > now && holds(grant.scopes, scope));
  }

  grants(): readonly Grant[] {
    return this.#book.grants();
  }

  // ── changing ──────────────────────────────────────────────────────────────────────────────────────────────────────

  async issue({ subject, scopes, label, expiresInMs, refresh, by }: IssueRequest): Promise<IssueResult> {
    const kind: GrantKind = refresh ? 'pair' : 'bearer';
    const [accessToken, refreshToken] = [newSecret(), newSecret()];
    const now = this.#clock.now();
    const expiresAt = expiresInMs === undefined ? (refresh ? now + this.#times.accessMs : null) : now + expiresInMs;
    const more = { ...(label === undefined ? {} : { label }), ...(by === undefined ? {} : { by }) };
    const grant = { tokenId: newId('tk'), kind, subject, scopes, ...more };
    const pair = refresh ? { refresh: { hash: hashOf(refreshToken), expiresAt: now + this.#times.refreshMs } } : {};
    const refused = await this.#append({
      type: 'token-issue',
      grant,
      access: { hash: hashOf(accessToken), expiresAt },
      ...pair,
    });
    if (refused !== undefined) return { kind: 'fault', fault: refused };
    return {
      kind: 'issued',
      issued: { tokenId: grant.tokenId, accessToken, expiresAt, ...(refresh ? { refreshToken } : {}) },
    };
  }

  /** Rule 4. */
  async refresh(refreshToken: string): Promise<IssueResult> {
    const found = await this.find(refreshToken);
    if (found?.use !== 'refresh')
      return refuse('The refresh token is unknown, has expired or was revoked. Sign in again.');
    const { tokenId } = found.grant;
    if (found.used !== undefined) return this.#refreshAgain(refreshToken, tokenId, found.used);
    const [accessToken, next] = [this.#derive('access', refreshToken), this.#derive('refresh', refreshToken)];
    const now = this.#clock.now();
    const used = hashOf(refreshToken);
    const access = { hash: hashOf(accessToken), expiresAt: now + this.#times.accessMs };
    const refresh = { hash: hashOf(next), expiresAt: now + this.#times.refreshMs };
    const refused = await this.#append({ type: 'token-rotate', tokenId, used, access, refresh }, `rotate:${used}`);
    if (refused !== undefined) return { kind: 'fault', fault: refused };
    if (this.#book.find(used, now)?.used === undefined) await this.#readHead();
    const after = this.#book.find(used, now);
    if (after?.used === undefined) return refuse('The tokens were revoked meanwhile. Sign in again.');
    return this.#derived(tokenId, refreshToken, after.used.accessExpiresAt);
  }

  /** @returns false where no such grant is. */
  async revoke(tokenId: string, why: 'asked' | 'refresh-reused' = 'asked'): Promise<boolean | Fault> {
    if (!this.#book.has(tokenId)) await this.#readHead();
    if (!this.#book.has(tokenId)) return false;
    return (await this.#append({ type: 'token-revoke', tokenId, why }, `revoke:${tokenId}`)) ?? true;
  }

  /** A one-time code for a start link. */
  async issueStart(subject: Subject, scopes: readonly Scope[], by?: string): Promise<string | Fault> {
    const code = newSecret();
    const expiresAt = this.#clock.now() + this.#times.startMs;
    const refused = await this.#append({
      type: 'start-issue',
      code: { hash: hashOf(code), expiresAt },
      subject,
      scopes,
      ...(by === undefined ? {} : { by }),
    });
    return refused ?? code;
  }

  /** Rule 3. @returns the cookie's secret */
  async redeemStart(code: string): Promise<IssueResult> {
    const start = hashOf(code);
    const used = 'The start link was used or has expired. "holdfast token link" makes another.';
    let found = this.#book.findStart(start, this.#clock.now());
    if (found === undefined) {
      await this.#readHead();
      found = this.#book.findStart(start, this.#clock.now());
    }
    if (found === undefined) return refuse(used);
    const accessToken = newSecret();
    const expiresAt = this.#clock.now() + this.#times.cookieMs;
    const grant = {
      tokenId: newId('tk'),
      kind: 'cookie',
      subject: found.subject,
      scopes: found.scopes,
      label: 'browser',
      ...(found.by === undefined ? {} : { by: found.by }),
    } as const;
    const entry: TokenEntry = { type: 'token-issue', grant, access: { hash: hashOf(accessToken), expiresAt }, start };
    const refused = await this.#append(entry, `start:${start}`);
    if (refused !== undefined)
      return refused.kind === 'client-id-reused' ? refuse(used) : { kind: 'fault', fault: refused };
    return { kind: 'issued', issued: { tokenId: grant.tokenId, accessToken, expiresAt } };
  }

  async #refreshAgain(
    refreshToken: string,
    tokenId: string,
    used: { readonly at: number; readonly accessExpiresAt: number | null },
  ): Promise<IssueResult> {
    if (this.#clock.now() - used.at <= this.#times.graceMs)
      return this.#derived(tokenId, refreshToken, used.accessExpiresAt);
    const revoked = await this.revoke(tokenId, 'refresh-reused');
    if (typeof revoked === 'object') return { kind: 'fault', fault: revoked };
    return refuse('The refresh token had been used before, so all tokens that came of it were revoked. Sign in again.');
  }

  #derived(tokenId: string, refreshToken: string, expiresAt: number | null): IssueResult {
    const accessToken = this.#derive('access', refreshToken);
    return {
      kind: 'issued',
      issued: { tokenId, accessToken, expiresAt, refreshToken: this.#derive('refresh', refreshToken) },
    };
  }

  #derive(purpose: string, from: string): string {
    if (this.#book.key === undefined) throw new Error(`The stream ${STREAM} does not begin with its key`);
    return deriveSecret(this.#book.key, purpose, from);
  }

  // ── the log ───────────────────────────────────────────────────────────────────────────────────────────────────────

  /** Rule 1. @returns why it was not appended; a duplicate of a key counts as appended, unless its content differs. */
  async #append(entry: TokenEntry, key?: string): Promise<Fault | undefined> {
    const bytes = encode(entry);
    // A rotation that two nodes make at one time is one rotation, whatever expiry each had in mind.
    const hash =
      entry.type === 'token-rotate' || entry.type === 'token-revoke' ? (key ?? '') : hashOf(decoder.decode(bytes));
    const verdict = await this.#log.append(STREAM, {
      records: [bytes],
      ...(key === undefined ? {} : { key: { id: key, hash } }),
    });
    switch (verdict.kind) {
      case 'appended':
      case 'duplicate':
        // It is durable: what cannot be read back now is read later, and fails nothing.
        await this.#readTo(verdict.last).catch(() => undefined);
        return undefined;
      case 'key-conflict':
        return fault('client-id-reused', 'It was used before.');
      case 'unavailable':
        return verdict.fault;
      default:
        throw new Error(`The stream ${STREAM} answered ${verdict.kind}`);
    }
  }

  /** Rule 2. A look-up serves all who asked before it began: to one that has begun, what is asked for may have come too late. */
  #readHead(): Promise<void> {
    this.#nextCatchUp ??= this.#catchUp();
    return this.#nextCatchUp;
  }

  async #catchUp(): Promise<void> {
    const waitMs = this.#caughtUpAt + CATCH_UP_EVERY_MS - this.#clock.monotonicMs();
    await (waitMs > 0 ? this.#clock.sleep(waitMs) : undefined);
    this.#nextCatchUp = undefined;
    this.#caughtUpAt = this.#clock.monotonicMs();
    const found = await this.#log.stat(STREAM);
    // Unknown because the store cannot be reached is not unknown (R94).
    if (found.kind === 'unavailable') throw new FaultError(found.fault);
    if (found.kind !== 'state') return;
    await (found.state.head < this.#seq ? this.#readAnew() : this.#readTo(found.state.head));
  }

  /** Reads on from where this node is, beside `#follow`: an entry that comes by both ways is applied once. */
  async #readTo(head: number): Promise<void> {
    while (this.#seq < head && !this.#closed) {
      const page = await this.#log.read(STREAM, { after: this.#seq });
      if (page.kind === 'unavailable') throw new FaultError(page.fault);
      if (page.kind === 'truncated') this.#beginAt(page.floor);
      else if (page.kind !== 'page' || page.records.length === 0) return;
      else this.#take(page);
    }
  }

  async #follow(): Promise<void> {
    while (!this.#closed) {
      const delivery = await this.#subscription.next();
      if (delivery.kind === 'records') this.#take(delivery);
      else if (delivery.kind === 'truncated') {
        if (delivery.head < this.#seq) await this.#readAnew();
        else this.#beginAt(delivery.floor);
        this.#subscription = this.#log.subscribe(STREAM, delivery.floor);
      } else return;
    }
  }

  /** Rule 7. */
  async #readAnew(): Promise<void> {
    const records: LogRecord[] = [];
    let floor = 0;
    for (let isRead = false; !isRead && !this.#closed;) {
      const page = await this.#log.read(STREAM, { after: records.at(-1)?.seq ?? floor });
      if (page.kind === 'unavailable') await this.#clock.sleep(CATCH_UP_EVERY_MS);
      else if (page.kind === 'truncated') {
        records.length = 0;
        floor = page.floor;
      } else if (page.kind !== 'page') return;
      else {
        records.push(...page.records);
        isRead = page.records.length === 0;
      }
    }
    this.#book = new TokenBook();
    this.#unsummed = undefined;
    this.#seq = 0;
    this.#beginAt(floor);
    this.#take({ records });
  }

  #take({ records }: Pick<Extract<Delivery, { kind: 'records' }>, 'records'>): void {
    const before = this.#seq;
    for (const { seq, at, bytes } of records) {
      if (seq <= this.#seq) continue;
      this.#seq = seq;
      this.#apply(JSON.parse(decoder.decode(bytes)) as TokenEntry, at);
    }
    if (this.#seq === before) return;
    this.#tidy();
    for (const run of this.#onChange) run();
  }

  #apply(entry: TokenEntry, at: number): void {
    if (this.#unsummed === undefined) return this.#book.apply(entry, at);
    // One that sums up less than was dropped came from a node that lagged.
    if (entry.type !== 'token-snapshot' || entry.upTo < this.#floor) return void this.#unsummed.push({ entry, at });
    const later = this.#unsummed;
    this.#unsummed = undefined;
    this.#book = TokenBook.of(entry.state);
    for (const held of later) this.#book.apply(held.entry, held.at);
  }

  /** Rule 5. What was known stays valid until the summary is found. */
  #beginAt(floor: number): void {
    this.#floor = floor;
    if (this.#seq >= floor) return;
    this.#seq = floor;
    this.#unsummed = [];
  }

  #tidy(): void {
    const now = this.#clock.now();
    if (now - this.#prunedAt <= PRUNE_EVERY_MS) return;
    this.#prunedAt = now;
    this.#book.prune(now);
    if (this.#seq - this.#floor > COMPACT_AFTER && this.#unsummed === undefined) void this.compact();
  }

  /** Rule 5. Whoever fails at it leaves the stream as it was, only longer. */
  async compact(): Promise<void> {
    if (this.#compacting) return;
    this.#compacting = true;
    try {
      this.#book.prune(this.#clock.now());
      const upTo = this.#seq;
      const refused = await this.#append({ type: 'token-snapshot', upTo, state: this.#book.state() });
      if (refused !== undefined) return;
      await this.#log.truncate(STREAM, upTo);
      this.#floor = upTo;
    } finally {
      this.#compacting = false;
    }
  }
}

const refuse = (detail: string): IssueResult => ({ kind: 'fault', fault: fault('unauthorized', detail) });
