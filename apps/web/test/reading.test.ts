/** The pure readings of a state: rows, forks, marks, calls, announcements. */
import { describe, expect, test } from 'vitest';

import { FAULT_KINDS, faultInfo } from '@holdfast/protocol/fault';
import { foldAll } from '@holdfast/protocol/fold';
import type { Entry } from '@holdfast/protocol/entry';
import { EMPTY_VIEW, type View } from '@holdfast/protocol/view';
import type { OutboxItem, SessionState, SessionSummary } from '@holdfast/client';
import { announce } from '../src/session/announcement.ts';
import { beyondTitle, cureOf, faultText } from '../src/session/explain.ts';
import { callsFor, windowTitle } from '../src/shell/attention.ts';
import { groupsOf, markOf } from '../src/sidebar/groups.ts';
import { forksOf } from '../src/transcript/branches.ts';
import { rowsOf } from '../src/transcript/rows.ts';

const AT = '2026-01-02T10:00:00.000Z';
/** The view that a log gives. */
const viewOf = (...bodies: readonly object[]): View =>
  foldAll(
    EMPTY_VIEW,
    bodies.map((body, index) => ({ ...body, seq: index + 1, at: AT }) as Entry),
  );

const message = (n: string, more: object = {}): object => ({
  type: 'message',
  clientId: `c_${n}`,
  author: 'ann',
  messageId: `m_${n}`,
  text: n,
  whenBusy: 'queue',
  ...more,
});
const start = (n: string, parent: string | null, messageIds: readonly string[] = [`m_${n}`]): object => ({
  type: 'turn-start',
  turnId: `t_${n}`,
  messageId: `a_${n}`,
  messageIds,
  agent: 'rehearsal',
  attempt: 1,
  parent,
});
const end = (n: string, outcome = 'completed'): object => ({ type: 'turn-end', turnId: `t_${n}`, outcome });

const state = (view: View, outbox: readonly OutboxItem[] = []): Parameters<typeof rowsOf>[0] => ({
  status: 'ready',
  view,
  messages: view.messages,
  outbox,
});
const sending = (n: string): OutboxItem => ({ clientId: `c_${n}`, text: n, parts: [], state: 'sending' }) as never;

describe('rows', () => {
  test('a message has one key on its way from the outbox through the queue into the transcript', () => {
    const keys = [
      rowsOf(state(viewOf(), [sending('1')])),
      rowsOf(state(viewOf(message('1')))),
      rowsOf(state(viewOf(message('1'), start('1', null)))),
    ].map(({ rows }) => rows[0]?.key);
    expect(keys).toEqual(['c_1', 'c_1', 'c_1']);
  });

  test('what will start at once is in the transcript, what waits for a turn in the queue', () => {
    const idle = rowsOf(state(viewOf(message('1'), message('2'))));
    expect([idle.rows.map(({ key }) => key), idle.waiting.map(({ key }) => key)]).toEqual([['c_1'], ['c_2']]);
    const busy = rowsOf(state(viewOf(message('1'), start('1', null), message('2')), [sending('3')]));
    expect([busy.rows.map(({ key }) => key), busy.waiting.map(({ key }) => key)]).toEqual([
      ['c_1', 'a_1'],
      ['c_2', 'c_3'],
    ]);
  });

  test('what was sent is always to be seen: in the transcript while that is read, in the queue where it is gone', () => {
    const places = (status: SessionState['status']): readonly number[] => {
      const { rows, waiting } = rowsOf({ ...state(EMPTY_VIEW, [sending('1')]), status });
      return [rows.length, waiting.length];
    };
    expect(places('loading')).toEqual([1, 0]);
    for (const status of ['missing', 'deleted'] as const) expect(places(status)).toEqual([0, 1]);
  });
});

describe('forks', () => {
  test('another answer is a version of the answer, another question a version of the question', () => {
    const view = viewOf(
      message('1'),
      start('1', null),
      end('1'),
      { type: 'regenerate', clientId: 'c_2', author: 'ann', messageId: 'm_2', turnId: 't_1' },
      { ...start('2', null, ['m_1']), cause: 'm_2' },
      end('2'),
      message('3', { after: null }),
      start('3', null),
      end('3'),
    );
    const forks = forksOf(view);
    expect(forks.get('m_3' as never)?.question).toEqual({ at: 1, turnIds: ['t_2', 't_3'] });
    expect(forks.get('a_3' as never)?.answer).toBe(null);
    const back = forksOf({ turns: view.turns, leaf: 't_1' as never });
    expect(back.get('a_1' as never)?.answer).toEqual({ at: 0, turnIds: ['t_1', 't_2'] });
    expect(back.get('m_1' as never)?.question).toEqual({ at: 0, turnIds: ['t_1', 't_3'] });
    expect(back.get('m_1' as never)?.parent).toBe(null);
  });

  test('a turn that follows one outside of the window cannot be forked', () => {
    const view = viewOf(message('1'), start('1', 't_0'), end('1'));
    expect(forksOf(view).get('m_1' as never)?.parent).toBe(undefined);
  });
});

