/**
 * What a screen reader is told of a session, politely: beginnings, questions and ends; never each token.
 */
import { useState } from 'react';
import type { SessionState } from '@holdfast/client';
import type { View } from '@holdfast/protocol/view';
import { ENDINGS } from './explain.ts';

interface Heard {
  readonly turnId: string | null;
  readonly prompts: number;
  readonly said: string;
}

/** Pure: what is to be said after this view, given what was heard before it. */
export function announce(
  before: Heard | null,
  { turn, prompts, turns }: Pick<View, 'turn' | 'prompts' | 'turns'>,
): Heard {
  const now = { turnId: turn?.turnId ?? null, prompts: prompts.length };
  // What was there when one came is not news.
  if (before === null) return { ...now, said: '' };
  if (now.prompts > before.prompts)
    return { ...now, said: `${prompts.at(-1)?.title ?? 'A question'}. It waits for your answer.` };
  if (now.turnId !== null && now.turnId !== before.turnId) return { ...now, said: 'The answer begins.' };
  if (now.turnId === null && before.turnId !== null) {
    const outcome = turns.find(({ turnId }) => turnId === before.turnId)?.outcome ?? null;
    return { ...now, said: outcome === null ? '' : ENDINGS[outcome] };
  }
  return { ...now, said: before.said };
}

export function useAnnouncement({ sessionId, status, view }: SessionState): string {
  const [listen] = useState(listener);
  return listen(sessionId, status === 'ready' ? view : null);
}

function listener(): (sessionId: string, view: View | null) => string {
  let of = '';
  let heard: Heard | null = null;
  return (sessionId, view) => {
    if (sessionId !== of) heard = null;
    of = sessionId;
    if (view !== null) heard = announce(heard, view);
    return heard?.said ?? '';
  };
}
