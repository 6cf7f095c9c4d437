/**
 * The session list in the order in which one looks for something: pinned, then by day. Pure.
 */
import type { SessionSummary } from '@holdfast/client';
import { daysBefore } from '../ui/words.ts';

export interface Group {
  readonly title: string;
  readonly rows: readonly SessionSummary[];
}

const DAYS: readonly (readonly [title: string, beforeDays: number])[] = [
  ['Today', 1],
  ['Yesterday', 2],
  ['Last seven days', 8],
  ['Last thirty days', 31],
  ['Older', Number.POSITIVE_INFINITY],
];

export function groupsOf(rows: readonly SessionSummary[], now: number): readonly Group[] {
  const active = rows.filter(({ archived }) => !archived);
  const pinned = active.filter(({ pinned }) => pinned);
  const byDay = new Map<string, SessionSummary[]>();
  for (const row of active) {
    if (row.pinned) continue;
    const title = dayOf(row, now);
    const group = byDay.get(title);
    if (group === undefined) byDay.set(title, [row]);
    else group.push(row);
  }
  const days = DAYS.flatMap(([title]) => ({ title, rows: byDay.get(title) ?? [] }));
  return [{ title: 'Pinned', rows: pinned }, ...days].filter(({ rows }) => rows.length > 0);
}

function dayOf({ updatedAt }: SessionSummary, now: number): string {
  const days = daysBefore(Date.parse(updatedAt), now);
  return DAYS.find(([, before]) => days < before)?.[0] ?? 'Older';
}

export const titleOf = ({ title, preview }: Pick<SessionSummary, 'title' | 'preview'>): string => {
  const first = title ?? preview.split('\n', 1)[0] ?? '';
  return first.trim() === '' ? 'New session' : first;
};

export type Mark = 'waiting' | 'running' | 'queued' | 'failed' | 'unread' | null;

/** What is most worth knowing about a session that one does not look at. */
export function markOf(row: SessionSummary, isOpen: boolean): Mark {
  if (row.state === 'waiting' || row.prompts > 0) return 'waiting';
  if (row.state === 'running') return 'running';
  if (row.state === 'queued') return 'queued';
  if (isOpen || !row.unread) return null;
  return row.lastOutcome === 'failed' || row.lastOutcome === 'interrupted' ? 'failed' : 'unread';
}

export const MARK_TEXTS: Readonly<Record<Exclude<Mark, null>, string>> = {
  waiting: 'waits for you',
  running: 'is being answered',
  queued: 'has messages waiting',
  failed: 'failed',
  unread: 'not read yet',
};
