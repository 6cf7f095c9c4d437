/**
 * What somebody has begun to write, for each session its own, until it is sent: through reloads, crashes and new versions.
 *
 * D1. A draft is in memory at once and in the browser's storage within `SAVE_MS`, or when the page is left.
 * D2. At `DRAFTS_MAX` the oldest ones are dropped, with drafts that are empty going first (they are not kept at all).
 */
import { useSyncExternalStore } from 'react';
import { systemClock, type Timer } from '@holdfast/client';
import type { InputPart, WhenBusy } from '@holdfast/protocol/entry';
import type { SessionId } from '@holdfast/protocol/ids';
import { readStored, storedNames, writeStored } from '../shell/storage.ts';

export interface Draft {
  readonly text: string;
  readonly parts: readonly InputPart[];
  readonly whenBusy: WhenBusy;
}

export const EMPTY_DRAFT: Draft = { text: '', parts: [], whenBusy: 'queue' };

const SAVE_MS = 200;
const DRAFTS_MAX = 100;
const PREFIX = 'draft:';

export type DraftKey = SessionId | 'new';

export class Drafts {
  readonly #drafts = new Map<DraftKey, Draft>();
  readonly #unsaved = new Set<DraftKey>();
  readonly #listeners = new Set<() => void>();
  #timer: Timer | undefined;

  constructor() {
    addEventListener('pagehide', () => this.save());
    document.addEventListener('visibilitychange', () => this.save());
  }

  get(key: DraftKey): Draft {
    const known = this.#drafts.get(key);
    if (known !== undefined) return known;
    const draft = parseDraft(readStored(PREFIX + key));
    this.#drafts.set(key, draft);
    return draft;
  }

  set(key: DraftKey, change: Partial<Draft>): void {
    this.#drafts.set(key, { ...this.get(key), ...change });
    this.#unsaved.add(key);
    this.#timer ??= systemClock.after(SAVE_MS, () => this.save());
    for (const listener of this.#listeners) listener();
  }

  /** D1. */
  save(): void {
    this.#timer?.cancel();
    this.#timer = undefined;
    for (const key of this.#unsaved) {
      const draft = this.get(key);
      const isEmpty = draft.text === '' && draft.parts.length === 0;
      writeStored(PREFIX + key, isEmpty ? null : JSON.stringify({ ...draft, at: systemClock.now() }));
    }
    if (this.#unsaved.size > 0) dropOldest();
    this.#unsaved.clear();
  }

  readonly subscribe = (listener: () => void): (() => void) => {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  };
}

export function useDraft(drafts: Drafts, key: DraftKey): Draft {
  return useSyncExternalStore(drafts.subscribe, () => drafts.get(key));
}

function parseDraft(stored: string | null): Draft {
  if (stored === null) return EMPTY_DRAFT;
  try {
    return { ...EMPTY_DRAFT, ...(JSON.parse(stored) as Draft) };
  } catch {
    return EMPTY_DRAFT;
  }
}

/** D2. */
function dropOldest(): void {
  const names = storedNames(PREFIX);
  if (names.length <= DRAFTS_MAX) return;
  const ages = names.map((name) => ({ name, at: writtenAt(readStored(name)) }));
  for (const { name } of ages.toSorted((a, b) => a.at - b.at).slice(0, names.length - DRAFTS_MAX))
    writeStored(name, null);
}

function writtenAt(stored: string | null): number {
  try {
    return (JSON.parse(stored ?? '{}') as { readonly at?: number }).at ?? 0;
  } catch {
    return 0;
  }
}
