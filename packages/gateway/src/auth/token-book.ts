/**
 * The tokens that are valid now: a fold of the stream `tokens/main`.
 *
 * A **grant** is what somebody was given: a plain bearer, a browser's cookie, or a pair of a short access token and a
 * rotating refresh token. Its id is what `DELETE /v1/tokens/{id}` takes. A **secret** belongs to a grant and is known by
 * its hash alone.
 *
 * 1. Entries are applied in the log's order; every node that has read as far knows the same.
 * 2. A revoked grant takes all its secrets with it, those that were rotated away too.
 * 3. A used refresh token stays known, so that its return is recognised as what it is: a retry, or a theft.
 * 4. What has expired is dropped; of a pair at most `USED_MAX` used refresh tokens are kept. (An older one is merely unknown.)
 */
import type { Scope } from '@holdfast/protocol/schema';
import type { Subject } from '@holdfast/protocol';

const USED_MAX = 100;

export type GrantKind = 'bearer' | 'pair' | 'cookie';

interface Secret {
  readonly hash: string;
  /** Milliseconds since the epoch; null: it does not expire. */
  readonly expiresAt: number | null;
}

export interface GrantFacts {
  readonly tokenId: string;
  readonly kind: GrantKind;
  readonly subject: Subject;
  readonly scopes: readonly Scope[];
  readonly label?: string;
  /** The token that made this one, by itself or by a start link: it ends with it (R95). */
  readonly by?: string;
}

export type TokenEntry =
  /** The first entry: what secrets are derived from. */
  | { readonly type: 'token-key'; readonly key: string }
  | {
      readonly type: 'token-issue';
      readonly grant: GrantFacts;
      readonly access: Secret;
      readonly refresh?: Secret;
      /** The start code that was redeemed for it. */
      readonly start?: string;
    }
  | {
      readonly type: 'token-rotate';
      readonly tokenId: string;
      readonly used: string;
      readonly access: Secret;
      readonly refresh: Secret;
    }
  | { readonly type: 'token-revoke'; readonly tokenId: string; readonly why: 'asked' | 'refresh-reused' }
  /** All that is known after `upTo` entries: those can be dropped. */
  | { readonly type: 'token-snapshot'; readonly upTo: number; readonly state: BookState }
  | {
      readonly type: 'start-issue';
      readonly code: Secret;
      readonly subject: Subject;
      readonly scopes: readonly Scope[];
      readonly by?: string;
    };

export interface Grant extends GrantFacts {
  readonly createdAt: number;
  /** When the last of its secrets expires; null: never. */
  readonly expiresAt: number | null;
}

/** A refresh token that was used: when, and when the tokens that it was exchanged for expire. */
export interface Used {
  readonly at: number;
  readonly accessExpiresAt: number | null;
}

export interface Found {
  readonly grant: Grant;
  readonly use: 'access' | 'refresh' | 'cookie';
  readonly expiresAt: number | null;
  readonly used?: Used;
}

interface Held {
  grant: Grant;
  readonly hashes: Set<string>;
  readonly usedHashes: string[];
}

interface KnownSecret {
  readonly tokenId: string;
  readonly use: 'access' | 'refresh' | 'cookie';
  readonly expiresAt: number | null;
  readonly used?: Used;
}

export interface Start {
  readonly subject: Subject;
  readonly scopes: readonly Scope[];
  readonly expiresAt: number | null;
  readonly by?: string;
}

/** A book as plain JSON. */
export interface BookState {
  readonly key: string | undefined;
  readonly grants: readonly Grant[];
  readonly secrets: readonly (readonly [hash: string, secret: KnownSecret])[];
  readonly starts: readonly (readonly [hash: string, start: Start])[];
}

export class TokenBook {
  key: string | undefined;
  readonly #held = new Map<string, Held>();
  readonly #secrets = new Map<string, KnownSecret>();
  readonly #starts = new Map<string, Start>();

  static of({ key, grants, secrets, starts }: BookState): TokenBook {
    const book = new TokenBook();
    book.key = key;
    for (const grant of grants) book.#held.set(grant.tokenId, { grant, hashes: new Set(), usedHashes: [] });
    for (const [hash, secret] of secrets) {
      const held = book.#held.get(secret.tokenId);
      book.#secrets.set(hash, secret);
      held?.hashes.add(hash);
      if (secret.used !== undefined) held?.usedHashes.push(hash);
    }
    for (const [hash, start] of starts) book.#starts.set(hash, start);
    return book;
  }

