/** The portable cases in this Node, over both of its transports. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';

import { fetchTransport, memoryOutbox } from '../../src/index.ts';
import { nodeTransport } from '../../src/node/index.ts';
import { WireServer } from '../wire-server.ts';
import { portableCases } from './portable-cases.ts';

let server: WireServer;
let unhandled = 0;
const onUnhandled = (): void => void unhandled++;

beforeAll(async () => {
  process.on('unhandledRejection', onUnhandled);
  server = await WireServer.start();
});
afterAll(async () => {
  process.off('unhandledRejection', onUnhandled);
  await server.close();
});

describe.each([
  ['node-http', nodeTransport],
  ['fetch', fetchTransport],
] as const)('over %s', (transportName, makeTransport) => {
  test.each(portableCases.map((it, index) => [it.name, it, `${transportName}-${index}`] as const))(
    '%s',
    async (_name, it, key) => {
      const outbox = memoryOutbox();
      await it.run({ makeTransport, origin: server.origin, openOutbox: () => outbox, key });
      expect(unhandled).toBe(0);
    },
  );
});
