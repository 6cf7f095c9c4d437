/**
 * What was typed and not sent, by session: the text belongs to its session, whichever is open (R72).
 *
 * 1. At `DRAFTS_MAX` the one that was touched longest ago is forgotten.
 */
import type { HoldfastClient } from '@holdfast/client';

const DRAFTS_MAX = 100;

export interface Drafts {
  get(id: string): string;
  set(id: string, text: string): void;
  readonly subscribe: (listener: () => void) => () => void;
}

const draftsByClient = new WeakMap<HoldfastClient, Drafts>();

export function draftsOf(client: HoldfastClient): Drafts {
  let drafts = draftsByClient.get(client);
  if (drafts === undefined) draftsByClient.set(client, (drafts = createDrafts()));
  return drafts;
}

function createDrafts(): Drafts {
  const texts = new Map<string, string>();
  const listeners = new Set<() => void>();
  return {
    get: (id) => texts.get(id) ?? '',
    set(id, text) {
      texts.delete(id);
      if (text !== '') texts.set(id, text);
      const [oldest] = texts.keys();
      if (texts.size > DRAFTS_MAX && oldest !== undefined) texts.delete(oldest);
      for (const listener of listeners) listener();
    },
    subscribe(listener) {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
  };
}