  state(): BookState {
    return { key: this.key, grants: this.grants(), secrets: [...this.#secrets], starts: [...this.#starts] };
  }

  apply(entry: TokenEntry, at: number): void {
    switch (entry.type) {
      case 'token-key':
        this.key ??= entry.key;
        return;
      case 'token-issue':
        return this.#issue(entry, at);
      case 'token-rotate':
        return this.#rotate(entry, at);
      case 'token-revoke':
        return this.#drop(entry.tokenId);
      case 'token-snapshot':
        // Whoever has read what it sums up knows it all.
        return;
      case 'start-issue':
        this.#starts.set(entry.code.hash, {
          subject: entry.subject,
          scopes: entry.scopes,
          expiresAt: entry.code.expiresAt,
          ...(entry.by === undefined ? {} : { by: entry.by }),
        });
    }
  }

  find(hash: string, now: number): Found | undefined {
    const secret = this.#secrets.get(hash);
    const grant = secret === undefined ? undefined : this.#held.get(secret.tokenId)?.grant;
    if (secret === undefined || grant === undefined || isOver(secret.expiresAt, now)) return undefined;
    return { grant, ...secret };
  }

  findStart(hash: string, now: number): Start | undefined {
    const start = this.#starts.get(hash);
    return start === undefined || isOver(start.expiresAt, now) ? undefined : start;
  }

  has(tokenId: string): boolean {
    return this.#held.has(tokenId);
  }

  grant(tokenId: string): Grant | undefined {
    return this.#held.get(tokenId)?.grant;
  }

  grants(): readonly Grant[] {
    return [...this.#held.values()].map(({ grant }) => grant);
  }

  /** Rule 4. */
  prune(now: number): void {
    for (const [hash, start] of this.#starts) if (isOver(start.expiresAt, now)) this.#starts.delete(hash);
    for (const [hash, secret] of this.#secrets) {
      if (!isOver(secret.expiresAt, now)) continue;
      this.#secrets.delete(hash);
      this.#held.get(secret.tokenId)?.hashes.delete(hash);
    }
    for (const [tokenId, held] of this.#held) if (held.hashes.size === 0) this.#held.delete(tokenId);
  }

  #issue({ grant, access, refresh, start }: Extract<TokenEntry, { type: 'token-issue' }>, at: number): void {
    if (start !== undefined) this.#starts.delete(start);
    const held: Held = {
      grant: { ...grant, createdAt: at, expiresAt: latest(access, refresh) },
      hashes: new Set(),
      usedHashes: [],
    };
    this.#held.set(grant.tokenId, held);
    this.#know(held, access, grant.kind === 'cookie' ? 'cookie' : 'access');
    if (refresh !== undefined) this.#know(held, refresh, 'refresh');
  }

  #rotate({ tokenId, used, access, refresh }: Extract<TokenEntry, { type: 'token-rotate' }>, at: number): void {
    const held = this.#held.get(tokenId);
    const old = this.#secrets.get(used);
    // Revoked meanwhile: what was derived from it never becomes valid.
    if (held === undefined || old === undefined || old.used !== undefined) return;
    this.#secrets.set(used, { ...old, used: { at, accessExpiresAt: access.expiresAt } });
    held.usedHashes.push(used);
    const dropped = held.usedHashes.length > USED_MAX ? held.usedHashes.shift() : undefined;
    if (dropped !== undefined) {
      this.#secrets.delete(dropped);
      held.hashes.delete(dropped);
    }
    held.grant = { ...held.grant, expiresAt: latest(access, refresh) };
    this.#know(held, access, 'access');
    this.#know(held, refresh, 'refresh');
  }

  #know(held: Held, secret: Secret, use: 'access' | 'refresh' | 'cookie'): void {
    held.hashes.add(secret.hash);
    this.#secrets.set(secret.hash, { tokenId: held.grant.tokenId, use, expiresAt: secret.expiresAt });
  }

  /** With all that was made with it (R95). */
  #drop(tokenId: string): void {
    const held = this.#held.get(tokenId);
    if (held === undefined) return;
    for (const hash of held.hashes) this.#secrets.delete(hash);
    this.#held.delete(tokenId);
    for (const [hash, start] of this.#starts) if (start.by === tokenId) this.#starts.delete(hash);
    for (const { grant } of this.#held.values()) if (grant.by === tokenId) this.#drop(grant.tokenId);
  }
}

const isOver = (expiresAt: number | null, now: number): boolean => expiresAt !== null && expiresAt <= now;

function latest(access: Secret, refresh: Secret | undefined): number | null {
  if (access.expiresAt === null || refresh?.expiresAt === null) return null;
  return Math.max(access.expiresAt, refresh?.expiresAt ?? 0);
}
