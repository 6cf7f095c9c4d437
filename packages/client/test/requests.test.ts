/** One request and its whole answer: when it is given up. */
import { expect, test } from 'vitest';

import { silentLifecycle } from '../src/lifecycle.ts';
import { Requests } from '../src/requests.ts';
import { createTransport } from '../src/transport.ts';
import type { WireConnection } from '../src/wire.ts';
import { HandClock, settled } from './fakes.ts';

const MIB = 1024 * 1024;
/** Takes everything and says nothing. */
const SILENT: WireConnection = { send: () => ({ hold() {}, flow() {}, cancel() {} }), close() {} };

test('a request that hears nothing is given up after half a minute, one that sends much not before a slow line has taken it', async () => {
  for (const [bytes, patienceMs] of [
    [new Uint8Array(0), 30_000],
    [new Uint8Array(8 * MIB), 9 * 60_000],
  ] as const) {
    const clock = new HandClock();
    const requests = new Requests({
      transport: createTransport({ open: () => SILENT, short: SILENT }),
      baseUrl: 'http://test',
      credentials: undefined,
      ports: { clock, random: () => 0.5, lifecycle: silentLifecycle },
    });
    let answer: unknown;
    void requests.once('POST', '/v1/blobs', { bytes, mediaType: 'image/png' }).then((it) => (answer = it));
    await settled();
    clock.advance(patienceMs - 1_000);
    await settled();
    expect(answer).toBeUndefined();
    clock.advance(60_000);
    await settled();
    expect(answer).toMatchObject({ kind: 'fault', fault: { kind: 'idle-timeout' } });
  }
});
