/**
 * Secrets: made, hashed, derived and compared. The only file that knows what a token looks like.
 *
 * 1. A token is 32 random bytes behind a prefix, opaque to everybody. What is stored is its SHA-256: it has 256 bits of
 *    entropy, so that a slow hash would add nothing but load.
 * 2. Looking a token up by its hash tells nothing by timing; comparing with a configured text is done in constant time.
 */
import { createHash, createHmac, randomBytes, timingSafeEqual } from 'node:crypto';

export const TOKEN_PREFIX = 'hf_';
const BYTES = 32;

export const newSecret = (): string => TOKEN_PREFIX + randomBytes(BYTES).toString('base64url');
export const newId = (prefix: string): string => `${prefix}_${randomBytes(12).toString('hex')}`;
export const hashOf = (secret: string): string => createHash('sha256').update(secret).digest('base64url');

/**
 * A secret that follows from another and from a key that never leaves the store: whoever has the one cannot compute the
 * other, and the gateway can give the same answer twice without having kept it.
 */
export const deriveSecret = (key: string, purpose: string, from: string): string =>
  TOKEN_PREFIX + createHmac('sha256', key).update(`${purpose}\n${from}`).digest('base64url');

export function isSameSecret(a: string, b: string): boolean {
  const digest = (text: string): Buffer => createHash('sha256').update(text).digest();
  return timingSafeEqual(digest(a), digest(b));
}
