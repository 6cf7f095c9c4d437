/** What the wire over `fetch` tells of a network that is not there. */
import { createServer } from 'node:net';
import type { AddressInfo } from 'node:net';

import { expect, test } from 'vitest';

import { fetchTransport, openByteStream } from '../src/index.node.ts';

test('a connection that was not made says why, where the platform keeps that to itself', async () => {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  const transport = fetchTransport({ fetch: (...request) => fetch(...request) });
  await using connection = transport.open();
  await expect(openByteStream(connection, { url: `http://127.0.0.1:${port}/` })).rejects.toMatchObject({
    fault: { kind: 'disconnected', detail: 'The connection was lost: ECONNREFUSED' },
  });
  transport.close();
});
