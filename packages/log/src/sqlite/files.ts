/** The files of a data directory. */
export const DATABASE_FILE = 'holdfast.db';
export const LOCK_FILE = 'lock.db';
/** Which history the database belongs to (`timeline.ts`). */
export const TIMELINE_FILE = 'timeline.json';
/** Who holds the lock, for people and for the command line: `{ pid, url? }`. A hint; the lock is the truth. */
export const OWNER_FILE = 'owner.json';
