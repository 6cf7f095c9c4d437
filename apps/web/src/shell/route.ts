/**
 * Where the page is: `/` is a new session, `/s/ID` a session. Below whatever prefix the gateway was given (`<base>`).
 */
import { useSyncExternalStore } from 'react';
import { parseId, type SessionId } from '@holdfast/protocol/ids';

const MOVED = 'holdfast:moved';

/** The page's own address, with a slash at its end. */
const basePath = (): string => new URL('.', document.baseURI).pathname;

export function sessionIdHere(): SessionId | null {
  const path = location.pathname.slice(basePath().length);
  const id = /^s\/([^/]+)$/.exec(path)?.[1];
  return id === undefined ? null : (parseId<SessionId>(decodeURIComponent(id)) ?? null);
}

export const addressOf = (sessionId: SessionId | null): string =>
  basePath() + (sessionId === null ? '' : `s/${sessionId}`);

export function go(sessionId: SessionId | null, how: 'push' | 'replace' = 'push'): void {
  if (sessionIdHere() === sessionId) return;
  if (how === 'push') history.pushState(null, '', addressOf(sessionId));
  else history.replaceState(null, '', addressOf(sessionId));
  dispatchEvent(new Event(MOVED));
}

export function useSessionIdHere(): SessionId | null {
  return useSyncExternalStore((listener) => {
    addEventListener('popstate', listener);
    addEventListener(MOVED, listener);
    return () => {
      removeEventListener('popstate', listener);
      removeEventListener(MOVED, listener);
    };
  }, sessionIdHere);
}