const row = (more: Partial<SessionSummary> = {}): SessionSummary =>
  ({
    sessionId: 's_1',
    title: 'Tides',
    state: 'idle',
    prompts: 0,
    queued: 0,
    pinned: false,
    archived: false,
    seq: 10,
    unread: false,
    lastOutcome: 'completed',
    preview: '',
    updatedAt: AT,
    ...more,
  }) as SessionSummary;
const before = (...rows: readonly SessionSummary[]): Parameters<typeof callsFor>[0] =>
  new Map(rows.map((each) => [each.sessionId, each]));

describe('R73: calls', () => {
  const ended = row({ seq: 20, unread: true });
  test('an end is told once, and not again after a replay', () => {
    const calls = callsFor(before(row({ state: 'running' })), [ended], {});
    expect(calls.map(({ text, seq }) => [text, seq])).toEqual([['The answer is finished', 20]]);
    expect(callsFor(before(row({ state: 'running' })), [ended], { s_1: 20 } as never)).toEqual([]);
    expect(callsFor(before(ended), [ended], {})).toEqual([]);
  });
  test('what was there when the page came is no news', () => {
    expect(callsFor(before(), [ended], {})).toEqual([]);
  });
  test('a question calls, a read end does not', () => {
    expect(
      callsFor(before(row({ state: 'running' })), [row({ state: 'waiting', prompts: 1, seq: 12 })], {}),
    ).toHaveLength(1);
    expect(callsFor(before(row({ state: 'running' })), [row({ seq: 20 })], {})).toEqual([]);
  });
  test('the title counts the others and marks this one', () => {
    const rows = [row({ state: 'running' }), row({ sessionId: 's_2' as never, unread: true })];
    expect(windowTitle(rows, 's_1' as never)).toBe('… (1) Tides · Holdfast');
    expect(windowTitle([], null)).toBe('Holdfast');
  });
});

test('the list: pinned first, then by day, archived ones apart', () => {
  const now = Date.parse(AT);
  const rows = [
    row(),
    row({ sessionId: 's_2' as never, pinned: true }),
    row({ sessionId: 's_3' as never, archived: true }),
    row({ sessionId: 's_4' as never, updatedAt: '2025-12-31T10:00:00.000Z' }),
  ];
  expect(groupsOf(rows, now).map(({ title, rows }) => [title, rows.length])).toEqual([
    ['Pinned', 1],
    ['Today', 1],
    ['Last seven days', 1],
  ]);
});

test('a mark says what is most worth knowing', () => {
  expect(markOf(row({ state: 'running', prompts: 1 }), false)).toBe('waiting');
  expect(markOf(row({ unread: true, lastOutcome: 'failed' }), false)).toBe('failed');
  expect(markOf(row({ unread: true }), true)).toBe(null);
});

describe('announcements', () => {
  const running = viewOf(message('1'), start('1', null));
  test('beginnings and ends are said, tokens and what was there are not', () => {
    const first = announce(null, running);
    expect(first.said).toBe('');
    const begun = announce(announce(null, viewOf()), running);
    expect(begun.said).toBe('The answer begins.');
    const delta = { type: 'text-delta', turnId: 't_1', messageId: 'a_1', text: 'word' };
    expect(announce(begun, viewOf(message('1'), start('1', null), delta)).said).toBe(begun.said);
    expect(announce(begun, viewOf(message('1'), start('1', null), end('1', 'failed'))).said).toBe('The answer failed.');
  });
});

test('what a card says in its title is not said again below it', () => {
  const title = 'The turn lost the process that ran it';
  expect(beyondTitle(title, `${title}. What it had said is kept.`)).toBe('What it had said is kept.');
  expect(beyondTitle(title, title)).toBe('');
  expect(beyondTitle('Interrupted', 'The gateway was shut down.')).toBe('The gateway was shut down.');
});

test('every fault is told in words, and those that a turn can end with say what helps', () => {
  for (const kind of FAULT_KINDS) expect(faultText({ kind, detail: '' })).toMatch(/^[A-Z].*\.$/);
  for (const kind of FAULT_KINDS.filter((kind) => kind.startsWith('model-'))) expect(cureOf(kind)).toBeDefined();
  expect(faultInfo('queue-full').retry).toBe('later');
});

test('a fault is told in whole sentences, none of them twice', () => {
  expect(faultText({ kind: 'disconnected', detail: 'The connection was lost: TypeError: Failed to fetch' })).toBe(
    'The connection was lost. Try again when the gateway is reached.',
  );
  expect(faultText({ kind: 'session-deleted', detail: 'The session was deleted by ann' })).toBe(
    'The session was deleted by ann.',
  );
});
