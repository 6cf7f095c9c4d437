/**
 * Marks a session as read, for all devices, when an answer has ended and somebody has it before them.
 */
import { useEffect } from 'react';
import type { Session, SessionState } from '@holdfast/client';

export function useReadMark(session: Session | null, { view, status }: SessionState): void {
  const ended = view.turns.reduce((latest, { revision }) => Math.max(latest, revision), 0);
  const isUnread = status === 'ready' && ended > view.readSeq;
  useEffect(() => {
    if (session === null || !isUnread) return undefined;
    let isDone = false;
    const mark = (): void => {
      if (isDone || document.visibilityState !== 'visible') return;
      isDone = true;
      // Not reached: the next end, or the next look, marks it.
      void session.set({ readSeq: Math.max(ended, session.store.getSnapshot().view.seq) });
    };
    mark();
    document.addEventListener('visibilitychange', mark);
    return () => document.removeEventListener('visibilitychange', mark);
  }, [session, isUnread, ended]);
}
