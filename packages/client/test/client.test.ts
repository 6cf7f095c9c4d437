import { expect, test } from 'vitest';

import { createClient } from '../src/index.ts';
import { createTestGateway } from '../src/testing.ts';

test('a message is sent, its answer is read part by part, and as a whole', async () => {
  const gateway = createTestGateway();
  const client = createClient({ baseUrl: 'http://test', transport: gateway.transport });
  const session = await client.createSession({ title: 'First' });
  const turn = await session.send('hold fast');
  let text = '';
  let last = '';
  for await (const part of turn) {
    if (part.type === 'text') text += part.text;
    last = part.type;
  }
  expect(text).toBe('You said: hold fast');
  expect(last).toBe('end');
  expect(await turn.text()).toBe(text);
  expect(session.store.getSnapshot().view.title).toBe('First');
  await client.close();
  expect(gateway.streams).toBe(0);
});
