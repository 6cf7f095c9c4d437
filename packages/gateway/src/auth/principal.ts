/**
 * Who asks, and what they may.
 *
 * 1. A principal is a value made at the door from a credential; a route asks it, never the headers.
 * 2. Somebody who is no admin sees their own sessions and nobody else's: another's is `session-not-found`, not `forbidden`.
 */
import type { ApprovalRight, Subject } from '@holdfast/protocol';
import type { Scope } from '@holdfast/protocol/schema';

export interface Principal {
  readonly subject: Subject;
  readonly scopes: readonly Scope[];
  /** The grant behind it; undefined: the configured admin token, which cannot be revoked. */
  readonly tokenId: string | undefined;
  /** Milliseconds since the epoch; null: it does not expire. */
  readonly expiresAt: number | null;
  readonly via: 'bearer' | 'cookie';
}

/** Which scopes hold a right: `admin` all, `write` also `read`. `tools` stands alone: it holds no other. */
const HELD_BY: Readonly<Record<Scope, readonly Scope[]>> = {
  read: ['read', 'write', 'admin'],
  write: ['write', 'admin'],
  tools: ['tools', 'admin'],
  admin: ['admin'],
};

export const holds = (scopes: readonly Scope[], scope: Scope): boolean =>
  scopes.some((held) => HELD_BY[scope].includes(held));

export const mayUse = (principal: Principal, scope: Scope): boolean => holds(principal.scopes, scope);

export const isAdmin = (principal: Principal): boolean => mayUse(principal, 'admin');

/** The highest right by which this principal may allow a tool. */
export const approvalRightOf = (principal: Principal): ApprovalRight =>
  isAdmin(principal) ? 'admin' : mayUse(principal, 'tools') ? 'tools' : 'write';

/** Rule 2: the owner that this principal's lists are limited to; undefined: all. */
export const ownerFilter = (principal: Principal): { readonly owner?: Subject } =>
  isAdmin(principal) ? {} : { owner: principal.subject };
