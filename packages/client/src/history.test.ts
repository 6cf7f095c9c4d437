import { EMPTY_VIEW, type TurnId, type TurnNode, type View } from '@holdfast/protocol';
import { expect, test } from 'vitest';
import { edgeOf, NO_HISTORY } from './history.ts';
import { prepend } from './older-pages.ts';

const node = (id: string, parent: string | null): TurnNode =>
  ({ turnId: `t_${id}`, parent: parent && `t_${parent}`, messageIds: [], messageId: `a_${id}` }) as unknown as TurnNode;
const view = (turns: readonly TurnNode[], leaf: string): View => ({ ...EMPTY_VIEW, turns, leaf: leaf as TurnId });

test('R76: a branch that has left the window as a whole is read from its last turn on', () => {
  const gone = view([node('9', '8')], 't_3');
  expect(edgeOf(NO_HISTORY, gone)).toBe('t_3');
  const page = [node('2', '1'), node('3', '2')].map((turn) => ({ turn, messages: [] }));
  expect(edgeOf(prepend(NO_HISTORY, gone, 't_3' as TurnId, page), gone)).toBe('t_2');
});

test('older pages end before the oldest turn of the branch that the window holds', () => {
  expect(edgeOf(NO_HISTORY, view([node('8', '7'), node('9', '8')], 't_9'))).toBe('t_8');
  expect(edgeOf(NO_HISTORY, view([node('1', null)], 't_1'))).toBeNull();
  expect(edgeOf(NO_HISTORY, EMPTY_VIEW)).toBeNull();
});
