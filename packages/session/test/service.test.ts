import { expect, test } from 'vitest';
import { echo, scripted, types, World } from './world.ts';

test('E8: a turn is message, start, content, end, usage, title, stream-end, in this order', async () => {
  const world = await World.open([scripted(echo)]);
  const receipt = await world.say('hello there');
  expect(receipt.verdict).toMatchObject({ kind: 'accepted', applied: 'start', position: 0 });
  const view = await world.idle();
  expect(view.messages.map((message) => [message.role, message.text])).toEqual([
    ['user', 'hello there'],
    ['assistant', 'hello there '],
  ]);
  const seen = types(await world.entries()).filter(
    (type, index, all) => type !== 'text-delta' || all[index - 1] !== type,
  );
  expect(seen).toEqual([
    'session-open',
    'message',
    'turn-start',
    'text-delta',
    'turn-end',
    'usage',
    'title-status',
    'title',
    'stream-end',
  ]);
  expect(view.title).toBe('hello there');
  await world.close();
});

test('D1: messages sent faster than turns finish run in order, each once', async () => {
  const world = await World.open([scripted(echo)]);
  await Promise.all(Array.from({ length: 30 }, (_, n) => world.say(`message-${n}`)));
  const view = await world.idle();
  expect(view.messages.filter((message) => message.role === 'assistant').map((message) => message.text.trim())).toEqual(
    Array.from({ length: 30 }, (_, n) => `message-${n}`),
  );
  await world.close();
});

test('R23: the same message again gets the first receipt; other content under its id is refused', async () => {
  const world = await World.open([scripted(echo)]);
  const first = await world.say('once', { clientId: 'k1' });
  const again = await world.say('once', { clientId: 'k1' });
  expect(again).toMatchObject({ duplicate: true, seq: first.seq, verdict: first.verdict, command: first.command });
  await expect(world.say('twice', { clientId: 'k1' })).rejects.toThrow('was used for another command');
  await world.close();
});
