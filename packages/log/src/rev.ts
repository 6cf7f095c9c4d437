/**
 * A rev says in its upper part which history it belongs to: each failover and each restore of the database begins a new one. So revs
 * grow over all of them, and who comes back with one of another history is told so, however far this one has come.
 */

/** Revs that one history has room for: with it, 8,192 histories are exact numbers. */
const REVS = 2 ** 40;

export const historyOf = (rev: number): number => Math.floor(rev / REVS);

/** @param history 0: the first, whose revs are plain numbers */
export const revIn = (history: number, rev: number): number => history * REVS + rev;

/** The plain number; of another history, 0: everything has changed since. */
export const revWithin = (history: number, rev: number): number => (historyOf(rev) === history ? rev % REVS : 0);
