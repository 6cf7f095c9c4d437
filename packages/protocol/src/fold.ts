/**
 * The pure fold from a session's log to its view. Owner, readers, gateway and clients run this same function.
 *
 * 1. fold(snapshot at S) + tail = fold(all), for every S.
 * 2. Unchanged messages keep their identity: an entry makes new objects only for what it changes.
 * 3. An unknown type or a void command changes nothing but `seq`.
 * 4. The text of an assistant's message is the concatenation of its `text-delta`s; its id never changes.
 * 5. What a command comes to is decided by `judge`, never here.
 */
import { isCommand, type Entry } from './entry.ts';
import { foldCommand } from './fold-command.ts';
import { foldRunEvent } from './fold-run.ts';
import type { View } from './view.ts';

/** Folds one entry. The caller hands each seq once, in order. */
export function fold(view: View, entry: Entry): View {
  const next = isCommand(entry) ? foldCommand(view, entry) : foldRunEvent(view, entry);
  // Who reads, pins or renames a session says nothing in it: in the list it stays in its place.
  const updatedAt = entry.type === 'session-set' ? next.updatedAt : entry.at;
  return { ...next, seq: entry.seq, updatedAt };
}

export const foldAll = (view: View, entries: Iterable<Entry>): View => {
  let folded = view;
  for (const entry of entries) folded = fold(folded, entry);
  return folded;
};
