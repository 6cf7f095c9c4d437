/**
 * How the page calls somebody who looks elsewhere: the window's title, and a notification where that was allowed.
 *
 * A1. The title is derived from the list and the place at each change: there is nothing that could be done twice.
 * A2. A notification is shown once for each end or question (R73): what was told is remembered, for all tabs, and a replay or
 *     reload tells nothing again. The tag makes two tabs' notifications one.
 * A3. Nobody is called about what they are looking at.
 */
import type { HoldfastClient, SessionSummary } from '@holdfast/client';
import type { SessionId } from '@holdfast/protocol/ids';
import { titleOf } from '../sidebar/groups.ts';
import { readStored, writeStored } from './storage.ts';

export interface Call {
  readonly sessionId: SessionId;
  readonly seq: number;
  readonly title: string;
  readonly text: string;
}

type Told = Readonly<Record<SessionId, number>>;

const TOLD_MAX = 200;

/** What has to be said, after the list went from `before` to `after`. Pure. */
export function callsFor(
  before: ReadonlyMap<SessionId, SessionSummary>,
  after: readonly SessionSummary[],
  told: Told,
): readonly Call[] {
  return after.flatMap((row): readonly Call[] => {
    const was = before.get(row.sessionId);
    if (was === undefined || row.seq <= (told[row.sessionId] ?? 0)) return [];
    const text = newsOf(was, row);
    return text === null ? [] : [{ sessionId: row.sessionId, seq: row.seq, title: titleOf(row), text }];
  });
}

function newsOf(was: SessionSummary, is: SessionSummary): string | null {
  if (is.prompts > was.prompts) return 'Waits for your answer';
  const ended = (was.state === 'running' || was.state === 'queued') && is.state === 'idle';
  if (!ended || !is.unread) return null;
  return is.lastOutcome === 'completed' ? 'The answer is finished' : 'The answer ended early';
}

/** A1. */
export function windowTitle(rows: readonly SessionSummary[], open: SessionId | null): string {
  const calling = rows.filter((row) => row.sessionId !== open && (row.unread || row.prompts > 0)).length;
  const here = rows.find((row) => row.sessionId === open);
  const mark = here !== undefined && here.prompts > 0 ? '● ' : here?.state === 'running' ? '… ' : '';
  const name = here === undefined ? 'Holdfast' : `${titleOf(here)} · Holdfast`;
  return `${mark}${calling > 0 ? `(${calling}) ` : ''}${name}`;
}

export interface AttentionOptions {
  readonly client: HoldfastClient;
  readonly openId: () => SessionId | null;
  /** Tells when another is open. @returns the end of it. */
  readonly onMove: (listener: () => void) => () => void;
  readonly onOpen: (sessionId: SessionId) => void;
}

/** For as long as the page is there. */
export function callForAttention({ client, openId, onMove, onOpen }: AttentionOptions): void {
  let before: ReadonlyMap<SessionId, SessionSummary> = new Map();
  const look = (): void => {
    const { rows } = client.sessions.getSnapshot();
    document.title = windowTitle(rows, openId());
    const calls = callsFor(before, rows, readTold());
    before = new Map(rows.map((row) => [row.sessionId, row]));
    for (const call of calls) {
      remember(call); // A2: first, so that a failure tells too little and not twice
      const isSeen = call.sessionId === openId() && document.visibilityState === 'visible' && document.hasFocus();
      if (!isSeen) show(call, onOpen);
    }
  };
  look();
  onMove(look);
  client.sessions.subscribe(look);
}

function show({ sessionId, seq, title, text }: Call, onOpen: (sessionId: SessionId) => void): void {
  if (notificationState() !== 'granted') return;
  const notification = new Notification(title, { body: text, tag: `${sessionId}/${seq}` });
  notification.addEventListener('click', () => {
    focus();
    onOpen(sessionId);
    notification.close();
  });
}

export const notificationState = (): NotificationPermission | 'missing' =>
  typeof Notification === 'function' && isSecureContext ? Notification.permission : 'missing';

const readTold = (): Told => {
  try {
    return JSON.parse(readStored('told') ?? '{}') as Told;
  } catch {
    return {};
  }
};

function remember({ sessionId, seq }: Call): void {
  const { [sessionId]: _before, ...others } = readTold();
  const kept = Object.entries(others).slice(-(TOLD_MAX - 1));
  writeStored('told', JSON.stringify({ ...Object.fromEntries(kept), [sessionId]: seq }));
}
