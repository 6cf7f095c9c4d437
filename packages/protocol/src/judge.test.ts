import { expect, test } from 'vitest';
import type { EntryBody } from './entry.ts';
import { fold } from './fold.ts';
import { judge } from './judge.ts';
import { EMPTY_VIEW, type View } from './view.ts';

const at = '2030-01-01T00:00:00.000Z';
const by = (clientId: string) => ({ clientId, author: 'ann' });
const after = (entries: readonly object[], from: View = EMPTY_VIEW): View =>
  entries.reduce<View>((view, body) => fold(view, { ...(body as EntryBody), seq: view.seq + 1, at }), from);
const verdictOn = (view: View, command: object) => judge(view, command as Parameters<typeof judge>[1]);

const running = after([
  { type: 'session-open', sessionId: 's', ...by('c0') },
  { type: 'message', messageId: 'm_1', text: 'go', whenBusy: 'queue', merge: false, ...by('c1') },
  { type: 'turn-start', turnId: 't_1', messageId: 'a_1', agent: 'x', attempt: 1, messageIds: ['m_1'], parent: null },
]);
const stop = (queue: 'keep' | 'clear', clientId: string) => ({ type: 'stop', turnId: 't_1', queue, ...by(clientId) });

test('R26: a second stop counts where it asks for more: the end of all that waits, steers too', () => {
  const steered = after([{ type: 'steer', messageId: 'm_2', text: 'left', turnId: 't_1', ...by('c2') }], running);
  const stopping = after([stop('keep', 'c3')], steered);
  expect(verdictOn(stopping, stop('keep', 'c4'))).toMatchObject({ kind: 'void', reason: 'already-stopping' });
  expect(verdictOn(stopping, stop('clear', 'c4'))).toMatchObject({ kind: 'stopping' });
  expect(after([stop('clear', 'c4')], stopping).turn?.steers).toEqual([]);
  expect(verdictOn(after([stop('clear', 'c4')], stopping), stop('clear', 'c5'))).toMatchObject({ kind: 'void' });
});

const message = (id: string) => ({
  type: 'message',
  messageId: id,
  text: id,
  whenBusy: 'queue',
  merge: true,
  ...by(id),
});

test('R21: the messages of a merged turn stand in the order of its start, however the queue was ordered meanwhile', () => {
  const view = after([
    { type: 'session-open', sessionId: 's', ...by('c0') },
    message('m_1'),
    message('m_2'),
    { type: 'queue-order', messageIds: ['m_2', 'm_1'], ...by('c3') },
    {
      type: 'turn-start',
      turnId: 't_1',
      messageId: 'a_1',
      agent: 'x',
      attempt: 1,
      messageIds: ['m_1', 'm_2'],
      parent: null,
    },
  ]);
  expect(view.messages.map(({ id }) => id)).toEqual(['m_1', 'm_2', 'a_1']);
});

test('R21: a merged message that was withdrawn a moment before the start is none of the turn’s', () => {
  const view = after([
    { type: 'session-open', sessionId: 's', ...by('c0') },
    message('m_1'),
    message('m_2'),
    { type: 'message-withdraw', messageId: 'm_2', ...by('c3') },
    {
      type: 'turn-start',
      turnId: 't_1',
      messageId: 'a_1',
      agent: 'x',
      attempt: 1,
      messageIds: ['m_1', 'm_2'],
      parent: null,
    },
  ]);
  expect(view.turns[0]?.messageIds).toEqual(['m_1']);
  expect(view.messages.map(({ id }) => id)).toEqual(['m_1', 'a_1']);
});
