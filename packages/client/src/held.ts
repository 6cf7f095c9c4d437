/**
 * What somebody waits for is not collected.
 *
 * A client's tasks do not hold it (B7, `streams.ts`), and a promise does not hold who will resolve it: without this, a client
 * of which nothing is left but `await turn.text()` would go in the middle of the answer.
 */
const ownersByWait = new Map<Promise<unknown>, object>();

/** Keeps `owner`, which will resolve `wait`, until it has. */
export function held<T>(owner: object, wait: Promise<T>): Promise<T> {
  ownersByWait.set(wait, owner);
  return wait.finally(() => ownersByWait.delete(wait));
}
