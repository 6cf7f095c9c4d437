/**
 * The line above a conversation: its name, what answers in it, and the way to the list on a small screen.
 */
import { useState, type ReactNode } from 'react';
import type { Session, SessionState } from '@holdfast/client';
import { Rename } from '../sidebar/session-row.tsx';
import { IconButton } from '../ui/button.tsx';
import { countOf } from '../ui/words.ts';

export interface SessionHeadProps {
  readonly session: Session | null;
  readonly state: SessionState;
  readonly onDrawer: () => void;
  /** Opens or closes the box for side questions; null: there is nothing to ask about. */
  readonly onBtw: (() => void) | null;
  readonly isAsking: boolean;
}

export function SessionHead({ session, state, onDrawer, onBtw, isAsking }: SessionHeadProps): ReactNode {
  const [isRenaming, setRenaming] = useState(false);
  const { view, status } = state;
  const name = view.title ?? (session === null ? 'New session' : status === 'loading' ? '' : 'Untitled');
  return (
    <header className="page-head">
      <IconButton icon="menu" label="Sessions" className="drawer-only" onClick={onDrawer} />
      {isRenaming && session !== null ? (
        <Rename
          title={name}
          onDone={(title) => {
            setRenaming(false);
            if (title !== null && title !== name) void session.rename(title);
          }}
        />
      ) : (
        <h1 className="page-title" title={name}>
          {session === null ? (
            name
          ) : (
            <button type="button" className="page-title-button" title="Rename" onClick={() => setRenaming(true)}>
              {name}
            </button>
          )}
        </h1>
      )}
      <span className="page-about">{about(state)}</span>
      {onBtw === null ? null : <IconButton icon="btw" label="Ask beside" pressed={isAsking} onClick={onBtw} />}
    </header>
  );
}

function about({ view }: SessionState): string {
  const { inputTokens, outputTokens } = view.usage;
  const tokens = inputTokens + outputTokens;
  return [view.model ?? view.agent ?? '', tokens === 0 ? '' : countOf(tokens, 'token')].filter(Boolean).join(' · ');
}
