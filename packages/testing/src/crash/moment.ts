/** When something is to happen: right after a reader was shown an entry of this kind, or while a message is on its way to be kept. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Person } from './load.ts';

export type EntryMoment = 'commit' | 'text-delta' | 'turn-start' | 'tool-start' | 'prompt-open' | 'turn-end';

/** A moment that does not come in time is any moment. */
export async function untilEntry(type: EntryMoment, people: readonly Person[], waitMs: number): Promise<void> {
  const seen = Promise.withResolvers<void>();
  const late = new AbortController();
  for (const person of people) person.onMoment = (come) => (come === type ? seen.resolve() : undefined);
  await Promise.race([seen.promise, sleep(waitMs, undefined, { signal: late.signal }).catch(() => undefined)]);
  late.abort();
  for (const person of people) person.onMoment = () => undefined;
}
