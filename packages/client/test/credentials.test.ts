/** Refreshes that do not come back: whom they hold (R114), and what clients in one process have to do with each other's tokens. */
import { fault } from '@holdfast/protocol/fault';
import { expect, test } from 'vitest';

import {
  createClient,
  createCredentials,
  EventStreamClient,
  openWithCredentials,
  type Credentials,
  type RefreshOutcome,
  type StreamState,
} from '../src/index.ts';
import { FakeWire, HandClock, HandLifecycle, settled } from './fakes.ts';

interface Hung {
  readonly clock: HandClock;
  readonly credentials: Credentials;
  /** The refreshes so far: each as its end. */
  readonly refreshes: ((outcome: RefreshOutcome) => void)[];
  readonly signals: AbortSignal[];
}

function hung(): Hung {
  const clock = new HandClock();
  const refreshes: Hung['refreshes'] = [];
  const signals: AbortSignal[] = [];
  const credentials = createCredentials({
    token: 'old',
    clock,
    refresh: (_stale, signal) => {
      signals.push(signal);
      return new Promise((resolve) => refreshes.push(resolve));
    },
  });
  return { clock, credentials, refreshes, signals };
}

const renewed = (token: string): RefreshOutcome => ({ kind: 'renewed', token });

test('R47: in a process nobody waits for a refresh of somebody else’s that never comes back', async () => {
  const hung = createCredentials({ refresh: () => new Promise(() => {}) });
  const ended = new AbortController();
  void hung.refresh(undefined, ended.signal);
  const free = createCredentials({ refresh: async () => ({ kind: 'renewed', token: 'new' }) });
  expect(await free.refresh(undefined)).toEqual({ kind: 'renewed', token: 'new' });
  ended.abort();
});

test('R114, A10: a refresh that hangs is given up by its own fault, and the next caller asks anew', async () => {
  const { clock, credentials, refreshes, signals } = hung();
  const callers = [credentials.refresh('old'), credentials.refresh('old')];
  expect(refreshes).toHaveLength(1);
  clock.advance(14_999);
  const joined = credentials.refresh('old');
  expect(refreshes).toHaveLength(1);
  clock.advance(1);
  for (const outcome of await Promise.all(callers))
    expect(outcome).toMatchObject({
      kind: 'unavailable',
      fault: { kind: 'auth-unavailable', detail: 'The token could not be renewed: no answer in 15000 ms' },
    });
  expect(signals[0]?.aborted).toBe(true);
  const next = credentials.refresh('old');
  expect(refreshes).toHaveLength(2);
  refreshes[1]?.(renewed('new'));
  expect(await next).toEqual(renewed('new'));
  // Who had joined the first one is told its end, whatever comes first.
  clock.advance(15_000);
  expect(await joined).toMatchObject({ kind: 'unavailable' });
  expect(clock.pending).toBe(0);
});

test('R114: a token that comes after its refresh was given up is taken, if there is none that is newer', async () => {
  for (const newer of [false, true]) {
    const { clock, credentials, refreshes } = hung();
    void credentials.refresh('old');
    clock.advance(15_000);
    await settled();
    if (newer) {
      const next = credentials.refresh('old');
      refreshes[1]?.(renewed('newer'));
      await next;
    }
    refreshes[0]?.(renewed('late'));
    await settled();
    expect(credentials.token()).toBe(newer ? 'newer' : 'late');
  }
});

test('R114, A2: closing the connection, or aborting the request, ends an open that waits for a refresh at once', async () => {
  for (const end of ['close', 'abort'] as const) {
    const { clock, credentials, refreshes } = hung();
    const wire = new FakeWire();
    const connection = wire.transport().open();
    const abort = new AbortController();
    const opened = openWithCredentials(connection, { url: 'http://fake/', signal: abort.signal }, credentials).catch(
      (error: unknown) => error,
    );
    await settled();
    wire.last.head(401, 'text/plain');
    wire.last.end();
    await settled();
    expect(refreshes).toHaveLength(1);
    if (end === 'close') connection.close();
    else abort.abort();
    expect(await opened).toMatchObject({ fault: { kind: 'cancelled' } });
    expect(clock.pending).toBe(0);
    // The refresh belongs to everybody, and its token is not lost.
    refreshes[0]?.(renewed('new'));
    await settled();
    expect(credentials.token()).toBe('new');
    connection.close();
  }
});

test('R114, B6: a stream whose refresh hangs says so, not that it is silent, and asks again', async () => {
  const { clock, credentials, refreshes } = hung();
  const wire = new FakeWire();
  const states: StreamState[] = [];
  const stream = new EventStreamClient({
    transport: wire.transport(),
    baseUrl: 'http://fake',
    credentials,
    target: { kind: 'sessions' },
    handlers: { snapshot() {}, entry() {}, state: (state) => void states.push(state) },
    ports: { clock, lifecycle: new HandLifecycle(), random: () => 0.5 },
  });
  stream.start();
  for (let attempt = 1; attempt <= 3; attempt++) {
    await settled();
    wire.last.head(401, 'text/plain');
    wire.last.end();
    await settled();
    expect(refreshes).toHaveLength(attempt);
    clock.advance(15_000);
    await settled();
    expect(states.at(-1)).toMatchObject({ kind: 'waiting', fault: { kind: 'auth-unavailable' } });
    clock.advance(8_000);
  }
  await stream.close();
  expect(clock.pending).toBe(0);
});

test('R114: closing a client whose refresh hangs ends its calls at once and leaves no timer', async () => {
  const { clock, credentials, refreshes } = hung();
  const wire = new FakeWire();
  const client = createClient({
    baseUrl: 'http://fake',
    transport: wire.transport(),
    credentials,
    ports: { clock, lifecycle: new HandLifecycle() },
  });
  const answer = client.call('GET', '/v1/agents');
  await settled();
  const asked = wire.exchanges.find(({ path }) => path === '/v1/agents');
  asked?.head(401, 'text/plain');
  asked?.end();
  await settled();
  expect(refreshes).toHaveLength(1);
  await client.close();
  expect(await answer).toEqual({ kind: 'fault', fault: fault('cancelled', 'The client was closed.') });
  expect(clock.pending).toBe(0);
});

test('R114: a time limit that is none, or longer than a stream may be silent, is refused by its value', () => {
  expect(() => createCredentials({ refreshMs: 0 })).toThrow('refreshMs is 0.');
  expect(() => createCredentials({ refreshMs: Number.NaN })).toThrow('refreshMs is NaN.');
  expect(() => createCredentials({ refreshMs: 60_000 })).toThrow('refreshMs is 60000.');
});
