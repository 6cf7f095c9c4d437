/** Milliseconds since the epoch, by the server's clock: the store's time (L10). */
export const NOW_MS = `(extract(epoch FROM clock_timestamp()) * 1000)::bigint`;

/** The same of a mark: when its transaction wrote. */
export const MARKED_AT = `(extract(epoch FROM marks.at) * 1000)::bigint`;
