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
  return id === undefined ? null : (parseId<SessionId>(decoded(id)) ?? null);
}

/** An address is typed by people and cut off by programs: what cannot be read is the address of nothing. */
function decoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return '';
  }
}

export const addressOf = (sessionId: SessionId | null): string =>
  basePath() + (sessionId === null ? '' : `s/${sessionId}`);

export function go(sessionId: SessionId | null, how: 'push' | 'replace' = 'push'): void {
  if (sessionIdHere() === sessionId) return;
  if (how === 'push') history.pushState(null, '', addressOf(sessionId));
  else history.replaceState(null, '', addressOf(sessionId));
  dispatchEvent(new Event(MOVED));
}

/** @returns the end of it. */
export function onMove(listener: () => void): () => void {
  addEventListener('popstate', listener);
  addEventListener(MOVED, listener);
  return () => {
    removeEventListener('popstate', listener);
    removeEventListener(MOVED, listener);
  };
}

export const useSessionIdHere = (): SessionId | null => useSyncExternalStore(onMove, sessionIdHere);
