/**
 * How a browser gets in: a start link carries a code in its fragment, which no server, proxy or prefetch ever sees. The
 * page posts it once and gets a cookie for it.
 */
import type { Subject } from '@holdfast/protocol/entry';

export type Access =
  | { readonly kind: 'in'; readonly subject: Subject; /** Whether it may open some. */ readonly terminals: boolean }
  /** No cookie, or one that is not good any more. */
  | { readonly kind: 'out' }
  /** The gateway was not reached, or could not say. What is kept here can be seen meanwhile. */
  | { readonly kind: 'unknown' };

/** Takes the code out of the address, so that it is neither kept in the history nor shared by accident. */
export function takeStartCode(): string | null {
  const code = codeIn(location.hash);
  if (code !== null) history.replaceState(null, '', location.pathname + location.search);
  return code;
}

/** @returns null where the text is no start link. */
export const codeIn = (link: string): string | null => /#start=([\w.~-]+)/.exec(link)?.[1] ?? null;

/** Without the client: whose outbox is opened depends on who this is. */
export async function enter(baseUrl: string, code: string | null): Promise<Access> {
  try {
    // A link that was used before is no loss where the cookie that it gave is still good.
    if (code !== null) await ask(`${baseUrl}/v1/start`, { method: 'POST', body: JSON.stringify({ code }) });
    const me = await ask(`${baseUrl}/v1/me`);
    if (me.ok) {
      const { subject, terminals } = (await me.json()) as { readonly subject: Subject; readonly terminals?: boolean };
      return { kind: 'in', subject, terminals: terminals === true };
    }
    return { kind: me.status === 401 || me.status === 403 ? 'out' : 'unknown' };
  } catch {
    return { kind: 'unknown' };
  }
}

const ask = (url: string, init: RequestInit = {}): Promise<Response> =>
  fetch(url, { ...init, headers: { 'content-type': 'application/json' }, cache: 'no-store' });
