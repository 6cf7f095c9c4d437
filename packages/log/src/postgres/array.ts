/**
 * Arrays as PostgreSQL reads them in text. `pg` would quote and join them an element at a time, which is most of what it does for an append.
 */

export const numbers = (list: readonly number[]): string => `{${list.join(',')}}`;

export const booleans = (list: readonly boolean[]): string => `{${list.join(',')}}`;

/** Undefined is NULL. */
export const texts = (list: readonly (string | undefined)[]): string =>
  `{${list.map((text) => (text === undefined ? 'NULL' : `"${text.replaceAll(/["\\]/g, '\\$&')}"`)).join(',')}}`;

/** Undefined is NULL. */
export const byteas = (list: readonly (Uint8Array | undefined)[]): string =>
  `{${list.map((bytes) => (bytes === undefined ? 'NULL' : `"\\\\x${hexOf(bytes)}"`)).join(',')}}`;

const hexOf = ({ buffer, byteOffset, byteLength }: Uint8Array): string =>
  Buffer.from(buffer, byteOffset, byteLength).toString('hex');
