/**
 * Tokens: issue, list, refresh, revoke; and the start link, which makes a browser's cookie.
 *
 * 1. A secret is in an answer once, when it is made, and in no list.
 * 2. Only an admin issues tokens. Everybody may revoke their own; another's is not there.
 * 3. The start code comes in a body: a link that is prefetched or previewed sends no fragment and burns nothing.
 */
import { z } from 'zod';
import { fault } from '@holdfast/protocol';
import { issueTokenBody, refreshTokenBody, SCOPES, scopeSchema, startBody } from '@holdfast/protocol/schema';
import { cookieName } from '../auth/door.ts';
import { isAdmin, mayUse } from '../auth/principal.ts';
import type { Issued } from '../auth/token-store.ts';
import type { Context } from '../context.ts';
import { created, empty, failed, ok } from '../http/reply.ts';
import { del, get, post, type Route } from '../http/route.ts';

const issuedSchema = z
  .object({
    tokenId: z.string(),
    accessToken: z.string(),
    expiresAt: z.iso.datetime().nullable(),
    refreshToken: z.string().exactOptional(),
  })
  .meta({ id: 'IssuedToken' });
const grantSchema = z
  .object({
    tokenId: z.string(),
    kind: z.string(),
    subject: z.string(),
    scopes: z.array(scopeSchema),
    label: z.string().exactOptional(),
    by: z.string().exactOptional(),
    createdAt: z.iso.datetime(),
    expiresAt: z.iso.datetime().nullable(),
  })
  .meta({ id: 'TokenGrant' });

export function tokenRoutes({ tokens, terminals, config, clock, door, pageUrl }: Context): readonly Route[] {
  return [
    post('/v1/tokens', {
      right: 'admin',
      docs: {
        summary: 'Issue a token; with `refresh` a short one and a rotating refresh token',
        replies: { 201: { about: 'The only time it is shown', schema: issuedSchema } },
      },
      body: issueTokenBody,
      handle: async ({ body: { subject, scopes, label, expiresInS, refresh = false }, principal: { tokenId: by } }) => {
        const result = await tokens.issue({
          subject,
          scopes,
          refresh,
          ...(by === undefined ? {} : { by }),
          ...(label === undefined ? {} : { label }),
          ...(expiresInS === undefined ? {} : { expiresInMs: expiresInS * 1_000 }),
        });
        return result.kind === 'fault' ? failed(result.fault) : created(issuedBody(result.issued));
      },
    }),

    get('/v1/tokens', {
      right: 'read',
      docs: {
        summary: "Who holds tokens: all for an admin, one's own for others",
        replies: {
          200: { about: 'Grants, without their secrets', schema: z.object({ tokens: z.array(grantSchema) }) },
        },
      },
      handle: ({ principal }) => {
        const mine = tokens.grants().filter(({ subject }) => isAdmin(principal) || subject === principal.subject);
        return Promise.resolve(
          ok({
            tokens: mine.map((grant) => ({
              ...grant,
              createdAt: isoTime(grant.createdAt),
              expiresAt: grant.expiresAt === null ? null : isoTime(grant.expiresAt),
            })),
          }),
        );
      },
    }),

    post('/v1/tokens/refresh', {
      right: 'open',
      docs: {
        summary: 'Exchange a refresh token; again within the grace window: the same answer',
        replies: { 200: { about: 'New tokens', schema: issuedSchema } },
      },
      body: refreshTokenBody,
      handle: async ({ body: { refreshToken } }) => {
        const result = await tokens.refresh(refreshToken);
        return result.kind === 'fault' ? failed(result.fault) : ok(issuedBody(result.issued));
      },
    }),

    del('/v1/tokens/{tokenId}', {
      right: 'read',
      docs: {
        summary: 'Revoke a token and all that was made with it: open streams end within a second',
        replies: { 204: { about: 'Revoked' } },
      },
      handle: async ({ params: { tokenId }, principal }) => {
        const grant = tokens.grant(tokenId);
        const visible = isAdmin(principal) || grant?.subject === principal.subject;
        const beyond = grant?.scopes.find((scope) => !mayUse(principal, scope));
        if (visible && beyond !== undefined && tokenId !== principal.tokenId)
          return failed(
            fault('forbidden', `The token has the scope ${beyond}, which yours has not. Revoke it with one that has.`),
          );
        const revoked = visible && (await tokens.revoke(tokenId));
        if (typeof revoked === 'object') return failed(revoked);
        return revoked ? empty : failed(fault('token-not-found', `There is no token ${tokenId.slice(0, 100)}.`));
      },
    }),

    post('/v1/tokens/link', {
      right: 'admin',
      docs: {
        summary: 'A start link: opens the page in a browser, once',
        replies: { 201: { about: 'The link', schema: z.object({ url: z.string(), expiresAt: z.iso.datetime() }) } },
      },
      handle: async ({ principal }) => {
        const code = await tokens.issueStart(principal.subject, ['admin'], principal.tokenId);
        if (typeof code === 'object') return failed(code);
        return created({
          url: startUrl(pageUrl(), code),
          expiresAt: isoTime(clock.now() + config.tokens.startS * 1_000),
        });
      },
    }),

    post('/v1/start', {
      right: 'open',
      docs: {
        summary: "Redeem a start link's code for the browser's cookie",
        replies: { 200: { about: 'Set-Cookie', schema: z.object({ subject: z.string() }) } },
      },
      body: startBody,
      handle: async ({ body: { code } }) => {
        const result = await tokens.redeemStart(code);
        if (result.kind === 'fault') return failed(result.fault);
        const { tokenId, accessToken } = result.issued;
        const { port, scheme, publicUrl } = door();
        const secure = scheme === 'https' || publicUrl?.protocol === 'https:' ? '; Secure' : '';
        const cookie = `${cookieName(port)}=${accessToken}; Path=/; HttpOnly; SameSite=Strict; Max-Age=${config.tokens.cookieS}${secure}`;
        return { kind: 'ok', body: { subject: tokens.grant(tokenId)?.subject }, headers: { 'set-cookie': cookie } };
      },
    }),

    get('/v1/me', {
      right: 'read',
      docs: {
        summary: 'Who this token is, and what it may',
        replies: {
          200: {
            about: 'The principal',
            schema: z.object({
              subject: z.string(),
              scopes: z.array(scopeSchema),
              tokenId: z.string().nullable(),
              expiresAt: z.iso.datetime().nullable(),
              terminals: z.boolean(),
            }),
          },
        },
      },
      handle: ({ principal }) => {
        const { subject, tokenId = null, expiresAt } = principal;
        const scopes = SCOPES.filter((scope) => mayUse(principal, scope));
        return Promise.resolve(
          ok({
            subject,
            scopes,
            tokenId,
            expiresAt: expiresAt === null ? null : isoTime(expiresAt),
            terminals: terminals.isOn && mayUse(principal, 'admin'),
          }),
        );
      },
    }),
  ];
}

export const startUrl = (page: string, code: string): string => `${page}/#start=${code}`;

const isoTime = (at: number): string => new Date(at).toISOString();
const issuedBody = ({ expiresAt, ...issued }: Issued): object => ({
  ...issued,
  expiresAt: expiresAt === null ? null : isoTime(expiresAt),
});
