/**
 * A part of a store's state, as React wants it.
 *
 * 1. Rendering only reads: nothing is subscribed or opened before the commit, so a render that is thrown away or repeated
 *    (concurrent, strict) leaves nothing behind.
 * 2. A selection that is equal to the last one *is* the last one, also for a selector that is written inline.
 */
import { useEffect, useMemo, useRef, useSyncExternalStore } from 'react';

import type { Readable } from '@holdfast/client';

export function useSelected<State, Selected>(store: Readable<State>, selector: (state: State) => Selected): Selected {
  const committed = useRef<Kept<Selected> | undefined>(undefined);
  // The ref is read when the store is, as React's own `useSyncExternalStoreWithSelector` does, never for what is rendered.
  // oxlint-disable-next-line react/refs
  const select = useMemo(() => selecting(store.getSnapshot, selector, committed), [store, selector]);
  // oxlint-disable-next-line react/refs
  const selectOnServer = useMemo(() => selecting(store.getServerSnapshot, selector, committed), [store, selector]);
  const value = useSyncExternalStore(store.subscribe, select, selectOnServer);
  useEffect(() => {
    committed.current = { value };
  }, [value]);
  return value;
}

interface Kept<T> {
  readonly value: T;
}

function selecting<State, Selected>(
  read: () => State,
  selector: (state: State) => Selected,
  committed: { readonly current: Kept<Selected> | undefined },
): () => Selected {
  let last: (Kept<Selected> & { readonly state: State }) | undefined;
  return () => {
    const state = read();
    if (last === undefined || !Object.is(last.state, state))
      last = { state, value: keep(last ?? committed.current, selector(state)) };
    return last.value;
  };
}

const keep = <T>(last: Kept<T> | undefined, next: T): T =>
  last !== undefined && isShallowEqual(last.value, next) ? last.value : next;

function isShallowEqual(a: unknown, b: unknown): boolean {
  if (Object.is(a, b)) return true;
  if (typeof a !== 'object' || typeof b !== 'object' || a === null || b === null) return false;
  if (Array.isArray(a) !== Array.isArray(b)) return false;
  const keys = Object.keys(a) as (keyof typeof a)[];
  return (
    keys.length === Object.keys(b).length && keys.every((key) => Object.hasOwn(b, key) && Object.is(a[key], b[key]))
  );
}
