/**
 * From a credential to a principal.
 *
 * 1. An access token comes as a bearer and a cookie's secret as a cookie: neither works as the other, and a refresh token or
 *    start code works as neither.
 */
import { fault, type Fault } from '@holdfast/protocol';
import type { Clock } from '@holdfast/session';
import type { Credential } from './door.ts';
import type { Principal } from './principal.ts';
import { isSameSecret } from './secret.ts';
import type { TokenStore } from './token-store.ts';

/** Who the configured token is, and whoever opens the page by a start link. */
export const ADMIN_SUBJECT = 'admin';

export async function authenticate(
  credential: Credential,
  tokens: TokenStore,
  adminSecrets: readonly string[],
): Promise<Principal | Fault> {
  if (credential.kind === 'none')
    return fault(
      'unauthorized',
      'The request has no token. Send "Authorization: Bearer TOKEN", or open the page by its start link.',
    );
  if (credential.kind === 'bearer' && adminSecrets.some((secret) => isSameSecret(secret, credential.secret)))
    return { subject: ADMIN_SUBJECT, scopes: ['admin'], tokenId: undefined, expiresAt: null, via: 'bearer' };
  const found = await tokens.find(credential.secret);
  if (found === undefined || found.use !== (credential.kind === 'bearer' ? 'access' : 'cookie'))
    return fault('unauthorized', 'The token is unknown, has expired or was revoked. Refresh it, or sign in again.');
  const { tokenId, subject, scopes } = found.grant;
  return { subject, scopes, tokenId, expiresAt: found.expiresAt, via: credential.kind };
}

export const isValid = ({ tokenId, expiresAt }: Principal, tokens: TokenStore, clock: Clock): boolean =>
  tokenId === undefined || (tokens.isIssued(tokenId) && (expiresAt === null || expiresAt > clock.now()));
