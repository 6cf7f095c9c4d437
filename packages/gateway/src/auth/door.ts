/**
 * The door: which requests come in at all, and with whose credential. Pure: headers in, a decision out.
 *
 * 1. Host: only names that are ours. A page that rebinds its own name to this address (DNS rebinding) sends its own name.
 *    Addresses and `localhost` need no list: no page of another origin can be served under them.
 * 2. Origin: a page of another origin is refused unless `HOLDFAST_ORIGINS` names it. Programs send none.
 * 3. A cookie is sent by the browser, not by the page; so a request with one must prove that our own page made it:
 *    `Sec-Fetch-Site: same-origin`, or our exact Origin. Plain http on a LAN gets no Sec-Fetch headers and a GET no Origin:
 *    there our exact origin in Referer, which a page cannot forge, is taken.
 * 4. A bearer is only sent by code that has it, and wins over a cookie.
 */
import { isIP } from 'node:net';
import { fault, type Fault } from '@holdfast/protocol';

export interface DoorOptions {
  readonly scheme: 'http' | 'https';
  /** The listening port: part of the cookie's name, for cookies know no ports. */
  readonly port: number;
  readonly hosts: readonly string[];
  readonly origins: readonly string[];
  readonly publicUrl: URL | undefined;
}

export type ReadHeader = (name: string) => string | undefined;

export type Credential =
  | { readonly kind: 'none' }
  | { readonly kind: 'bearer'; readonly secret: string }
  | { readonly kind: 'cookie'; readonly secret: string };

export type Entrance =
  | {
      readonly kind: 'in';
      readonly credential: Credential;
      /** To be named in the answer (CORS). */ readonly origin: string | undefined;
    }
  | { readonly kind: 'refused'; readonly fault: Fault };

export const cookieName = (port: number): string => `holdfast_${port}`;

export function enter(header: ReadHeader, door: DoorOptions): Entrance {
  const host = header('host') ?? '';
  if (!isOurHost(host, door)) return { kind: 'refused', fault: hostRefused(host) };
  const ours = ownOrigins(host, door);
  const origin = header('origin');
  const foreign = origin !== undefined && !ours.includes(origin);
  if (foreign && !door.origins.includes(origin)) return { kind: 'refused', fault: originRefused(origin) };
  const credential = credentialOf(header, door);
  if (credential.kind === 'cookie' && !isOwnPage(header, ours))
    return {
      kind: 'refused',
      fault: fault(
        'origin-refused',
        'A request with a cookie must come from the page of this gateway. Programs use a bearer token.',
      ),
    };
  return { kind: 'in', credential, origin: foreign ? origin : undefined };
}

/** Rule 1. */
function isOurHost(host: string, { hosts, publicUrl }: DoorOptions): boolean {
  const name = hostName(host);
  if (name === undefined) return false;
  if (isIP(name) !== 0 || name === 'localhost' || name.endsWith('.localhost')) return true;
  return hosts.includes(name) || name === publicUrl?.hostname;
}

function hostName(host: string): string | undefined {
  if (!/^[\w.:[\]-]+$/.test(host) || !URL.canParse(`http://${host}`)) return undefined;
  const { hostname } = new URL(`http://${host}`);
  return hostname.startsWith('[') ? hostname.slice(1, -1) : hostname;
}

const ownOrigins = (host: string, { scheme, publicUrl }: DoorOptions): readonly string[] => {
  const own = new URL(`${scheme}://${host}`).origin;
  return publicUrl === undefined ? [own] : [own, publicUrl.origin];
};

function credentialOf(header: ReadHeader, { port }: DoorOptions): Credential {
  const authorization = header('authorization');
  const bearer = authorization === undefined ? undefined : /^bearer +([\w.~+/=-]{1,500}) *$/i.exec(authorization)?.[1];
  if (bearer !== undefined) return { kind: 'bearer', secret: bearer };
  if (authorization !== undefined) return { kind: 'none' };
  const cookie = readCookie(header('cookie') ?? '', cookieName(port));
  return cookie === undefined ? { kind: 'none' } : { kind: 'cookie', secret: cookie };
}

function readCookie(cookies: string, name: string): string | undefined {
  for (const pair of cookies.split(';')) {
    const [key, value] = pair.split('=', 2);
    if (key?.trim() === name && value !== undefined && value.trim() !== '') return value.trim();
  }
  return undefined;
}

/** Rule 3. */
function isOwnPage(header: ReadHeader, ours: readonly string[]): boolean {
  const site = header('sec-fetch-site');
  if (site !== undefined) return site === 'same-origin';
  const origin = header('origin');
  if (origin !== undefined) return ours.includes(origin);
  const referer = header('referer');
  return referer !== undefined && URL.canParse(referer) && ours.includes(new URL(referer).origin);
}

const hostRefused = (host: string): Fault =>
  fault(
    'host-refused',
    `The gateway was called by the host name '${host.slice(0, 200)}', which is not one of its own, so the request could come from a rebound page. Name it in HOLDFAST_HOSTS or HOLDFAST_PUBLIC_URL if it is yours.`,
  );

const originRefused = (origin: string): Fault =>
  fault(
    'origin-refused',
    `The page of ${origin.slice(0, 200)} may not call this gateway. Name its origin in HOLDFAST_ORIGINS if it may.`,
  );
