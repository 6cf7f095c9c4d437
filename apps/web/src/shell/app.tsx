/**
 * The whole page: the list beside the session, or over it where there is little room.
 *
 * A1. Where the list is over the session, that takes no keys and no clicks, and the focus is in the list; beside it both are
 *     there.
 */
import { useEffect, useMemo, useRef, useState, useSyncExternalStore, type ReactNode, type RefObject } from 'react';
import { flushSync } from 'react-dom';
import type { DoneResult, HoldfastClient } from '@holdfast/client';
import { useClient, useConnection, useSessions } from '@holdfast/react';
import type { Subject } from '@holdfast/protocol/entry';
import type { Drafts } from '../composer/drafts.ts';
import { faultText } from '../session/explain.ts';
import { SessionPage } from '../session/session-page.tsx';
import type { RowIntents } from '../sidebar/session-row.tsx';
import { Sidebar } from '../sidebar/sidebar.tsx';
import { TerminalPanel } from '../terminal/terminal-panel.tsx';
import { IconButton } from '../ui/button.tsx';
import { useNotify, type Notify } from '../ui/notices.tsx';
import { useDelay } from '../ui/use-timer.ts';
import { Connection } from './connection.tsx';
import { ErrorBoundary } from './error-boundary.tsx';
import { Preferences } from './preferences.tsx';
import { go, useSessionIdHere } from './route.ts';
import { useNewerVersion } from './version.ts';

export interface AppProps {
  readonly drafts: Drafts;
  readonly me: Subject | null;
  /** Whether the gateway opens terminals for this person. */
  readonly terminals: boolean;
}

const SEARCH_DELAY_MS = 120;
/** As in `layout.css`. */
const NARROW = matchMedia('(max-width: 52rem)');

export function App({ drafts, me, terminals }: AppProps): ReactNode {
  const client = useClient();
  const sessionId = useSessionIdHere();
  const sessions = useSessions();
  const connection = useConnection();
  const [isDrawerOpen, setDrawerOpen] = useState(false);
  const isOver = useIsNarrow() && isDrawerOpen;
  const [isTerminalOpen, setTerminalOpen] = useState(false);
  const search = useRef<HTMLInputElement>(null);
  const notify = useNotify();
  const later = useDelay();
  const intents = useMemo(() => rowIntentsOf(client, notify, () => setDrawerOpen(false)), [client, notify]);
  useKeys(search, isOver, setDrawerOpen);
  useDrawerFocus(isOver);

  return (
    <div className="app" data-drawer={isOver ? 'open' : 'closed'}>
      <a className="skip" href="#main" onClick={skipToMain}>
        To the conversation
      </a>
      <aside className="sidebar" aria-label="Sessions">
        <ErrorBoundary what="The list">
          <Sidebar
            list={sessions.state}
            openId={sessionId}
            intents={intents}
            searchRef={search}
            onNew={() => {
              go(null);
              setDrawerOpen(false);
            }}
            onSearch={(query) => later(query === '' ? 0 : SEARCH_DELAY_MS, () => void sessions.search(query))}
            onLeaveSearch={focusComposer}
            onMore={() => void sessions.more()}
            onClose={() => setDrawerOpen(false)}
            foot={
              <>
                <Connection state={connection} onNow={() => client.nudge()} />
                <Preferences>
                  {terminals ? (
                    <IconButton
                      icon="terminal"
                      label="Terminal"
                      pressed={isTerminalOpen}
                      onClick={() => setTerminalOpen(!isTerminalOpen)}
                    />
                  ) : null}
                </Preferences>
              </>
            }
          />
        </ErrorBoundary>
      </aside>
      <button
        type="button"
        className="drawer-shade"
        aria-label="Close the list"
        tabIndex={-1}
        onClick={() => setDrawerOpen(false)}
      />
      <div className="content" inert={isOver}>
        <NewerVersion drafts={drafts} />
        <ErrorBoundary what="The page" resetKey={sessionId}>
          <SessionPage sessionId={sessionId} me={me} drafts={drafts} onDrawer={() => setDrawerOpen(true)} />
        </ErrorBoundary>
        {isTerminalOpen ? (
          <ErrorBoundary what="The terminal">
            <TerminalPanel
              onClose={() => {
                setTerminalOpen(false);
                focusComposer();
              }}
            />
          </ErrorBoundary>
        ) : null}
      </div>
    </div>
  );
}

function NewerVersion({ drafts }: { readonly drafts: Drafts }): ReactNode {
  if (!useNewerVersion()) return null;
  const reload = (): void => {
    drafts.save();
    location.reload();
  };
  return (
    <output className="banner is-news">
      <span>A new version of this page is there. Nothing is lost by reloading, and what you write is kept.</span>
      <button type="button" className="button" onClick={reload}>
        Reload
      </button>
    </output>
  );
}

function rowIntentsOf(client: HoldfastClient, notify: Notify, afterOpen: () => void): RowIntents {
  const tell = async (doing: Promise<DoneResult>, done?: string): Promise<void> => {
    const result = await doing;
    if (result.kind === 'fault') notify({ kind: 'error', text: faultText(result.fault) });
    else if (done !== undefined) notify({ kind: 'done', text: done });
  };
  return {
    open: (sessionId) => {
      go(sessionId);
      afterOpen();
    },
    rename: (sessionId, title) => void tell(client.session(sessionId).rename(title)),
    set: (sessionId, changes) => void tell(client.session(sessionId).set(changes)),
    remove: (sessionId) => void tell(client.session(sessionId).delete(), 'The session was deleted.'),
  };
}

const useIsNarrow = (): boolean =>
  useSyncExternalStore(
    (listener) => {
      NARROW.addEventListener('change', listener);
      return () => NARROW.removeEventListener('change', listener);
    },
    () => NARROW.matches,
  );

/** A1. The focus goes back to what opened it, unless it is wanted elsewhere. */
function useDrawerFocus(isOver: boolean): void {
  useEffect(() => {
    if (!isOver) return undefined;
    document.querySelector<HTMLElement>('.sidebar-head .drawer-only')?.focus();
    return () => document.querySelector<HTMLElement>('.page-head .drawer-only')?.focus();
  }, [isOver]);
}

/** Ctrl+K or ⌘K searches; Escape closes the drawer. */
function useKeys(
  search: RefObject<HTMLInputElement | null>,
  isOver: boolean,
  setDrawerOpen: (isOpen: boolean) => void,
): void {
  useEffect(() => {
    const onKeyDown = (event: KeyboardEvent): void => {
      // A terminal's keys are its program's.
      if (event.target instanceof Element && event.target.closest('.terminal-screen') !== null) return;
      if (event.key.toLowerCase() === 'k' && (event.ctrlKey || event.metaKey) && !event.altKey) {
        event.preventDefault();
        // What is not to be seen takes no focus.
        flushSync(() => setDrawerOpen(NARROW.matches));
        search.current?.focus();
        search.current?.select();
      } else if (event.key === 'Escape' && isOver && !event.defaultPrevented) {
        event.preventDefault();
        setDrawerOpen(false);
      }
    };
    // Before the page's own Escape, which stops a turn.
    addEventListener('keydown', onKeyDown, { capture: true });
    return () => removeEventListener('keydown', onKeyDown, { capture: true });
  }, [search, isOver, setDrawerOpen]);
}

/** `<base>` makes of `#main` another address. */
function skipToMain(event: { preventDefault: () => void }): void {
  event.preventDefault();
  focusComposer();
}

const focusComposer = (): void => document.querySelector<HTMLElement>('.composer-text')?.focus();
