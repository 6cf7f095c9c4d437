/**
 * The session list: search, new session, marks, and what can be done to each. Arrow keys walk it.
 */
import { useRef, useState, type KeyboardEvent, type ReactNode, type Ref } from 'react';
import type { SessionListState, SessionSummary } from '@holdfast/client';
import type { SessionId } from '@holdfast/protocol/ids';
import { faultText } from '../session/explain.ts';
import { IconButton } from '../ui/button.tsx';
import { Icon, Mark } from '../ui/icons.tsx';
import { useNow } from '../ui/use-timer.ts';
import { groupsOf, type Group } from './groups.ts';
import { SessionRow, type RowIntents } from './session-row.tsx';

export interface SidebarProps {
  readonly list: SessionListState;
  readonly openId: SessionId | null;
  readonly intents: RowIntents;
  readonly searchRef: Ref<HTMLInputElement>;
  readonly onNew: () => void;
  readonly onSearch: (query: string) => void;
  /** Nothing is looked for any more. */
  readonly onLeaveSearch: () => void;
  readonly onMore: () => void;
  readonly onClose: () => void;
  readonly foot: ReactNode;
}

/** Drawn at first; more on request, so that a list of thousands costs what one sees of it. */
const ROWS_STEP = 100;
const MINUTE_MS = 60_000;

export function Sidebar(props: SidebarProps): ReactNode {
  const { list, openId, intents, onNew, onMore, onClose, foot } = props;
  const [limit, setLimit] = useState(ROWS_STEP);
  const [isArchiveOpen, setArchiveOpen] = useState(false);
  const nav = useRef<HTMLElement>(null);
  const now = useNow(MINUTE_MS);
  const { search } = list;
  const found = search?.rows ?? list.rows;
  const rows = found.slice(0, limit);
  const archived = rows.filter((row) => row.archived);
  const groups: readonly Group[] = search === null ? groupsOf(rows, now) : [{ title: 'Found', rows }];
  const showMore = (): void => {
    setLimit(limit + ROWS_STEP);
    if (search === null && list.more && limit + ROWS_STEP > found.length) onMore();
  };

  return (
    <>
      <div className="sidebar-head">
        <Mark />
        <span className="sidebar-name">Holdfast</span>
        <IconButton icon="plus" label="New session" onClick={onNew} />
        <IconButton icon="close" label="Close the list" className="drawer-only" onClick={onClose} />
      </div>
      <SearchField {...props} onDown={() => nav.current?.querySelector<HTMLAnchorElement>('a.row')?.focus()} />
      <nav ref={nav} className="sidebar-list" aria-label="Sessions">
        {groups.map(({ title, rows }) => (
          <Section key={title} title={title} rows={rows} openId={openId} now={now} intents={intents} />
        ))}
        <Hint list={list} isEmpty={rows.length === 0} />
        {search === null && archived.length > 0 ? (
          <button
            type="button"
            className="sidebar-more"
            aria-expanded={isArchiveOpen}
            onClick={() => setArchiveOpen(!isArchiveOpen)}
          >
            <Icon name="archive" size={14} />
            Archived ({archived.length})
          </button>
        ) : null}
        {search === null && isArchiveOpen ? (
          <Section title="Archived" rows={archived} openId={openId} now={now} intents={intents} />
        ) : null}
        {found.length > limit || (search === null && list.more) ? (
          <button type="button" className="sidebar-more" onClick={showMore}>
            Older sessions
          </button>
        ) : null}
      </nav>
      <div className="sidebar-foot">{foot}</div>
    </>
  );
}

interface SectionProps {
  readonly title: string;
  readonly rows: readonly SessionSummary[];
  readonly openId: SessionId | null;
  readonly now: number;
  readonly intents: RowIntents;
}

const Section = ({ title, rows, openId, now, intents }: SectionProps): ReactNode => (
  <section className="sidebar-section" aria-label={title}>
    <h2>{title}</h2>
    <ul>
      {rows.map((row) => (
        <SessionRow key={row.sessionId} row={row} isOpen={row.sessionId === openId} now={now} intents={intents} />
      ))}
    </ul>
  </section>
);

function Hint({ list, isEmpty }: { readonly list: SessionListState; readonly isEmpty: boolean }): ReactNode {
  if (list.fault !== null) return <p className="sidebar-hint">{faultText(list.fault)}</p>;
  if (!isEmpty) return null;
  if (list.search !== null)
    return (
      <p className="sidebar-hint">{list.search.busy ? 'Searching' : `Nothing has “${list.search.query}” in it.`}</p>
    );
  return <p className="sidebar-hint">{list.status === 'loading' ? 'Reading the list' : 'No sessions yet.'}</p>;
}

// ── search ──────────────────────────────────────────────────────────────────────────────────────────────────────────

type SearchFieldProps = Pick<SidebarProps, 'searchRef' | 'onSearch' | 'onLeaveSearch'> & {
  readonly onDown: () => void;
};

function SearchField({ searchRef, onSearch, onLeaveSearch, onDown }: SearchFieldProps): ReactNode {
  const [query, setQuery] = useState('');
  const change = (text: string): void => {
    setQuery(text);
    onSearch(text.trim());
  };
  const onKeyDown = (event: KeyboardEvent): void => {
    if (event.key === 'Escape') {
      // It ends the search, not the turn.
      event.stopPropagation();
      if (query === '') onLeaveSearch();
      else change('');
    } else if (event.key === 'ArrowDown' || event.key === 'Enter') {
      event.preventDefault();
      onDown();
    }
  };
  return (
    <div className="search">
      <Icon name="search" size={15} />
      <input
        ref={searchRef}
        type="search"
        className="search-input"
        placeholder="Search"
        aria-label="Search sessions"
        aria-keyshortcuts="Control+K Meta+K"
        value={query}
        onChange={(event) => change(event.target.value)}
        onKeyDown={onKeyDown}
      />
      <kbd className="search-key" aria-hidden="true">
        {/Mac|iP/.test(navigator.userAgent) ? '⌘K' : 'Ctrl K'}
      </kbd>
    </div>
  );
}
