/** What clients in one process have to do with each other's tokens: nothing. */
import { expect, test } from 'vitest';

import { createCredentials } from '../src/index.ts';

test('R47: in a process nobody waits for a refresh of somebody else’s that never comes back', async () => {
  const hung = createCredentials({ refresh: () => new Promise(() => {}) });
  void hung.refresh(undefined);
  const free = createCredentials({ refresh: async () => ({ kind: 'renewed', token: 'new' }) });
  expect(await free.refresh(undefined)).toEqual({ kind: 'renewed', token: 'new' });
});
