/**
 * The line above a conversation: its name, what answers in it, and the way to the list on a small screen.
 */
import { useState, type ReactNode } from 'react';
import type { SessionState } from '@holdfast/client';
import { Rename, takeFocus } from '../sidebar/session-row.tsx';
import { IconButton } from '../ui/button.tsx';
import { countOf } from '../ui/words.ts';

export interface SessionHeadProps {
  readonly state: SessionState;
  /** null: there is nothing yet that has a name. */
  readonly onRename: ((title: string) => void) | null;
  readonly onDrawer: () => void;
  /** Opens or closes the box for side questions; null: there is nothing to ask about. */
  readonly onBtw: (() => void) | null;
  readonly isAsking: boolean;
}

export function SessionHead({ state, onRename, onDrawer, onBtw, isAsking }: SessionHeadProps): ReactNode {
  const [mode, setMode] = useState<'plain' | 'renaming' | 'renamed'>('plain');
  const name = state.view.title ?? nameOf(state);
  return (
    <header className="page-head">
      <IconButton icon="menu" label="Sessions" className="drawer-only" onClick={onDrawer} />
      {mode === 'renaming' && onRename !== null ? (
        <Rename
          title={name}
          onDone={(title, isByKey) => {
            setMode(isByKey ? 'renamed' : 'plain');
            if (title !== null && title !== name) onRename(title);
          }}
        />
      ) : (
        <h1 className="page-title" title={name}>
          {onRename === null ? (
            name
          ) : (
            <button
              ref={mode === 'renamed' ? takeFocus : null}
              type="button"
              className="page-title-button"
              dir="auto"
              title="Rename"
              onClick={() => setMode('renaming')}
            >
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

/** Of a session without a title. */
function nameOf({ sessionId, status }: SessionState): string {
  if (sessionId === '') return 'New session';
  return status === 'ready' ? 'Untitled' : '';
}

function about({ view }: SessionState): string {
  const { inputTokens, outputTokens } = view.usage;
  const tokens = inputTokens + outputTokens;
  return [view.model ?? view.agent ?? '', tokens === 0 ? '' : countOf(tokens, 'token')].filter(Boolean).join(' · ');
}
