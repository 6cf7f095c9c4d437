/** The side questions of one view of a client: over its sockets and credentials, which they leave as they are. */
import { BtwClient } from './btw.ts';
import type { Requests } from './requests.ts';

export function openBtw({ options: { transport, ports, baseUrl, credentials } }: Requests): BtwClient {
  return new BtwClient({
    baseUrl,
    ports,
    transport: { open: () => transport.open(), short: transport.short, close() {} },
    ...(credentials === undefined ? {} : { credentials }),
  });
}
