/**
 * The token that requests carry, and its renewal.
 *
 * C1. One refresh at a time: whoever asks while one runs gets its outcome (R47). Across tabs a Web Lock orders them, and
 *     who gets the lock after another tab's refresh finds the new token in the shared store and asks nobody. A process has no
 *     tabs: the clients in it are of different people, and none waits for another's refresh.
 *     A refresh that hangs holds nobody: each caller waits for `refreshMs`, or until its own request is ended; the first whose
 *     time is over gives the refresh and the lock up, so that the next caller asks anew (R114).
 * C2. A refresh that was *refused* is terminal, one that did not get through is not: only the second is worth a retry.
 * C3. `refresh(stale)` renews only what is still stale: a caller whose 401 is older than the last refresh gets the token
 *     that is there.
 */
import { fault, type Fault } from '@holdfast/protocol/fault';

import { onAbort } from './authorize.ts';
import { systemClock } from './clock.ts';
import type { Clock } from './ports.ts';

const REFRESH_MS = 15_000;
const REFRESH_MS_MAX = 30_000;

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
  /** Never rejects. `signal`: the caller does not wait any longer; the refresh goes on for the others. */
  refresh(stale: string | undefined, signal?: AbortSignal): Promise<RefreshOutcome>;
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
  /**
   * Asks for a new token in place of `stale`. Absent: a 401 is final. A throw counts as `unavailable`. `signal` is aborted
   * when the refresh is given up; a token that comes later is taken all the same, if there is no newer one.
   */
  readonly refresh?: (stale: string | undefined, signal: AbortSignal) => Promise<RefreshOutcome>;
  /** How long a caller waits for a refresh. Default 15,000, at most 30,000: a stream that waits longer counts as silent. */
  readonly refreshMs?: number;
  readonly clock?: Clock;
  /** The name of the Web Lock that tabs share. */
  readonly lockName?: string;
}

/** A refresh under way. */
interface Flight {
  readonly outcome: Promise<RefreshOutcome>;
  readonly abort: AbortController;
}

export function createCredentials(options: CredentialsOptions): Credentials {
  const { store = memoryStore(options.token), refresh, lockName = 'holdfast-refresh' } = options;
  const { refreshMs = REFRESH_MS, clock = systemClock } = options;
  if (!(refreshMs > 0 && refreshMs <= REFRESH_MS_MAX))
    throw new RangeError(`refreshMs is ${refreshMs}. It is above 0 and at most ${REFRESH_MS_MAX}.`);
  const listeners = new Set<() => void>();
  let running: Flight | undefined;

  async function renew(stale: string | undefined, signal: AbortSignal): Promise<RefreshOutcome> {
    const there = store.get();
    if (there !== stale) return { kind: 'renewed', token: there }; // C3, and another tab's refresh (C1)
    if (refresh === undefined) return { kind: 'refused', fault: NO_WAY };
    const outcome = await refresh(stale, signal);
    // One that was given up must not replace what came after it.
    if (outcome.kind === 'renewed' && (!signal.aborted || store.get() === stale)) set(outcome.token);
    return outcome;
  }

  function start(stale: string | undefined): Flight {
    const abort = new AbortController();
    const outcome = underLock(lockName, abort.signal, () => renew(stale, abort.signal)).catch(unavailable);
    const flight: Flight = { outcome, abort };
    void outcome.finally(() => forget(flight));
    return flight;
  }

  function forget(flight: Flight): void {
    if (running === flight) running = undefined;
  }

  function set(token: string | undefined): void {
    if (token === store.get()) return;
    store.set(token);
    for (const listener of listeners) listener();
  }

  return {
    token: () => store.get(),
    set,
    refresh(stale, signal) {
      const flight = (running ??= start(stale));
      return new Promise((resolve) => {
        let unlisten: (() => void) | undefined;
        const end = (outcome: RefreshOutcome): void => {
          timer.cancel();
          unlisten?.();
          resolve(outcome);
        };
        const timer = clock.after(refreshMs, () => {
          forget(flight);
          flight.abort.abort();
          end(unavailable(`no answer in ${refreshMs} ms`));
        });
        if (signal !== undefined) unlisten = onAbort(signal, () => end(unavailable('its caller ended')));
        void flight.outcome.then(end);
      });
    },
    subscribe(listener) {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
  };
}

/** C1. A plain-http origin has no Web Locks: there the server's grace window makes two refreshes one. */
function underLock<T>(name: string, signal: AbortSignal, task: () => Promise<T>): Promise<T> {
  const locks = typeof document === 'undefined' ? undefined : (navigator.locks as LockManager | undefined);
  if (locks === undefined) return task();
  // The lock is held until the task's end, or until it is given up: the other tabs must not wait for one that hangs.
  return locks.request(name, { signal }, () => {
    const gaveUp = new Promise<never>((_resolve, reject) => onAbort(signal, () => reject(new Error('given up'))));
    return Promise.race([task(), gaveUp]);
  });
}

const unavailable = (error: unknown): RefreshOutcome => ({
  kind: 'unavailable',
  fault: fault('auth-unavailable', `The token could not be renewed: ${String(error)}`),
});

function memoryStore(token: string | undefined): TokenStore {
  return { get: () => token, set: (value) => (token = value) };
}

const NO_WAY = fault('auth-refused', 'The gateway refused the token. Give a valid one, or a function that renews it.');
