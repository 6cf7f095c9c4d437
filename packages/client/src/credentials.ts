/**
 * The token that requests carry, and its renewal.
 *
 * C1. One refresh at a time: whoever asks while one runs gets its outcome (R47). Across tabs a Web Lock orders them, and
 *     who gets the lock after another tab's refresh finds the new token in the shared store and asks nobody. A process has no
 *     tabs: the clients in it are of different people, and none waits for another's refresh.
 * C2. A refresh that was *refused* is terminal, one that did not get through is not: only the second is worth a retry.
 * C3. `refresh(stale)` renews only what is still stale: a caller whose 401 is older than the last refresh gets the token
 *     that is there.
 */
import { fault, type Fault } from '@holdfast/protocol/fault';

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
  /** A token from elsewhere: signed in, rotated ahead of time, another tab's. Streams go over to it (B4). */
  set(token: string | undefined): void;
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

export function createCredentials(options: CredentialsOptions): Credentials {
  const { store = memoryStore(options.token), refresh, lockName = 'holdfast-refresh' } = options;
  const listeners = new Set<() => void>();
  let running: Promise<RefreshOutcome> | undefined;

  async function renew(stale: string | undefined): Promise<RefreshOutcome> {
    const there = store.get();
    if (there !== stale) return { kind: 'renewed', token: there }; // C3, and another tab's refresh (C1)
    if (refresh === undefined) return { kind: 'refused', fault: NO_WAY };
    const outcome = await refresh(stale);
    if (outcome.kind === 'renewed') set(outcome.token);
    return outcome;
  }

  function set(token: string | undefined): void {
    if (token === store.get()) return;
    store.set(token);
    for (const listener of listeners) listener();
  }

  return {
    token: () => store.get(),
    set,
    refresh(stale) {
      running ??= underLock(lockName, () => renew(stale))
        .catch((error: unknown): RefreshOutcome => {
          const detail = `The token could not be renewed: ${String(error)}`;
          return { kind: 'unavailable', fault: fault('auth-unavailable', detail) };
        })
        .finally(() => (running = undefined));
      return running;
    },
    subscribe(listener) {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
  };
}

/** C1. A plain-http origin has no Web Locks: there the server's grace window makes two refreshes one. */
function underLock<T>(name: string, task: () => Promise<T>): Promise<T> {
  const locks = typeof document === 'undefined' ? undefined : (navigator.locks as LockManager | undefined);
  return locks === undefined ? task() : locks.request(name, task);
}

function memoryStore(token: string | undefined): TokenStore {
  return { get: () => token, set: (value) => (token = value) };
}

const NO_WAY = fault('auth-refused', 'The gateway refused the token. Give a valid one, or a function that renews it.');
