/**
 * One session of the list: a link, so that it opens in another tab as links do, and a menu.
 */
import { memo, useState, type KeyboardEvent, type MouseEvent, type NamedExoticComponent, type ReactNode } from 'react';
import type { SessionSummary } from '@holdfast/client';
import type { SessionId } from '@holdfast/protocol/ids';
import { addressOf } from '../shell/route.ts';
import { Confirm } from '../ui/confirm.tsx';
import { Icon } from '../ui/icons.tsx';
import { Menu, type MenuItem } from '../ui/menu.tsx';
import { longTime, shortTime } from '../ui/words.ts';
import { MARK_TEXTS, markOf, titleOf } from './groups.ts';

export interface RowIntents {
  readonly open: (sessionId: SessionId) => void;
  readonly rename: (sessionId: SessionId, title: string) => void;
  readonly set: (sessionId: SessionId, changes: { readonly pinned?: boolean; readonly archived?: boolean }) => void;
  readonly remove: (sessionId: SessionId) => void;
}

export interface SessionRowProps {
  readonly row: SessionSummary;
  readonly isOpen: boolean;
  readonly now: number;
  readonly intents: RowIntents;
}

export const SessionRow: NamedExoticComponent<SessionRowProps> = memo(function SessionRow({
  row,
  isOpen,
  now,
  intents,
}: SessionRowProps): ReactNode {
  const [mode, setMode] = useState<'plain' | 'renaming' | 'renamed' | 'deleting'>('plain');
  const { sessionId, pinned, updatedAt } = row;
  const title = titleOf(row);
  const mark = markOf(row, isOpen);
  const open = (event: MouseEvent): void => {
    // Another tab, another window: the browser's business.
    if (event.metaKey || event.ctrlKey || event.shiftKey) return;
    event.preventDefault();
    intents.open(sessionId);
  };
  if (mode === 'renaming')
    return (
      <li className="row-item">
        <Rename
          title={title}
          onDone={(name, isByKey) => {
            setMode(isByKey ? 'renamed' : 'plain');
            if (name !== null && name !== title) intents.rename(sessionId, name);
          }}
        />
      </li>
    );
  return (
    <li className="row-item" data-session={sessionId} data-mark={mark}>
      <a
        ref={mode === 'renamed' ? takeFocus : null}
        className="row"
        href={addressOf(sessionId)}
        title={`${title}\n${longTime(updatedAt)}`}
        onClick={open}
        onKeyDown={walkRows}
        {...(isOpen ? { 'aria-current': 'page' as const } : {})}
      >
        {mark === null ? null : (
          <span className="row-mark" data-mark={mark}>
            <span className="visually-hidden">{MARK_TEXTS[mark]}</span>
          </span>
        )}
        <span className="row-title" dir="auto">
          {title}
        </span>
        {pinned ? <Icon name="pin" size={13} /> : null}
        <time className="row-time" dateTime={updatedAt}>
          {shortTime(updatedAt, now)}
        </time>
      </a>
      <Menu label={`Actions for ${title}`} className="row-menu" items={actionsOf(row, intents, setMode)} />
      {mode === 'deleting' ? (
        <Confirm
          title="Delete this session?"
          text={`“${title}” and everything in it is erased, on every device. This cannot be taken back.`}
          action="Delete"
          onConfirm={() => intents.remove(sessionId)}
          onClose={() => setMode('plain')}
        />
      ) : null}
    </li>
  );
});

/** Arrow keys go from row to row, over all groups. */
function walkRows(event: KeyboardEvent<HTMLAnchorElement>): void {
  const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
  const rows = [...(event.currentTarget.closest('nav')?.querySelectorAll<HTMLAnchorElement>('a.row') ?? [])];
  if (step === undefined) return;
  event.preventDefault();
  rows[rows.indexOf(event.currentTarget) + step]?.focus();
}

function actionsOf(
  { sessionId, pinned, archived }: SessionSummary,
  { set }: RowIntents,
  setMode: (mode: 'renaming' | 'deleting') => void,
): readonly MenuItem[] {
  return [
    { label: 'Rename', icon: 'edit', onChoose: () => setMode('renaming') },
    { label: pinned ? 'Unpin' : 'Pin', icon: 'pin', onChoose: () => set(sessionId, { pinned: !pinned }) },
    {
      label: archived ? 'Take out of the archive' : 'Archive',
      icon: 'archive',
      onChoose: () => set(sessionId, { archived: !archived }),
    },
    { label: 'Delete', icon: 'trash', isDangerous: true, onChoose: () => setMode('deleting') },
  ];
}

interface RenameProps {
  readonly title: string;
  /** `title` null: as it was. By a key: the focus goes on to what has the name. */
  readonly onDone: (title: string | null, isByKey: boolean) => void;
}

/** A `ref` for what gets the focus when it comes. */
export const takeFocus = (element: HTMLElement | null): void => element?.focus();

export function Rename({ title, onDone }: RenameProps): ReactNode {
  const [text, setText] = useState(title);
  const [isDone, setDone] = useState(false);
  const finish = (name: string | null, isByKey: boolean): void => {
    // Leaving the field after Enter is no second answer.
    if (isDone) return;
    setDone(true);
    onDone(name === null || name.trim() === '' ? null : name.trim(), isByKey);
  };
  const onKeyDown = (event: KeyboardEvent): void => {
    if (event.nativeEvent.isComposing) return;
    if (event.key !== 'Enter' && event.key !== 'Escape') return;
    // Enter presses nothing that gets the focus now; Escape stops no turn.
    event.preventDefault();
    event.stopPropagation();
    finish(event.key === 'Enter' ? text : null, true);
  };
  return (
    <input
      className="input rename"
      aria-label="Title"
      value={text}
      maxLength={200}
      // The person asked for it by choosing "rename".
      // oxlint-disable-next-line jsx-a11y/no-autofocus
      autoFocus
      onFocus={(event) => event.currentTarget.select()}
      onChange={(event) => setText(event.target.value)}
      onKeyDown={onKeyDown}
      onBlur={() => finish(text, false)}
    />
  );
}
