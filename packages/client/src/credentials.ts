/**
 * The token that requests carry, and its renewal.
 *
 * C1. One refresh at a time: whoever asks while one runs gets its outcome (R47). Across tabs a Web Lock orders them, and
 *     who gets the lock after another tab's refresh finds the new token in the shared store and asks nobody.
 * C2. A refresh that was *refused* is terminal, one that did not get through is not: only the second is worth a retry.
 * C3. `refresh(stale)` renews only what is still stale: a caller whose 401 is older than the last refresh gets the token
 *     that is there.
 */
import type { Fault } from '@holdfast/protocol/fault';

export type RefreshOutcome =
  /** `token` is undefined where a cookie carries it. */
  | { readonly kind: 'renewed'; readonly token: string | undefined }
  /** `auth-refused`: the person has to sign in again. */
  | { readonly kind: 'refused'; readonly fault: Fault }
  /** `auth-unavailable`: it may work later. */
  | { readonly kind: 'unavailable'; readonly fault: Fault };

export interface Credentials {
  /** What to send now; undefined: nothing (a cookie, or no authentication). */
  token(): string | undefined;
  /** Never rejects. */
  refresh(stale: string | undefined): Promise<RefreshOutcome>;
  /** Hears of every change of the token. @returns the end of the subscription. */
  subscribe(listener: () => void): () => void;
}

/** Where the token is kept; `localStorage`-backed ones are shared by tabs. */
export interface TokenStore {
  get(): string | undefined;
  set(token: string | undefined): void;
}

export interface CredentialsOptions {
  readonly token?: string;
  readonly store?: TokenStore;
  /** Asks for a new token in place of `stale`. Absent: a 401 is final. A throw counts as `unavailable`. */
  readonly refresh?: (stale: string | undefined) => Promise<RefreshOutcome>;
  /** The name of the Web Lock that tabs share. */
  readonly lockName?: string;
}
