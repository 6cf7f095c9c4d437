/** Ids that nobody else makes: 128 bits of `crypto`, which is there on plain-http pages too (`randomUUID` is not). */
export function newId(prefix: string): string {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return `${prefix}_${Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('')}`;
}
