/**
 * Structural sharing: a value that came over the wire, with everything in it that is equal to what was there before replaced
 * by what was there before. What did not change keeps its identity, so nothing of it is rendered again (E7).
 */
import type { Message, View } from '@holdfast/protocol/view';

/** For plain JSON. Elements of arrays are compared by place. */
export function share<T>(before: unknown, next: T): T {
  if (Object.is(before, next)) return next;
  if (typeof before !== 'object' || typeof next !== 'object' || before === null || next === null) return next;
  if (Array.isArray(before) !== Array.isArray(next)) return next;
  const old = before as Record<string, unknown>;
  const keys = Object.keys(next) as (keyof T & string)[];
  let same = keys.length === Object.keys(old).length;
  const shared = (Array.isArray(next) ? [] : {}) as T;
  for (const key of keys) {
    shared[key] = share(old[key], next[key]);
    same &&= Object.hasOwn(old, key) && Object.is(shared[key], old[key]);
  }
  return same ? (before as T) : shared;
}

/** Messages are compared by id: a window that moved on shares them all the same. */
export function shareView(before: View, next: View): View {
  const byId = new Map([...before.offPath, ...before.messages].map((message) => [message.id, message]));
  const known = (message: Message): Message => share(byId.get(message.id), message);
  return share(before, { ...next, messages: next.messages.map(known), offPath: next.offPath.map(known) });
}
